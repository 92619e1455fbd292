//! A dependency on a socket that answers as it is told, and remembers what it was asked.

use std::{
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Response, request::Parts};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use proto::user::v1::Profile;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
    time::Instant,
};
use tonic::Code;

/// What is answered to one request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// This status and these headers, over HTTP.
    Http(u16, Vec<(&'static str, &'static str)>),
    /// A body of so many bytes.
    Bytes(usize),
    /// This code and these headers, over gRPC.
    Grpc(Code, Vec<(&'static str, &'static str)>),
    /// A profile, over gRPC.
    Profile,
    /// Nothing, ever.
    Hang,
    /// The end of the connection.
    Cut,
    /// The end of the stream, with a code of HTTP/2.
    Reset(h2::Reason),
}

/// Answers the request of this number, counted from 0.
pub(super) type Script = Box<dyn Fn(usize) -> Reply + Send + Sync>;

/// One request, and when it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) parts: Parts,
}

/// The dependency.
pub(super) struct Stub {
    pub(super) address: SocketAddr,
    told: Arc<Told>,
    /// Ends with this.
    _accepting: JoinSet<()>,
}

struct Told {
    script: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    protocol: Protocol,
}

#[derive(Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

impl Stub {
    pub(super) async fn http(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Protocol::Http1, Box::new(script)).await
    }

    pub(super) async fn grpc(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Protocol::Http2, Box::new(script)).await
    }

    async fn start(protocol: Protocol, script: Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (script, seen) = (Mutex::new(script), Mutex::default());
        let connections = AtomicUsize::default();
        let told = Arc::new(Told { script, seen, connections, protocol });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&told)));
        Self { address, told, _accepting: accepting }
    }

    /// Answers by another script from now on.
    pub(super) fn now(&self, script: impl Fn(usize) -> Reply + Send + Sync + 'static) {
        *self.told.script.lock().unwrap() = Box::new(script);
    }

    /// What it was asked so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.told.seen.lock().unwrap().clone()
    }

    /// How many connections were made to it so far.
    pub(super) fn connections(&self) -> usize {
        self.told.connections.load(Ordering::Relaxed)
    }

    /// How often it was asked so far.
    pub(super) fn count(&self) -> usize {
        self.told.seen.lock().unwrap().len()
    }
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// What `grpc-timeout` says, which we send in these two units.
    pub(super) fn timeout(&self) -> Duration {
        let (number, unit) = {
            let text = self.header("grpc-timeout").unwrap();
            text.split_at(text.len() - 1)
        };
        let number = number.parse().unwrap();
        match unit {
            "u" => Duration::from_micros(number),
            "m" => Duration::from_millis(number),
            unit => panic!("a unit of {unit}"),
        }
    }
}

async fn accept(listener: TcpListener, told: Arc<Told>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _peer)) = listener.accept().await {
        told.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(serve(stream, Arc::clone(&told)));
    }
}

async fn serve(stream: TcpStream, told: Arc<Told>) {
    let cut = Arc::new(Notify::new());
    let (cutting, protocol) = (Arc::clone(&cut), told.protocol);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (told, cut) = (Arc::clone(&told), Arc::clone(&cutting));
        async move {
            let (parts, body) = request.into_parts();
            // Whoever asks has said all of it.
            let _whole = body.collect().await;
            answer(&told, parts, &cut).await
        }
    });
    let stream = TokioIo::new(stream);
    let serving = async {
        let _outcome = match protocol {
            Protocol::Http1 => {
                hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
            }
            Protocol::Http2 => {
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(stream, service)
                    .await
            }
        };
    };
    tokio::select! {
        () = serving => {}
        () = cut.notified() => {}
    }
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

async fn answer(told: &Told, parts: Parts, cut: &Notify) -> Result<Response<Body>, h2::Error> {
    let number = {
        let mut seen = told.seen.lock().unwrap();
        seen.push(Seen { at: Instant::now(), parts });
        seen.len() - 1
    };
    let reply = (told.script.lock().unwrap())(number);
    let with = |status: u16, headers: &[(&str, &str)], body: Body| {
        let response = Response::builder().status(status);
        let add = |response: http::response::Builder, (name, value): &(&str, &str)| {
            response.header(*name, *value)
        };
        Ok(headers.iter().fold(response, add).body(body).unwrap())
    };
    let empty = || Empty::new().map_err(|never| match never {}).boxed_unsync();
    match reply {
        Reply::Http(status, headers) => with(status, &headers, empty()),
        Reply::Bytes(length) => {
            let body = Full::new(Bytes::from(vec![b' '; length]));
            with(200, &[], body.map_err(|never| match never {}).boxed_unsync())
        }
        Reply::Grpc(code, headers) => {
            let code = (code as i32).to_string();
            let kind = [("content-type", "application/grpc"), ("grpc-status", &*code)];
            with(200, &[&kind[..], &headers[..]].concat(), empty())
        }
        Reply::Profile => with(200, &[("content-type", "application/grpc")], profile()),
        Reply::Hang => pending().await,
        Reply::Reset(reason) => Err(reason.into()),
        Reply::Cut => {
            cut.notify_one();
            pending().await
        }
    }
}

/// A profile in its frame, with the trailers of success.
fn profile() -> Body {
    let message = Profile { handle: "ada".to_owned(), ..Profile::default() }.encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze()).with_trailers(async { Some(Ok(trailers)) });
    body.map_err(|never: std::convert::Infallible| match never {}).boxed_unsync()
}
