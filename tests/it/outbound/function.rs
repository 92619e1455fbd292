//! Calls to functions of ours.

use std::{pin::Pin, time::Duration};

use call::{Call, IdempotencyKey};
use fault::{Cause, Reason};
use http::{HeaderMap, HeaderName, HeaderValue};
use outbound::{Error, Function, Settings, Tokens};
use proto::user::v1::{
    CreateProfileRequest, GetProfileRequest, Profile, user_service_client::UserServiceClient,
};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::{Bench, MS, PATIENCE, REQUEST_ID, Reply, Seen, Stub, TRACEPARENT, within};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static(IdempotencyKey::HEADER);

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
        let failed = "mayfly_outbound_attempts_total{dependency=\"stub\",outcome=\"failed\"}";
        let counts = usize::try_from(bench.counted(failed)).unwrap();
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
async fn a_function_that_hangs_costs_the_deadline_and_no_more() {
    let stub = Stub::grpc(|_number| Reply::Hang).await;
    let bench = Bench::with(Settings { attempt_max: MS * 300, connect_max: PATIENCE });
    let (start, time) = (Instant::now(), MS * 1000);

    let error = get(&bench.function(&stub), &within(time)).await.unwrap_err();

    assert!(matches!(error, Error::DeadlineExceeded { .. } | Error::Unavailable { .. }));
    assert!(start.elapsed() < time + MS * 500, "{:?}", start.elapsed());
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

/// Gives a token of the callee's name, or none.
#[derive(Debug)]
struct Issued(Option<&'static str>);

impl Tokens for Issued {
    fn token<'t>(
        &'t self,
        callee: &'t str,
    ) -> Pin<Box<dyn Future<Output = Result<HeaderValue, Cause>> + Send + 't>> {
        let token = self.0.map(|token| format!("{token} for {callee}"));
        let token = token.and_then(|token| HeaderValue::from_str(&token).ok());
        Box::pin(std::future::ready(token.ok_or_else(|| "no issuer".into())))
    }
}

#[tokio::test]
async fn a_function_is_shown_our_own_token_or_is_not_called() {
    let stub = Stub::grpc(|_number| Reply::Profile).await;
    for token in [Some("a token"), None] {
        let mut bench = Bench::new();
        bench.shows(Issued(token));
        let function = bench.function(&stub);
        for _ in 0..20 {
            let outcome = get(&function, &within(PATIENCE)).await;
            match token {
                Some(_) => assert_eq!(outcome.unwrap().handle, "ada"),
                // And the function is not blamed for it.
                None => assert!(matches!(outcome, Err(Error::Unavailable { .. })), "{outcome:?}"),
            }
        }
    }
    let seen = stub.seen();
    assert_eq!(seen.len(), 20);
    assert!(seen.iter().all(|seen| seen.header("x-mayfly-service") == Some("a token for stub")));
    assert!(seen.iter().all(|seen| seen.header("authorization").is_some()));
}
