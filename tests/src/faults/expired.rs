//! Calls whose time is over while Postgres holds them, and streams that reach their end: each is told
//! in time, and gives back what it had.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use proto::user::v1::{GetProfileRequest, WatchProfilesRequest};
use tokio::{
    net::TcpStream,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use super::{
    Case, Field, Seen,
    field::token,
    writes::{Lock, freed_max, nothing_is_left, number},
};
use crate::{Server, until};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "calls that expire while Postgres holds them",
        expected: "code 4 over gRPC, gRPC-Web and JSON, 50 ms late at most (p99); Postgres and the pool are free 500 ms later",
        run: |field| Box::pin(expired_calls(field)),
    },
    Case {
        name: "watches that reach their deadline",
        expected: "code 4 over gRPC and gRPC-Web, 100 ms late at most (p99)",
        run: |field| Box::pin(expired_watches(field)),
    },
];

const GET: &str = "/mayfly.user.v1.UserService/GetProfile";
const WATCH: &str = "/mayfly.user.v1.UserService/WatchProfiles";

/// Callers at a time, and connections for each: what is tried is the deadline, not the pool.
const CALLERS: usize = 20;

const CALL_MS: u64 = 250;
const WATCH_MS: u64 = 700;

const CALL_LATE_MAX: Duration = Duration::from_millis(50);
const WATCH_LATE_MAX: Duration = Duration::from_millis(100);
/// What other tests beside it may add.
const BESIDE_OTHERS_MAX: Duration = Duration::from_secs(2);

const SOON: Duration = Duration::from_secs(10);

/// What a call is made in, all of it over HTTP/2.
#[derive(Clone, Copy)]
enum Protocol {
    Grpc,
    GrpcWeb,
    Json,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Grpc, Self::GrpcWeb, Self::Json];

    fn headers(self, millis: u64) -> [(&'static str, String); 2] {
        let (kind, name, timeout) = match self {
            Self::Grpc => ("application/grpc", "grpc-timeout", format!("{millis}m")),
            Self::GrpcWeb => ("application/grpc-web+proto", "grpc-timeout", format!("{millis}m")),
            Self::Json => ("application/json", "connect-timeout-ms", millis.to_string()),
        };
        [("content-type", kind.to_owned()), (name, timeout)]
    }

    fn body(self, message: &impl Message) -> Vec<u8> {
        let message = message.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        match self {
            Self::Grpc | Self::GrpcWeb => [&[0], &length.to_be_bytes()[..], &message].concat(),
            // Everything that is asked here is asked by default.
            Self::Json => b"{}".to_vec(),
        }
    }

    /// The code that an answer tells, which is in another place in each.
    fn code(self, headers: &HeaderMap, body: &[u8]) -> String {
        let body = String::from_utf8_lossy(body);
        let after = |name: &str| {
            let rest = body.split(name).nth(1).unwrap_or_default();
            rest.chars().skip_while(|letter| !letter.is_alphanumeric()).collect::<String>()
        };
        let code = match (self, headers.get("grpc-status")) {
            (Self::Json, _) => after("\"code\""),
            (_, Some(code)) => String::from_utf8_lossy(code.as_bytes()).into_owned(),
            (_, None) => after("grpc-status:"),
        };
        let code: String =
            code.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        if code == "deadline_exceeded" { "4".to_owned() } else { code }
    }
}

/// A connection of one caller.
struct Caller {
    sender: SendRequest<Full<Bytes>>,
    connection: AbortHandle,
    bearer: String,
}

impl Caller {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = shaken.expect("the server speaks HTTP/2");
        #[expect(clippy::disallowed_methods, reason = "it is ended with its caller")]
        let connection = tokio::spawn(connection).abort_handle();
        Self { sender, connection, bearer: format!("Bearer {}", token("neighbour")) }
    }

    /// The code that a call ends with, and how much later than asked.
    async fn call(
        &mut self,
        protocol: Protocol,
        (path, message): (&str, &impl Message),
        millis: u64,
    ) -> (String, Duration) {
        let mut request = Request::post(format!("http://localhost{path}"))
            .header("te", "trailers")
            .header("authorization", &self.bearer);
        for (name, value) in protocol.headers(millis) {
            request = request.header(name, value);
        }
        let body = Full::new(Bytes::from(protocol.body(message)));
        let request = request.body(body).expect("a request");
        let start = Instant::now();
        let answer = self.sender.send_request(request).await.expect("an answer");
        let (head, body) = answer.into_parts();
        let body = body.collect().await.expect("the whole answer");
        let late = start.elapsed().saturating_sub(Duration::from_millis(millis));
        let trailers = body.trailers().cloned();
        let headers = trailers.filter(|trailers| !trailers.is_empty()).unwrap_or(head.headers);
        (protocol.code(&headers, &body.to_bytes()), late)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Calls of many at once, so many each; how each ended, and how late.
async fn all_call<M: Message + Default + Sync>(
    server: &Server,
    (path, millis): (&'static str, u64),
    protocols: &'static [Protocol],
    each: usize,
) -> Vec<(String, Duration)> {
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let address = server.address;
        callers.spawn(async move {
            let mut caller = Caller::connect(address).await;
            let mut ended = Vec::with_capacity(each);
            for call in 0..each {
                let protocol = protocols[(number + call) % protocols.len()];
                ended.push(caller.call(protocol, (path, &M::default()), millis).await);
            }
            ended
        });
    }
    callers.join_all().await.concat()
}

/// Notes that all ended with 4, and not too late.
fn all_expired(seen: &mut Seen, ended: Vec<(String, Duration)>, late_max: Duration) {
    let (codes, mut late): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
    let others: Vec<_> = codes.iter().filter(|code| *code != "4").take(5).collect();
    seen.note(others.is_empty(), format!("{} calls, other codes than 4: {others:?}", codes.len()));
    late.sort();
    let p99 = late.get(late.len() * 99 / 100).copied().unwrap_or_default();
    let most = late.last().copied().unwrap_or_default();
    let ms = |span: Duration| span.as_secs_f64() * 1e3;
    seen.note(p99 <= late_max, format!("late by {:.1} ms (p99), {:.1} at most", ms(p99), ms(most)));
}

async fn expired_calls(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let connections = CALLERS.to_string();
    let server = field.server(&[("DB_POOL_MAX", &connections), ("DB_WAIT_MS_MAX", "30000")]);
    let lock = Lock::on_profiles(field).await;
    let each = field.pick(6, 500);
    let limit = field.pick(BESIDE_OTHERS_MAX, CALL_LATE_MAX);
    let ended = all_call::<GetProfileRequest>(&server, (GET, CALL_MS), &Protocol::ALL, each).await;
    all_expired(&mut seen, ended, limit);
    let waiting = "select count(*) from pg_stat_activity where datname = current_database()
        and usename = 'mayfly_runtime' and wait_event_type = 'Lock'";
    let freed = until("nobody waits", SOON, async || number(field, waiting).await == 0).await;
    let limit = freed_max(field);
    let millis = freed.as_secs_f64() * 1e3;
    seen.note(freed <= limit, format!("Postgres is free {millis:.0} ms after the last answer"));
    lock.release().await;
    nothing_is_left(&mut seen, field, &server).await;
    seen
}

async fn expired_watches(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let server = field.server(&[]);
    let each = field.pick(2, 50);
    let limit = field.pick(BESIDE_OTHERS_MAX, WATCH_LATE_MAX);
    let protocols = &[Protocol::Grpc, Protocol::GrpcWeb];
    let ended = all_call::<WatchProfilesRequest>(&server, (WATCH, WATCH_MS), protocols, each).await;
    all_expired(&mut seen, ended, limit);
    seen
}
