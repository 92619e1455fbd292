//! The options of commands that are asked for numbers.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command tells how it is used")]

use std::{env, process::ExitCode, str::FromStr};

/// Wrong use, as sysexits.h has it.
const USAGE: u8 = 64;

/// Reads this program's arguments into the numbers that they name, such as `--calls 500`. Whoever asks
/// for help, or for what there is not, is told `help`, and the program is to end with this.
pub fn numbers<N: FromStr>(help: &str, options: &mut [(&str, &mut N)]) -> Result<(), ExitCode> {
    read(env::args().skip(1), options).map_err(|wrong| match wrong {
        None => {
            println!("{help}");
            ExitCode::SUCCESS
        }
        Some(wrong) => {
            eprintln!("{wrong}\n\n{help}");
            ExitCode::from(USAGE)
        }
    })
}

/// What is wrong, unless help is asked for.
fn read<N: FromStr>(
    mut arguments: impl Iterator<Item = String>,
    options: &mut [(&str, &mut N)],
) -> Result<(), Option<String>> {
    while let Some(name) = arguments.next() {
        if name == "--help" {
            return Err(None);
        }
        let option = options.iter_mut().find(|(known, _)| *known == name);
        let (_, number) = option.ok_or_else(|| format!("there is no option {name:?}"))?;
        let value = arguments.next().and_then(|value| value.parse().ok());
        **number = value.ok_or_else(|| format!("{name} needs a number"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &str) -> Result<(u64, u64), Option<String>> {
        let (mut calls, mut seed) = (100, 1);
        let arguments = arguments.split_whitespace().map(str::to_owned);
        read(arguments, &mut [("--calls", &mut calls), ("--seed", &mut seed)])?;
        Ok((calls, seed))
    }

    #[test]
    fn numbers_are_read_by_name_and_nothing_else_is() {
        assert_eq!(of(""), Ok((100, 1)));
        assert_eq!(of("--seed 7 --calls 5"), Ok((5, 7)));
        assert_eq!(of("--seed 7 --help"), Err(None));
        for wrong in ["--call 5", "5", "-h"] {
            assert!(of(wrong).unwrap_err().unwrap().starts_with("there is no option"), "{wrong}");
        }
        for wrong in ["--calls", "--calls x", "--calls -1"] {
            assert_eq!(of(wrong), Err(Some("--calls needs a number".into())), "{wrong}");
        }
    }
}
