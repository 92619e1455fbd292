//! `cargo run --release -p tests --bin random_calls -- --calls 1000000 --seed 1`: random calls
//! against every function in a process of their own, which has to stand them all.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command tells what it found")]

use std::process::ExitCode;

use tests::{
    numbers,
    random::{Options, Server, run},
    world,
};
use tokio::runtime::Builder;

const HELP: &str = "\
Usage: random_calls [OPTIONS]

  --calls N    how many calls (100000)
  --seed N     what they follow from (1)
  --first N    the number of the first call (0)
  --help       tells this

Exit codes: 0 it stood them all; 1 it did not; 64 wrong use.";

/// Is what a server may hold more at the end than when it was warm.
const GROWTH_MIB_MAX: f64 = 16.0;

fn main() -> ExitCode {
    // The server is this program once more.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return chassis::run_all("all", all::functions());
    }
    let mut options = Options { seed: 1, first: 0, calls: 100_000 };
    let Options { seed, first, calls } = &mut options;
    let named = &mut [("--calls", calls), ("--seed", seed), ("--first", first)];
    if let Err(end) = numbers(HELP, named) {
        return end;
    }
    let this = std::env::current_exe().expect("this program");
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(async {
        let server = Server::start(&this, &world().new_database().await);
        run(&server, options, |line| eprintln!("{line}")).await
    });
    println!("{report}");
    let is_flat = report.growth_mib().is_none_or(|growth| growth <= GROWTH_MIB_MAX);
    if !is_flat {
        println!("wrong: the server grew by more than {GROWTH_MIB_MAX} MiB");
    }
    if report.problems.is_empty() && is_flat { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
