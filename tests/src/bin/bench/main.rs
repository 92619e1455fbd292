//! `cargo bench-calls`: what a call costs, against bare tonic in the same run.
//!
//! Two servers answer the same constant profile: tonic by itself, and our whole stack around the
//! same handler. They are loaded in turn, A B A B, from one process, and the CPU that each spent is
//! read from the kernel. With `--user PATH` it also measures a function's binary: how soon it
//! answers, how soon with the database, and what it weighs.
//!
//! On a machine that others share CPU time differs from one second to the next by half. With
//! `--instructions` valgrind counts what is run outside of the kernel, which is the same every time.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command tells what it found")]

mod constant;
mod function;
mod instructions;
mod load;
mod process;

use std::process::ExitCode;

use load::Load;
use postgres::{Durability, Options, find_or_start};
use process::Server;
use serde_json::{Value, json};

const HELP: &str = "\
Usage: bench [OPTIONS]

  --connections N   connections at a time, one call each (64)
  --calls N         calls per round (100000; 20000 with --instructions)
  --rounds N        rounds of each server, in turn (5)
  --instructions    counts instructions under valgrind, in one round, instead of CPU time
  --user PATH       also measures the `user` function's binary
  --ratio-max R     fails when the ratio, its median where there are rounds, is above this
  --json            the report on one line

Exit codes: 0 it was measured; 1 the ratio is above --ratio-max; 64 wrong use.";

struct Asked {
    connections: usize,
    calls: Option<u64>,
    rounds: usize,
    cost: Cost,
    user: Option<String>,
    ratio_max: Option<f64>,
    is_json: bool,
}

/// What a call costs.
enum Cost {
    /// CPU time, as the kernel tells it.
    Time,
    /// Instructions, as valgrind counts them.
    Instructions,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    match arguments.peek().map(String::as_str) {
        Some("serve-bare") => constant::serve_bare(),
        Some("serve-stack") => constant::serve_stack(&arguments.nth(1).unwrap_or_default()),
        _ => match parse(arguments) {
            Ok(Some(options)) => run(&options),
            Ok(None) => {
                println!("{HELP}");
                ExitCode::SUCCESS
            }
            Err(told) => {
                eprintln!("bench: {told}");
                ExitCode::from(64)
            }
        },
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Asked>, String> {
    let mut options = Asked {
        connections: 64,
        calls: None,
        rounds: 5,
        cost: Cost::Time,
        user: None,
        ratio_max: None,
        is_json: false,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let number =
            |text: String| text.parse().map_err(|_not_one| format!("{text:?} is no number"));
        match argument.as_str() {
            "--connections" => options.connections = size(number(value()?)?),
            "--calls" => options.calls = Some(number(value()?)?),
            "--rounds" => options.rounds = size(number(value()?)?),
            "--instructions" => options.cost = Cost::Instructions,
            "--user" => options.user = Some(value()?),
            "--ratio-max" => options.ratio_max = Some(ratio(&value()?)?),
            "--json" => options.is_json = true,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("there is no option {other:?}; try --help")),
        }
    }
    Ok(Some(options))
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio: &f64| ratio.is_finite() && *ratio > 0.0);
    ratio.ok_or(format!("{text:?} is no ratio"))
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn run(options: &Asked) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let report = runtime.block_on(measure(options));
    if options.is_json {
        println!("{report}");
    } else {
        println!("{report:#}");
    }
    // Of several rounds the one in the middle, of instructions the only one.
    let ratio = &report["calls"]["ratio"];
    let middle = ratio["median"].as_f64().or(ratio.as_f64());
    if options.ratio_max.is_none_or(|most| middle.is_some_and(|middle| middle <= most)) {
        return ExitCode::SUCCESS;
    }
    eprintln!("bench: the ratio is above --ratio-max: {ratio}");
    ExitCode::FAILURE
}

async fn measure(options: &Asked) -> Value {
    let postgres = find_or_start(&Options {
        url: None,
        binaries: None,
        data: None,
        durability: Durability::Fast,
        connections_max: 50,
        tell: |_line| {},
    })
    .expect("a Postgres");
    let url = postgres.url(None, "postgres");
    schema::migrate(&url).await.expect("the migrations apply");
    let mut report = json!({
        "commit": commit(),
        "machine": machine(),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "calls": match options.cost {
            Cost::Time => calls(options, &url).await,
            Cost::Instructions => counted(options, &url).await,
        },
    });
    if let Some(path) = &options.user {
        report["function"] = function::measure(path, &url).await;
    }
    report
}

/// What is asked of a server that is measured.
fn load(options: &Asked, calls: u64) -> Load {
    let calls = options.calls.unwrap_or(calls);
    Load { connections: options.connections, calls, token: constant::token() }
}

/// Instructions per call of both servers, and their ratio.
async fn counted(options: &Asked, database_url: &str) -> Value {
    let load = load(options, 20_000);
    let bare = instructions::per_call(&load, &["serve-bare"]).await;
    let stack = instructions::per_call(&load, &["serve-stack", database_url]).await;
    json!({
        "connections": load.connections,
        "bare_tonic_instructions": bare.round(),
        "whole_stack_instructions": stack.round(),
        "ratio": (stack / bare * 1000.0).round() / 1000.0,
    })
}

/// CPU per call of both servers, and the ratio round by round.
async fn calls(options: &Asked, database_url: &str) -> Value {
    let bare = Server::start(&["serve-bare"]).await;
    let stack = Server::start(&["serve-stack", database_url]).await;
    let load = load(options, 100_000);
    // The first rounds fill caches and open connections.
    for server in [&bare, &stack] {
        load.warm(server.address).await;
    }
    let (mut bare_us, mut stack_us, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let of_bare = load.cpu_per_call(&bare).await;
        let of_stack = load.cpu_per_call(&stack).await;
        ratios.push(of_stack / of_bare);
        bare_us.push(of_bare);
        stack_us.push(of_stack);
    }
    json!({
        "connections": options.connections,
        "bare_tonic_cpu_us": spread(bare_us),
        "whole_stack_cpu_us": spread(stack_us),
        "ratio": spread(ratios),
    })
}

/// The least, the middle and the most.
fn spread(mut values: Vec<f64>) -> Value {
    values.sort_by(f64::total_cmp);
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    let (Some(least), Some(most)) = (values.first(), values.last()) else {
        return Value::Null;
    };
    json!({ "min": round(*least), "median": round(values[values.len() / 2]), "max": round(*most) })
}

/// What the kernel calls the processor.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    named.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned())
}

fn commit() -> String {
    let output = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    output.map_or_else(
        |_no_git| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
