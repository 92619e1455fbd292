//! A handler that answers a constant, by itself and behind the whole stack.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    net::Ipv4Addr,
    pin::Pin,
    process::ExitCode,
    task::{Context, Poll},
};

use chassis::{Function, Server, Settings};
use clock::Clock;
use issuer::Issuer;
use proto::{
    Bounded,
    user::v1::{GetProfileRequest, Profile},
};
use serde_json::Map;
use settings::{Env, Reader};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService, UnaryService},
    transport::server::TcpIncoming,
};
use tower::Service;

/// The project of the run's tokens.
pub(crate) const PROJECT: &str = "mayfly-bench";

/// Where the issuer of a run keeps its key, so that all its processes sign alike.
fn issuer() -> Issuer {
    let dir = std::env::temp_dir().join("mayfly-bench");
    Issuer::open(&dir, PROJECT, Clock::system()).expect("an issuer")
}

/// A person's token.
pub(crate) fn token() -> String {
    issuer().id_token("ada", &Map::new())
}

/// Serves the keys that the tokens are checked with, and tells where.
pub(crate) async fn serve_keys() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = issuer().router();
    #[expect(clippy::disallowed_methods, reason = "the process ends it")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}{}", Issuer::key_path())
}

/// Answers every call with one profile.
#[derive(Clone, Debug)]
struct Constant;

impl UnaryService<GetProfileRequest> for Constant {
    type Response = Profile;
    type Future = Ready<Result<Response<Profile>, Status>>;

    fn call(&mut self, _request: Request<GetProfileRequest>) -> Self::Future {
        ready(Ok(Response::new(Profile {
            user_id: "ada".into(),
            handle: "ada".into(),
            display_name: "Ada Lovelace".into(),
            bio: "Counts".into(),
            etag: "8e3c84c7-9ce0-4a28-bd76-c2a9d5f31c91".into(),
            ..Default::default()
        })))
    }
}

impl Service<http::Request<Body>> for Constant {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(proto::Codec::<Profile, GetProfileRequest>::default());
            Ok(grpc.unary(Self, request).await)
        })
    }
}

impl NamedService for Constant {
    const NAME: &'static str = "mayfly.user.v1.UserService";
}

impl Bounded for Constant {
    fn bounded(self, _message_bytes_max: usize) -> Self {
        self
    }
}

/// tonic's own server around it, with a log as ours has: without one, every span of h2 would go to
/// the `log` crate, which sqlx has switched on.
pub(crate) fn serve_bare() -> ExitCode {
    runtime().block_on(async {
        let env = Env::default().with("LOG_FORMAT", "json");
        let log = Reader::new(&env).finish(telemetry::logs::Settings::read);
        telemetry::logs::start(&log.expect("good settings")).expect("a thread for the log");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        say(listener.local_addr().expect("an address").port());
        let connections = TcpIncoming::from(listener).with_nodelay(Some(true));
        let server = tonic::transport::Server::builder().add_service(Constant);
        server.serve_with_incoming(connections).await.expect("it serves");
    });
    ExitCode::SUCCESS
}

/// The whole stack around it, which asks a database whether the caller was revoked.
pub(crate) fn serve_stack(database_url: &str) -> ExitCode {
    runtime().block_on(async {
        let keys_url = serve_keys().await;
        let env = Env::default()
            .with("LISTEN_ADDR", "127.0.0.1:0")
            .with("METRICS_ADDR", "127.0.0.1:0")
            .with("DATABASE_URL", database_url)
            .with("FIREBASE_PROJECT_ID", PROJECT)
            .with("JWKS_URL", keys_url)
            .with("LOG_FORMAT", "json");
        let functions = vec![Function::new("user", |_context, (): ()| Constant)];
        let read = |reader: &mut Reader<'_>| Settings::read_for(functions, reader);
        let (settings, functions) = Reader::new(&env).finish(read).expect("good settings");
        telemetry::logs::start(&settings.logs).expect("a thread for the log");
        let server = Server::bind(&settings, functions, &Clock::system()).expect("ports");
        say(server.address().port());
        server.serve(std::future::pending()).await;
    });
    ExitCode::SUCCESS
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

/// Tells the parent where it listens.
fn say(port: u16) {
    println!("{port}");
}
