//! Calls to HTTP services.

use std::net::Ipv4Addr;

use outbound::{Error, Request, Settings, Url};
use tokio::{net::TcpListener, time::Instant};

use super::{Bench, MS, PATIENCE, Reply, Stub, within};

fn status(status: u16) -> Reply {
    Reply::Http(status, Vec::new())
}

#[tokio::test]
async fn a_service_that_fails_is_asked_again_until_it_answers() {
    let stub = Stub::http(|number| status([503, 502, 200][number])).await;
    let bench = Bench::new();

    let answer = bench.http(&stub).call(&within(PATIENCE), &Request::get("/x")).await.unwrap();

    assert_eq!(answer.status, 200);
    let seen = stub.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen[1].at - seen[0].at >= MS * 40, "the schedule less a fifth");
    assert!(seen[2].at - seen[1].at >= MS * 80, "twice that");
    assert_eq!(bench.counted("mayfly_outbound_retries_total{dependency=\"stub\"}"), 2);
    let attempts = |outcome| {
        let labels = format!("{{dependency=\"stub\",outcome=\"{outcome}\"}}");
        bench.counted(&format!("mayfly_outbound_attempts_total{labels}"))
    };
    assert_eq!((attempts("answered"), attempts("failed"), attempts("given_up")), (1, 2, 0));
}

#[tokio::test]
async fn what_may_be_sent_once_is_sent_once() {
    for reply in [status(503), Reply::Cut, Reply::Http(503, vec![("retry-after", "0")])] {
        for (request, times) in [
            (Request::post("/x"), 1),
            (Request::post("/x").repeatable(), 4),
            (Request::get("/x"), 4),
        ] {
            let told = reply.clone();
            let stub = Stub::http(move |_number| told.clone()).await;
            let error = Bench::new().http(&stub).call(&within(PATIENCE), &request).await;
            assert!(matches!(error, Err(Error::Unavailable { .. })), "{error:?}");
            assert_eq!(stub.count(), times, "{request:?} to {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_service_that_wants_less_of_us_names_the_time() {
    let again = |number: usize| match number {
        0 => Reply::Http(429, vec![("retry-after", "1")]),
        _ => status(200),
    };
    let stub = Stub::http(again).await;
    Bench::new().http(&stub).call(&within(PATIENCE), &Request::get("/x")).await.unwrap();
    let seen = stub.seen();
    assert!(seen[1].at - seen[0].at >= MS * 1000, "{:?}", seen[1].at - seen[0].at);

    // Without a time, or with one that is too late, it is left alone at once.
    for headers in [vec![], vec![("retry-after", "3600")]] {
        let stub = Stub::http(move |_number| Reply::Http(429, headers.clone())).await;
        let answer = Bench::new().http(&stub).call(&within(PATIENCE), &Request::get("/x")).await;
        assert!(matches!(answer, Err(Error::Unavailable { .. })), "{answer:?}");
        assert_eq!(stub.count(), 1);
    }
}

#[tokio::test]
async fn any_other_status_is_an_answer() {
    for code in [200, 204, 301, 400, 401, 403, 404, 409, 501] {
        let reply = Reply::Http(code, vec![("location", "/elsewhere")]);
        let stub = Stub::http(move |_number| reply.clone()).await;
        let answer = Bench::new().http(&stub).call(&within(PATIENCE), &Request::get("/x")).await;
        assert_eq!(answer.unwrap().status, code);
        assert_eq!(stub.count(), 1, "{code} leads nowhere and is not asked for again");
    }
}

#[tokio::test]
async fn a_request_goes_where_its_client_goes_whatever_its_path_is() {
    let stub = Stub::http(|_number| status(200)).await;
    let client = Bench::new().http(&stub);
    for (path, goes_to) in [
        ("/x", "/base/x"),
        ("//elsewhere.example.com/x", "/base//elsewhere.example.com/x"),
        ("@elsewhere.example.com/x", "/base@elsewhere.example.com/x"),
        ("/x?y=1#z", "/base/x%3Fy=1%23z"),
        ("/a b\r\nHost: c", "/base/a%20bHost:%20c"),
    ] {
        client.call(&within(PATIENCE), &Request::get(path)).await.unwrap();
        assert_eq!(stub.seen().last().unwrap().parts.uri.path(), goes_to);
    }
    let request = Request::post("/x").query("key", "a&b=c").json(&serde_json::json!({ "a": 1 }));
    client.call(&within(PATIENCE), &request).await.unwrap();
    let last = stub.seen().pop().unwrap();
    assert_eq!(last.parts.uri.query(), Some("key=a%26b%3Dc"));
    assert_eq!(last.header("content-type"), Some("application/json"));
    assert_eq!(last.header("content-length"), Some("7"));
    for private in ["authorization", "traceparent", "x-request-id", "x-mayfly-service"] {
        assert_eq!(last.header(private), None, "others are told nothing of our caller");
    }
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bound() {
    for (length, is_read) in
        [(outbound::ANSWER_BYTES_MAX, true), (outbound::ANSWER_BYTES_MAX + 1, false)]
    {
        let stub = Stub::http(move |_number| Reply::Bytes(length)).await;
        let answer = Bench::new().http(&stub).call(&within(PATIENCE), &Request::get("/x")).await;
        match answer {
            Ok(answer) => assert!(is_read && answer.body.len() == length),
            Err(error) => assert!(!is_read && matches!(error, Error::TooLarge { .. }), "{error:?}"),
        }
        assert_eq!(stub.count(), 1);
    }
}

#[tokio::test]
async fn a_service_that_hangs_costs_the_deadline_and_no_more() {
    let stub = Stub::http(|_number| Reply::Hang).await;
    let bench = Bench::with(Settings { attempt_max: MS * 300, connect_max: PATIENCE });
    let (start, time) = (Instant::now(), MS * 1000);

    let error = bench.http(&stub).call(&within(time), &Request::get("/x")).await.unwrap_err();

    assert!(matches!(error, Error::DeadlineExceeded { .. } | Error::Unavailable { .. }));
    assert!(start.elapsed() < time + MS * 5000, "{:?}", start.elapsed());
    let seen = stub.seen();
    assert!((2..=4).contains(&seen.len()), "{}", seen.len());
    assert!(seen.iter().all(|seen| seen.at < start + time));
}

#[tokio::test]
async fn nobody_is_told_where_a_service_is_or_what_it_was_asked() {
    // A port that nobody listens on any more.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let base = Url::parse(&format!("http://{address}/hunter2")).unwrap();
    let client = Bench::new().outbound.http("gone", base);
    let request = Request::get("/hunter2").query("key", "hunter2");

    let error = client.call(&within(PATIENCE), &request).await.unwrap_err();

    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let told = format!("{error:?} {client:?} {request:?}");
    assert!(!told.contains("hunter2"), "{told}");
    let status = tonic::Status::from(error);
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert_eq!(fault::reason_of(&status).as_deref(), Some("DEPENDENCY_UNAVAILABLE"));
    assert!(!status.message().contains("gone"));
}
