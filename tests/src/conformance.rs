//! HTTP/2 as RFC 9113 and RFC 7541 have it, a frame at a time: what is sent, and what a server may
//! make of it.
//!
//! Every case is tried over a connection of its own. A server of hyper alone stands beside ours, so
//! that what ours adds around hyper can be told from what hyper does.

mod frames;
mod settings;
mod states;
mod windows;
mod messages;
mod compression;
mod plain;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

use crate::faults::{
    frame::{
        DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, block, call, frame,
    },
    peer::{Manners, Peer, Seen},
};

pub use plain::Plain;

/// How long an outcome is waited for, and how long for one that would be worse.
const WAIT_MAX: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_millis(100);

/// Connections at a time: two cores have to answer them all in time.
const AT_ONCE: usize = 8;

/// Is what a PING carries that tells whether a server goes on.
const PROBE: &[u8] = b"go on? .";

/// Error codes (RFC 9113, 7).
const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION: u32 = 9;

/// One sentence of an RFC, tried.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The section, of RFC 9113 unless it says so.
    pub section: &'static str,
    /// What is sent.
    pub what: &'static str,
    /// What a server may make of it.
    pub allowed: &'static [Outcome],
    start: Start,
    say: fn() -> Vec<u8>,
}

/// What comes before that which is tried.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// Nothing: not even a preface.
    Nothing,
    /// A preface and SETTINGS, which the server has acknowledged.
    Greeted,
    /// This as well, and the server has begun to answer it.
    Answered(fn() -> Vec<u8>),
}

/// What a server makes of something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// GOAWAY with this code, and the connection is closed.
    Away(u32),
    /// GOAWAY with this code, and the connection is still there.
    Lingers(u32),
    /// The connection is closed without a word.
    Closed,
    /// A stream is reset with this code.
    Reset(u32),
    /// Bytes of an answer whose rest is held back.
    Held(u64),
    /// The whole of an answer, whose status begins with this digit.
    Answer(u8),
    /// It has acknowledged SETTINGS.
    Ack,
    /// It goes on as if nothing had been sent.
    GoesOn,
    /// None of these.
    Nothing,
}

/// How good an outcome is, the worst first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Grade {
    /// It is not what the section says.
    Wrong,
    /// The connection is ended as it should be, with `PROTOCOL_ERROR` for a code that is narrower.
    Unspecific,
    /// It is what the section says.
    Allowed,
}

use Outcome::{Ack, Answer, Away, Closed, GoesOn, Held, Reset};

/// What is allowed for most of the cases. An error of a stream may always be taken for one of the
/// connection (5.4.2), and who closes a connection should have said why, but need not (5.4.1).
const SERVED: &[Outcome] = &[Answer(2)];
const IGNORED: &[Outcome] = &[GoesOn];
const ACKNOWLEDGED: &[Outcome] = &[Ack];
const AWAY: &[Outcome] = &[Away(PROTOCOL), Closed];
const AWAY_FOR_SIZE: &[Outcome] = &[Away(FRAME_SIZE), Closed];
const AWAY_FOR_WINDOW: &[Outcome] = &[Away(FLOW_CONTROL), Closed];
const AWAY_FOR_BLOCK: &[Outcome] = &[Away(COMPRESSION), Closed];
const RESET: &[Outcome] = &[Reset(PROTOCOL), Away(PROTOCOL), Closed];
const RESET_FOR_SIZE: &[Outcome] = &[Reset(FRAME_SIZE), Away(FRAME_SIZE), Closed];
const RESET_FOR_WINDOW: &[Outcome] = &[Reset(FLOW_CONTROL), Away(FLOW_CONTROL), Closed];
const RESET_AS_CLOSED: &[Outcome] = &[Reset(STREAM_CLOSED), Away(STREAM_CLOSED), Closed];
/// A request that is malformed may be answered as well (8.1.1).
const MALFORMED: &[Outcome] = &[Reset(PROTOCOL), Away(PROTOCOL), Closed, Answer(4)];

const fn case(
    section: &'static str,
    what: &'static str,
    allowed: &'static [Outcome],
    say: fn() -> Vec<u8>,
) -> Case {
    Case { section, what, allowed, start: Start::Greeted, say }
}

/// Every case, by chapter.
pub fn cases() -> Vec<Case> {
    [
        frames::CASES,
        settings::CASES,
        states::CASES,
        windows::CASES,
        messages::CASES,
        compression::CASES,
    ]
    .concat()
}

/// What a server makes of each case, in their order.
pub async fn outcomes(address: SocketAddr, cases: &[Case]) -> Vec<Outcome> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut trying = JoinSet::new();
    for (number, case) in cases.iter().copied().enumerate() {
        let places = Arc::clone(&places);
        trying.spawn(async move {
            let _place = places.acquire().await;
            (number, case.outcome(address).await)
        });
    }
    let mut outcomes = trying.join_all().await;
    outcomes.sort_unstable_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

impl Case {
    const fn after(self, first: fn() -> Vec<u8>) -> Self {
        Self { start: Start::Answered(first), ..self }
    }

    const fn unopened(self) -> Self {
        Self { start: Start::Nothing, ..self }
    }

    /// How good this is.
    pub fn grade(&self, outcome: Outcome) -> Grade {
        if self.allows(outcome) {
            Grade::Allowed
        } else if outcome == Away(PROTOCOL) && self.allows(Closed) {
            Grade::Unspecific
        } else {
            Grade::Wrong
        }
    }

    fn allows(&self, outcome: Outcome) -> bool {
        self.allowed.contains(&outcome)
    }

    /// Tries it over a new connection.
    pub async fn outcome(&self, address: SocketAddr) -> Outcome {
        match self.start(address).await {
            Some(peer) => self.outcome_of(peer).await,
            None => Outcome::Nothing,
        }
    }

    async fn start(&self, address: SocketAddr) -> Option<Peer> {
        let first = match self.start {
            Start::Nothing => return Peer::saying(address, &[]).await.ok(),
            Start::Greeted => None,
            Start::Answered(first) => Some(first),
        };
        let mut peer = Peer::connect(address, Manners::POLITE).await.ok()?;
        peer.sees(WAIT_MAX, |seen| seen.acks > 0).await;
        if let Some(first) = first {
            peer.send(&first()).await.ok()?;
            peer.sees(WAIT_MAX, |seen| seen.headers > 0).await;
            // The rest of it, if there is one.
            peer.sees(SETTLE, |seen| seen.ends > 0).await;
        }
        Some(peer)
    }

    async fn outcome_of(&self, mut peer: Peer) -> Outcome {
        let before = peer.seen();
        let mut said = (self.say)();
        if self.allows(GoesOn) {
            said.extend(frame(PING, 0, 0, PROBE));
        }
        // A server that has closed it takes no more.
        let _outcome = peer.send(&said).await;
        let is_met = |seen: &Seen| self.allows(outcome(&before, seen));
        peer.sees(WAIT_MAX, |seen| is_met(seen) || seen.ended.is_some()).await;
        if self.allowed.iter().any(|allowed| matches!(allowed, GoesOn | Held(_))) {
            // What it holds against this may come later than its answer to the PING.
            sleep(SETTLE).await;
        }
        outcome(&before, &peer.seen())
    }
}

/// What a server has made of something, the worst first.
fn outcome(before: &Seen, seen: &Seen) -> Outcome {
    // A stream whose answer is whole may be reset without an error (8.1).
    let reset = seen.resets.keys().copied().find(|code| *code != 0);
    match (&seen.goaway, seen.ended.is_some(), reset) {
        (Some((code, ..)), true, _) => Away(*code),
        (Some((code, ..)), false, _) => Outcome::Lingers(*code),
        (None, true, _) => Closed,
        (None, false, Some(code)) => Reset(code),
        (None, false, None) if seen.ends > before.ends => Answer(status_class(&seen.head)),
        (None, false, None) if seen.headers > 0 && seen.ends == 0 => Held(seen.body_bytes),
        (None, false, None) if seen.pongs.last().is_some_and(|pong| pong == PROBE) => GoesOn,
        (None, false, None) if seen.acks > before.acks => Ack,
        (None, false, None) => Outcome::Nothing,
    }
}

/// The first digit of a status, from the first field of an answer: whole in the static table, or a
/// name of it and three digits in Huffman's code.
fn status_class(head: &[u8]) -> u8 {
    match head {
        // Before it, the size of a table.
        [0x20, rest @ ..] => status_class(rest),
        [0x88..=0x8a, ..] => 2,
        [0x8b, ..] => 3,
        [0x8c | 0x8d, ..] => 4,
        [0x8e, ..] => 5,
        [0x08 | 0x48, _length, digit, ..] if digit >> 2 == 0b01_1010 => 4,
        [0x08 | 0x48, _length, digit, ..] if digit >> 2 == 0b01_1011 => 5,
        _ => 0,
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Away(code) => write!(f, "GOAWAY {code}"),
            Self::Lingers(code) => write!(f, "GOAWAY {code}, not closed"),
            Closed => f.write_str("closed"),
            Reset(code) => write!(f, "RST_STREAM {code}"),
            Held(bytes) => write!(f, "held at {bytes} B"),
            Answer(class) => write!(f, "answered {class}xx"),
            Ack => f.write_str("acknowledged"),
            GoesOn => f.write_str("goes on"),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

// === what is sent in many cases ===

/// A path of the process itself, which answers with a body and reads none.
const HEALTHZ: &str = "/healthz";

/// A call that is answered once its request has ended.
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// The one message of a request to [`CHECK`].
const QUESTION: &[u8] = &[0; 5];

/// The fields of a request for the health.
const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", HEALTHZ), (":authority", "x")];

/// A block of these fields and more.
fn block_with(more: &[(&str, &str)]) -> Vec<u8> {
    block(&[&GET, more].concat())
}

/// A request for the health, whole.
fn get(stream: u32) -> Vec<u8> {
    headers(END_HEADERS | END_STREAM, stream, &block(&GET))
}

/// A call whose body is still to come.
fn open(stream: u32) -> Vec<u8> {
    headers(END_HEADERS, stream, &call(CHECK, None))
}

/// The end of that call.
fn question(stream: u32) -> Vec<u8> {
    data(END_STREAM, stream, QUESTION)
}

fn data(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, payload)
}

fn headers(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags, stream, payload)
}

/// Takes back a stream, as one that is not wanted any more.
fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])
}

fn priority(stream: u32, on: u32) -> Vec<u8> {
    frame(PRIORITY, 0, stream, &[&on.to_be_bytes()[..], &[15]].concat())
}

fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

/// What opens a connection, before this.
fn opened(then: &[u8]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[]), then].concat()
}

fn joined(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.concat()
}
