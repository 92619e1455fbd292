//! A function calls another as itself: the token is got where the settings say, shown by `outbound`,
//! and held against the rule by the stack. No function that is shipped has such a rule so far, so the
//! one that is called here is the test's own, behind the layers of all.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use ::http::{HeaderMap, Response};
use bytes::Bytes;
use call::{Call, Onward};
use chassis::{Context, Function};
use clock::Clock;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use identity::Verifier;
use issuer::Issuer;
use layers::{Inbound, Origins, Proxy, Request, Stack, inbound};
use outbound::{Error, Outbound};
use proto::{
    Access, Kind, METHODS, Method, Mutation, Priority, Rule,
    user::v1::{GetProfileRequest, Profile},
};
use revocation::Revocations;
use serde_json::Map;
use settings::{Env, Reader};
use telemetry::metrics::Metrics;
use tests::{App, PROJECT, world};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Code, Status, body::Body};
use tonic_prost::ProstCodec;
use tower::{ServiceExt, service_fn as tower_service};

use super::{PATIENCE, REQUEST_ID, TRACEPARENT, within};
use crate::wire::raw::{self, frame, framed};

const VISIT: &str = "/mayfly.probe.v1.ProbeService/Visit";

/// An RPC that `auth` may call and nobody else.
static METHOD: LazyLock<Method> = LazyLock::new(|| {
    let known = &METHODS[0].messages;
    Method {
        path: VISIT,
        service: "mayfly.probe.v1.ProbeService",
        name: "Visit",
        kind: Kind::Unary,
        rule: Rule {
            access: Access::Service { callers: &["auth"] },
            deadline: PATIENCE,
            mutation: Mutation::NoSideEffects,
            priority: Priority::Default,
            rate: None,
        },
        json: None,
        messages: proto::Json { request: known.request, response: known.response },
        // Counted under another's name, which nobody reads here.
        index: 0,
    }
});

/// What came as far as the handler: who called, by the rule, and with what.
type Visits = Arc<Mutex<Vec<(String, HeaderMap)>>>;

/// The function `probe`, behind the stack.
struct Probe {
    address: SocketAddr,
    visits: Visits,
}

impl Probe {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let visits = Visits::default();
        let stack = stack(&world().new_database().await, Arc::clone(&visits));
        TaskTracker::new().spawn(async move {
            while let Ok((stream, _address)) = listener.accept().await {
                let stack = stack.clone();
                let serve = service_fn(move |request: ::http::Request<Incoming>| {
                    stack.clone().oneshot(request.map(Body::new))
                });
                TaskTracker::new().spawn(async move {
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    http.serve_connection(TokioIo::new(stream), serve).await
                });
            }
        });
        Self { address, visits }
    }

    fn visits(&self) -> Vec<(String, HeaderMap)> {
        std::mem::take(&mut self.visits.lock().unwrap())
    }

    /// Calls it with these headers and nothing of ours in between.
    async fn told(&self, headers: &[(&str, &str)]) -> (Code, String) {
        let call = raw::Call::grpc(VISIT, framed(0, b""));
        let call = headers.iter().fold(call, |call, (name, value)| call.header(name, value));
        let told = call.send(self.address).await.told();
        (told.code, told.reason)
    }
}

/// The layers of every function around a handler that says who calls.
fn stack(database: &str, visits: Visits) -> Stack {
    let issuer = format!("http://{}", world().issuer_address);
    let keys = format!("{issuer}{}", Issuer::key_path());
    let env = Env::default()
        .with("FIREBASE_PROJECT_ID", PROJECT)
        .with("JWKS_URL", &*keys)
        .with("SERVICE_ISSUER", world().issuer.service_issuer_url())
        .with("SERVICE_JWKS_URL", keys)
        .with("DATABASE_URL", world().runtime_url(database));
    let (clock, tasks) = (Clock::system(), TaskTracker::new());
    let identity = Reader::new(&env).finish(identity::Settings::read).unwrap();
    let revocation = Reader::new(&env).finish(revocation::Settings::read).unwrap();
    let database = Reader::new(&env).finish(database::Settings::read).unwrap();
    let pool = database::Pool::new(&database, "user", clock.clone(), tasks.clone());
    let parts = Inbound {
        metrics: Metrics::new(|_service| false),
        origins: Origins::default(),
        proxy: Proxy::None,
        verifier: Verifier::new(&identity, clock.clone(), tasks.clone()),
        revocations: Revocations::new(&revocation, pool, clock, tasks),
        deadline_max: PATIENCE,
        drain: CancellationToken::new(),
        cut: CancellationToken::new(),
        drain_max: Duration::ZERO,
        body_idle_max: PATIENCE,
        calls_max: 10,
        watches_max: 1,
        message_bytes_max: 1 << 20,
        contract: |path| (path == VISIT).then(|| &*METHOD),
    };
    let handler = move |request: Request| {
        let call = request.extensions().get::<Call>().unwrap();
        let visit = (call.caller.key().into_owned(), request.headers().clone());
        visits.lock().unwrap().push(visit);
        async { Ok::<_, Infallible>(answer()) }
    };
    inbound(&parts, tower_service(handler))
}

fn answer() -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", ::http::HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(frame(&Profile::default())));
    let body = body.with_trailers(async { Some(Ok(trailers)) });
    let answer = Response::builder().header("content-type", "application/grpc");
    answer.body(Body::new(body)).unwrap()
}

/// The clients that a function called `name` is given, with where its tokens are signed set.
async fn clients_of(name: &'static str) -> (App, Outbound) {
    let (tell, told) = oneshot::channel();
    let function = Function::new(name, move |context: Context, (): ()| {
        tell.send(context.outbound.clone()).unwrap();
        user::service(context, ())
    });
    let issuer = format!("http://{}", world().issuer_address);
    let app = App::builder().functions(vec![function]).with("SERVICE_TOKEN_URL", issuer);
    (app.start().await, told.await.unwrap())
}

async fn visit(
    outbound: &Outbound,
    callee: &'static str,
    probe: &Probe,
    call: &Call,
) -> Result<(), Error> {
    let function = outbound.function(callee, format!("http://{}", probe.address).parse().unwrap());
    let visited = function.call(call, GetProfileRequest::default(), |link, request| async move {
        let mut client = tonic::client::Grpc::new(link);
        client.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let codec = ProstCodec::<GetProfileRequest, Profile>::default();
        client.unary(request, ::http::uri::PathAndQuery::from_static(VISIT), codec).await
    });
    visited.await.map(drop)
}

fn refused(outcome: Result<(), Error>) -> (Code, Option<String>) {
    match outcome.unwrap_err() {
        Error::Refused { status, .. } => (status.code(), fault::reason_of(&status)),
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_function_calls_another_as_itself_with_a_person_or_without() {
    let probe = Probe::start().await;
    let (_app, auth) = clients_of("auth").await;
    let with_person = within(PATIENCE);
    let mut alone = within(PATIENCE);
    alone.onward = Onward { authorization: None, ..alone.onward };

    visit(&auth, "probe", &probe, &with_person).await.unwrap();
    visit(&auth, "probe", &probe, &alone).await.unwrap();

    let visits = probe.visits();
    let callers: Vec<_> = visits.iter().map(|(caller, _)| caller.as_str()).collect();
    assert_eq!(callers, ["service:auth"; 2], "the person who came along is not who calls");
    let shown: Vec<_> = visits.iter().map(|(_, headers)| headers.get("authorization")).collect();
    assert_eq!(shown[0].unwrap(), "Bearer a.person's.token");
    assert_eq!(shown[1], None);
    for (_, headers) in &visits {
        assert_eq!(headers["traceparent"], TRACEPARENT);
        assert_eq!(headers["x-request-id"], REQUEST_ID);
    }
    assert_eq!(visits[0].1["x-mayfly-service"], visits[1].1["x-mayfly-service"], "it is kept");
}

#[tokio::test]
async fn a_function_that_is_not_named_or_calls_another_by_its_token_is_refused() {
    let probe = Probe::start().await;
    let (_app, user) = clients_of("user").await;
    let (_other, auth) = clients_of("auth").await;

    let not_named = refused(visit(&user, "probe", &probe, &within(PATIENCE)).await);
    assert_eq!(not_named, (Code::PermissionDenied, Some("SERVICE_REQUIRED".to_owned())));
    // The token is for a function of another name, wherever it is sent.
    let for_another = refused(visit(&auth, "data", &probe, &within(PATIENCE)).await);
    assert_eq!(for_another, (Code::Unauthenticated, Some("TOKEN_INVALID".to_owned())));
    assert_eq!(probe.visits().len(), 0);
}

#[tokio::test]
async fn neither_kind_of_token_is_taken_for_the_other() {
    let probe = Probe::start().await;
    let issuer = &world().issuer;
    let (person, service) =
        (issuer.id_token("ada", &Map::new()), issuer.service_token("auth", "probe"));
    let bearer = |token: &str| format!("Bearer {token}");
    let (persons, services) = (bearer(&person), bearer(&service));
    let unauthenticated = |reason: &str| (Code::Unauthenticated, reason.to_owned());

    assert_eq!(probe.told(&[]).await, unauthenticated("TOKEN_MISSING"));
    let known = probe.told(&[("authorization", &persons)]).await;
    assert_eq!(known, (Code::PermissionDenied, "SERVICE_REQUIRED".to_owned()));
    for headers in [
        &[("x-mayfly-service", &*person)][..],
        &[("x-mayfly-service", &*person), ("authorization", &*persons)],
        &[("authorization", &*services)],
    ] {
        assert_eq!(probe.told(headers).await, unauthenticated("TOKEN_INVALID"), "{headers:?}");
    }
    assert_eq!(probe.visits().len(), 0);

    // What a function shows opens nothing that is a person's, under either header.
    let app = App::start().await;
    let token = issuer.service_token("auth", "user");
    for (name, value, reason) in [
        ("authorization", bearer(&token), "TOKEN_INVALID"),
        ("x-mayfly-service", token, "TOKEN_MISSING"),
    ] {
        let call = raw::Call::grpc(&raw::user("GetProfile"), framed(0, b"")).header(name, value);
        let told = call.send(app.address).await.told();
        assert_eq!((told.code, told.reason), unauthenticated(reason));
    }
}
