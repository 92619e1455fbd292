//! `cargo run --release -p tests --bin oracles -- --calls 500`: whether an answer of `auth`, or how long
//! it takes, tells that there is an account. Of each question it prints the medians of both ways, and
//! it ends with 1 if two of them are 5 ms apart or more.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command tells what it found")]

use std::process::ExitCode;

use tests::oracles::{APART_MAX, ORACLES, app};
use tokio::runtime::Builder;

const HELP: &str = "\
Usage: oracles [OPTIONS]

  --calls N    how often each question is asked in each way (500)";

fn main() -> ExitCode {
    let Some(calls) = parse(std::env::args().skip(1)) else {
        eprintln!("{HELP}");
        return ExitCode::from(64);
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

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<usize> {
    match (arguments.next(), arguments.next(), arguments.next()) {
        (None, ..) => Some(500),
        (Some(name), Some(calls), None) if name == "--calls" => {
            calls.parse().ok().filter(|calls| *calls > 0)
        }
        _ => None,
    }
}
