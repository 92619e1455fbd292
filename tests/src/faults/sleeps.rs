//! A machine that is suspended, as Fly does it: the process stands still, and when it goes on its
//! wall clock has jumped and every connection that it had is dead, of which nobody tells it.
//!
//! The wall clock is libfaketime's, which leaves the monotonic one alone; the kernel's is nobody's to
//! set.

use std::{
    fs::{self, File},
    io::Read,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Json, Router, routing::get};
use clock::Clock;
use issuer::Issuer;
use proto::user::v1::{GetProfileRequest, WatchProfilesRequest, WatchProfilesResponse};
use serde_json::Map;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep},
};
use tonic::{Status, Streaming};

use super::{Case, Field, Seen, writes::number};
use crate::{PROJECT, Person, Proxy, Server, skip, told};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "suspended for two hours: the clock jumps, all sockets are dead",
        expected: "first OK within 500 ms; no key withdrawn meanwhile is taken, and a new one is; each socket is made anew once",
        run: |field| Box::pin(two_hours(field)),
    },
    Case {
        name: "a clock that is slow after a resume, set back by an hour, and put right",
        expected: "a token from 5 s ahead is taken, a revocation reaches it, an expired token is refused once the clock is right",
        run: |field| Box::pin(wrong_clocks(field)),
    },
];

const SLEEP: Duration = Duration::from_hours(2);

/// The first answer after a sleep. A debug build beside other tests is given more.
const FIRST_OK_MAX: Duration = Duration::from_millis(500);
const FIRST_OK_BESIDE_OTHERS_MAX: Duration = Duration::from_secs(3);

/// Calls at a time, so that there is more than one connection to find dead.
const CALLERS: usize = 5;

/// Connections to Postgres after a sleep: the revocations', the listener's, and one for each of
/// those who call or look at the log.
const MADE_MAX: u64 = 3 + CALLERS as u64;

/// A revocation is seen within `REVOCATION_SECS_MAX`.
const REVOKED_MAX: Duration = Duration::from_millis(5100);

const SOON: Duration = Duration::from_secs(15);

/// How the names of loaders begin, and how far from the front of a program they are at most.
const LOADER: &[u8] = b"/ld-";
const FRONT_BYTES: u64 = 4096;

/// The wall clock of one process.
struct WallClock {
    library: String,
    offset: PathBuf,
    _folder: TempDir,
}

impl WallClock {
    /// One that is right; none where libfaketime is not installed.
    fn right() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let library = libfaketime(Path::new("/usr/lib"))?.to_str()?.to_owned();
        let clock = Self { library, offset: folder.path().join("offset"), _folder: folder };
        clock.set(0);
        Some(clock)
    }

    fn settings(&self) -> [(&'static str, &str); 4] {
        [
            ("LD_PRELOAD", &self.library),
            ("FAKETIME_TIMESTAMP_FILE", self.offset.to_str().expect("a temporary path is text")),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]
    }

    /// Has it go so many seconds before the right time.
    fn set(&self, ahead_secs: i64) {
        fs::write(&self.offset, format!("{ahead_secs:+}\n")).expect("a temporary file");
    }
}

/// Debian has it in a folder of the machine's architecture.
fn libfaketime(below: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(below).ok()?.flatten().map(|entry| entry.path());
    let libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    libraries.into_iter().find(|library| library.exists())
}

/// Whether a binary has a loader, which loads what `LD_PRELOAD` names: its path stands close to the
/// front of the file.
fn has_a_loader(binary: &Path) -> bool {
    let mut front = Vec::new();
    let read = File::open(binary).and_then(|file| file.take(FRONT_BYTES).read_to_end(&mut front));
    read.expect("the binary is there");
    front.windows(LOADER.len()).any(|bytes| bytes == LOADER)
}

/// A function on a machine that can be suspended, with a network of its own to Postgres and to the
/// keys.
struct Machine {
    server: Server,
    wall: WallClock,
    database: Proxy,
    keys_way: Proxy,
    publishing: AbortHandle,
    /// The right time.
    clock: Clock,
    issuer: Arc<Mutex<Issuer>>,
}

impl Machine {
    /// None where there is no libfaketime, or nothing to load it, which `seen` is told. Keys are made,
    /// and tokens, when `clock` says it is.
    async fn start(field: &Field, clock: Clock, seen: &mut Seen) -> Option<Self> {
        if !has_a_loader(&field.binary) {
            seen.skip("a static binary loads no libfaketime");
            return None;
        }
        let Some(wall) = WallClock::right() else {
            skip("there is no libfaketime, by which a running process's clock jumps");
            seen.skip("there is no libfaketime");
            return None;
        };
        let issuer = Issuer::in_memory(PROJECT, clock.clone()).expect("an issuer");
        let issuer = Arc::new(Mutex::new(issuer));
        let (address, publishing) = publish(Arc::clone(&issuer)).await;
        let (database, keys_way) = (Proxy::open(), Proxy::to(address));
        let (url, keys) = (database.url(&field.database), format!("http://{}/", keys_way.address));
        let mut settings = vec![("DATABASE_URL", &*url), ("JWKS_URL", &*keys)];
        settings.extend(wall.settings());
        let server = field.server(&settings);
        Some(Self { server, wall, database, keys_way, publishing, clock, issuer })
    }

    /// Stops the process, as a suspend does; sets its clock and loses its connections; lets it go on.
    async fn sleep_until(&self, ahead_secs: i64) {
        self.server.signal("STOP");
        sleep(Duration::from_millis(200)).await;
        self.database.lose();
        self.keys_way.lose();
        self.wall.set(ahead_secs);
        self.server.signal("CONT");
    }

    fn issuer(&self) -> Issuer {
        self.issuer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Withdraws all keys for new ones; whoever had the old ones.
    fn replace_keys(&self) -> Issuer {
        let fresh = Issuer::in_memory(PROJECT, self.clock.clone()).expect("an issuer");
        let mut issuer = self.issuer.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *issuer, fresh)
    }

    /// The neighbour over a connection of their own, with a token that was made just now.
    fn neighbour(&self, by: &Issuer) -> Person {
        let token = by.id_token("neighbour", &Map::new());
        Person::new(self.server.address, "neighbour", Some(token))
    }

    /// Calls of several at once; how many have failed.
    async fn failures(&self) -> usize {
        let mut calls = JoinSet::new();
        for _caller in 0..CALLERS {
            let neighbour = self.neighbour(&self.issuer());
            calls.spawn(async move { read(&neighbour).await.is_err() });
        }
        calls.join_all().await.into_iter().filter(|failed| *failed).count()
    }

    async fn watch(&self) -> Result<Streaming<WatchProfilesResponse>, Status> {
        let neighbour = self.neighbour(&self.issuer());
        let mut user = neighbour.user();
        let mut stream = user.watch_profiles(WatchProfilesRequest::default()).await?.into_inner();
        stream.message().await?;
        Ok(stream)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.publishing.abort();
    }
}

/// Serves the keys of whichever issuer there is.
async fn publish(issuer: Arc<Mutex<Issuer>>) -> (SocketAddr, AbortHandle) {
    let keys = async move || Json(issuer.lock().unwrap_or_else(PoisonError::into_inner).keys());
    let router = Router::new().route("/", get(keys));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    #[expect(clippy::disallowed_methods, reason = "it is ended with its machine")]
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    (address, serving.abort_handle())
}

/// A call to Postgres and back.
async fn read(person: &Person) -> Result<(), Status> {
    person.user().get_profile(GetProfileRequest::default()).await.map(drop)
}

/// What a call was told: OK, or a reason.
fn reason(outcome: &Result<(), Status>) -> String {
    outcome.as_ref().map_or_else(|status| told(status).reason, |()| "OK".to_owned())
}

/// Connections that listen for changes; those that are dead are still among them.
async fn listeners(field: &Field) -> i64 {
    let query = "select count(*) from pg_stat_activity
                 where datname = current_database() and application_name = 'mayfly_listen'";
    number(field, query).await
}

async fn two_hours(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let now = Clock::at(Clock::system().unix_secs());
    let Some(machine) = Machine::start(field, now, &mut seen).await else { return seen };
    let rounds = field.pick(1, 20);
    let (mut slowest, mut made_most, mut ahead_secs) = (Duration::ZERO, 0, 0);
    for _round in 0..rounds {
        seen.insist(machine.failures().await == 0, "not served before");
        let watching = machine.watch().await;
        seen.insist(watching.is_ok() && until_more(field, 0).await, "nobody listens before");
        let (made, listening) = (machine.database.made(), listeners(field).await);

        machine.clock.advance(SLEEP);
        let withdrawn = machine.replace_keys();
        ahead_secs += i64::try_from(SLEEP.as_secs()).unwrap_or(i64::MAX);
        let (old, new) = (machine.neighbour(&withdrawn), machine.neighbour(&machine.issuer()));
        machine.sleep_until(ahead_secs).await;
        let start = Instant::now();
        let timed = async { (reason(&read(&new).await), start.elapsed()) };
        let (by_old, (by_new, took)) = tokio::join!(read(&old), timed);
        slowest = slowest.max(took);
        let by_old = reason(&by_old);
        seen.insist(by_old == "TOKEN_INVALID", format!("a key that was withdrawn: {by_old}"));
        seen.insist(by_new == "OK", format!("a new key: {by_new}"));
        let failures = machine.failures().await;
        seen.insist(failures == 0, format!("{failures} of the next calls failed"));
        seen.insist(until_more(field, listening).await, "nobody listens after");
        made_most = made_most.max(machine.database.made() - made);
        drop(watching);
    }
    let limit = field.pick(FIRST_OK_BESIDE_OTHERS_MAX, FIRST_OK_MAX);
    let millis = slowest.as_secs_f64() * 1e3;
    seen.note(slowest <= limit, format!("{rounds} times; first OK after {millis:.0} ms at most"));
    seen.note(made_most <= MADE_MAX, format!("{made_most} connections made anew at most"));
    let panics = machine.server.panics();
    seen.note(panics.is_empty(), format!("{} panics", panics.len()));
    seen
}

/// Waits for more listeners than so many; whether there are.
async fn until_more(field: &Field, than: i64) -> bool {
    let start = Instant::now();
    while listeners(field).await <= than {
        if start.elapsed() > SOON {
            return false;
        }
        sleep(Duration::from_millis(20)).await;
    }
    true
}

async fn wrong_clocks(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let past = Clock::at(Clock::system().unix_secs() - 3700);
    let Some(machine) = Machine::start(field, past, &mut seen).await else { return seen };
    // Their tokens are good for an hour.
    let expired = machine.neighbour(&machine.issuer());
    let bearer = machine.issuer().id_token("sleeper", &Map::new());
    let sleeper = expired.signed_in_as("sleeper", bearer);
    machine.clock.advance(Duration::from_secs(3700));
    let fresh = machine.neighbour(&machine.issuer());
    // The keys are there. A connection is not: what is no sleep yet leaves those that there are.
    let told = reason(&read(&expired).await);
    seen.insist(told == "TOKEN_EXPIRED", format!("before: {told}"));

    machine.sleep_until(-5).await;
    let told = reason(&read(&fresh).await);
    seen.note(told == "OK", format!("5 s slow, a token from 5 s ahead: {told}"));

    machine.sleep_until(-3600).await;
    let told = (reason(&read(&expired).await), reason(&read(&sleeper).await));
    let is_served = (&*told.0, &*told.1) == ("OK", "NOT_FOUND");
    seen.note(is_served, format!("an hour back, tokens of an hour ago: {told:?}"));
    let disable = "insert into mayfly.revocation (user_id, is_disabled) values ('sleeper', true)
                   returning 1::bigint";
    number(field, disable).await;
    let start = Instant::now();
    let is_revoked = async || reason(&read(&sleeper).await) == "TOKEN_REVOKED";
    while !is_revoked().await && start.elapsed() < SOON {
        sleep(Duration::from_millis(50)).await;
    }
    let took = start.elapsed();
    let limit = field.pick(SOON, REVOKED_MAX);
    let millis = took.as_secs_f64() * 1e3;
    seen.note(took <= limit, format!("a revocation is seen after {millis:.0} ms"));

    machine.sleep_until(0).await;
    let told = (reason(&read(&expired).await), reason(&read(&fresh).await));
    let is_right = (&*told.0, &*told.1) == ("TOKEN_EXPIRED", "OK");
    seen.note(is_right, format!("put right, an expired and a fresh token: {told:?}"));
    let panics = machine.server.panics();
    seen.note(panics.is_empty(), format!("{} panics", panics.len()));
    seen
}
