use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body_util::{Empty, Full};
use hyper::client::conn::http2::{self as client, SendRequest};
use hyper_util::rt::TokioExecutor;
use layers::Response as Answered;
use tokio::{net::TcpListener, time::interval};
use tower::{service_fn, util::BoxCloneSyncService};

use super::*;

/// What the clients here take at a time, and how long after the last.
const WINDOW_BYTES: u32 = 16 * 1024;

const IDLE_MAX: Duration = Duration::from_secs(1);

/// The path of a call that is under way for longer than any test.
const LONG: &str = "/long";

/// How a connection of these tests answers, everywhere else.
#[derive(Clone, Copy)]
struct Script {
    takes: Duration,
    bytes: usize,
}

/// A client whose windows are small, and what tells the connection to finish.
async fn connected(script: Script) -> (SendRequest<Empty<Bytes>>, CancellationToken) {
    connected_behind(WINDOW_BYTES, script).await
}

async fn connected_behind(
    window: u32,
    script: Script,
) -> (SendRequest<Empty<Bytes>>, CancellationToken) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _peer) = listener.accept().await.unwrap();
    let connections = connections(script);
    let (tasks, drain) = (TaskTracker::new(), connections.drain.clone());
    tasks.spawn(connections.serve(accepted, Duration::from_mins(1)));
    let mut builder = client::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window).initial_connection_window_size(WINDOW_BYTES);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tasks.spawn(connection);
    (sender, drain)
}

fn connections(Script { takes, bytes }: Script) -> Connections {
    let answer = service_fn(move |request: Request<Body>| async move {
        let is_long = request.uri().path() == LONG;
        sleep(if is_long { Duration::from_mins(1) } else { takes }).await;
        let body = Full::from(vec![0; bytes]).map_err(|never| match never {});
        Ok::<_, Infallible>(Answered::new(Body::new(body)))
    });
    let limits = Limits {
        message_bytes_max: 1024,
        connections_max: 10,
        streams_max: 100,
        calls_max: 10,
        watches_max: 10,
        deadline_max: Duration::from_mins(1),
        preface_max: Duration::from_secs(10),
        body_idle_max: IDLE_MAX,
        connection_age_max: Duration::from_mins(1),
        keepalive: Duration::from_secs(20),
        drain_max: Duration::from_secs(20),
    };
    Connections {
        limits,
        tls: None,
        stack: BoxCloneSyncService::new(answer),
        liveness: Liveness::new([].into()),
        drain: CancellationToken::new(),
        end: CancellationToken::new(),
    }
}

fn question() -> Request<Empty<Bytes>> {
    Request::post("http://localhost/anything").body(Empty::new()).unwrap()
}

/// Reads an answer, a window at a time; how many bytes came before it ended or broke.
async fn taken(response: Response<Incoming>, every: Duration) -> usize {
    let (mut body, mut bytes, mut pace) = (response.into_body(), 0, interval(every));
    loop {
        let _tick = pace.tick().await;
        let mut window = WINDOW_BYTES as usize;
        while window > 0 {
            let Some(Ok(frame)) = body.frame().await else { return bytes };
            let length = frame.data_ref().map_or(0, Bytes::len);
            (bytes, window) = (bytes + length, window.saturating_sub(length.max(1)));
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_slowly_taken_outlasts_the_goodbye() {
    // All of it is queued at once, and its call is over.
    let bytes = 240 * 1024;
    let (mut sender, drain) = connected(Script { takes: Duration::ZERO, bytes }).await;
    let response = sender.send_request(question()).await.unwrap();
    drain.cancel();
    let start = Instant::now();
    assert_eq!(taken(response, Duration::from_millis(200)).await, bytes);
    assert!(start.elapsed() > GOODBYE_MAX);
}

#[tokio::test]
async fn a_call_that_crosses_the_goodbye_has_its_time() {
    let takes = GOODBYE_MAX + Duration::from_millis(500);
    let (mut sender, drain) = connected(Script { takes, bytes: 1 }).await;
    sender.ready().await.unwrap();
    drain.cancel();
    let response = sender.send_request(question()).await.unwrap();
    assert_eq!(taken(response, Duration::from_millis(1)).await, 1);
}

#[tokio::test]
async fn who_takes_nothing_does_not_hold_the_goodbye() {
    let (mut sender, drain) = connected(Script { takes: Duration::ZERO, bytes: 240 * 1024 }).await;
    let response = sender.send_request(question()).await.unwrap();
    drain.cancel();
    let start = Instant::now();
    while !sender.is_closed() {
        sleep(Duration::from_millis(10)).await;
    }
    drop(response);
    assert!(start.elapsed() < GOODBYE_MAX + IDLE_MAX + Duration::from_secs(2));
}

#[tokio::test]
async fn what_nobody_takes_is_not_kept_for_a_call_that_lives_on() {
    let script = Script { takes: Duration::ZERO, bytes: 1000 };
    let (mut sender, drain) = connected_behind(10, script).await;
    let long = format!("http://localhost{LONG}");
    let _living = sender.send_request(Request::post(long).body(Empty::new()).unwrap());
    // All of it is queued, and its call is over.
    let _left = sender.send_request(question()).await.unwrap();
    drain.cancel();
    let closing = async {
        while !sender.is_closed() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(IDLE_MAX * 10, closing).await.unwrap();
}

#[tokio::test]
async fn one_large_message_is_not_stalled_while_it_is_taken() {
    let bytes = 512 * 1024;
    let (mut sender, _drain) = connected(Script { takes: Duration::ZERO, bytes }).await;
    let response = sender.send_request(question()).await.unwrap();
    let start = Instant::now();
    assert_eq!(taken(response, Duration::from_millis(80)).await, bytes);
    assert!(start.elapsed() > IDLE_MAX * 2);
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_reset() {
    let (mut sender, _drain) =
        connected(Script { takes: Duration::ZERO, bytes: 1024 * 1024 }).await;
    let response = sender.send_request(question()).await.unwrap();
    sleep(IDLE_MAX * 2).await;
    assert!(taken(response, Duration::from_millis(1)).await < 1024 * 1024);
}
