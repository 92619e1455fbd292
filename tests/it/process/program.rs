//! A child process: its output is kept, its time is bounded, and it never outlives its test.

use std::{
    io::Read,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(10);

/// A running program.
pub(crate) struct Program {
    child: Child,
    stdout: Kept,
    stderr: Kept,
    start: Instant,
}

/// A program that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    /// From its start, or from when it was last waited for.
    pub(crate) took: Duration,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What a stream has said so far.
struct Kept {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

/// A command without anything of this process's environment.
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear().stdin(Stdio::null());
    command
}

/// For a program that ends by itself at once: what only one that hangs takes longer than.
pub(crate) const ENDS_MAX: Duration = Duration::from_secs(20);

/// The `user` function.
pub(crate) const USER: &str = env!("CARGO_BIN_EXE_run-user");

/// The `auth` function.
pub(crate) const AUTH: &str = env!("CARGO_BIN_EXE_run-auth");

/// Every function in one process.
pub(crate) const ALL: &str = env!("CARGO_BIN_EXE_run-all");

/// `cargo dev`.
pub(crate) const DEV: &str = env!("CARGO_BIN_EXE_run-dev");

/// Waits until `happened` tells something, for `secs_max` at the most.
#[track_caller]
pub(crate) fn eventually<T>(
    secs_max: u64,
    what: &str,
    mut happened: impl FnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let give_up = Instant::now() + Duration::from_secs(secs_max);
        loop {
            if let Some(told) = happened() {
                return told;
            }
            assert!(Instant::now() < give_up, "{caller}: not within {secs_max} s: {what}");
            sleep(POLL).await;
        }
    }
}

// === impl Program ===

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let start = Instant::now();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = Kept::of(child.stdout.take().unwrap());
        let stderr = Kept::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr, start }
    }

    /// Runs a command to its end.
    pub(crate) async fn run(command: &mut Command, within: Duration) -> Ended {
        let mut program = Self::start(command);
        let start = program.start;
        let mut ended = program.end(within).await;
        ended.took = start.elapsed();
        ended
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Since its start.
    pub(crate) fn age(&self) -> Duration {
        self.start.elapsed()
    }

    /// Sends `TERM`, `INT` and the like. It is not reaped yet, so its id is nobody else's.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, which is to come `within` from now.
    #[track_caller]
    pub(crate) fn end(&mut self, within: Duration) -> impl Future<Output = Ended> {
        let caller = std::panic::Location::caller();
        async move {
            let start = Instant::now();
            let status = loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    break status;
                }
                let told = (self.stdout(), self.stderr());
                assert!(
                    start.elapsed() < within,
                    "{caller}: still runs after {within:?}: {told:?}"
                );
                sleep(POLL).await;
            };
            let took = start.elapsed();
            let is_read = || self.stdout.reader.is_finished() && self.stderr.reader.is_finished();
            // Whoever has inherited the streams may hold them open.
            let give_up = Instant::now() + Duration::from_secs(1);
            while !is_read() && Instant::now() < give_up {
                sleep(POLL).await;
            }
            Ended { status, took, stdout: self.stdout(), stderr: self.stderr() }
        }
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits for a line on standard output that `is_it` takes.
    #[track_caller]
    pub(crate) fn line<T>(
        &mut self,
        what: &str,
        is_it: impl Fn(&str) -> Option<T>,
    ) -> impl Future<Output = T> {
        let caller = std::panic::Location::caller();
        async move {
            let start = Instant::now();
            loop {
                if let Some(told) = self.stdout().lines().find_map(&is_it) {
                    return told;
                }
                let told = (self.stdout(), self.stderr());
                let is_over = self.child.try_wait().unwrap().is_some();
                assert!(!is_over, "{caller}: ended before {what}: {told:?}");
                let secs = start.elapsed().as_secs();
                assert!(secs < 30, "{caller}: no {what} in {secs} s: {told:?}");
                sleep(POLL).await;
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is reaped here.
        self.child.kill().unwrap_or_default();
        let _status = self.child.wait();
    }
}

impl Ended {
    /// Its exit code; none if a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(crate) fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

impl Kept {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut part = [0; 8192];
            while let Ok(length @ 1..) = stream.read(&mut part) {
                kept.lock().unwrap().extend_from_slice(&part[..length]);
            }
        });
        Self { text, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }
}
