//! Many connections: more than may be, more than there are descriptors for, or none that speaks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto::user::v1::GetProfileRequest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tonic::{Code, Status};

use super::{
    Case, Field, Seen,
    cancels::beside_a_timer,
    field::{Watched, person},
};
use crate::{Person, Server};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "200 connections that say nothing",
        expected: "a new connection is answered within 0.5 s",
        run: |field| Box::pin(half_open(field)),
    },
    Case {
        name: "MAX_CONNS reached",
        expected: "the next waits, and is served when one leaves",
        run: |field| Box::pin(full(field)),
    },
    Case {
        name: "ten times as many callers as there are places",
        expected: "some are served, the others told 14; health within 50 ms and what timers are late (median); served as before within 5 s",
        run: |field| Box::pin(overloaded(field)),
    },
    Case {
        name: "512 MiB of address space",
        expected: "it starts and serves",
        run: |field| Box::pin(little_memory(field)),
    },
    Case {
        name: "32 processes and threads (pids.max), and fewer than it needs",
        expected: "it starts and serves; with 3, a named error and no panic",
        run: |field| Box::pin(few_threads(field)),
    },
    Case {
        name: "no descriptors left (ulimit -n 64)",
        expected: "less than 10 % of a core, served again within 5 s of their return",
        run: |field| Box::pin(out_of_descriptors(field)),
    },
];

const SOON: Duration = Duration::from_millis(500);

/// What the health is answered within, which asks nobody.
const HEALTH_MAX: Duration = Duration::from_millis(50);

/// Places for calls, and callers who want one.
const PLACES: usize = 10;
const CALLERS: usize = 10 * PLACES;

/// Asks for the health over a connection of its own; how long that took, if it came to an answer.
pub(super) async fn healthz(server: &Server, within: Duration) -> Option<Duration> {
    let start = Instant::now();
    let asked = timeout(within, async {
        let mut stream = TcpStream::connect(server.address).await.ok()?;
        let head = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(head).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.starts_with("HTTP/1.1 200 ").then_some(())
    });
    asked.await.ok()??;
    Some(start.elapsed())
}

/// Asks for the health again and again; how long each answer took, beside what timers were late by:
/// they tell how long whoever asks was kept from the processor.
pub(super) async fn health(field: &Field, server: &Server) -> Vec<Duration> {
    let (patience, mut took) = (SOON * 10, Vec::new());
    for _ in 0..field.pick(20, 100) {
        let (answered, late) = beside_a_timer(healthz(server, patience)).await;
        took.push(answered.map_or(patience, |took| took.saturating_sub(late)));
    }
    took
}

/// Notes whether all were answered, and so many of a hundred in time. What else there is to do on a
/// machine says little of the quickest.
pub(super) fn healthy_in_time(seen: &mut Seen, took: Vec<Duration>, percent: usize) {
    let (asked, all) = (took.len(), took.iter().all(|took| *took < SOON * 10));
    let most = within(took, percent);
    seen.note(
        all && most <= HEALTH_MAX,
        format!("health asked {asked} times, {percent} % within {}", in_ms(Some(most))),
    );
}

/// What so many of a hundred were not longer than.
pub(super) fn within(mut took: Vec<Duration>, percent: usize) -> Duration {
    took.sort_unstable();
    let place = took.len().saturating_sub(1) * percent / 100;
    took.get(place).copied().unwrap_or_default()
}

async fn silent(server: &Server, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(TcpStream::connect(server.address).await.expect("the kernel takes it"));
    }
    streams
}

fn in_ms(took: Option<Duration>) -> String {
    took.map_or("not answered".to_owned(), |took| format!("{:.1} ms", took.as_secs_f64() * 1e3))
}

async fn half_open(field: &Field) -> Seen {
    let watched = field.watched(&[("PREFACE_MS_MAX", "60000")]).await;
    let mut seen = Seen::default();
    let streams = silent(&watched.server, 200).await;
    let took = healthz(&watched.server, SOON * 10).await;
    let limit = field.pick(SOON * 6, SOON);
    seen.note(took.is_some_and(|took| took <= limit), format!("answered in {}", in_ms(took)));
    drop(streams);
    watched.end(&mut seen, 8.0).await;
    seen
}

async fn full(field: &Field) -> Seen {
    let watched = field.watched(&[("MAX_CONNS", "20"), ("PREFACE_MS_MAX", "60000")]).await;
    let mut seen = Seen::default();
    // The neighbour is the first of the twenty.
    let mut streams = silent(&watched.server, 19).await;
    let early = healthz(&watched.server, SOON).await;
    seen.note(early.is_none(), format!("the 21st while all are taken: {}", in_ms(early)));
    drop(streams.pop());
    let late = healthz(&watched.server, SOON * 10).await;
    seen.note(late.is_some(), format!("once one has left: {}", in_ms(late)));
    drop(streams);
    watched.end(&mut seen, 8.0).await;
    seen
}

/// Calls again and again, whatever it is told; how often it was served, shed, and told something else.
async fn insists(caller: Person, is_done: Arc<AtomicBool>) -> (usize, usize, Vec<Status>) {
    let (mut answered, mut shed, mut others) = (0, 0, Vec::new());
    while !is_done.load(Ordering::Relaxed) {
        match caller.user().get_profile(GetProfileRequest::default()).await {
            Ok(_own) => answered += 1,
            Err(status) if status.code() == Code::Unavailable => shed += 1,
            Err(status) => others.push(status),
        }
    }
    (answered, shed, others)
}

async fn overloaded(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let server = field.server(&[("MAX_IN_FLIGHT", &PLACES.to_string())]);
    let is_done = Arc::new(AtomicBool::new(false));
    let mut calling = JoinSet::new();
    for _ in 0..CALLERS {
        calling.spawn(insists(person(&server, "neighbour"), Arc::clone(&is_done)));
    }
    sleep(SOON).await;
    let healthy = health(field, &server).await;
    sleep(field.pick(SOON, SOON * 10)).await;
    is_done.store(true, Ordering::Relaxed);
    let (mut answered, mut shed, mut others) = (0, 0, Vec::new());
    for (own, refused, told) in calling.join_all().await {
        answered += own;
        shed += refused;
        others.extend(told);
    }
    let some = others.iter().take(3).collect::<Vec<_>>();
    seen.note(
        answered > 0 && shed > 0 && others.is_empty(),
        format!("{answered} calls served, {shed} shed, {} told otherwise {some:?}", others.len()),
    );
    // A debug build beside other tests is kept from the processor by those who insist.
    if field.is_short() {
        seen.note(healthy.iter().all(|took| *took < SOON * 10), "health is answered");
    } else {
        healthy_in_time(&mut seen, healthy, 50);
    }
    let (caller, start) = (person(&server, "neighbour"), Instant::now());
    let again = async || caller.user().get_profile(GetProfileRequest::default()).await.is_ok();
    while !again().await && start.elapsed() < SOON * 20 {}
    let took = start.elapsed();
    seen.note(took <= SOON * 10, format!("served as before after {}", in_ms(Some(took))));
    seen
}

async fn little_memory(field: &Field) -> Seen {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -v 524288; exec \"$0\" \"$1\""]).arg(&field.binary);
    let watched = Watched::of(Server::with(&mut command, &field.database, &[]), field.size).await;
    let mut seen = Seen::default();
    let took = healthz(&watched.server, SOON * 10).await;
    seen.note(took.is_some(), format!("answered in {}", in_ms(took)));
    watched.end(&mut seen, 8.0).await;
    seen
}

async fn few_threads(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let Some(group) = Group::make() else {
        seen.skip("no cgroup with pids.max can be made here");
        return seen;
    };
    group.set_max(3);
    let mut server = Server::unawaited(&mut group.command(field), &field.database);
    let ended = server.ended(SOON * 10).await.map(|(_took, code)| code);
    let is_named = ended == Some(Some(69)) && server.panics().is_empty();
    seen.note(is_named, format!("with 3: exit {ended:?}, {} panics", server.panics().len()));
    drop(server);
    group.set_max(32);
    let server = Server::with(&mut group.command(field), &field.database, &[]);
    let watched = Watched::of(server, field.size).await;
    let took = healthz(&watched.server, SOON * 10).await;
    seen.note(took.is_some(), format!("with 32: answered in {}", in_ms(took)));
    watched.end(&mut seen, 8.0).await;
    seen
}

/// A cgroup of its own; it goes with the value, once nobody is in it.
struct Group(PathBuf);

impl Group {
    /// Under the first of these that allows it: version 1 of cgroups, or 2.
    fn make() -> Option<Self> {
        ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].iter().find_map(|parent| {
            let group = Self(Path::new(parent).join(format!("mayfly-{}", std::process::id())));
            fs::create_dir(&group.0).ok()?;
            fs::exists(group.0.join("pids.max")).is_ok_and(|is_there| is_there).then_some(group)
        })
    }

    fn set_max(&self, count: u32) {
        fs::write(self.0.join("pids.max"), count.to_string()).expect("its maker may");
    }

    /// The function, as a member from its first moment.
    fn command(&self, field: &Field) -> Command {
        let join = format!("echo $$ > {}/cgroup.procs", self.0.display());
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("{join} && exec \"$0\" \"$1\"")]).arg(&field.binary);
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // One that somebody is still in stays, and is empty soon.
        let _is_gone = fs::remove_dir(&self.0);
    }
}

async fn out_of_descriptors(field: &Field) -> Seen {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$1\""]).arg(&field.binary);
    let settings = [("PREFACE_MS_MAX", "60000")];
    let watched =
        Watched::of(Server::with(&mut command, &field.database, &settings), field.size).await;
    let mut seen = Seen::default();
    let span = field.pick(Duration::from_secs(2), Duration::from_secs(5));
    let used = async || {
        let (before, calls) = (watched.cpu(), watched.calls());
        sleep(span).await;
        let used = watched.cpu().saturating_sub(before).as_secs_f64() / span.as_secs_f64();
        (used, f64::from(u32::try_from(watched.calls() - calls).unwrap_or(u32::MAX)))
    };
    // What the neighbour's own calls cost, which differs from machine to machine; it does not make
    // as many of them at all times.
    let (quiet, calls) = used().await;
    let each = quiet / calls.max(1.0);
    let streams = silent(&watched.server, 200).await;
    sleep(SOON).await;
    let (used, calls) = used().await;
    let used = used - each * calls;
    seen.note(
        used <= 0.10,
        format!("{:.1} % of a core, beside the neighbour's calls", used * 100.0),
    );
    drop(streams);
    let start = Instant::now();
    while healthz(&watched.server, SOON).await.is_none() && start.elapsed() < SOON * 20 {}
    let took = start.elapsed();
    seen.note(took <= SOON * 10, format!("served again after {:.0} ms", took.as_secs_f64() * 1e3));
    watched.end(&mut seen, 8.0).await;
    seen
}
