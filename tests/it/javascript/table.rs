//! What every client is told, a row for each way to fail; printed whole, and without a hole.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::javascript::clients::{CLIENTS, Call, Client, Clients};

const NOTES: &str = "\
~   the client's own timer was first; everything else the server told, alike to all
12  in a watch's row: a stream over Connect, which is not spoken
";

/// What a row expects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) case: &'static str,
    pub(super) code: u64,
    pub(super) reason: &'static str,
    /// Connect's streams are refused, whatever the case.
    pub(super) is_stream: bool,
}

pub(super) fn unary(case: &'static str, code: u64, reason: &'static str) -> Expected {
    Expected { case, code, reason, is_stream: false }
}

pub(super) fn stream(case: &'static str, code: u64, reason: &'static str) -> Expected {
    Expected { case, code, reason, is_stream: true }
}

impl Expected {
    /// Over Connect a stream is refused where its message would be read; what comes before that
    /// comes first there as well.
    fn of(self, client: Client) -> (u64, &'static str) {
        // Without a database nobody knows whether the caller was revoked.
        let before = ["TOKEN_MISSING", "MESSAGE_TOO_LARGE", "DB_UNAVAILABLE"];
        let is_before = before.contains(&self.reason);
        if self.is_stream && !client.has_streams() && !is_before {
            (12, "UNIMPLEMENTED")
        } else {
            (self.code, self.reason)
        }
    }
}

/// What a client was told at the end, and whether by the server.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) client: Client,
    pub(super) end: Value,
    /// Its own timer was first, and spoke for itself.
    pub(super) is_by_client: bool,
}

/// The rows so far, and what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Table {
    lines: Vec<String>,
    wrong: Vec<String>,
    /// The codes that rows expect, and the cells that are as expected.
    codes: BTreeSet<u64>,
    cells: usize,
}

/// A call with an id of its own, and the id.
pub(super) fn identified(mut call: Value) -> (Value, String) {
    let id = Uuid::new_v4().to_string();
    call["headers"]["x-request-id"] = json!(id);
    (call, id)
}

/// How a call with this id ended. The id is told everywhere, so that it is not part of what is
/// compared.
pub(super) async fn end(call: Call<'_>, id: &str) -> (Vec<Value>, Value) {
    let (messages, mut told) = call.end().await;
    let ids = told["requestIds"].take();
    told["id"] = if ids == json!([id]) { json!("echoed") } else { ids };
    (messages, told)
}

impl Table {
    /// Makes the same call with every client, and adds the row.
    pub(super) async fn ask(
        &mut self,
        clients: &Clients,
        expected: Expected,
        call: impl Fn(Client) -> Value,
    ) -> Vec<Vec<Value>> {
        let asked = CLIENTS.map(|client| {
            let (call, id) = identified(call(client));
            let begun = clients.begin(client, &call);
            async move { end(begun, &id).await }
        });
        let (messages, told): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().unzip();
        let row = CLIENTS.into_iter().zip(told);
        let row = row.map(|(client, end)| Told { client, end, is_by_client: false });
        self.add(expected, &row.collect::<Vec<_>>());
        messages
    }

    /// Adds a row of what every client was told.
    pub(super) fn add(&mut self, expected: Expected, row: &[Told]) {
        self.codes.insert(expected.code);
        let clients = row.iter().map(|told| told.client);
        if !clients.eq(CLIENTS) {
            self.wrong.push(format!("{}: a client is missing", expected.case));
        }
        let speaks = |told: &&Told| !expected.is_stream || told.client.has_streams();
        let by_server = row.iter().filter(speaks).find(|told| !told.is_by_client);
        let common = by_server.map_or(Value::Null, |told| told.end.clone());
        let mut line = format!("{:<44}{:<24}", expected.case, expected.reason);
        for Told { client, end, is_by_client } in row {
            let (code, reason) = expected.of(*client);
            let is_common = code != expected.code || *end == common;
            let is_told = *is_by_client || (is_whole(end, code, reason) && is_common);
            let is_expected = end["code"] == code && is_told;
            self.cells += usize::from(is_expected);
            if !is_expected {
                let title = client.title();
                self.wrong.push(format!("{}: {title}: {end}, not {common}", expected.case));
            }
            let mark = if *is_by_client { "~" } else { "" };
            let cell = if is_expected { format!("{code}{mark}") } else { "WRONG".to_owned() };
            line = format!("{line}{cell:>6}");
        }
        self.lines.push(format!("{line}  {}", common["message"].as_str().unwrap_or_default()));
    }

    /// Prints it.
    pub(super) fn print(&self) {
        let mut legend = String::new();
        let mut numbers = " ".repeat(68);
        for (number, client) in (1..).zip(CLIENTS) {
            legend = format!("{legend}{number:>4} {}\n", client.title());
            numbers = format!("{numbers}{number:>6}");
        }
        let (lines, cells) = (self.lines.join("\n"), self.cells);
        let text = format!("\n{legend}\n{numbers}\n{lines}\n{NOTES}{cells} as expected\n");
        tests::print(&text);
    }

    /// The codes that were expected.
    pub(super) fn codes(&self) -> Vec<u64> {
        self.codes.iter().copied().collect()
    }

    /// How many of its cells are as expected.
    pub(super) fn cells(&self) -> usize {
        self.cells
    }

    /// Insists that nothing is wrong with it.
    pub(super) fn holds(&self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}

/// Whether an end carries everything that one of its code does.
fn is_whole(told: &Value, code: u64, reason: &str) -> bool {
    let is_told = |name: &str| told[name].as_str().is_some_and(|text| !text.is_empty());
    let has_fields = told["fields"].as_array().is_some_and(|fields| !fields.is_empty());
    let is_failed = code != 0;
    told["id"] == "echoed"
        && told["reason"] == reason
        && is_told("message") == is_failed
        && (told["domain"] == "mayfly") == is_failed
        && has_fields == (code == 3)
        && (told["retryMs"].is_number() || code != 14)
}
