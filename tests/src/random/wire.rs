//! A client that sends whatever it is given: hyper's connections, one for each version of HTTP.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use super::call::Call;

/// Is how long an answer may take: the longest rule, and a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// One client with connections of its own.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    http1: Option<http1::SendRequest<Full<Bytes>>>,
    http2: Option<http2::SendRequest<Full<Bytes>>>,
    connections: JoinSet<()>,
}

/// One answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, http1: None, http2: None, connections: JoinSet::new() }
    }

    /// Sends a call and reads the whole answer, or says what is wrong with it.
    pub(super) async fn send(&mut self, call: &Call) -> Result<Answer, String> {
        match timeout(ANSWER_MAX, self.attempt(call)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(_broken)) => {}
            Err(_elapsed) => return Err(format!("no answer within {ANSWER_MAX:?}")),
        }
        // The server may end a connection between two calls; a new one has no such excuse.
        (self.http1, self.http2) = (None, None);
        match timeout(ANSWER_MAX, self.attempt(call)).await {
            Ok(outcome) => outcome.map_err(|error| format!("the connection broke: {error:?}")),
            Err(_elapsed) => Err(format!("no answer within {ANSWER_MAX:?}")),
        }
    }

    async fn attempt(
        &mut self,
        call: &Call,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let response = if call.is_http2 {
            let mut sender = self.http2().await?;
            sender.send_request(request(call, self.address)).await?
        } else {
            self.connect_http1().await?;
            let sender = self.http1.as_mut().ok_or("there is a connection")?;
            sender.send_request(request(call, self.address)).await?
        };
        Ok(read(response).await?)
    }

    async fn http2(
        &mut self,
    ) -> Result<http2::SendRequest<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
        if let Some(sender) = self.http2.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let stream = TokioIo::new(self.connect().await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        self.connections.spawn(async move {
            let _ended = connection.await;
        });
        Ok(self.http2.insert(sender).clone())
    }

    async fn connect_http1(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if let Some(sender) = &mut self.http1
            && sender.ready().await.is_ok()
        {
            return Ok(());
        }
        let stream = TokioIo::new(self.connect().await?);
        let (sender, connection) = http1::handshake(stream).await?;
        self.connections.spawn(async move {
            let _ended = connection.await;
        });
        self.http1 = Some(sender);
        Ok(())
    }

    async fn connect(&mut self) -> std::io::Result<TcpStream> {
        while self.connections.try_join_next().is_some() {}
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn request(call: &Call, address: SocketAddr) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.headers_mut() = call.headers.clone();
    let (target, path) = (call.is_http2, &call.path);
    let uri = if target { format!("http://{address}{path}") } else { path.clone() };
    *request.uri_mut() = uri.parse().expect("the paths are URIs");
    if !call.is_http2 {
        let host = address.to_string().parse().expect("an address is a host");
        request.headers_mut().insert(header::HOST, host);
    }
    request
}

async fn read(response: Response<Incoming>) -> hyper::Result<Answer> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes(), trailers })
}
