//! Servers that are restarted in turn under gRPC's own clients, which balance and try again by
//! themselves, as a service config tells them.

use std::{
    collections::BTreeMap,
    fmt::Write,
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use prost::Message;
use proto::user::v1::{CreateProfileRequest, Profile};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Case, Field, Seen,
    field::token,
    restarts::{Instance, restart_in_turn},
    writers::effects,
};
use crate::{interpreter, packages, skip};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "rolling restarts under grpc-js, 100 writes a second",
        expected: EXPECTED,
        run: |field| Box::pin(under_grpc_js(field)),
    },
    Case {
        name: "rolling restarts under grpcio, 100 writes a second",
        expected: EXPECTED,
        run: |field| Box::pin(under_grpcio(field)),
    },
];

const EXPECTED: &str =
    "no failed call and no second effect, by round-robin and the retry policy of docs/clients.md";

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python");

/// A restart is followed by the next after this, as in a deploy that looks at the health of each.
/// A client waits about a second before it connects again to an address that refused it.
const PAUSE: Duration = Duration::from_secs(2);

/// How long the last calls may take once no more are begun.
const END_MAX: Duration = Duration::from_secs(40);

/// What a client has to be told: both instances in turn, and gRPC's retries on UNAVAILABLE.
fn service_config() -> Value {
    json!({
        "loadBalancingConfig": [{ "round_robin": {} }],
        "methodConfig": [{
            "name": [{ "service": "mayfly.user.v1.UserService" }],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }],
    })
}

async fn under_grpc_js(field: &Field) -> Seen {
    let prefix = field.pick("nodes", "nodef");
    match packages().await {
        Ok(folder) => {
            let mut node = Command::new("node");
            node.arg("rolling.js").current_dir(folder);
            under(field, node, (prefix, 74)).await
        }
        Err(why) => skipped(why),
    }
}

async fn under_grpcio(field: &Field) -> Seen {
    let prefix = field.pick("pys", "pyf");
    match interpreter().await {
        Ok(python) => {
            let mut python = Command::new(python);
            python.args(["-u", "rolling.py"]).current_dir(Path::new(SCRIPTS));
            under(field, python, (prefix, 76)).await
        }
        Err(why) => skipped(why),
    }
}

fn skipped(why: &str) -> Seen {
    skip(why);
    let mut seen = Seen::default();
    seen.skip(why);
    seen
}

/// The instances are restarted under a client; its people and the instances are named by `names`.
async fn under(field: &Field, client: Command, names: (&str, u8)) -> Seen {
    let mut seen = Seen::default();
    let (prefix, host) = names;
    let mut instances = [Instance::start(field, host), Instance::start(field, host + 1)];
    let client = Client::start(client, &instances);
    let is_done = AtomicBool::new(false);
    let restarting = async {
        let ended = restart_in_turn(&mut instances, field.pick(1, 50), PAUSE).await;
        is_done.store(true, Ordering::Relaxed);
        ended
    };
    let every = field.pick(Duration::from_millis(40), Duration::from_millis(10));
    let writing = client.write(prefix, every, &is_done);
    let (told, (restarts, unclean)) = tokio::join!(writing, restarting);
    seen.note(unclean == 0, format!("{restarts} restarts, {unclean} of them not with 0"));
    let Told { calls, ended, slowest_ms } = told;
    let is_good = calls > 0 && ended.len() == 1 && ended.get("OK") == Some(&calls);
    seen.note(is_good, format!("{calls} calls, ended: {ended:?}, the slowest in {slowest_ms} ms"));
    effects(&mut seen, &field.owner_url(), prefix, calls).await;
    seen
}

/// A client in a process of its own, which is told of each call by a line and tells how it ended.
struct Client {
    process: Child,
    orders: ChildStdin,
    answers: ChildStdout,
}

/// What a client has told.
#[derive(Default)]
struct Told {
    calls: u64,
    /// Calls by how they ended.
    ended: BTreeMap<String, u64>,
    slowest_ms: u64,
}

impl Client {
    fn start(mut command: Command, instances: &[Instance<'_>]) -> Self {
        let mut addresses = "ipv4:".to_owned();
        for (place, instance) in instances.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(addresses, "{comma}{}", instance.address).expect("a text takes it");
        }
        let mut process = command
            .args([addresses, service_config().to_string()])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the client starts");
        let orders = process.stdin.take().expect("it is piped");
        let answers = process.stdout.take().expect("it is piped");
        Self { process, orders, answers }
    }

    /// Begins a write every so often, until it is told to stop.
    async fn write(self, prefix: &str, every: Duration, is_done: &AtomicBool) -> Told {
        let Self { mut process, mut orders, answers } = self;
        let ordering = async {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut calls = 0;
            while !is_done.load(Ordering::Relaxed) {
                ticks.tick().await;
                let line = format!("{}\n", order(&format!("{prefix}_{calls}"), calls));
                orders.write_all(line.as_bytes()).await.expect("the client reads");
                calls += 1;
            }
            // Without its end the client would wait for more.
            drop(orders);
            calls
        };
        let hearing = async {
            let (mut told, mut lines) = (Told::default(), BufReader::new(answers).lines());
            while let Ok(Some(line)) = lines.next_line().await {
                told.hear(&line);
            }
            told
        };
        let hearing = async {
            let told = hearing.await;
            let status = timeout(END_MAX, process.wait()).await.expect("the client ends");
            assert!(status.expect("a status").success(), "what failed is told above");
            told
        };
        let (calls, told) = tokio::join!(ordering, hearing);
        Told { calls, ..told }
    }
}

/// One write, by somebody who has no profile yet.
fn order(name: &str, id: u64) -> Value {
    let profile =
        Profile { handle: name.to_owned(), display_name: name.to_owned(), ..Default::default() };
    let message = CreateProfileRequest { profile: Some(profile) }.encode_to_vec();
    json!({
        "id": id, "authorization": format!("Bearer {}", token(name)), "key": "create",
        "message": STANDARD.encode(message),
    })
}

impl Told {
    fn hear(&mut self, line: &str) {
        let answer: Value = serde_json::from_str(line).expect("a line of JSON");
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let (code, details) = (text("code"), text("details"));
        let ended = if details.is_empty() { code } else { format!("{code}: {details}") };
        *self.ended.entry(ended).or_default() += 1;
        self.slowest_ms = self.slowest_ms.max(answer["ms"].as_u64().unwrap_or_default());
    }
}
