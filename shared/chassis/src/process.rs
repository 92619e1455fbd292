//! A function's process, from its first line to its exit code.

use std::{
    io::{self, Write, stderr, stdout},
    process::ExitCode,
    sync::Mutex,
    thread,
    time::Duration,
};

use ::settings::{Env, Reader};
use clock::Clock;
use telemetry::logs;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::Instant,
};

use crate::{
    Command, Context, Function, Own, Ready, Served, Server, Settings, Tls,
    command::{help, version},
    server::Ended,
    watchdog,
};

/// Exit codes, as sysexits.h names them.
const EX_OK: u8 = 0;
const EX_USAGE: u8 = 64;
const EX_UNAVAILABLE: u8 = 69;
pub(crate) const EX_SOFTWARE: u8 = 70;
const EX_CONFIG: u8 = 78;

/// Threads beside the runtime's own: a watchdog, a log, and a few that look up names or read files.
const THREADS_BESIDE: usize = 6;

/// How long the runtime may take to let go of its last threads, and the log to write its last lines.
const RUNTIME_END_MAX: Duration = Duration::from_millis(500);
const FLUSH_MAX: Duration = Duration::from_millis(500);

/// How long after a drain's hard end the process is over, or after whatever else ends it.
const OVER_MAX: Duration = Duration::from_secs(1);

/// Runs one function until it is told to stop, then drains it.
pub fn run<T: Own, S: Served>(
    name: &'static str,
    build: impl FnOnce(Context, T) -> S + Send + 'static,
) -> ExitCode {
    run_all(name, vec![Function::new(name, build)])
}

/// Runs several functions in one process called `name`.
pub fn run_all(name: &'static str, functions: Vec<Function>) -> ExitCode {
    // Two crypto libraries may be compiled in; this is the one. A second call keeps the first.
    let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let outcome = try_run(name, functions);
    logs::flush(outcome.as_ref().map_or(FLUSH_MAX, End::flush_max));
    match outcome {
        Ok(end) => end.code.into(),
        Err(Stop { code, told }) => {
            tell_error(&format!("{name}: {told}"));
            ExitCode::from(code)
        }
    }
}

/// How a process ends, and when it has to be over.
struct End {
    code: u8,
    by: Instant,
}

impl End {
    /// With this code, now.
    fn with(code: u8) -> Self {
        Self { code, by: Instant::now() + OVER_MAX }
    }

    /// What the runtime may have of the time that is left: half of it is the log's.
    fn runtime_max(&self) -> Duration {
        (self.left() / 2).min(RUNTIME_END_MAX)
    }

    fn flush_max(&self) -> Duration {
        self.left().min(FLUSH_MAX)
    }

    fn left(&self) -> Duration {
        self.by.duration_since(Instant::now())
    }
}

/// Why a process ends early.
struct Stop {
    code: u8,
    told: String,
}

impl Stop {
    fn new(code: u8, error: &(dyn std::error::Error + 'static)) -> Self {
        Self { code, told: fault::chain(error) }
    }
}

fn try_run(name: &'static str, functions: Vec<Function>) -> Result<End, Stop> {
    let command = Command::parse(arguments()).map_err(|told| Stop { code: EX_USAGE, told })?;
    match command {
        Command::Help => tell(&help(name, functions)),
        Command::Version => tell(&version(name)),
        Command::Check => {
            let _good = settings(functions)?;
            tell("the settings are good");
        }
        Command::Serve | Command::Migrate => {
            let runtime = runtime()?;
            let outcome = runtime.block_on(start(name, command, functions));
            let end_max = outcome.as_ref().map_or(RUNTIME_END_MAX, End::runtime_max);
            runtime.shutdown_timeout(end_max);
            return outcome;
        }
    }
    Ok(End::with(EX_OK))
}

/// Reads the settings, and does what was asked for. Signals are listened to before anything else: to
/// the first process of a container one that nobody handles is none.
async fn start(
    name: &'static str,
    command: Command,
    functions: Vec<Function>,
) -> Result<End, Stop> {
    let mut signals = Signals::listen().map_err(|error| Stop::new(EX_SOFTWARE, &error))?;
    // Files may be slow, which is no reason not to listen.
    let reading = spawn_blocking(|| settings(functions));
    let (settings, functions) = tokio::select! {
        biased;
        code = signals.next() => return Ok(End::with(match command {
            Command::Migrate => code,
            // Nothing was under way.
            _ => EX_OK,
        })),
        read = reading => read.map_err(|error| Stop::new(EX_SOFTWARE, &error))??,
    };
    logs::start(&settings.logs).map_err(|error| Stop::new(EX_SOFTWARE, &error))?;
    layers::install_hook();
    match command {
        Command::Migrate => migrate(&settings, signals).await,
        _ => serve(name, settings, functions, signals).await,
    }
}

/// What was asked for. What is no text is no command either, and is told so.
fn arguments() -> impl Iterator<Item = String> {
    std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned())
}

/// The settings; all that is wrong with them is told at once, before anything is bound.
fn settings(functions: Vec<Function>) -> Result<(Settings, Vec<Ready>), Stop> {
    let env = Env::of_process().map_err(|error| Stop::new(EX_CONFIG, &error))?;
    let read = |reader: &mut Reader<'_>| Settings::read_for(functions, reader);
    Reader::new(&env).finish(read).map_err(|problems| Stop {
        code: EX_CONFIG,
        told: format!("these settings cannot be used\n{problems}"),
    })
}

/// One thread where there is one core: handing work over costs more than doing it.
fn runtime() -> Result<Runtime, Stop> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = cores + THREADS_BESIDE;
    have_threads(threads).map_err(|error| Stop {
        code: EX_UNAVAILABLE,
        told: format!("it may not have the {threads} threads that it needs: {error}"),
    })?;
    let mut builder =
        if cores == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.enable_all().build().map_err(|error| Stop::new(EX_SOFTWARE, &error))
}

/// Has so many threads at once, and lets them go. tokio panics where the kernel gives it none, and
/// then neither serves nor ends.
fn have_threads(count: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        // Whoever is there waits for it to open.
        let _shut = gate.lock();
        for _ in 0..count {
            thread::Builder::new().spawn_scoped(scope, || drop(gate.lock()))?;
        }
        Ok(())
    })
}

async fn migrate(settings: &Settings, mut signals: Signals) -> Result<End, Stop> {
    tokio::select! {
        // Leaving drops the session, and with it the lock and the migration under way.
        code = signals.next() => Ok(End::with(code)),
        outcome = schema::migrate(settings.database.direct_url.expose()) => match outcome {
            Ok(applied) => {
                tracing::info!(applied, "the schema is up to date");
                Ok(End::with(EX_OK))
            }
            // The database is not the one that this binary is for, or is broken by hand.
            Err(error) if error.is_mismatch() => Err(Stop::new(EX_CONFIG, &error)),
            Err(error) => Err(Stop::new(EX_UNAVAILABLE, &error)),
        },
    }
}

async fn serve(
    name: &'static str,
    settings: Settings,
    functions: Vec<Ready>,
    mut signals: Signals,
) -> Result<End, Stop> {
    signals.tls.clone_from(&settings.tls);
    warn_of_emulator();
    let server = Server::bind(&settings, functions, &Clock::system())
        .map_err(|error| Stop::new(EX_UNAVAILABLE, &error))?;
    watchdog::start(name, server.pulses()).map_err(|error| Stop::new(EX_SOFTWARE, &error))?;
    let (address, internal) = (server.address(), server.internal_address());
    tracing::info!(function = name, %address, %internal, version = version(name), "serving");

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = server.serve(async move {
        // A sender that is gone stops the server as well.
        let _told = stopped.await;
    });
    tokio::pin!(serving);
    let code = tokio::select! {
        _ended = &mut serving => return Ok(End::with(EX_OK)),
        code = signals.next() => code,
    };
    let drain_max = settings.limits.drain_max;
    let over_by = Instant::now() + drain_max + OVER_MAX;
    tracing::info!(drain_secs_max = drain_max.as_secs(), "draining");
    drop(stop);
    let ended = tokio::select! {
        ended = serving => ended,
        // The second signal means now.
        code = signals.next() => return Ok(End::with(code)),
    };
    let mut end = End::with(match ended {
        Ended::Drained => {
            tracing::info!("drained");
            EX_OK
        }
        // What was under way was ended by the signal after all.
        Ended::Cut => code,
    });
    end.by = end.by.min(over_by);
    Ok(end)
}

/// Other servers take unsigned tokens when this is set; whoever set it should know that we do not.
fn warn_of_emulator() {
    const NAME: &str = "FIREBASE_AUTH_EMULATOR_HOST";
    if Env::of_process().is_ok_and(|env| env.get(NAME).is_some()) {
        tracing::warn!("{NAME} is set and changes nothing: unsigned tokens are refused");
    }
}

/// SIGINT (Fly's default, and Ctrl-C) and SIGTERM, which mean the same; and SIGHUP, which ends
/// nothing.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    tls: Option<Tls>,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            tls: None,
        })
    }

    /// Waits for one that ends the process, and tells the exit code of a process that it ends at
    /// once. Until then files are read anew when it is told so.
    async fn next(&mut self) -> u8 {
        loop {
            tokio::select! {
                _signal = self.interrupt.recv() => return 130,
                _signal = self.terminate.recv() => return 143,
                _signal = self.hang_up.recv() => self.renew(),
            }
        }
    }

    fn renew(&self) {
        match self.tls.as_ref().map(Tls::renew) {
            None => tracing::info!("told to hang up; there is nothing to read anew"),
            Some(Ok(())) => tracing::info!("the certificate was read anew"),
            Some(Err(error)) => tracing::warn!(
                error = fault::chain(&error),
                "the certificate cannot be read anew, and the old one stays"
            ),
        }
    }
}

/// Tells the answer to a question on the command line. Whoever has asked may be gone by now.
fn tell(text: &str) {
    let _is_read = writeln!(stdout(), "{}", text.trim_end());
}

/// Tells what is wrong where there may be no log, and perhaps nobody who reads this either.
pub(crate) fn tell_error(text: &str) {
    let _is_read = writeln!(stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_runtime_and_the_log_share_what_a_drain_has_left() {
        const LEFT: Duration = Duration::from_millis(400);
        let end = End { code: EX_OK, by: Instant::now() + LEFT };
        assert_eq!(end.runtime_max(), LEFT / 2);
        advance(LEFT / 2).await;
        assert_eq!(end.flush_max(), LEFT / 2);
        advance(LEFT).await;
        assert_eq!((end.runtime_max(), end.flush_max()), (Duration::ZERO, Duration::ZERO));
        let in_time = End::with(EX_OK);
        assert_eq!((in_time.runtime_max(), in_time.flush_max()), (RUNTIME_END_MAX, FLUSH_MAX));
    }
}
