//! A server of hyper alone: a body for every request, once the request has ended.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpListener, task::JoinSet};

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Plain {
    /// Where it listens.
    pub address: SocketAddr,
    _accepting: JoinSet<()>,
}

impl Plain {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _peer)) = listener.accept().await {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                // As many as ours has, so that one case fits both.
                builder.timer(TokioTimer::new()).max_concurrent_streams(100);
                let connection = builder.serve_connection(TokioIo::new(stream), service_fn(answer));
                // What it makes of its peer is seen from the other end.
                open.spawn(async move { drop(connection.await) });
            }
        });
        Self { address, _accepting: accepting }
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // hyper tells the peer what is wrong with it.
    let _body = request.into_body().collect().await;
    Ok(Response::new(Full::from("ok\n")))
}
