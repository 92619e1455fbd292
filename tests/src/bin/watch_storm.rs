//! `cargo run --release -p tests --bin watch_storm`: a storm over the change log, and what became of
//! it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command tells what it found")]

use std::{process::ExitCode, time::Duration};

use tests::storm::{Report, Storm, function};

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
    let storm = match parse(std::env::args().skip(1)) {
        Ok(Some(storm)) => storm,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(told) => {
            eprintln!("{told}\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let this = std::env::current_exe().expect("this program");
    let report = runtime.expect("a runtime").block_on(storm.rage(&this));
    print(&storm, &report);
    if report.lost + report.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Storm>, String> {
    let mut storm = Storm {
        events: 100_000,
        watchers: 50,
        kills: 10_000,
        deaths: 50,
        drains: 10,
        writers: 4,
        seed: 1,
    };
    while let Some(name) = arguments.next() {
        if name == "--help" {
            return Ok(None);
        }
        let value = arguments.next().and_then(|value| value.parse().ok());
        let number: Result<usize, _> = value.ok_or(format!("{name} needs a number"));
        let part = match name.as_str() {
            "--events" => &mut storm.events,
            "--watchers" => &mut storm.watchers,
            "--kills" => &mut storm.kills,
            "--deaths" => &mut storm.deaths,
            "--drains" => &mut storm.drains,
            "--writers" => &mut storm.writers,
            "--seed" => {
                storm.seed = u64::try_from(number?).unwrap_or_default();
                continue;
            }
            _ => return Err(format!("there is no option {name}")),
        };
        *part = number?;
    }
    Ok(Some(storm))
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
