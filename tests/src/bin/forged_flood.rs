//! `cargo run --release -p tests --bin forged_flood -- --rate 5000 --seconds 10`: forged tokens, each
//! another one, against the `user` function in a process of its own, and what its good callers see.

#![expect(clippy::print_stdout, reason = "a command tells what it found")]

use std::{path::Path, process::ExitCode, time::Duration};

use tests::{
    flood::{Forged, Seen, forged, good},
    numbers,
    random::Server,
    world,
};
use tokio::runtime::Builder;

const HELP: &str = "\
Usage: forged_flood [OPTIONS]

  --rate N       forged tokens a second (5000)
  --seconds N    how long (10)
  --help         tells this

Exit codes: 0 all of it held; 1 it did not, and what did not is printed: 99 % of the good calls are
served, with a p99 of at most 3 times that in quiet, every forged token is refused with 16, and 95 %
of the rate is reached; 64 wrong use.";

/// The share of the good calls that must be served.
const SERVED_MIN: f64 = 0.99;

/// How many times longer than in quiet the slowest but one in a hundred may take.
const SLOWER_MAX: u32 = 3;

/// The share of the rate that was asked for that must be reached.
const RATE_MIN: f64 = 0.95;

fn main() -> ExitCode {
    // The server is this program once more.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return chassis::run("user", user::service);
    }
    let (mut rate, mut seconds) = (5000, 10);
    let named = &mut [("--rate", &mut rate), ("--seconds", &mut seconds)];
    if let Err(end) = numbers(HELP, named) {
        return end;
    }
    let this = std::env::current_exe().expect("this program");
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let faults = runtime.block_on(flood(&this, rate, Duration::from_secs(seconds)));
    for fault in &faults {
        println!("failed   {fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What did not hold.
async fn flood(this: &Path, rate: u64, long: Duration) -> Vec<String> {
    let server = Server::start(this, &world().new_database().await);
    let quiet = good(&server, long).await;
    println!("quiet    {quiet}");
    let memory = server.memory_mib();
    let (flooded, forged) = tokio::join!(good(&server, long), forged(&server, rate, long));
    println!("flooded  {flooded}");
    let Forged { sent, refused, .. } = forged;
    println!("forged   {sent} sent, {:.0} a second, {refused} refused with 16", forged.rate());
    println!("memory   {memory:?} MiB before, {:?} MiB after", server.memory_mib());
    faults(rate, [&quiet, &flooded], &forged)
}

#[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
fn faults(rate: u64, [quiet, flooded]: [&Seen; 2], forged: &Forged) -> Vec<String> {
    let (before, after) = (quiet.within(99), flooded.within(99));
    let Forged { sent, refused, .. } = forged;
    let checks = [
        (flooded.goodput() >= SERVED_MIN, "too few good calls were served".to_owned()),
        (after <= before * SLOWER_MAX, format!("p99 {after:?} is over 3 times {before:?}")),
        (refused == sent, format!("{refused} of {sent} forged tokens were refused with 16")),
        (
            forged.rate() >= rate as f64 * RATE_MIN,
            format!("{:.0} forged tokens a second, of {rate}", forged.rate()),
        ),
    ];
    checks.into_iter().filter(|(holds, _)| !holds).map(|(_, fault)| fault).collect()
}
