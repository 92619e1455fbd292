//! Calls to functions of ours.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use call::{Call, IdempotencyKey};
use clock::Clock;
use fault::Reason;
use http::{HeaderMap, HeaderName, HeaderValue};
use identity::{Provider, ServiceName, TokenSource};
use outbound::{Error, Function, Settings};
use proto::user::v1::{
    CreateProfileRequest, GetProfileRequest, Profile, user_service_client::UserServiceClient,
};
use tests::{until, world};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};
use tokio_util::task::TaskTracker;
use tonic::{Code, Status};

use super::{Bench, MS, PATIENCE, REQUEST_ID, Reply, Seen, Stub, TRACEPARENT, within};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static(IdempotencyKey::HEADER);

const FAILED: &str = "mayfly_outbound_attempts_total{dependency=\"stub\",outcome=\"failed\"}";

fn fails(code: Code) -> Reply {
    Reply::Grpc(code, Vec::new())
}

fn pushes_back(code: Code, millis: &'static str) -> Reply {
    Reply::Grpc(code, vec![("grpc-retry-pushback-ms", millis)])
}

async fn get(function: &Function, call: &Call) -> Result<Profile, Error> {
    let message = GetProfileRequest::default();
    let answer = function.call(call, message, |link, request| async move {
        UserServiceClient::new(link).get_profile(request).await
    });
    Ok(answer.await?.into_inner())
}

async fn create(function: &Function, call: &Call) -> Result<Profile, Error> {
    let message = CreateProfileRequest::default();
    let answer = function.call(call, message, |link, request| async move {
        UserServiceClient::new(link).create_profile(request).await
    });
    Ok(answer.await?.into_inner())
}

/// What a stub is asked when it answers so first, and then with a profile.
async fn asked_after(first: Reply) -> (Vec<Seen>, Result<Profile, Error>) {
    let script = move |number| if number == 0 { first.clone() } else { Reply::Profile };
    let stub = Stub::grpc(script).await;
    let outcome = get(&Bench::new().function(&stub), &within(PATIENCE)).await;
    (stub.seen(), outcome)
}

#[tokio::test]
async fn every_attempt_says_who_calls_how_often_and_how_much_time_is_left() {
    let script = |number| if number < 3 { fails(Code::Unavailable) } else { Reply::Profile };
    let stub = Stub::grpc(script).await;
    let start = Instant::now();

    let profile = get(&Bench::new().function(&stub), &within(PATIENCE)).await.unwrap();

    assert_eq!(profile.handle, "ada");
    let seen = stub.seen();
    let previous: Vec<_> =
        seen.iter().map(|seen| seen.header("grpc-previous-rpc-attempts")).collect();
    assert_eq!(previous, [None, Some("1"), Some("2"), Some("3")]);
    for seen in &seen {
        assert_eq!(seen.parts.uri.path(), "/mayfly.user.v1.UserService/GetProfile");
        assert_eq!(seen.header("authorization"), Some("Bearer a.person's.token"));
        assert_eq!(seen.header("traceparent"), Some(TRACEPARENT));
        assert_eq!(seen.header("x-request-id"), Some(REQUEST_ID));
        assert_eq!(seen.header("idempotency-key"), None);
        assert!(seen.at + seen.timeout() <= start + PATIENCE + MS * 100);
    }
    assert!(seen.is_sorted_by(|one, next| one.timeout() > next.timeout()));
    assert!(seen[0].timeout() + MS * 5 <= PATIENCE);
}

#[tokio::test]
async fn push_back_is_obeyed() {
    for code in [Code::Unavailable, Code::ResourceExhausted] {
        for (millis, wait) in [("0", Duration::ZERO), ("700", MS * 700)] {
            let (seen, outcome) = asked_after(pushes_back(code, millis)).await;
            outcome.unwrap();
            assert_eq!(seen.len(), 2);
            assert!(seen[1].at - seen[0].at >= wait, "{code:?} {millis}");
        }
        for never in ["-1", "-9000", "soon"] {
            let (seen, outcome) = asked_after(pushes_back(code, never)).await;
            outcome.unwrap_err();
            assert_eq!(seen.len(), 1, "{code:?} {never}");
        }
    }
}

#[tokio::test]
async fn a_no_is_taken_for_a_no() {
    use Code as C;
    for code in [
        C::Cancelled,
        C::Unknown,
        C::InvalidArgument,
        C::DeadlineExceeded,
        C::NotFound,
        C::AlreadyExists,
        C::PermissionDenied,
        C::ResourceExhausted,
        C::FailedPrecondition,
        C::Aborted,
        C::OutOfRange,
        C::Unimplemented,
        C::Internal,
        C::DataLoss,
        C::Unauthenticated,
    ] {
        let (seen, outcome) = asked_after(fails(code)).await;
        assert_eq!(seen.len(), 1, "{code:?}");
        match outcome.unwrap_err() {
            Error::Refused { status, .. } => assert_eq!(status.code(), code),
            Error::DeadlineExceeded { .. } => assert_eq!(code, C::DeadlineExceeded),
            error => panic!("{code:?}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_function_that_passes_on_an_outage_is_not_asked_again() {
    for (reason, times) in [
        (Reason::DependencyUnavailable, 1),
        (Reason::BreakerOpen, 1),
        (Reason::Draining, 4),
        (Reason::DbUnavailable, 4),
    ] {
        // Its words as they go over the wire, without the wait that goes with them.
        let mut headers = HeaderMap::new();
        Status::from(reason).add_header(&mut headers).unwrap();
        let details = headers["grpc-status-details-bin"].to_str().unwrap().to_owned().leak();
        let reply = Reply::Grpc(Code::Unavailable, vec![("grpc-status-details-bin", details)]);
        let stub = Stub::grpc(move |_number| reply.clone()).await;
        let bench = Bench::new();
        let error = get(&bench.function(&stub), &within(PATIENCE)).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert_eq!(stub.count(), times, "{reason:?}");
        let counts = usize::try_from(bench.counted(FAILED)).unwrap();
        assert_eq!(counts, if reason == Reason::DbUnavailable { times } else { 0 }, "{reason:?}");
    }
}

#[tokio::test]
async fn a_mutation_is_made_again_only_under_its_key() {
    for (key, times) in [(None, 1), (Some("my-key"), 4)] {
        let stub = Stub::grpc(|_number| fails(Code::Unavailable)).await;
        let mut call = within(PATIENCE);
        let sent = key.map(|key| (IDEMPOTENCY_KEY, HeaderValue::from_static(key)));
        call.idempotency_key = IdempotencyKey::of(&HeaderMap::from_iter(sent)).unwrap();

        create(&Bench::new().function(&stub), &call).await.unwrap_err();

        let seen = stub.seen();
        assert_eq!(seen.len(), times);
        assert!(seen.iter().all(|seen| seen.header("idempotency-key") == key));
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_anew() {
    let (seen, outcome) = asked_after(Reply::Cut).await;
    outcome.unwrap();
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn a_stream_that_is_reset_is_no_answer() {
    let stub = Stub::grpc(resets_first(h2::Reason::INTERNAL_ERROR)).await;
    let bench = Bench::new();
    get(&bench.function(&stub), &within(PATIENCE)).await.unwrap();
    assert_eq!(stub.count(), 2);
    assert_eq!(bench.counted(FAILED), 1);
}

fn resets_first(reason: h2::Reason) -> impl Fn(usize) -> Reply {
    move |number| if number == 0 { Reply::Reset(reason) } else { Reply::Profile }
}

#[tokio::test]
async fn a_call_that_the_function_has_not_seen_is_made_again_without_a_key() {
    let stub = Stub::grpc(resets_first(h2::Reason::REFUSED_STREAM)).await;
    let bench = Bench::new();
    create(&bench.function(&stub), &within(PATIENCE)).await.unwrap();
    assert_eq!((stub.count(), bench.counted(FAILED)), (2, 0));
    let previous = stub.seen()[1].header("grpc-previous-rpc-attempts").map(str::to_owned);
    assert_eq!(previous, None, "it is no retry");

    let stub = Stub::grpc(|_number| Reply::Reset(h2::Reason::REFUSED_STREAM)).await;
    create(&bench.function(&stub), &within(PATIENCE)).await.unwrap_err();
    assert_eq!(stub.count(), 2, "and that has an end");
}

#[tokio::test]
async fn a_call_that_crosses_a_goodbye_is_made_again_without_a_key() {
    let stub = Stub::grpc(|_number| Reply::Profile).await;
    let bench = Bench::new();
    let function = bench.function_at(says_goodbye_first(stub.address).await);
    create(&function, &within(PATIENCE)).await.unwrap();
    assert_eq!((stub.count(), bench.counted(FAILED)), (1, 0));
}

/// A way to `address` whose first connection takes no call, and says so when one has come.
async fn says_goodbye_first(address: SocketAddr) -> SocketAddr {
    /// A client's first frame with headers, behind its preface and its settings.
    const HEADERS: u8 = 1;
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    /// The last stream that is taken: none. The reason: none.
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let way = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move {
        let (mut first, _peer) = listener.accept().await.unwrap();
        first.write_all(&SETTINGS).await.unwrap();
        first.read_exact(&mut [0; 24]).await.unwrap();
        let mut head = [0; 9];
        while head[3] != HEADERS {
            first.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            first.read_exact(&mut payload).await.unwrap();
        }
        first.write_all(&GOAWAY).await.unwrap();
        let (mut second, _peer) = listener.accept().await.unwrap();
        let mut onward = TcpStream::connect(address).await.unwrap();
        copy_bidirectional(&mut second, &mut onward).await
    });
    way
}

#[tokio::test]
async fn who_waits_behind_our_own_calls_does_not_blame_the_function() {
    let stub = Stub::grpc(|_number| Reply::Hang).await;
    let bench = Bench::new();
    let function = bench.function(&stub);
    let mut hanging = JoinSet::new();
    for _ in 0..100 {
        let function = function.clone();
        hanging.spawn(async move { get(&function, &within(PATIENCE)).await });
    }
    until("100 calls wait", PATIENCE, async || stub.count() == 100).await;
    // Enough time for a function that does not answer to be blamed.
    let error = get(&function, &within(MS * 1500)).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
    assert_eq!(stub.count(), 100);
    assert_eq!(bench.counted(FAILED), 0);
    stub.now(|_number| Reply::Profile);
    hanging.shutdown().await;
    get(&function, &within(PATIENCE)).await.unwrap();
}

#[tokio::test]
async fn a_function_that_hangs_costs_the_deadline_and_no_more() {
    let stub = Stub::grpc(|_number| Reply::Hang).await;
    let bench = Bench::with(Settings { attempt_max: MS * 300, connect_max: PATIENCE });
    let (start, time) = (Instant::now(), MS * 1000);

    let error = get(&bench.function(&stub), &within(time)).await.unwrap_err();

    assert!(matches!(error, Error::DeadlineExceeded { .. } | Error::Unavailable { .. }));
    assert!(start.elapsed() < time + MS * 5000, "{:?}", start.elapsed());
    let seen = stub.seen();
    assert!((2..=4).contains(&seen.len()), "{}", seen.len());
    assert!(seen.iter().all(|seen| seen.timeout() <= MS * 300));

    let before = stub.count();
    let error = get(&bench.function(&stub), &within(MS * 9)).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
    assert_eq!(stub.count(), before, "what cannot be done in time is not begun");
}

#[tokio::test]
async fn after_a_sleep_the_connections_are_made_anew() {
    let (functions, http) = (
        Stub::grpc(|_number| Reply::Profile).await,
        Stub::http(|_number| Reply::Http(200, Vec::new())).await,
    );
    let bench = Bench::new();
    let (function, client) = (bench.function(&functions), bench.http(&http));
    for connections in [1, 1, 2] {
        if connections == 2 {
            bench.clock.advance(Duration::from_hours(2));
        }
        get(&function, &within(PATIENCE)).await.unwrap();
        client.call(&within(PATIENCE), &outbound::Request::get("/x")).await.unwrap();
        assert_eq!((functions.connections(), http.connections()), (connections, connections));
    }
}

#[tokio::test]
async fn a_function_is_shown_our_own_token_or_is_not_called() {
    let stub = Stub::grpc(|_number| Reply::Profile).await;
    for (issuer, is_there) in
        [(world().issuer_address.to_string(), true), ("127.0.0.1:1".into(), false)]
    {
        let mut bench = Bench::new();
        bench.shows(tokens_from(&issuer));
        let function = bench.function(&stub);
        for _ in 0..20 {
            let outcome = get(&function, &within(PATIENCE)).await;
            if is_there {
                assert_eq!(outcome.unwrap().handle, "ada");
            } else {
                // And the function is not blamed for it.
                assert!(matches!(outcome, Err(Error::Unavailable { .. })), "{outcome:?}");
            }
        }
    }
    let seen = stub.seen();
    assert_eq!(seen.len(), 20);
    let shown = seen[0].header("x-mayfly-service").unwrap();
    assert_eq!(claims(shown), ("chat".to_owned(), "stub".to_owned()));
    assert!(seen.iter().all(|seen| seen.header("x-mayfly-service") == Some(shown)), "it is kept");
    assert!(seen.iter().all(|seen| seen.header("authorization").is_some()));
}

#[tokio::test]
async fn a_source_of_tokens_that_hangs_is_not_blamed_on_the_function() {
    let stub = Stub::grpc(|_number| Reply::Profile).await;
    // It is connected to, and nobody answers.
    let source = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut bench = Bench::new();
    bench.shows(tokens_from(&source.local_addr().unwrap().to_string()));
    let function = bench.function(&stub);
    // More than would open the breaker, each with enough time to speak against the function.
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let function = function.clone();
        calls.spawn(async move { get(&function, &within(MS * 1500)).await });
    }
    for outcome in calls.join_all().await {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(!error.may_have_left());
    }
    assert_eq!(bench.counted("mayfly_outbound_breaker_state{dependency=\"stub\"}"), 0);
    assert_eq!(stub.count(), 0);
}

/// Our tokens, from whatever is at this address, by the wall clock as the issuer.
fn tokens_from(address: &str) -> Provider {
    let source = TokenSource::Issuer(format!("http://{address}").parse().unwrap());
    let name = ServiceName::parse("chat").unwrap();
    Provider::new(name, source, Clock::system(), TaskTracker::new())
}

/// Who calls whom, as a function's token says.
fn claims(token: &str) -> (String, String) {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    let text = |name: &str| claims[name].as_str().unwrap().to_owned();
    (text("sub"), text("aud"))
}
