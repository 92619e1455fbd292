//! `cargo dev`, from its first line to its exit code.

use std::{process::ExitCode, time::Duration};

use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

use crate::{
    Error, Options, Running,
    options::{Asked, HELP},
    report::report,
};

const EX_USAGE: u8 = 64;
const EX_UNAVAILABLE: u8 = 69;
const EX_SOFTWARE: u8 = 70;
const EX_CONFIG: u8 = 78;

/// How long a start that was broken off may take to end what it has begun.
const END_MAX: Duration = Duration::from_secs(10);

/// Runs the platform until it is told to stop.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(Asked::Run(options)) => options,
        Ok(Asked::Help) => {
            tell(HELP);
            return ExitCode::SUCCESS;
        }
        Err(told) => return fail(EX_USAGE, &told),
    };
    let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    layers::install_hook();
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(EX_SOFTWARE, &error.to_string()),
    };
    let outcome = runtime.block_on(serve(&options));
    runtime.shutdown_timeout(END_MAX);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(code(&error), &fault::chain(&error)),
    }
}

async fn serve(options: &Options) -> Result<(), Error> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let start = Instant::now();
    let running = tokio::select! {
        running = Running::start(options) => running?,
        // What was begun ends with the runtime; what is left of it has a watchdog.
        () = either(&mut interrupt, &mut terminate) => return Ok(()),
    };
    tell(&report(&running, start.elapsed()));

    either(&mut interrupt, &mut terminate).await;
    tell("stopping");
    tokio::select! {
        stopped = running.stop() => stopped,
        // The second signal means now.
        () = either(&mut interrupt, &mut terminate) => Ok(()),
    }
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _signal = interrupt.recv() => {}
        _signal = terminate.recv() => {}
    }
}

fn code(error: &Error) -> u8 {
    match error {
        Error::Settings(_) | Error::Env(_) | Error::DatabaseUrl { .. } => EX_CONFIG,
        Error::RemoteDatabase { .. } | Error::FreshRemote | Error::NoWorkspace => EX_USAGE,
        Error::Panicked(_) => EX_SOFTWARE,
        _ => EX_UNAVAILABLE,
    }
}

#[expect(clippy::print_stdout, reason = "the command's own words")]
fn tell(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "the command's own words")]
fn fail(code: u8, told: &str) -> ExitCode {
    eprintln!("cargo dev: {told}");
    ExitCode::from(code)
}
