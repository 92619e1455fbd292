//! What a function's binary is asked to do.

use std::fmt::Write;

use ::settings::Declared;

use crate::Function;

/// A function's subcommands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// Serves calls until it is told to stop.
    Serve,
    /// Brings the database's schema up to date.
    Migrate,
    /// Reads the settings and tells what is wrong with them.
    Check,
    /// Tells the version.
    Version,
    /// Tells what can be asked.
    Help,
}

impl Command {
    /// Reads the arguments that follow the program's name.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let command = match arguments.next().as_deref() {
            None | Some("serve") => Self::Serve,
            Some("migrate") => Self::Migrate,
            Some("check") => Self::Check,
            Some("--version" | "-V") => Self::Version,
            Some("--help" | "-h" | "help") => Self::Help,
            Some(other) => return Err(format!("there is no command {other:?}; try --help")),
        };
        match arguments.next() {
            None => Ok(command),
            Some(_) if command == Self::Help => Ok(command),
            Some(more) => Err(format!("{more:?} is one argument too many; try --help")),
        }
    }
}

/// The version, and the commit it was built from where the build said so.
pub(crate) fn version(name: &str) -> String {
    let commit = option_env!("MAYFLY_COMMIT").unwrap_or("unknown");
    format!("mayfly {name} {} (commit {commit})", env!("CARGO_PKG_VERSION"))
}

/// What can be asked, and what can be set.
pub(crate) fn help(name: &str, functions: Vec<Function>) -> String {
    let mut text = format!(
        "{}\n\nUsage: {name} [COMMAND]\n\nCommands:\n  \
         serve      serves calls until it is told to stop (the default)\n  \
         migrate    brings the database's schema up to date\n  \
         check      reads the settings and tells what is wrong with them\n  \
         --version  tells the version\n  \
         --help     tells this\n\n\
         Settings, from the environment or from the TOML file named by MAYFLY_CONFIG:\n",
        version(name)
    );
    let own = functions.into_iter().flat_map(Function::own_settings);
    for Declared { name, default, about, .. } in
        Function::declared_settings().into_iter().chain(own)
    {
        writeln!(text, "  {name:<22} {about} ({default})").expect("a string takes any text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Command, String> {
        Command::parse(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn without_a_word_it_serves() {
        assert_eq!(parse(&[]), Ok(Command::Serve));
        assert_eq!(parse(&["migrate"]), Ok(Command::Migrate));
    }

    #[test]
    fn what_it_does_not_know_it_says() {
        assert!(parse(&["srve"]).unwrap_err().contains("srve"));
        assert!(parse(&["serve", "now"]).unwrap_err().contains("now"));
    }

    #[test]
    fn the_help_names_every_setting() {
        let help = help("user", Vec::new());
        for name in ["DATABASE_URL", "FIREBASE_PROJECT_ID", "DRAIN_SECS", "RUST_LOG"] {
            assert!(help.contains(name), "{name}");
        }
    }
}
