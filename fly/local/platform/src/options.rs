//! What `cargo dev` is told on the command line.

use std::path::PathBuf;

/// Where the data lies unless told otherwise.
const DATA: &str = ".mayfly";

/// What `cargo dev` is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// `--fresh`: begins with an empty database and no accounts.
    pub beginning: Beginning,
    /// `--watch`: builds what changes, and runs it anew.
    pub hosting: Hosting,
    /// `--port`: where apps call; 0 is any free one.
    pub port: u16,
    /// `--issuer-port`: where the issuer answers.
    pub issuer_port: u16,
    /// `--internal-port`: where metrics and health are read.
    pub internal_port: u16,
    /// `--data`: where everything is kept.
    pub data: Option<PathBuf>,
    /// `--remote-database`: a `DATABASE_URL` on another machine is meant.
    pub is_remote_database: bool,
}

/// What a platform begins with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Beginning {
    /// What was there when it last stopped.
    #[default]
    Kept,
    /// An empty database and no accounts.
    Fresh,
}

/// Where the functions run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Hosting {
    /// In the platform's own process.
    #[default]
    InProcess,
    /// In one of their own, which is replaced when they change.
    Watched,
}

/// What the command line said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Asked {
    Run(Options),
    Help,
}

pub(crate) const HELP: &str = "\
Runs the whole platform on this machine: Postgres, an issuer of Firebase tokens, every function.

Usage: cargo dev [OPTIONS]

Options:
  --fresh              begins with an empty database and no accounts
  --watch              builds the functions anew when they change; data, accounts and tokens stay
  --port N             where apps call (8080)
  --issuer-port N      where the issuer answers (9099)
  --internal-port N    where metrics and health are read (9091)
  --data DIR           where everything is kept (.mayfly)
  --remote-database    uses a DATABASE_URL that is not on this machine
  --help               tells this

With DATABASE_URL set, that database is migrated and used, and no Postgres is started.
PG_BIN names the directory of the Postgres binaries, if they are not found.
Settings of the functions are taken from the environment; a function's --help lists them.

Exit codes: 0 it was told to stop; 64 wrong use; 69 a port, Postgres or a build is not to be had, or
--data is in use; 70 a bug; 78 a setting is wrong.";

impl Default for Options {
    fn default() -> Self {
        Self {
            beginning: Beginning::Kept,
            hosting: Hosting::InProcess,
            port: 8080,
            issuer_port: 9099,
            internal_port: 9091,
            data: None,
            is_remote_database: false,
        }
    }
}

impl Options {
    /// The data directory, named or not.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| DATA.into())
    }

    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            let (name, given) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let mut value = || {
                given.clone().or_else(|| arguments.next()).ok_or(format!("{name} needs a value"))
            };
            match name {
                "--fresh" => options.beginning = Beginning::Fresh,
                "--watch" => options.hosting = Hosting::Watched,
                "--remote-database" => options.is_remote_database = true,
                "--port" => options.port = port(name, &value()?)?,
                "--issuer-port" => options.issuer_port = port(name, &value()?)?,
                "--internal-port" => options.internal_port = port(name, &value()?)?,
                "--data" => options.data = Some(value()?.into()),
                "--help" | "-h" => return Ok(Asked::Help),
                _ => return Err(format!("there is no option {name:?}; try --help")),
            }
        }
        Ok(Asked::Run(options))
    }
}

fn port(name: &str, value: &str) -> Result<u16, String> {
    value.parse().map_err(|_not_a_port| format!("{name} must be a number from 0 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Asked, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_in_both_spellings() {
        let Ok(Asked::Run(options)) = parse("--fresh --watch --port 1 --issuer-port=2 --data x")
        else {
            panic!("these are options");
        };
        assert_eq!((options.beginning, options.hosting), (Beginning::Fresh, Hosting::Watched));
        assert_eq!((options.port, options.issuer_port, options.internal_port), (1, 2, 9091));
        assert_eq!(options.data(), PathBuf::from("x"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, named) in [("--prot 1", "--prot"), ("--port", "--port"), ("--port x", "--port")]
        {
            assert!(parse(line).unwrap_err().contains(named), "{line}");
        }
    }
}
