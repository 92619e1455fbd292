//! `cargo run -p tests --bin mutants`: takes each access rule, owner predicate and visibility check
//! away in turn, in a copy of this checkout, and shows that the build or a test turns red.
//!
//! The list is made from the sources: a new RPC, statement or check is in it without a line here.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command tells what it found")]

mod list;
mod scratch;

use std::{path::Path, process::ExitCode, time::Duration};

use tokio::time::Instant;

use self::{
    list::Mutant,
    scratch::{Outcome, Scratch},
};

const HELP: &str = "\
Usage: mutants [--list] [TEXT..]

  --list    tells them without trying one
  TEXT      only those whose names contain one of these";

/// What is tried first, and what the rest is tried with where that stays green.
const FIRST: &[&str] = &["-p", "tests", "--test", "it", "--", "attacks::"];
const SECOND: &[&str] = &[
    "-p",
    "tests",
    "--test",
    "it",
    "--",
    "auth::",
    "user::",
    "erase::",
    "once::",
    "identity::",
    "revocation::",
    "watch::access",
    // A busy machine can fail this one.
    "--skip",
    "of_thirty_updates",
];

fn main() -> ExitCode {
    let mut wanted: Vec<_> = std::env::args().skip(1).collect();
    if wanted.iter().any(|text| text.starts_with('-') && text != "--list") {
        eprintln!("{HELP}");
        return ExitCode::from(64);
    }
    let is_list = wanted.iter().any(|text| text == "--list");
    wanted.retain(|text| text != "--list");

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut mutants = list::mutants(&root);
    mutants.retain(|one| wanted.is_empty() || wanted.iter().any(|text| one.name.contains(text)));
    if is_list {
        for mutant in &mutants {
            println!("{}", mutant.name);
        }
        println!("{} mutants", mutants.len());
        return ExitCode::SUCCESS;
    }
    match run(&root, &mutants) {
        Ok(survivors) if survivors.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(told) => {
            eprintln!("{told}");
            ExitCode::from(70)
        }
    }
}

/// Tries them all, and returns the names of those that nothing has noticed.
fn run(root: &Path, mutants: &[Mutant]) -> Result<Vec<String>, String> {
    let start = Instant::now();
    let scratch = Scratch::of(root)?;
    println!("building a copy, which takes minutes the first time");
    for tests in [FIRST, SECOND] {
        if let Outcome::Red(why) = scratch.test(tests)? {
            return Err(format!("it is red without a mutant: {why}"));
        }
    }
    println!("green without a mutant, after {}", seconds(start.elapsed()));
    let mut survivors = Vec::new();
    for mutant in mutants {
        let began = Instant::now();
        let undone = scratch.apply(mutant)?;
        let told = tried(&scratch, mutant)?;
        undone()?;
        if told.is_none() {
            survivors.push(mutant.name.clone());
        }
        let told = told.unwrap_or_else(|| "SURVIVED".to_owned());
        println!("{:<70} {told} ({})", mutant.name, seconds(began.elapsed()));
    }
    println!(
        "{} mutants, {} survived, in {}",
        mutants.len(),
        survivors.len(),
        seconds(start.elapsed())
    );
    for name in &survivors {
        println!("survived: {name}");
    }
    Ok(survivors)
}

/// What has noticed a mutant that was applied, if anything has.
fn tried(scratch: &Scratch, mutant: &Mutant) -> Result<Option<String>, String> {
    let mut was_built = false;
    for tests in [mutant.tests(), FIRST.into(), SECOND.into()] {
        if tests.is_empty() {
            continue;
        }
        match scratch.test(&tests)? {
            Outcome::Red(why) => return Ok(Some(why)),
            Outcome::Green { is_built } => was_built |= is_built,
        }
    }
    // What was never built cannot be noticed.
    if was_built { Ok(None) } else { Err(format!("{} was not built", mutant.name)) }
}

fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs())
}
