//! `cargo run --release -p tests --bin forged_flood -- --rate 5000 --seconds 10`: forged tokens, each
//! another one, against the `user` function in a process of its own, and what its good callers see.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command tells what it found")]

use std::{process::ExitCode, time::Duration};

use tests::{
    flood::{forged, good},
    random::Server,
    world,
};
use tokio::runtime::Builder;

const HELP: &str = "\
Usage: forged_flood [OPTIONS]

  --rate N       forged tokens a second (5000)
  --seconds N    how long (10)
  --help         tells this

Exit codes: 0 the good ones were served; 1 fewer than 99 % of them were; 64 wrong use.";

fn main() -> ExitCode {
    // The server is this program once more.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return chassis::run("user", user::service);
    }
    let (rate, seconds) = match parse(std::env::args().skip(1)) {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(told) => {
            eprintln!("{told}\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    let this = std::env::current_exe().expect("this program");
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let goodput = runtime.block_on(async {
        let server = Server::start(&this, &world().new_database().await);
        let long = Duration::from_secs(seconds);
        println!("quiet    {}", good(&server, long).await);
        let memory = server.memory_mib();
        let (flooded, forged) = tokio::join!(good(&server, long), forged(&server, rate, long));
        println!("flooded  {flooded}");
        println!("forged   {} sent, {} refused with 16", forged.sent, forged.refused);
        println!("memory   {memory:?} MiB before, {:?} MiB after", server.memory_mib());
        flooded.goodput()
    });
    if goodput >= 0.99 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<(u64, u64)>, String> {
    let (mut rate, mut seconds) = (5000, 10);
    while let Some(name) = arguments.next() {
        let field = match name.as_str() {
            "--rate" => &mut rate,
            "--seconds" => &mut seconds,
            "--help" => return Ok(None),
            _ => return Err(format!("there is no option {name:?}")),
        };
        let value = arguments.next().and_then(|value| value.parse().ok());
        *field = value.ok_or(format!("{name} needs a number"))?;
    }
    Ok(Some((rate, seconds)))
}
