//! Peers that begin something and do not go on, or say nothing at all.

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::StreamBody;
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::user::v1::WatchProfilesRequest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_stream::{self as stream, StreamExt};
use tonic::Status;

use super::{
    Case, Field, Seen,
    field::token,
    floods::GET,
    frame::{DATA, END_HEADERS, HEADERS, PREFACE, SETTINGS, call, frame},
    peer::{Manners, Peer},
};
use crate::told;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "nothing said, or a preface byte by byte",
        expected: "closed within PREFACE_MS_MAX (10 s)",
        run: |field| Box::pin(slow_preface(field)),
    },
    Case {
        name: "a preface and no SETTINGS; half a frame",
        expected: "closed within PREFACE_MS_MAX (10 s)",
        run: |field| Box::pin(silent_after(field, bare_prefaces())),
    },
    Case {
        name: "HEADERS without END_HEADERS, held",
        expected: "closed within PREFACE_MS_MAX (10 s)",
        run: |field| Box::pin(silent_after(field, held_headers())),
    },
    Case {
        name: "half a head of HTTP/1.1, byte by byte",
        expected: "closed within PREFACE_MS_MAX (10 s)",
        run: |field| Box::pin(slow_head(field)),
    },
    Case {
        name: "a peer that acknowledges no PING, with a Watch open",
        expected: "closed within KEEPALIVE_SECS and 10 s (35 s in all)",
        run: |field| Box::pin(silent_watcher(field)),
    },
    Case {
        name: "half a request of a Watch, held",
        expected: "4 REQUEST_STALLED after BODY_IDLE_MS_MAX (30 s)",
        run: |field| Box::pin(stalled_request(field)),
    },
];

pub(super) const WATCH: &str = "/mayfly.user.v1.UserService/WatchProfiles";

/// The preface's limit in the suite, and by default; and how much later an end may be seen.
fn limit(field: &Field) -> (Duration, &'static str) {
    field.pick((Duration::from_millis(700), "700"), (Duration::from_secs(10), "10000"))
}

const LATE_MAX: Duration = Duration::from_secs(2);

fn note_end(seen: &mut Seen, what: &str, took: Option<Duration>, limit: Duration) {
    let is_good = took.is_some_and(|took| took <= limit + LATE_MAX);
    seen.note(
        is_good,
        match took {
            Some(took) => format!("{what}: closed after {:.1} s", took.as_secs_f64()),
            None => format!("{what}: still open"),
        },
    );
}

async fn slow_preface(field: &Field) -> Seen {
    let (limit, setting) = limit(field);
    let watched = field.watched(&[("PREFACE_MS_MAX", setting)]).await;
    let address = watched.server.address;
    let mut seen = Seen::default();
    let every = field.pick(Duration::from_millis(50), Duration::from_secs(1));
    let (silent, dripping) = tokio::join!(drip(address, &[], every), drip(address, PREFACE, every));
    note_end(&mut seen, "silent", silent.ok(), limit);
    note_end(&mut seen, "dripping", dripping.ok(), limit);
    watched.end(&mut seen, 8.0).await;
    seen
}

/// Sends byte by byte until it is closed; how long that took.
async fn drip(address: SocketAddr, bytes: &[u8], every: Duration) -> io::Result<Duration> {
    let start = Instant::now();
    let (mut read, mut write) = TcpStream::connect(address).await?.into_split();
    let writing = async {
        for byte in bytes {
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(every).await;
        }
        std::future::pending::<()>().await;
    };
    let mut said = Vec::new();
    let reading = timeout(Duration::from_mins(1), read.read_to_end(&mut said));
    tokio::select! {
        () = writing => {}
        // A reset is an end as well.
        ended = reading => drop(ended?),
    }
    Ok(start.elapsed())
}

fn bare_prefaces() -> [Vec<u8>; 2] {
    [PREFACE.to_vec(), [PREFACE, &[0, 0]].concat()]
}

fn held_headers() -> [Vec<u8>; 2] {
    let settings = frame(SETTINGS, 0, 0, &[]);
    let headers = frame(HEADERS, 0, 1, &call(GET, None));
    let half = &headers[..headers.len() / 2];
    [[PREFACE, &settings, &headers].concat(), [PREFACE, &settings, half].concat()]
}

async fn silent_after(field: &Field, said: [Vec<u8>; 2]) -> Seen {
    let (limit, setting) = limit(field);
    let watched = field.watched(&[("PREFACE_MS_MAX", setting)]).await;
    let mut seen = Seen::default();
    for (number, said) in said.iter().enumerate() {
        let mut peer =
            Peer::saying(watched.server.address, said).await.expect("the server listens");
        let took = peer.ended(limit + LATE_MAX * 2).await;
        note_end(&mut seen, &format!("form {}", number + 1), took, limit);
    }
    watched.end(&mut seen, 8.0).await;
    seen
}

async fn slow_head(field: &Field) -> Seen {
    let (limit, setting) = limit(field);
    let watched = field.watched(&[("PREFACE_MS_MAX", setting)]).await;
    let mut seen = Seen::default();
    let head = b"GET /healthz HTTP/1.1\r\nhost: example.com\r\nx-filler: abcdefghijklmnopqrstuvw";
    let every = field.pick(Duration::from_millis(50), Duration::from_secs(1));
    let took = drip(watched.server.address, head, every).await;
    // First the preface's time, to find out what it speaks, then the head's.
    note_end(&mut seen, "dripping", took.ok(), limit);
    watched.end(&mut seen, 8.0).await;
    seen
}

async fn silent_watcher(field: &Field) -> Seen {
    let secs = field.pick("1", "20");
    let watched = field.watched(&[("KEEPALIVE_SECS", secs)]).await;
    let mut seen = Seen::default();
    let manners = Manners { answers: false, ..Manners::POLITE };
    let mut peer =
        Peer::connect(watched.server.address, manners).await.expect("the server listens");
    let begun = frame(HEADERS, END_HEADERS, 1, &call(WATCH, Some(&token("neighbour"))));
    let asked = framed(&WatchProfilesRequest::default());
    let body = frame(DATA, 1, 1, &asked);
    peer.send(&[begun, body].concat()).await.expect("it is sent");
    let is_watching = peer.sees(Duration::from_secs(10), |seen| seen.body_bytes > 0).await;
    seen.note(is_watching, "the watch is open");
    let limit = field.pick(Duration::from_secs(11), Duration::from_secs(33));
    let took = peer.ended(limit + LATE_MAX * 2).await;
    note_end(&mut seen, "silent", took, limit);
    watched.end(&mut seen, 8.0).await;
    seen
}

/// A message as gRPC frames it.
pub(super) fn framed(message: &impl prost::Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).expect("messages are short");
    [&[0], &length.to_be_bytes()[..], &message].concat()
}

async fn stalled_request(field: &Field) -> Seen {
    let (limit, setting) =
        field.pick((Duration::from_millis(700), "700"), (Duration::from_secs(30), "30000"));
    let watched = field.watched(&[("BODY_IDLE_MS_MAX", setting)]).await;
    let mut seen = Seen::default();
    let start = Instant::now();
    let answer = timeout(limit + LATE_MAX, half_asked(watched.server.address)).await;
    let took = start.elapsed();
    let told = match &answer {
        Ok(Some(status)) => {
            let told = told(status);
            format!("{} {}", told.code as i32, told.reason)
        }
        Ok(None) => "no status".to_owned(),
        Err(_elapsed) => "nothing".to_owned(),
    };
    seen.note(
        told == "4 REQUEST_STALLED" && took >= limit.mul_f64(0.9),
        format!("{told} after {:.1} s", took.as_secs_f64()),
    );
    watched.end(&mut seen, 8.0).await;
    seen
}

/// What the head of the answer says to half a request of a Watch.
async fn half_asked(address: SocketAddr) -> Option<Status> {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    let mut connected = JoinSet::new();
    connected.spawn(async move { drop(connection.await) });
    let half = Frame::data(Bytes::from_static(&[0, 0, 0, 0, 9, 1]));
    let sent = stream::iter([Ok::<_, Infallible>(half)]).chain(stream::pending());
    let request = Request::post(format!("http://{address}{WATCH}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", token("neighbour")))
        .body(StreamBody::new(sent))
        .expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    Status::from_header_map(answer.headers())
}
