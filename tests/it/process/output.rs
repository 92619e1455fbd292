//! Standard output, as it may be: read by nobody, closed, on a disk that is full. No call notices.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tests::Person;
use tokio::time::{Instant, timeout};

use super::{Environment, NOWHERE, get, program::USER, secs};

/// Calls that fail, each with a line in the log: more than a pipe holds, many times over.
const CALLS: usize = 400;

/// No call may take longer, however busy the machine is.
const CALL_MAX: Duration = Duration::from_secs(5);

/// A function whose standard output is this.
struct Silent {
    child: Child,
    address: SocketAddr,
    internal: SocketAddr,
}

impl Silent {
    /// Starts it on ports that nobody has: it may not be able to tell which it was given.
    fn start(stdout: Stdio) -> Self {
        let port = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, internal) = (port(), port());
        let (address, internal) = (address.local_addr().unwrap(), internal.local_addr().unwrap());
        let environment = Environment::of(NOWHERE)
            .with("LISTEN_ADDR", address.to_string())
            .with("METRICS_ADDR", internal.to_string());
        let mut command = environment.command_of(USER.as_ref(), &[]);
        let child = command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        Self { child, address, internal }
    }

    /// Waits until it serves.
    async fn is_up(&self) {
        let give_up = Instant::now() + secs(30);
        while get(self.address, "/healthz").await.map(|told| told.0) != Some(200) {
            assert!(Instant::now() < give_up, "it does not come up");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Calls it so often that its lines are too many for any pipe; each call is answered as ever.
    async fn answers(&self) {
        let stranger = Person::new(self.address, "stranger", None);
        let nothing = json!({});
        for call in 0..CALLS {
            let answered = stranger.json("GetProfile", &nothing);
            let (status, told) = timeout(CALL_MAX, answered)
                .await
                .unwrap_or_else(|_elapsed| panic!("call {call} is not answered"));
            assert_eq!((status, &told["code"]), (401, &json!("unauthenticated")), "{call}: {told}");
        }
    }

    /// How many lines it says that it has dropped.
    async fn dropped(&self) -> u64 {
        let (_status, metrics) = get(self.internal, "/metrics").await.unwrap();
        let line =
            metrics.lines().find_map(|line| line.strip_prefix("mayfly_log_lines_dropped_total "));
        line.unwrap_or_else(|| panic!("no such series in {metrics}")).parse().unwrap()
    }

    /// Tells it to stop, which takes no longer than ever.
    async fn ends(mut self) {
        let pid = self.child.id().to_string();
        std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        let give_up = Instant::now() + secs(5);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < give_up, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        let _status = self.child.wait();
    }
}

fn rest(mut silent: Silent) -> (Silent, ChildStdout) {
    let stdout = silent.child.stdout.take().unwrap();
    (silent, stdout)
}

/// What a log shipper that hangs is to a process: the pipe is full, and nobody takes anything.
#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_call_and_not_the_end() {
    let (silent, stdout) = rest(Silent::start(Stdio::piped()));
    silent.is_up().await;
    silent.answers().await;
    silent.ends().await;
    // What was in the pipe is whole, as far as it goes.
    let lines: Vec<_> = BufReader::new(stdout).lines().map(Result::unwrap).collect();
    let (last, whole) = lines.split_last().unwrap();
    assert!(whole.len() > 100, "{last}");
    for line in whole {
        assert!(serde_json::from_str::<Value>(line).unwrap().is_object(), "{line}");
    }
}

#[tokio::test]
async fn a_log_that_is_closed_holds_up_no_call_and_is_counted() {
    let (mut silent, stdout) = rest(Silent::start(Stdio::piped()));
    silent.is_up().await;
    drop((stdout, silent.child.stderr.take()));
    silent.answers().await;
    assert!(silent.dropped().await > 0);
    silent.ends().await;
}

#[tokio::test]
async fn a_log_on_a_full_disk_holds_up_no_call_and_is_counted() {
    let full = match File::options().write(true).open("/dev/full") {
        Ok(full) => full,
        Err(_none) => return tests::skip("there is no /dev/full"),
    };
    let silent = Silent::start(full.into());
    silent.is_up().await;
    silent.answers().await;
    assert!(silent.dropped().await > 0);
    silent.ends().await;
}

/// `user --help | head -1`: whoever has read enough leaves.
#[tokio::test]
async fn help_that_nobody_reads_to_its_end_is_no_failure() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = Environment::default().command_of(USER.as_ref(), &["--help"]);
    let mut child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    std::io::Read::read_exact(&mut reader, &mut [0; 1]).unwrap();
    drop(reader);
    assert!(child.wait().unwrap().success());
}
