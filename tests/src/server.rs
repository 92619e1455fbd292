//! A function's process, watched: what it logs, and what it holds. Dropped, it is killed.

use std::{
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use issuer::Issuer;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{PROJECT, world};

const START_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// A clock tick of `/proc`, which Linux has fixed at a hundredth of a second for programs.
const TICK_MS: u64 = 10;

/// Is how many telling lines are kept.
const LINES_MAX: usize = 20;

/// A process that serves, and ends with this value.
#[derive(Debug)]
pub struct Server {
    /// Where apps call.
    pub address: SocketAddr,
    /// Where operators look.
    pub internal: SocketAddr,
    child: Child,
    panics: Panics,
}

impl Server {
    /// Starts a function's binary over a database.
    pub fn start(binary: &Path, database: &str) -> Self {
        Self::with(&mut Command::new(binary), database, &[])
    }

    /// Starts a command that ends in a function's binary, with these settings beside those it needs.
    pub fn with(command: &mut Command, database: &str, settings: &[(&str, &str)]) -> Self {
        let (child, panics, told) = spawn(command, database, settings);
        let (address, internal) =
            told.recv_timeout(START_MAX).expect("the server says where it listens");
        Self { address, internal, child, panics }
    }

    /// Starts a command that ends in a function's binary, and does not wait until it listens anywhere.
    pub fn unawaited(command: &mut Command, database: &str) -> Self {
        let (child, panics, _told) = spawn(command, database, &[]);
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { address: nowhere, internal: nowhere, child, panics }
    }

    /// Is the process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time spent so far; not known everywhere.
    pub fn cpu(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        // The name may hold spaces; what follows it does not.
        let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = |place: usize| fields.get(place)?.parse::<u64>().ok();
        Some(Duration::from_millis((ticks(11)? + ticks(12)?) * TICK_MS))
    }

    /// Sends `TERM`, `KILL` and the like. It is not reaped yet, so its id is nobody else's.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.is_ok_and(|sent| sent.success()), "there is a `kill` for {pid}");
    }

    /// Waits for its end: how long that took, and its exit code, if it had one.
    pub async fn ended(&mut self, within: Duration) -> Option<(Duration, Option<i32>)> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().ok()? {
                return Some((start.elapsed(), status.code()));
            }
            if start.elapsed() > within {
                return None;
            }
            sleep(POLL).await;
        }
    }

    /// Memory that the process holds, in MiB; not known everywhere.
    pub fn memory_mib(&self) -> Option<f64> {
        self.memory("VmRSS:")
    }

    /// The most that it has held, in MiB.
    pub fn memory_peak_mib(&self) -> Option<f64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find(|line| line.starts_with(name))?;
        let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib / 1024.0)
    }

    /// Tells it to stop, and waits until its drain is over.
    pub fn drained(mut self) {
        self.signal("TERM");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }

    /// Are the lines so far that tell of a panic, the first of them.
    pub fn panics(&self) -> Vec<String> {
        self.panics.lock().map(|lines| lines.clone()).unwrap_or_default()
    }
}

/// Where a server listens: for apps, and for operators.
type Addresses = (SocketAddr, SocketAddr);

/// Lines that tell of a panic.
type Panics = Arc<Mutex<Vec<String>>>;

fn spawn(
    command: &mut Command,
    database: &str,
    settings: &[(&str, &str)],
) -> (Child, Panics, mpsc::Receiver<Addresses>) {
    let issuer = world().issuer_address;
    let mut child = command
        .arg("serve")
        .env_clear()
        .env("DATABASE_URL", world().runtime_url(database))
        .env("FIREBASE_PROJECT_ID", PROJECT)
        .env("JWKS_URL", format!("http://{issuer}{}", Issuer::key_path()))
        .env("IDENTITY_TOOLKIT_URL", format!("http://{issuer}"))
        .env("SECURE_TOKEN_URL", format!("http://{issuer}"))
        .env("FIREBASE_API_KEY", "any")
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("METRICS_ADDR", "127.0.0.1:0")
        // Beside other tests a connection is made in more than the half second of production.
        .env("DB_WAIT_MS_MAX", "5000")
        // Where it listens, and what is wrong; not a line for every call that fails.
        .env("RUST_LOG", "error,chassis=info")
        .env("LOG_FORMAT", "json")
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let panics = Arc::default();
    let (tell, told) = mpsc::channel();
    watch(child.stdout.take(), Arc::clone(&panics), tell.clone());
    watch(child.stderr.take(), Arc::clone(&panics), tell);
    (child, panics, told)
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is reaped here.
        self.child.kill().unwrap_or_default();
        let _status = self.child.wait();
    }
}

/// Reads everything that the process says, for as long as it says something.
fn watch(
    stream: Option<impl Read + Send + 'static>,
    panics: Panics,
    tell: mpsc::Sender<Addresses>,
) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if line.contains("panic")
                && let Ok(mut lines) = panics.lock()
                && lines.len() < LINES_MAX
            {
                lines.push(line.clone());
            }
            if let Ok(line) = serde_json::from_str::<Value>(&line) {
                let address = |name: &str| line[name].as_str()?.parse().ok();
                if let Some(addresses) = address("address").zip(address("internal")) {
                    // Only the first are awaited.
                    let _is_awaited = tell.send(addresses);
                }
            }
        }
    });
}
