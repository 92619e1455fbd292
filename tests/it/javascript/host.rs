//! A process that makes calls as it is told, line by line in JSON, and tells what it hears.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::timeout,
};

/// How long it may take to end once nobody tells it anything.
const END_MAX: Duration = Duration::from_secs(20);

/// What is heard under an id.
#[derive(Debug)]
pub(super) enum Heard {
    Message(Value),
    End(Value),
}

/// Who waits for what is heard, by the id.
#[derive(Clone, Debug, Default)]
pub(super) struct Listeners(Arc<Mutex<HashMap<u64, UnboundedSender<Heard>>>>);

impl Listeners {
    pub(super) fn listen(&self, id: u64) -> UnboundedReceiver<Heard> {
        let (tell, heard) = mpsc::unbounded_channel();
        self.0.lock().expect("nobody panics with it").insert(id, tell);
        heard
    }

    fn tell(&self, id: u64, heard: Heard) {
        if let Some(listener) = self.0.lock().expect("nobody panics with it").get(&id) {
            // The test may have heard enough.
            let _outcome = listener.send(heard);
        }
    }

    /// Nothing is heard any more.
    fn end(&self) {
        self.0.lock().expect("nobody panics with it").clear();
    }
}

/// The process; dropped, it is killed.
#[derive(Debug)]
pub(super) struct Host {
    orders: UnboundedSender<Value>,
    process: Child,
}

impl Host {
    pub(super) fn start(command: &mut Command, listeners: &Listeners) -> Self {
        let mut process = command
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the clients start");
        let stdin = process.stdin.take().expect("it is piped");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let (orders, given) = mpsc::unbounded_channel();
        #[expect(clippy::disallowed_methods, reason = "they end with the process's pipes")]
        {
            tokio::spawn(give(given, stdin));
            tokio::spawn(hear(lines, listeners.clone()));
        }
        Self { orders, process }
    }

    pub(super) fn order(&self, order: Value) {
        // Whoever waits for an answer is told that there is none.
        let _outcome = self.orders.send(order);
    }

    /// Ends it in order.
    pub(super) async fn end(self) {
        let Self { orders, mut process } = self;
        drop(orders);
        let status = timeout(END_MAX, process.wait()).await.expect("the clients end");
        assert!(status.expect("a status").success(), "what failed is told above");
    }
}

async fn give(mut given: UnboundedReceiver<Value>, mut stdin: ChildStdin) {
    while let Some(order) = given.recv().await {
        let line = format!("{order}\n");
        if stdin.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn hear(mut lines: Lines<BufReader<ChildStdout>>, listeners: Listeners) {
    while let Ok(Some(line)) = lines.next_line().await {
        let mut line: Value = serde_json::from_str(&line).expect("a line of JSON");
        let id = line["id"].as_u64().expect("an id");
        let value = line["value"].take();
        let is_message = line["event"] == "message";
        listeners.tell(id, if is_message { Heard::Message(value) } else { Heard::End(value) });
    }
    listeners.end();
}
