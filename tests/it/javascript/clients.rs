//! The clients, the calls they make, and what they hear.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::skip;
use tokio::{process::Command, sync::mpsc::UnboundedReceiver, time::timeout};

use crate::javascript::{
    host::{Heard, Host, Listeners},
    project::{Project, project},
    python::interpreter,
};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python");

/// Where the interpreter's preparation leaves the contracts' stubs.
const STUBS: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/grpcio/stubs");

/// How long anything may take, a browser's start on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(40);

/// What a client speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Speaks {
    Grpc,
    GrpcWeb,
    /// Which has no streams here.
    Connect,
}

/// What holds a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Within {
    Node,
    Python,
    /// A page of the listed origin.
    Chromium,
    /// It is a program by itself.
    Nothing,
}

/// A client that other people made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Client {
    pub(super) name: &'static str,
    pub(super) speaks: Speaks,
    pub(super) within: Within,
}

const fn client(name: &'static str, speaks: Speaks, within: Within) -> Client {
    Client { name, speaks, within }
}

pub(super) const CLIENTS: [Client; 14] = [
    client("grpcio", Speaks::Grpc, Within::Python),
    client("grpc-js", Speaks::Grpc, Within::Node),
    client("connect-node grpc", Speaks::Grpc, Within::Node),
    client("connect-node connect", Speaks::Connect, Within::Node),
    client("connect-web grpc-web", Speaks::GrpcWeb, Within::Node),
    client("connect-web connect", Speaks::Connect, Within::Node),
    client("connect-web grpc-web", Speaks::GrpcWeb, Within::Chromium),
    client("connect-web connect", Speaks::Connect, Within::Chromium),
    client("grpc-web binary", Speaks::GrpcWeb, Within::Chromium),
    client("grpc-web text", Speaks::GrpcWeb, Within::Chromium),
    client("buf curl grpc", Speaks::Grpc, Within::Nothing),
    client("buf curl grpc-web", Speaks::GrpcWeb, Within::Nothing),
    client("buf curl connect", Speaks::Connect, Within::Nothing),
    client("curl", Speaks::Connect, Within::Nothing),
];

impl Client {
    pub(super) fn has_streams(self) -> bool {
        self.speaks != Speaks::Connect
    }

    /// Whether it hands out a stream's messages as they come, and not all of them at its end.
    pub(super) fn hears_at_once(self) -> bool {
        self.has_streams() && self.name != "grpc-web binary"
    }

    pub(super) fn is_in_chromium(self) -> bool {
        self.within == Within::Chromium
    }

    /// Its name where it may have a namesake.
    pub(super) fn title(self) -> String {
        let place = if self.is_in_chromium() { " in Chromium" } else { "" };
        format!("{}{place}", self.name)
    }

    /// Who calls with it: a uid and a handle.
    pub(super) fn person(self) -> String {
        let place = if self.is_in_chromium() { "c_" } else { "" };
        format!("{place}{}", self.name.replace([' ', '-'], "_"))
    }
}

/// The clients, in processes that end with this.
#[derive(Debug)]
pub(super) struct Clients {
    /// The origin that the server is to list, and one that it is not to.
    pub(super) listed: String,
    pub(super) foreign: String,
    node: Host,
    python: Host,
    listeners: Listeners,
    ids: AtomicU64,
    _scratch: TempDir,
}

impl Clients {
    /// Starts them, unless this machine cannot.
    pub(super) async fn start() -> Option<Self> {
        let Project { folder, chromium } = project().await.map_err(skip).ok()?;
        let interpreter = interpreter().await.map_err(skip).ok()?;
        let scratch = tempfile::tempdir().expect("a folder");
        let listeners = Listeners::default();
        let ready = listeners.listen(0);
        let mut node = Command::new("node");
        node.arg("src/run.js").current_dir(folder).env("CHROMIUM", chromium);
        // The browser's profile goes with it.
        node.env("TMPDIR", scratch.path()).env("BUF_CACHE_DIR", folder.join("cache"));
        let node = Host::start(&mut node, &listeners);
        let python = Host::start(&mut python(interpreter), &listeners);

        let origins = next(ready, "the clients").await;
        let origin = |name: &str| origins[name].as_str().expect("an origin").to_owned();
        let (listed, foreign) = (origin("listed"), origin("foreign"));
        let ids = AtomicU64::new(1);
        Some(Self { listed, foreign, node, python, listeners, ids, _scratch: scratch })
    }

    /// Begins a call: `address`, `path`, `message`, `headers`, and perhaps `timeoutMs`.
    pub(super) fn begin(&self, client: Client, call: &Value) -> Call<'_> {
        self.begin_at(&self.listed, client, call)
    }

    /// The same in a page of `origin`, for a client that runs in one.
    pub(super) fn begin_at(&self, origin: &str, client: Client, call: &Value) -> Call<'_> {
        let (id, heard) = self.listen();
        let mut order = call.clone();
        order["begin"] = id.into();
        order["with"] = client.name.into();
        if client.is_in_chromium() {
            order["origin"] = origin.into();
        }
        self.host(client).order(order);
        Call { clients: self, client, id, heard }
    }

    /// Has something else done in the browser; what came of it.
    pub(super) async fn has_done(&self, deed: &str, mut order: Value) -> Value {
        let (id, heard) = self.listen();
        order["do"] = deed.into();
        order["id"] = id.into();
        self.node.order(order);
        next(heard, deed).await
    }

    /// Opens a page that people use; its id.
    pub(super) async fn open(&self, url: &str) -> u64 {
        let (id, heard) = self.listen();
        self.node.order(json!({ "do": "open", "id": id, "url": url }));
        next(heard, url).await;
        id
    }

    /// Ends them in order.
    pub(super) async fn end(self) {
        let Self { node, python, _scratch, .. } = self;
        node.end().await;
        python.end().await;
    }

    fn listen(&self) -> (u64, UnboundedReceiver<Heard>) {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        (id, self.listeners.listen(id))
    }

    fn host(&self, client: Client) -> &Host {
        if client.within == Within::Python { &self.python } else { &self.node }
    }
}

fn python(interpreter: &Path) -> Command {
    let mut python = Command::new(interpreter);
    python.arg("lines.py").current_dir(SCRIPTS).env("PYTHONPATH", STUBS);
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

async fn next(mut heard: UnboundedReceiver<Heard>, what: &str) -> Value {
    let heard = timeout(PATIENCE, heard.recv()).await;
    match heard.unwrap_or_else(|_elapsed| panic!("{what}: nothing is heard")) {
        Some(Heard::Message(value) | Heard::End(value)) => value,
        None => panic!("{what}: the clients have ended, for what is told above"),
    }
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Call<'c> {
    clients: &'c Clients,
    client: Client,
    id: u64,
    heard: UnboundedReceiver<Heard>,
}

impl Call<'_> {
    /// The next message.
    pub(super) async fn message(&mut self) -> Value {
        match self.hear().await {
            Heard::Message(message) => message,
            Heard::End(told) => panic!("{}: ended with {told}", self.client.title()),
        }
    }

    /// The messages that are left, and how it ended.
    pub(super) async fn end(mut self) -> (Vec<Value>, Value) {
        let mut messages = Vec::new();
        loop {
            match self.hear().await {
                Heard::Message(message) => messages.push(message),
                Heard::End(told) => return (messages, told),
            }
        }
    }

    /// Gives it up.
    pub(super) fn cancel(&self) {
        self.clients.host(self.client).order(json!({ "cancel": self.id }));
    }

    async fn hear(&mut self) -> Heard {
        let title = self.client.title();
        let heard = timeout(PATIENCE, self.heard.recv()).await;
        let heard = heard.unwrap_or_else(|_elapsed| panic!("{title} hears nothing"));
        heard.unwrap_or_else(|| panic!("{title}: the clients have ended, for what is told above"))
    }
}
