//! `cargo run --release -p tests --bin oracles -- --calls 500`: whether an answer of `auth`, or how long
//! it takes, tells that there is an account. Of each question it prints the medians of both ways, and
//! it ends with 1 if two of them are 5 ms apart or more.

#![expect(clippy::print_stdout, reason = "a command tells what it found")]

use std::{num::NonZero, process::ExitCode};

use tests::{
    App, numbers,
    oracles::{APART_MAX, ORACLES, app},
};
use tokio::runtime::Builder;

const HELP: &str = "\
Usage: oracles [OPTIONS]

  --calls N    how often each question is asked in each way (500)
  --help       tells this

Exit codes: 0 nothing is told; 1 two medians are 5 ms apart or more; 64 wrong use.";

fn main() -> ExitCode {
    let mut calls = NonZero::new(500).expect("it is not 0");
    if let Err(end) = numbers(HELP, &mut [("--calls", &mut calls)]) {
        return end;
    }
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let told = runtime.block_on(async {
        let app = app(App::builder()).await;
        let mut told = Vec::new();
        for oracle in &ORACLES {
            let compared = oracle.compare(app, calls.get()).await;
            let (known, unknown, apart) = (compared.known, compared.unknown, compared.apart());
            println!("{:<60} {known:.1?} {unknown:.1?}, {apart:.1?} apart", oracle.name);
            told.push(apart);
        }
        told
    });
    if told.iter().all(|apart| *apart < APART_MAX) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
