//! The issuer as a process of its own, for machines that run everything in containers.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clock::Clock;
use issuer::Issuer;
use tokio::{
    net::TcpListener,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

const EX_USAGE: u8 = 64;
const EX_UNAVAILABLE: u8 = 69;

const HELP: &str = "\
Signs tokens as Firebase does, for development.

Usage: issuer [OPTIONS]

Options:
  --listen ADDRESS   where it answers (127.0.0.1:9099)
  --project ID       the Firebase project (mayfly-dev)
  --data DIR         where accounts and key are kept; nowhere if it is not given
  --help             tells this";

/// What the command line said.
struct Options {
    listen: SocketAddr,
    project: String,
    data: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            tell(HELP);
            return ExitCode::SUCCESS;
        }
        Err(told) => return fail(EX_USAGE, &told),
    };
    let runtime = Builder::new_current_thread().enable_all().build();
    match runtime.map(|runtime| runtime.block_on(serve(&options))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(told)) => fail(EX_UNAVAILABLE, &told),
        Err(error) => fail(EX_UNAVAILABLE, &error.to_string()),
    }
}

async fn serve(options: &Options) -> Result<(), String> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let issuer = match &options.data {
        Some(data) => Issuer::open(data, &options.project, Clock::system()),
        None => Issuer::in_memory(&options.project, Clock::system()),
    };
    let issuer = issuer.map_err(|error| error.to_string())?;
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.map_err(|error| format!("--listen {}: {error}", options.listen))?;
    tell(&format!("issuer of {} on {}", options.project, options.listen));
    tokio::select! {
        served = axum::serve(listener, issuer.router()).into_future() => {
            served.map_err(|error| error.to_string())
        }
        // An answer under way is not waited for: whoever asked is a developer.
        _signal = interrupt.recv() => Ok(()),
        _signal = terminate.recv() => Ok(()),
    }
}

impl Options {
    /// None: help is asked for.
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9099)),
            project: "mayfly-dev".to_owned(),
            data: None,
        };
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--listen" => {
                    let parsed = value()?.parse();
                    options.listen = parsed
                        .map_err(|_not_one| "--listen must be an address and a port".to_owned())?;
                }
                "--project" => options.project = value()?,
                "--data" => options.data = Some(value()?.into()),
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("there is no option {name:?}; try --help")),
            }
        }
        Ok(Some(options))
    }
}

#[expect(clippy::print_stdout, reason = "the command's own words")]
fn tell(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "the command's own words")]
fn fail(code: u8, told: &str) -> ExitCode {
    eprintln!("issuer: {told}");
    ExitCode::from(code)
}
