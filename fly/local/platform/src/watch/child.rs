//! The functions' process, which ends with ours however that ends.

use std::{
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    process::{self, ChildStdin, Command},
    time::{sleep, timeout},
};

use crate::Error;

const WATCHDOG: &str = include_str!("watchdog.sh");

const POLL: Duration = Duration::from_millis(10);

/// How long a process may take to end once it is told to: the longest drain there is, and a little.
const STOP_MAX: Duration = Duration::from_secs(290);

/// A setting's name and its value.
pub(crate) type Setting = (&'static str, String);

/// A process under a watchdog.
#[derive(Debug)]
pub(crate) struct Child {
    watchdog: process::Child,
    /// Keeps it running; out of the watchdog's reach, who would close it to wait.
    hold: Option<ChildStdin>,
}

impl Child {
    /// Starts `binary` with these settings over those of the environment.
    pub(crate) fn start(
        binary: &Path,
        settings: impl Iterator<Item = Setting>,
    ) -> Result<Self, Error> {
        let child = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(binary)
            .arg("serve")
            .envs(settings)
            .stdin(Stdio::piped())
            // Ctrl-C at the terminal is for us, who then stop it.
            .process_group(0)
            .spawn();
        let mut watchdog =
            child.map_err(|cause| Error::Program { binary: binary.to_owned(), cause })?;
        let hold = watchdog.stdin.take();
        Ok(Self { watchdog, hold })
    }

    /// Waits until somebody answers at `address`.
    pub(crate) async fn answers(
        &mut self,
        address: SocketAddr,
        time_max: Duration,
    ) -> Result<(), Error> {
        let answers = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(POLL).await;
            }
        };
        tokio::select! {
            answered = timeout(time_max, answers) => answered.map_err(|_late| Error::NotServing),
            _status = self.watchdog.wait() => Err(Error::NotServing),
        }
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.watchdog.try_wait(), Ok(None))
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> String {
        self.watchdog
            .wait()
            .await
            .map_or_else(|error| error.to_string(), |status| status.to_string())
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        drop(self.hold.take());
        // Should it not end by itself, its watchdog goes on trying without us.
        let _ended = timeout(STOP_MAX, self.watchdog.wait()).await;
    }
}

/// Runs one command of `binary` to its end.
pub(crate) async fn run(
    binary: &Path,
    command: &'static str,
    settings: impl Iterator<Item = Setting>,
) -> Result<(), Error> {
    let status = Command::new(binary)
        .arg(command)
        .envs(settings)
        // Only what is wrong is of interest.
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|cause| Error::Program { binary: binary.to_owned(), cause })?;
    if ExitStatus::success(&status) { Ok(()) } else { Err(Error::Command { command, status }) }
}
