//! `cargo run -p tests --bin mutants`: takes each access rule, owner predicate, claim check and
//! binding away in turn, in a copy of this checkout, and shows that the build of the contract or a
//! test turns red. A test counts when it is red alone as well, twice.
//!
//! The list is made from the sources: a new RPC or statement is in it without a line here.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command tells what it found")]

mod checks;
mod list;
mod near;
mod scratch;
mod statements;
mod suite;

use std::{path::Path, process::ExitCode, time::Duration};

use tokio::time::Instant;

use self::{
    list::Mutant,
    near::stages,
    scratch::{Built, Scratch},
    suite::{Doubted, Outcome},
};

const HELP: &str = "\
Usage: mutants [--list] [TEXT..]

  --list    tells them without trying one
  TEXT      only those whose names contain one of these
  --help    tells this

Exit codes: 0 all were noticed; 1 some were not; 64 wrong use; 70 they could not be tried.";

/// A mutant, what has noticed it if anything has, and how long that took.
struct Row {
    name: String,
    noticed: Option<String>,
    took: Duration,
}

fn main() -> ExitCode {
    let mut wanted: Vec<_> = std::env::args().skip(1).collect();
    if wanted.iter().any(|text| text == "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
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
        Ok(rows) => tell(&rows),
        Err(told) => {
            eprintln!("{told}");
            ExitCode::from(70)
        }
    }
}

/// Tries them all.
fn run(root: &Path, mutants: &[Mutant]) -> Result<Vec<Row>, String> {
    let start = Instant::now();
    statements::are_taken(mutants)?;
    let scratch = Scratch::of(root)?;
    eprintln!("building a copy, which takes minutes the first time");
    let mut doubted = Doubted::default();
    are_green(&scratch, mutants, &mut doubted)?;
    eprintln!("green without a mutant, after {} s", start.elapsed().as_secs());
    let mut rows = Vec::new();
    for mutant in mutants {
        let began = Instant::now();
        let undone = scratch.apply(mutant)?;
        let mut noticed = notices(&scratch, mutant, &mut doubted)?;
        if noticed.is_none() {
            // Nothing is said of a test that is missing before it is missing twice.
            scratch.touch(mutant)?;
            noticed = notices(&scratch, mutant, &mut doubted)?;
        }
        undone()?;
        let row = Row { name: mutant.name.clone(), noticed, took: began.elapsed() };
        let told = row.noticed.as_deref().unwrap_or("SURVIVED");
        eprintln!("{}: {told} ({} s)", row.name, row.took.as_secs());
        rows.push(row);
    }
    Ok(rows)
}

/// Finds out what is red without a mutant: that counts for nothing, and must not be much.
fn are_green(scratch: &Scratch, mutants: &[Mutant], doubted: &mut Doubted) -> Result<(), String> {
    let stages = mutants.iter().flat_map(|mutant| stages(&mutant.path));
    let mut seen = Vec::new();
    for stage in stages {
        if seen.contains(&stage) {
            continue;
        }
        match scratch.build(&stage.build)? {
            Built::Refused(error) => return Err(format!("it does not build: {error}")),
            Built::Suite { suite, .. } => {
                while let Outcome::Red(test) = suite.run(&stage.tests, doubted)? {
                    doubted.add(test, "red without a mutant");
                }
            }
        }
        seen.push(stage);
    }
    Ok(())
}

/// What notices a mutant that was applied, if anything does. What stands nearest is asked first.
fn notices(
    scratch: &Scratch,
    mutant: &Mutant,
    doubted: &mut Doubted,
) -> Result<Option<String>, String> {
    let mut last: Option<(Vec<String>, suite::Suite)> = None;
    for stage in stages(&mutant.path) {
        let suite = match last.take() {
            Some((build, suite)) if build == stage.build => suite,
            _ => match scratch.build(&stage.build)? {
                Built::Refused(error) if mutant.is_contract() => {
                    return Ok(Some(format!("the contract is refused: {error}")));
                }
                Built::Refused(error) => {
                    return Err(format!("{} does not build: {error}", mutant.name));
                }
                // What was never built cannot be noticed.
                Built::Suite { is_fresh: true, .. } => {
                    return Err(format!("{} is not in {:?}", mutant.name, stage.build));
                }
                Built::Suite { suite, .. } => suite,
            },
        };
        if let Outcome::Red(test) = suite.run(&stage.tests, doubted)? {
            return Ok(Some(test));
        }
        last = Some((stage.build, suite));
    }
    Ok(None)
}

fn tell(rows: &[Row]) -> ExitCode {
    println!("| mutant | noticed by | s |\n| --- | --- | --- |");
    for Row { name, noticed, took } in rows {
        let noticed = noticed.as_deref().unwrap_or("NOTHING");
        println!("| {} | {noticed} | {} |", name.replace('|', "\\|"), took.as_secs());
    }
    let survived = rows.iter().filter(|row| row.noticed.is_none()).count();
    let took: Duration = rows.iter().map(|row| row.took).sum();
    println!("\n{} mutants, {survived} survived, in {} s", rows.len(), took.as_secs());
    if survived == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
