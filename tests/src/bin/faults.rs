//! `cargo run --release -p tests --bin faults [PART OF A NAME]`: every fault at its full size,
//! against the `user` function in a process of its own; a table of what is expected and what is
//! seen. `--short` runs them small, `--server PATH` against another binary of the function.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command tells what it found")]

use std::{io, os::unix::fs::symlink, path::PathBuf, process::ExitCode};

use tempfile::TempDir;
use tests::faults::{Case, Field, Seen, Size, cases};
use tokio::runtime::Builder;

const HELP: &str = "\
Usage: faults [OPTIONS] [PART OF A NAME]

Only the cases whose names hold the part are run; without one, all.

  --short          runs them small, as the suite does
  --server PATH    against this binary of the user function, not the one that is built in
  --help           tells this

Exit codes: 0 all was as expected; 1 it was not; 64 wrong use.";

/// What this program is called where it is the server: its own arguments are names of cases, one of
/// which may be what a function is told to do.
const FUNCTION: &str = "user";

fn main() -> ExitCode {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    if called.file_name().is_some_and(|name| name == FUNCTION) {
        return chassis::run(FUNCTION, user::service);
    }
    let (_place, mut binary) = function().expect("a link to this program");
    let (mut size, mut part) = (Size::Full, String::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--short" => size = Size::Short,
            "--server" => match arguments.next() {
                Some(path) => binary = path.into(),
                None => return usage("--server needs a path"),
            },
            "--help" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            option if option.starts_with('-') => return usage("there is no such option"),
            _ => part = argument,
        }
    }
    if !cases().iter().any(|case| case.name.contains(&part)) {
        return usage("no case has such a name");
    }
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if runtime.block_on(run(binary, size, &part)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// This program under the name of the function, and the place where it has it.
fn function() -> io::Result<(TempDir, PathBuf)> {
    let place = tempfile::tempdir()?;
    let path = place.path().join(FUNCTION);
    symlink(std::env::current_exe()?, &path)?;
    Ok((place, path))
}

fn usage(wrong: &str) -> ExitCode {
    eprintln!("{wrong}\n\n{HELP}");
    ExitCode::from(64)
}

/// Runs the cases whose names hold `part`; whether all was as expected.
async fn run(binary: PathBuf, size: Size, part: &str) -> bool {
    let field = Field::new(binary, size).await;
    let mut is_good = true;
    println!("| | fault | expected | seen |\n| --- | --- | --- | --- |");
    for case in cases().into_iter().filter(|case| case.name.contains(part)) {
        eprintln!("{} ..", case.name);
        let seen = case.run(&field).await;
        is_good &= seen.wrong.is_empty();
        println!("{}", row(&case, &seen));
    }
    is_good
}

fn row(case: &Case, seen: &Seen) -> String {
    let verdict = if seen.wrong.is_empty() { "as expected" } else { "NOT as expected" };
    let wrong = seen.wrong.join("; ");
    let wrong = if wrong.is_empty() { wrong } else { format!(" (wrong: {wrong})") };
    format!("| {verdict} | {} | {} | {}{wrong} |", case.name, case.expected, seen.line())
}
