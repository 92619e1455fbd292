//! `cargo run --release -p tests --bin faults [PART OF A NAME]`: every fault at its full size,
//! against the `user` function in a process of its own; a table of what is expected and what is
//! seen. `--short` runs them small, `--server PATH` against another binary of the function.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command tells what it found")]

use std::{io, os::unix::fs::symlink, path::PathBuf, process::ExitCode};

use tempfile::TempDir;
use tests::faults::{Case, Field, Seen, Size, Verdict, cases};
use tokio::runtime::Builder;

const HELP: &str = "\
Usage: faults [OPTIONS] [PART OF A NAME]

Only the cases whose names hold the part are run; without one, all.

  --short          runs them small, as the suite does
  --allow-skips    takes a case as well that this machine lacks something for
  --server PATH    against this binary of the user function, not the one that is built in
  --help           tells this

Exit codes: 0 all was as expected; 1 it was not, or not tried; 64 wrong use.";

/// What this program is called where it is the server: its own arguments are names of cases, one of
/// which may be what a function is told to do.
const FUNCTION: &str = "user";

fn main() -> ExitCode {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    if called.file_name().is_some_and(|name| name == FUNCTION) {
        return chassis::run(FUNCTION, user::service);
    }
    let (_place, binary) = function().expect("a link to this program");
    let asked = match parse(std::env::args().skip(1), binary) {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("{wrong}\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let is_good = |verdict| verdict == Verdict::AsExpected || asked.allowed == Some(verdict);
    if runtime.block_on(run(&asked)).into_iter().all(is_good) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What is to be tried, and how.
struct Asked {
    binary: PathBuf,
    size: Size,
    part: String,
    /// What is let pass beside what is as expected.
    allowed: Option<Verdict>,
}

/// Nothing is tried by whoever asks for help.
fn parse(
    mut arguments: impl Iterator<Item = String>,
    binary: PathBuf,
) -> Result<Option<Asked>, &'static str> {
    let mut asked = Asked { binary, size: Size::Full, part: String::new(), allowed: None };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--short" => asked.size = Size::Short,
            "--allow-skips" => asked.allowed = Some(Verdict::Skipped),
            "--server" => asked.binary = arguments.next().ok_or("--server needs a path")?.into(),
            "--help" => return Ok(None),
            option if option.starts_with('-') => return Err("there is no such option"),
            _ => asked.part = argument,
        }
    }
    let is_there = cases().iter().any(|case| case.name.contains(&asked.part));
    if is_there { Ok(Some(asked)) } else { Err("no case has such a name") }
}

/// This program under the name of the function, and the place where it has it.
fn function() -> io::Result<(TempDir, PathBuf)> {
    let place = tempfile::tempdir()?;
    let path = place.path().join(FUNCTION);
    symlink(std::env::current_exe()?, &path)?;
    Ok((place, path))
}

/// Runs the cases that are asked for; what each came to.
async fn run(asked: &Asked) -> Vec<Verdict> {
    let field = Field::new(asked.binary.clone(), asked.size).await;
    let mut verdicts = Vec::new();
    println!("| | fault | expected | seen |\n| --- | --- | --- | --- |");
    for case in cases().into_iter().filter(|case| case.name.contains(&asked.part)) {
        eprintln!("{} ..", case.name);
        let seen = case.run(&field).await;
        verdicts.push(seen.verdict());
        println!("{}", row(&case, &seen));
    }
    verdicts
}

fn row(case: &Case, seen: &Seen) -> String {
    let verdict = match seen.verdict() {
        Verdict::AsExpected => "as expected",
        Verdict::Otherwise => "NOT as expected",
        Verdict::Skipped => "skipped",
    };
    let wrong = seen.wrong.join("; ");
    let wrong = if wrong.is_empty() { wrong } else { format!(" (wrong: {wrong})") };
    format!("| {verdict} | {} | {} | {}{wrong} |", case.name, case.expected, seen.line())
}
