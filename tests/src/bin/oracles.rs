//! `cargo run --release -p tests --bin oracles -- --calls 500`: whether an answer of `auth`, or how long
//! it takes, tells that there is an account. Of each question it prints the medians of both ways, and
//! it ends with 1 if two of them are 5 ms apart or more.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command tells what it found")]

use std::process::ExitCode;

use tests::oracles::{APART_MAX, ORACLES, app};
use tokio::runtime::Builder;

const HELP: &str = "\
Usage: oracles [OPTIONS]

  --calls N    how often each question is asked in each way (500)
  --help       tells this

Exit codes: 0 nothing is told; 1 two medians are 5 ms apart or more; 64 wrong use.";

fn main() -> ExitCode {
    let calls = match parse(std::env::args().skip(1)) {
        Ok(Some(calls)) => calls,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(told) => {
            eprintln!("{told}\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let told = runtime.block_on(async {
        let app = app().await;
        let mut told = Vec::new();
        for oracle in &ORACLES {
            let compared = oracle.compare(app, calls).await;
            let (known, unknown, apart) = (compared.known, compared.unknown, compared.apart());
            println!("{:<60} {known:.1?} {unknown:.1?}, {apart:.1?} apart", oracle.name);
            told.push(apart);
        }
        told
    });
    if told.iter().all(|apart| *apart < APART_MAX) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<usize>, String> {
    let mut calls = 500;
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--calls" => {
                let given = arguments.next().and_then(|calls| calls.parse().ok());
                calls = given.filter(|calls| *calls > 0).ok_or("--calls needs a number")?;
            }
            "--help" => return Ok(None),
            _ => return Err(format!("there is no option {name:?}")),
        }
    }
    Ok(Some(calls))
}
