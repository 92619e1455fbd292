//! A function's process, as its operator sees it: its settings, its commands, its signals, its end.

pub(crate) mod program;
mod faults;
mod commands;
mod migrate;
mod drain;
mod limits;
mod logs;
mod alone;
mod own;
mod events;
mod output;
mod settings;
mod surroundings;
mod canaries;
mod watchdog;
mod tls;

use std::{collections::BTreeMap, net::SocketAddr, path::Path, process::Command, time::Duration};

use issuer::Issuer;
use program::{Program, USER, command};
use serde_json::{Map, Value};
use tests::{PROJECT, Person, world};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A password that nobody should ever read.
const CANARY: &str = "hunter2-canary";

/// A URL that is good, of a database that is not there.
const NOWHERE: &str = "postgres://mayfly:hunter2-canary@127.0.0.1:1/mayfly";

/// The environment of a `user` process.
#[derive(Clone, Debug, Default)]
struct Environment(BTreeMap<String, String>);

impl Environment {
    /// What a function needs, on free ports, over this database.
    fn of(database_url: &str) -> Self {
        let required = [
            ("DATABASE_URL", database_url),
            ("FIREBASE_PROJECT_ID", PROJECT),
            ("LISTEN_ADDR", "127.0.0.1:0"),
            ("METRICS_ADDR", "127.0.0.1:0"),
        ];
        Self(required.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    /// The same with the tests' issuer, so that people can call.
    fn with_issuer(self) -> Self {
        let address = world().issuer_address;
        self.with("JWKS_URL", format!("http://{address}{}", Issuer::key_path()))
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(USER.as_ref(), arguments)
    }

    fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = command(program);
        command.args(arguments).envs(&self.0);
        command
    }
}

/// A `user` process that serves.
struct Serving {
    program: Program,
    address: SocketAddr,
    internal: SocketAddr,
}

impl Serving {
    async fn start(environment: &Environment) -> Self {
        Self::of(&mut environment.command(&[])).await
    }

    async fn of(command: &mut Command) -> Self {
        let mut program = Program::start(command);
        let (address, internal) = program
            .line("ports", |line| {
                let line: Value = serde_json::from_str(line).ok()?;
                let address = |name: &str| line[name].as_str()?.parse().ok();
                Some((address("address")?, address("internal")?))
            })
            .await;
        Self { program, address, internal }
    }

    /// A person, signed in.
    fn person(&self, name: &str) -> Person {
        let token = world().issuer.id_token(name, &Map::new());
        Person::new(self.address, name, Some(token))
    }

    async fn is_listening(&self) -> bool {
        TcpStream::connect(self.address).await.is_ok()
    }

    /// Sends a signal to a process that has nothing to finish, and expects it to be gone at once.
    async fn stop(mut self) {
        self.program.signal("TERM");
        let ended = self.program.end(secs(5)).await;
        assert_eq!(ended.code(), Some(0), "{ended:?}");
    }
}

/// Asks over HTTP/1.1, with nothing of ours in between. None: nobody answers.
async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let asked = timeout(secs(5), async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let body = answer.split_once("\r\n\r\n")?.1.to_owned();
        Some((status, body))
    });
    asked.await.ok()?
}

/// The log lines that a process has written so far.
fn lines(stdout: &str) -> Vec<Map<String, Value>> {
    let line = |line: &str| match serde_json::from_str(line) {
        Ok(Value::Object(line)) => line,
        other => panic!("{line:?} is no JSON object: {other:?}"),
    };
    stdout.lines().map(line).collect()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
