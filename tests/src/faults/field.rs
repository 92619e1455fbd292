//! Where a fault is tried: a server in a process of its own, a neighbour beside it, and what the
//! kernel knows of the two.

use std::{path::PathBuf, process::Command, time::Duration};

use serde_json::Map;
use tokio::time::{Instant, sleep};

use super::neighbour::{Fared, Neighbour};
use crate::{Person, Server, world};

const SAMPLE_EVERY: Duration = Duration::from_millis(20);

/// How long memory may take to come back.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// By how much a server may have grown in the end.
pub(super) const GROWTH_MIB_MAX: f64 = 8.0;

/// A neighbour is looked at for so many calls at least: some faults are over in a moment, and the p99
/// of a few calls is the slowest of them.
const CALLS_MIN: usize = 200;

/// A neighbour is not slower than this because of a fault, or than three times its quiet self.
const P99_MAX: Duration = Duration::from_millis(150);

/// How large a case is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Size {
    /// Seconds, with limits set low: for the suite.
    Short,
    /// The numbers that are promised.
    Full,
}

/// Where cases are tried.
#[derive(Clone, Debug)]
pub struct Field {
    /// The function's binary.
    pub binary: PathBuf,
    /// A migrated database, in which the neighbour has a profile.
    pub database: String,
    /// How large the cases are.
    pub size: Size,
}

/// What was seen of a case.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    told: Vec<String>,
    /// What is not as expected.
    pub wrong: Vec<String>,
    is_skipped: bool,
}

/// What a case came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Everything was as expected.
    AsExpected,
    /// Something was not.
    Otherwise,
    /// It was not tried: this machine lacks what it needs.
    Skipped,
}

/// A server under watch.
pub(super) struct Watched {
    pub(super) server: Server,
    neighbour: Neighbour,
    cpu: Duration,
    memory_mib: f64,
    size: Size,
}

impl Field {
    /// A field for a binary, on a database of its own.
    pub async fn new(binary: PathBuf, size: Size) -> Self {
        let database = world().new_database().await;
        let server = Server::start(&binary, &database);
        person(&server, "neighbour").creates_public_profile("neighbour").await;
        Self { binary, database, size }
    }

    /// Whoever owns the schema.
    pub(super) fn owner_url(&self) -> String {
        world().owner_url(&self.database)
    }

    pub(super) fn is_short(&self) -> bool {
        self.size == Size::Short
    }

    /// One number for the suite, another for the whole.
    pub(super) fn pick<T>(&self, short: T, full: T) -> T {
        if self.is_short() { short } else { full }
    }

    pub(super) fn server(&self, settings: &[(&str, &str)]) -> Server {
        // At full size, what production has; a setting of the case's own comes after it.
        let wait = ("DB_WAIT_MS_MAX", self.pick("5000", "500"));
        let settings = [&[wait][..], settings].concat();
        Server::with(&mut Command::new(&self.binary), &self.database, &settings)
    }

    pub(super) async fn watched(&self, settings: &[(&str, &str)]) -> Watched {
        Watched::of(self.server(settings), self.size).await
    }
}

/// Somebody who is signed in.
pub(super) fn person(server: &Server, name: &str) -> Person {
    Person::new(server.address, name, Some(token(name)))
}

pub(super) fn token(name: &str) -> String {
    world().issuer.id_token(name, &Map::new())
}

impl Seen {
    /// Notes what was seen, and whether that is as expected.
    #[expect(clippy::fn_params_excessive_bools, reason = "what a comparison found, not a mode")]
    pub(super) fn note(&mut self, is_good: bool, text: impl Into<String>) {
        let text = text.into();
        if !is_good {
            self.wrong.push(text.clone());
        }
        self.told.push(text);
    }

    /// Notes what is not as expected; of the rest nothing is said.
    #[expect(clippy::fn_params_excessive_bools, reason = "what a comparison found, not a mode")]
    pub(super) fn insist(&mut self, is_good: bool, otherwise: impl Into<String>) {
        if !is_good {
            self.note(false, otherwise);
        }
    }

    /// Notes what nothing was expected of.
    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.told.push(text.into());
    }

    /// Notes why it is not tried.
    pub(super) fn skip(&mut self, why: &str) {
        self.is_skipped = true;
        self.told.push(format!("skipped: {why}"));
    }

    /// What it came to.
    pub fn verdict(&self) -> Verdict {
        match (self.wrong.is_empty(), self.is_skipped) {
            (false, _) => Verdict::Otherwise,
            (true, true) => Verdict::Skipped,
            (true, false) => Verdict::AsExpected,
        }
    }

    /// Everything that was seen, in one line.
    pub fn line(&self) -> String {
        self.told.join("; ")
    }
}

impl Watched {
    pub(super) async fn of(server: Server, size: Size) -> Self {
        let quiet = match size {
            Size::Short => Duration::from_secs(1),
            Size::Full => Duration::from_secs(3),
        };
        let neighbour = Neighbour::beside(person(&server, "neighbour"), quiet).await;
        let (cpu, memory_mib) =
            (server.cpu().unwrap_or_default(), server.memory_mib().unwrap_or_default());
        Self { server, neighbour, cpu, memory_mib, size }
    }

    /// Processor time since the fault began.
    pub(super) fn cpu(&self) -> Duration {
        self.server.cpu().unwrap_or_default().saturating_sub(self.cpu)
    }

    /// How many calls the neighbour has made since then.
    pub(super) fn calls(&self) -> usize {
        self.neighbour.calls()
    }

    /// By how much the server has grown, in MiB.
    pub(super) fn growth_mib(&self) -> f64 {
        self.server.memory_mib().unwrap_or_default() - self.memory_mib
    }

    /// The same, once it is no more than `limit_mib` or has had its time.
    pub(super) async fn settled_mib(&self, limit_mib: f64) -> f64 {
        let start = Instant::now();
        while self.growth_mib() > limit_mib && start.elapsed() < SETTLE_MAX {
            sleep(SAMPLE_EVERY).await;
        }
        self.growth_mib()
    }

    /// The end of a case: what the fault has cost, its author and everybody else. At its worst the
    /// server may have grown by `peak_mib_max`.
    pub(super) async fn end(self, seen: &mut Seen, peak_mib_max: f64) {
        self.end_grown(seen, peak_mib_max, GROWTH_MIB_MAX).await;
    }

    /// The same, where the allocator may keep more than usual for the next time.
    pub(super) async fn end_grown(self, seen: &mut Seen, peak_mib_max: f64, growth_mib_max: f64) {
        let cpu = self.cpu();
        while self.size == Size::Full && self.neighbour.calls() < CALLS_MIN {
            sleep(SAMPLE_EVERY).await;
        }
        let growth = self.settled_mib(growth_mib_max).await;
        let peak = self.server.memory_peak_mib().unwrap_or_default() - self.memory_mib;
        seen.note(
            growth <= growth_mib_max && peak <= peak_mib_max,
            format!("memory +{peak:.1} MiB at most, {growth:+.1} MiB after"),
        );
        seen.say(format!("{:.1} s of CPU", cpu.as_secs_f64()));
        tell_of(&self.neighbour.fared().await, self.size, seen);
        let panics = self.server.panics();
        seen.note(panics.is_empty(), format!("{} panics", panics.len()));
    }
}

fn tell_of(fared: &Fared, size: Size, seen: &mut Seen) {
    let is_slower = fared.p99 > fared.quiet_p99 * 3;
    // Of a few calls beside other tests, the slowest says nothing.
    let is_quick = size == Size::Short || !is_slower || fared.p99 <= P99_MAX;
    let error = fared.errors.first().map_or(String::new(), |error| format!(" ({error})"));
    let is_below = is_slower && fared.p99 <= P99_MAX;
    let slower = if is_below { " (over 3x, below 150 ms)" } else { "" };
    seen.note(
        fared.errors.is_empty() && fared.calls > 0 && is_quick,
        format!(
            "neighbour: {} of {} calls failed{error}, p99 {:.1} ms (quiet {:.1}){slower}",
            fared.errors.len(),
            fared.calls,
            fared.p99.as_secs_f64() * 1000.0,
            fared.quiet_p99.as_secs_f64() * 1000.0,
        ),
    );
}
