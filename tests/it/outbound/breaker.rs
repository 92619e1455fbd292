//! The breaker of a dependency, on the wire.

use outbound::{Error, Http, Request};
use tests::until;
use tokio::{task::JoinSet, time::Instant};

use super::{Bench, MS, PATIENCE, Reply, Stub, within};

fn status(status: u16) -> Reply {
    Reply::Http(status, Vec::new())
}

const BREAKER: &str = "mayfly_outbound_breaker_state{dependency=\"stub\"}";

async fn post(client: &Http) -> Result<u16, Error> {
    let answer = client.call(&within(PATIENCE), &Request::post("/x")).await?;
    Ok(answer.status.as_u16())
}

/// Calls until the breaker opens, and says how many calls that took.
async fn open(client: &Http) -> usize {
    for calls in 1..50 {
        match post(client).await.unwrap_err() {
            Error::BreakerOpen { .. } => return calls - 1,
            Error::Unavailable { .. } => {}
            error => panic!("{error:?}"),
        }
    }
    panic!("it never opens");
}

#[tokio::test]
async fn ten_failures_open_it_and_then_nothing_arrives() {
    let stub = Stub::http(|_number| status(503)).await;
    let bench = Bench::new();
    let client = bench.http(&stub);
    assert_eq!(open(&client).await, 10);
    assert_eq!(stub.count(), 10);
    assert_eq!(bench.counted(BREAKER), 2);

    let (start, mut fastest) = (Instant::now(), PATIENCE);
    let mut rejected = 0;
    while start.elapsed() < MS * 200 {
        let before = Instant::now();
        let error = post(&client).await.unwrap_err();
        assert!(matches!(error, Error::BreakerOpen { .. }), "{error:?}");
        fastest = fastest.min(before.elapsed());
        rejected += 1;
    }

    assert_eq!(stub.count(), 10);
    assert!(fastest < MS * 5, "{fastest:?}");
    let name = "mayfly_outbound_rejections_total{dependency=\"stub\",reason=\"breaker\"}";
    assert_eq!(bench.counted(name), rejected + 1);
    let status = tonic::Status::from(post(&client).await.unwrap_err());
    assert_eq!(fault::reason_of(&status).as_deref(), Some("BREAKER_OPEN"));
    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
}

#[tokio::test]
async fn half_open_it_lets_one_probe_pass_and_closes_once_that_is_answered() {
    let stub = Stub::http(|_number| status(503)).await;
    let bench = Bench::new();
    let client = bench.http(&stub);
    open(&client).await;
    let before = stub.count();
    // The probe hangs, so that the others come while it is under way.
    stub.now(|_number| Reply::Hang);

    let mut probing = JoinSet::new();
    until("a probe passes", PATIENCE, || {
        let client = client.clone();
        probing.spawn(async move { post(&client).await });
        std::future::ready(stub.count() > before)
    })
    .await;
    assert_eq!(bench.counted(BREAKER), 1);
    for _ in 0..100 {
        let error = post(&client).await.unwrap_err();
        assert!(matches!(error, Error::BreakerOpen { .. }), "{error:?}");
    }
    assert_eq!(stub.count(), before + 1, "one probe");

    // The probe's caller leaves; the dependency is well, which the next probe finds out.
    probing.shutdown().await;
    stub.now(|_number| status(200));
    let start = Instant::now();
    until("it closes", PATIENCE, async || post(&client).await.is_ok()).await;
    assert!(start.elapsed() < MS * 5000, "{:?}", start.elapsed());
    assert_eq!(bench.counted(BREAKER), 0);
    for _ in 0..20 {
        assert_eq!(post(&client).await.unwrap(), 200);
    }
}

#[tokio::test]
async fn answers_that_are_no_failures_open_nothing() {
    for code in [400, 401, 404, 429] {
        let stub = Stub::http(move |_number| status(code)).await;
        let client = Bench::new().http(&stub);
        for _ in 0..50 {
            let outcome = post(&client).await;
            assert!(!matches!(outcome, Err(Error::BreakerOpen { .. })), "{code}: {outcome:?}");
        }
        assert_eq!(stub.count(), 50);
    }
}

#[tokio::test]
async fn each_dependency_has_its_own() {
    let (ill, well) =
        (Stub::http(|_number| status(500)).await, Stub::http(|_number| status(200)).await);
    let bench = Bench::new();
    open(&bench.http(&ill)).await;
    let base = outbound::Url::parse(&format!("http://{}", well.address)).unwrap();
    assert_eq!(post(&bench.outbound.http("other", base)).await.unwrap(), 200);
    // By the same name it is the same one, whoever calls it.
    assert!(matches!(post(&bench.http(&ill)).await, Err(Error::BreakerOpen { .. })));
}
