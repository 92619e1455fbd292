//! A process that is stopped, told to stop, or put to sleep.

use std::{process::Command, time::Duration};

use proto::user::v1::GetProfileRequest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    Case, Field, Seen,
    crowds::healthz,
    field::{person, token},
    floods::GET,
    frame::{DATA, END_HEADERS, END_STREAM, HEADERS, call, frame},
    peer::{Manners, Peer},
    writers::create,
    writes::{Lock, number},
};
use crate::{Person, Proxy, Server, until};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "SIGTERM with three peers that would hold the drain",
        expected: "exit 0 within 6 s of 20: unanswered GOAWAY, half a head, half a body",
        run: |field| Box::pin(held_drain(field)),
    },
    Case {
        name: "SIGTERM, SIGINT: bad health first, and still accepting",
        expected: "503 over a new connection, then none is taken, exit 0",
        run: |field| Box::pin(lame_duck(field)),
    },
    Case {
        name: "a connection at its maximum age, with a call under way",
        expected: "GOAWAY, the call finishes, closed",
        run: |field| Box::pin(aged(field)),
    },
    Case {
        name: "a signal within 50 ms of the start",
        expected: "gone within 2 s, every time: with 0, or by the signal itself before anything handles it",
        run: |field| Box::pin(early_signal(field)),
    },
    Case {
        name: "a second signal",
        expected: "exit 143 or 130 at once",
        run: |field| Box::pin(second_signal(field)),
    },
    Case {
        name: "SIGSTOP for longer than the watchdog's patience, then SIGCONT",
        expected: "the same process serves on; one reconnect at most",
        run: |field| Box::pin(suspended(field)),
    },
];

const SOON: Duration = Duration::from_secs(5);

async fn held_drain(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let mut server = field.server(&[]);
    let manners = Manners { answers: false, ..Manners::POLITE };
    let mut mute = Peer::connect(server.address, manners).await.expect("the server listens");
    mute.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &call(GET, None)))
        .await
        .expect("it is sent");
    let is_answered = mute.sees(Duration::from_secs(5), |seen| seen.headers > 0).await;
    seen.note(is_answered, "one call answered");
    let head = saying(&server, "POST /x HTTP/1.1\r\nhost: x\r\ncontent-le").await;
    let start = format!("POST {GET} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
    let body = saying(&server, &format!("{start}content-length: 100\r\n\r\n{{")).await;
    // Whoever was accepted before this answer is among those that are drained.
    seen.note(healthz(&server, Duration::from_secs(5)).await.is_some(), "healthy");
    server.signal("TERM");
    match server.ended(Duration::from_secs(25)).await {
        Some((took, code)) => seen.note(
            code == Some(0) && took <= Duration::from_secs(6),
            format!("exit {code:?} after {:.1} s", took.as_secs_f64()),
        ),
        None => seen.note(false, "still runs after 25 s"),
    }
    drop((mute, head, body));
    seen
}

async fn saying(server: &Server, said: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.expect("the server listens");
    stream.write_all(said.as_bytes()).await.expect("it is sent");
    stream
}

async fn lame_duck(field: &Field) -> Seen {
    let mut seen = Seen::default();
    for signal in ["TERM", "INT"] {
        let mut server = field.server(&[]);
        seen.note(healthz(&server, Duration::from_secs(5)).await.is_some(), "200 before");
        let (mut bad, mut refused) = bad_and_refused(&server, signal).await;
        // Beside other tests nobody may come to ask within the half second.
        for _ in 1..field.pick(3, 1) {
            if bad.is_none() {
                server = field.server(&[]);
                (bad, refused) = bad_and_refused(&server, signal).await;
            }
        }
        let ended = server.ended(Duration::from_secs(5)).await;
        let ms = |took: Option<Duration>| took.map(|took| took.as_millis());
        seen.note(
            bad.is_some() && bad < refused && ended.is_some_and(|(_took, code)| code == Some(0)),
            format!(
                "{signal}: 503 from {:?} ms, refused from {:?} ms, exit {:?}",
                ms(bad),
                ms(refused),
                ended.and_then(|(_took, code)| code)
            ),
        );
    }
    seen
}

/// How long after a signal the health is bad, and after that nobody is taken any more.
async fn bad_and_refused(server: &Server, signal: &str) -> (Option<Duration>, Option<Duration>) {
    server.signal(signal);
    let start = Instant::now();
    let (mut bad, mut refused) = (None, None);
    while refused.is_none() && start.elapsed() < SOON {
        match status(server).await {
            Some(503) => {
                bad.get_or_insert_with(|| start.elapsed());
            }
            Some(_) => sleep(Duration::from_millis(5)).await,
            None => refused = Some(start.elapsed()),
        }
    }
    (bad, refused)
}

/// The status of the health, asked over a new connection; none if nobody takes it.
async fn status(server: &Server) -> Option<u16> {
    let mut stream = TcpStream::connect(server.address).await.ok()?;
    let head = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(head).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

async fn aged(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let server = field.server(&[("CONN_AGE_SECS_MAX", "1")]);
    let lock = Lock::on_profiles(field).await;
    let manners = Manners::POLITE;
    let mut peer = Peer::connect(server.address, manners).await.expect("the server listens");
    let begun = frame(HEADERS, END_HEADERS, 1, &call(GET, Some(&token("neighbour"))));
    let asked = frame(DATA, END_STREAM, 1, &[0; 5]);
    peer.send(&[begun, asked].concat()).await.expect("it is sent");
    let is_told = peer.sees(Duration::from_secs(5), |seen| seen.goaway.is_some()).await;
    let code = peer.seen().goaway.map(|(code, ..)| code);
    let is_waiting = peer.seen().headers == 0;
    seen.note(is_told && is_waiting && code == Some(0), format!("GOAWAY {code:?} meanwhile"));
    lock.release().await;
    let is_answered = peer.sees(Duration::from_secs(5), |seen| seen.body_bytes > 0).await;
    seen.note(is_answered, format!("answered: {is_answered}"));
    let closed = peer.ended(Duration::from_secs(5)).await;
    seen.note(closed.is_some(), format!("closed: {}", closed.is_some()));
    seen
}

async fn early_signal(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let (mut longest, mut codes) = (Duration::ZERO, std::collections::BTreeMap::new());
    let rounds: u64 = field.pick(10, 100);
    for round in 0..rounds {
        let mut server = Server::unawaited(&mut Command::new(&field.binary), &field.database);
        sleep(Duration::from_micros(round * 50_000 / rounds)).await;
        server.signal("TERM");
        let Some((took, code)) = server.ended(Duration::from_secs(10)).await else {
            seen.note(false, format!("round {round} still runs"));
            return seen;
        };
        longest = longest.max(took);
        seen.insist(matches!(code, None | Some(0)), format!("round {round}: exit {code:?}"));
        *codes
            .entry(code.map_or("by the signal".to_owned(), |code| code.to_string()))
            .or_insert(0) += 1;
    }
    seen.note(
        longest <= Duration::from_secs(2),
        format!(
            "{rounds} rounds, the longest {:.0} ms, exits {codes:?}",
            longest.as_secs_f64() * 1e3
        ),
    );
    seen
}

async fn second_signal(field: &Field) -> Seen {
    let mut seen = Seen::default();
    for (signal, expected) in [("TERM", 143), ("INT", 130)] {
        let mut server = field.server(&[]);
        // A call that waits, or the first signal would end it as well.
        let lock = Lock::on_profiles(field).await;
        let mut calls = JoinSet::new();
        let caller = person(&server, "second_signal");
        calls.spawn(async move { create(&caller, "second_signal").await.map(drop) });
        let waiting = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        until("a call waits", SOON, async || number(field, waiting).await > 0).await;
        server.signal("TERM");
        until("it drains", SOON, async || status(&server).await != Some(200)).await;
        server.signal(signal);
        // Left alone it would end with 0 once the call's five seconds are over.
        let ended = server.ended(SOON).await;
        let told = ended.map(|(took, code)| (code, took.as_millis()));
        let is_cut = ended.is_some_and(|(_took, code)| code == Some(expected));
        seen.note(is_cut, format!("{signal}: exit and ms {told:?}"));
        lock.release().await;
    }
    seen
}

async fn suspended(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let mut server = field.server(&[]);
    // What leads there counts how often somebody connects.
    let way = Proxy::to(server.address);
    let ada = Person::new(way.address, "neighbour", Some(token("neighbour")));
    let call = async || ada.user().get_profile(GetProfileRequest::default()).await.map(drop);
    seen.note(call().await.is_ok(), "serves");
    server.signal("STOP");
    sleep(field.pick(Duration::from_secs(3), Duration::from_secs(15))).await;
    server.signal("CONT");
    let start = Instant::now();
    let first = call().await;
    let took = start.elapsed();
    let second = call().await;
    let told = first.as_ref().err().map(tonic::Status::code);
    seen.note(
        second.is_ok() && took <= Duration::from_secs(2),
        format!(
            "first call: {:.0} ms, {told:?}; second: {:?}",
            took.as_secs_f64() * 1e3,
            second.err()
        ),
    );
    // Should the watchdog hold the sleep against it, that shows within ten looks.
    let is_gone = server.ended(field.pick(Duration::from_secs(1), Duration::from_secs(12))).await;
    seen.note(is_gone.is_none() && call().await.is_ok(), "the same process serves on");
    let again = way.made().saturating_sub(1);
    seen.note(again <= 1, format!("{again} reconnects"));
    seen
}
