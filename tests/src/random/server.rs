//! A function's process, watched: what it logs, and what it holds. Dropped, it is killed.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use issuer::Issuer;
use serde_json::Value;

use crate::{PROJECT, world};

const START_MAX: Duration = Duration::from_secs(30);

/// Is how many telling lines are kept.
const LINES_MAX: usize = 20;

/// A process that serves, and ends with this value.
#[derive(Debug)]
pub struct Server {
    /// Where apps call.
    pub address: SocketAddr,
    child: Child,
    panics: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a function's binary over a database.
    pub fn start(binary: &Path, database: &str) -> Self {
        let issuer = world().issuer_address;
        let mut child = Command::new(binary)
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
            // Where it listens, and what is wrong; not a line for every call that fails.
            .env("RUST_LOG", "error,chassis=info")
            .env("LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let panics = Arc::default();
        let (tell, told) = mpsc::channel();
        watch(child.stdout.take(), Arc::clone(&panics), tell.clone());
        watch(child.stderr.take(), Arc::clone(&panics), tell);
        let address = told.recv_timeout(START_MAX).expect("the server says where it listens");
        Self { address, child, panics }
    }

    /// Memory that the process holds, in MiB; not known everywhere.
    pub fn memory_mib(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib / 1024.0)
    }

    /// Tells it to stop, and waits until its drain is over.
    pub fn drained(mut self) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().expect("there is a kill");
        assert!(told.success(), "it runs");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }

    /// Are the lines so far that tell of a panic, the first of them.
    pub fn panics(&self) -> Vec<String> {
        self.panics.lock().map(|lines| lines.clone()).unwrap_or_default()
    }
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
    panics: Arc<Mutex<Vec<String>>>,
    tell: mpsc::Sender<SocketAddr>,
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
            if let Ok(line) = serde_json::from_str::<Value>(&line)
                && let Some(Ok(address)) = line["address"].as_str().map(str::parse)
            {
                // Only the first is awaited.
                let _is_awaited = tell.send(address);
            }
        }
    });
}
