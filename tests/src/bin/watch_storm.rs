//! `cargo run --release -p tests --bin watch_storm`: a storm over the change log, and what became of
//! it.

#![expect(clippy::print_stdout, reason = "a command tells what it found")]

use std::{process::ExitCode, time::Duration};

use tests::{
    numbers,
    storm::{Report, Storm, function},
};

const HELP: &str = "\
Usage: watch_storm [OPTIONS]

  --events N      what is committed (100000)
  --watchers N    who watches all of it (50)
  --kills N       connections that are killed (10000)
  --deaths N      servers that are killed (50)
  --drains N      servers that are drained (10)
  --writers N     who commits (4)
  --seed N        what the moments follow from (1)
  --help          tells this

Exit codes: 0 nothing was lost or repeated; 1 something was; 64 wrong use.";

fn main() -> ExitCode {
    // The servers are this program once more.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return chassis::run_all("user", vec![function()]);
    }
    let mut storm = Storm {
        events: 100_000,
        watchers: 50,
        kills: 10_000,
        deaths: 50,
        drains: 10,
        writers: 4,
        seed: 1,
    };
    let Storm { events, watchers, kills, deaths, drains, writers, seed } = &mut storm;
    let named = &mut [
        ("--events", events),
        ("--watchers", watchers),
        ("--kills", kills),
        ("--deaths", deaths),
        ("--drains", drains),
        ("--writers", writers),
        ("--seed", seed),
    ];
    if let Err(end) = numbers(HELP, named) {
        return end;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let this = std::env::current_exe().expect("this program");
    let report = runtime.expect("a runtime").block_on(storm.rage(&this));
    print(&storm, &report);
    if report.lost + report.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(storm: &Storm, report: &Report) {
    let secs = |span: Duration| format!("{:.1} s", span.as_secs_f64());
    let rows = [
        ("seed", storm.seed.to_string()),
        ("events committed", report.committed.to_string()),
        ("watchers", storm.watchers.to_string()),
        ("connections killed", storm.kills.to_string()),
        ("  of the database", report.sessions_killed.to_string()),
        ("servers killed", storm.deaths.to_string()),
        ("servers drained", storm.drains.to_string()),
        ("watches resumed", report.resumed.to_string()),
        ("messages", report.messages.to_string()),
        ("lost", report.lost.to_string()),
        ("repeated or out of order", report.wrong.to_string()),
        ("took", secs(report.took)),
        ("last message after last commit", secs(report.behind)),
    ];
    for (name, value) in rows {
        println!("{name:<32} {value:>12}");
    }
}
