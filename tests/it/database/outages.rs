//! The database is away, gone for a moment, silent, or busy.

use std::time::Duration;

use database::Standing;
use proto::grpc::health::v1::{HealthCheckRequest, health_client::HealthClient};
use serde_json::{Value, json};
use tests::{App, AppBuilder, Person, Proxy, told, until, world};
use tokio::{task::JoinSet, time::Instant};
use tonic::{Code, Status, transport::Endpoint};

use super::{Bench, Database, PATIENT, SOON, out_of_reach, reads_ada, run, warm_up};

/// An answer to a call that needs no database, or needs one that is known to be down.
const AT_ONCE: Duration = Duration::from_millis(100);

/// What the health is answered within, which asks nobody.
const HEALTH_MAX: Duration = Duration::from_millis(50);

/// How soon a call is served once the database is there again.
const RECOVERY_MAX: Duration = Duration::from_secs(2);

/// A call with a deadline of two seconds, on a machine that is busy with other tests as well.
const DEADLINE_MAX: Duration = Duration::from_secs(4);

/// How long a call waits for a connection.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// An app, not started yet, whose way to its database leads through `proxy`.
async fn builder_behind(proxy: &Proxy) -> (AppBuilder, Database) {
    let database = Database(world().new_database().await);
    database.make_profile("ada").await;
    let builder = App::builder().database(&database.0);
    (builder.with("DATABASE_URL", proxy.url(&database.0)), database)
}

async fn app_behind(proxy: &Proxy) -> (App, Database) {
    let (builder, database) = builder_behind(proxy).await;
    (builder.start().await, database)
}

/// What gRPC's health service says of `service`, and how fast.
async fn is_serving(app: &App, service: &str) -> (bool, Duration) {
    let start = Instant::now();
    let channel = Endpoint::from_shared(format!("http://{}", app.address)).unwrap();
    let mut health = HealthClient::new(channel.connect().await.unwrap());
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = health.check(request).await.unwrap().into_inner();
    (answer.status == 1, start.elapsed())
}

/// How the database stands, as the metrics have it.
async fn state(app: &App) -> u8 {
    let (_status, metrics) = app.internal("/metrics").await;
    let state = metrics.lines().find_map(|line| line.strip_prefix("mayfly_database_state "));
    state.expect("it is told").parse().unwrap()
}

/// The kind of failure that keeps an app from its database, as operators are told.
async fn last_error(app: &App) -> Value {
    let (_status, text) = app.internal("/health/detailed").await;
    let mut told: Value = serde_json::from_str(&text).unwrap();
    told["functions"]["user"]["database"]["last_error"].take()
}

async fn healthz(app: &App) -> u16 {
    let url = format!("http://{}/healthz", app.address);
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    client.get(url).send().await.unwrap().status().as_u16()
}

async fn timed<T>(call: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    (call.await, start.elapsed())
}

/// Calls of this many people at a time, each with how long it took.
async fn all_read_ada(app: &App, people: usize) -> Vec<(Result<(), Status>, Duration)> {
    let mut calls = JoinSet::new();
    for number in 0..people {
        let person = app.person(&format!("person-{number}"));
        calls.spawn(timed(async move { reads_ada(&person).await.map(|_| ()) }));
    }
    calls.join_all().await
}

#[track_caller]
fn is_unavailable(status: &Status) {
    let told = told(status);
    assert_eq!((told.code, told.reason.as_str()), (Code::Unavailable, "DB_UNAVAILABLE"));
    assert!(told.retry_delay.is_some());
}

/// Answers that nobody waited for. A busy machine may hold up one of twenty.
#[track_caller]
fn came_at_once(mut took: Vec<Duration>) {
    took.sort();
    let most = took[took.len() - 1 - took.len() / 20];
    assert!(took[took.len() / 2] < AT_ONCE && most < WAIT_MAX, "{took:?}");
}

/// Asks for the health by gRPC and by HTTP. What is beside it on this machine may hold up some.
async fn is_healthy_at_once(app: &App) {
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..20 {
        let (serves, by_grpc) = is_serving(app, "").await;
        let (status, by_http) = timed(healthz(app)).await;
        assert!(serves && status == 200, "{serves} {status}");
        took[0].push(by_grpc);
        took[1].push(by_http);
    }
    for mut took in took {
        took.sort_unstable();
        assert!(took[took.len() / 4] < HEALTH_MAX, "{took:?}");
    }
}

/// Calls this often in a row, and is told at once that there is no database.
async fn is_told_at_once(person: &Person, calls: usize) {
    let mut times = Vec::new();
    for _ in 0..calls {
        let (outcome, took) = timed(reads_ada(person)).await;
        is_unavailable(&outcome.unwrap_err());
        times.push(took);
    }
    came_at_once(times);
}

async fn serves_within(person: &Person, limit: Duration) -> Duration {
    until("a call succeeds", limit, async || reads_ada(person).await.is_ok()).await
}

#[tokio::test]
async fn a_database_that_is_down_at_start_is_told_at_once_and_found_when_it_is_back() {
    let proxy = Proxy::closed();
    let (builder, _database) = builder_behind(&proxy).await;
    let (app, took) = timed(builder.start()).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    let ada = app.person("ada");

    is_told_at_once(&ada, 50).await;
    is_healthy_at_once(&app).await;
    assert!(is_serving(&app, "mayfly.user.v1.UserService").await.0);
    assert_eq!(
        app.internal("/health/ready").await,
        (503, "auth: database unavailable\nuser: database unavailable\n".into())
    );

    assert_eq!((state(&app).await, last_error(&app).await), (2, json!("connection refused")));

    proxy.reopen();
    serves_within(&ada, SOON).await;
    assert_eq!(app.internal("/health/ready").await.0, 200);
    assert_eq!((state(&app).await, last_error(&app).await), (0, Value::Null));
}

#[tokio::test]
async fn a_database_that_goes_and_comes_back_is_told_at_once_and_found_again() {
    let proxy = Proxy::open();
    let (app, database) = app_behind(&proxy).await;
    warm_up(&app, &database, 3).await;
    let ada = app.person("ada");

    let mut took = Vec::new();
    for _ in 0..3 {
        proxy.close().await;
        is_told_at_once(&ada, 20).await;
        assert_eq!(app.internal("/health/ready").await.0, 503);
        proxy.reopen();
        took.push(serves_within(&ada, SOON).await);
    }
    // Other tests may hold up one or another.
    assert!(took.iter().any(|took| *took < RECOVERY_MAX), "{took:?}");
}

/// No way to the server says nothing of those who have come there.
#[tokio::test]
async fn a_connect_that_never_came_to_the_server_costs_no_connection_that_did() {
    let database = Database(world().new_database().await);
    let options = schema::options(&world().runtime_url(&database.0)).unwrap();
    let Some(sockets) = options.get_socket() else {
        return out_of_reach("the server of the tests has no socket to be hidden");
    };
    let dir = tempfile::tempdir().unwrap();
    let way = dir.path().join("way");
    std::os::unix::fs::symlink(sockets, &way).unwrap();
    let url = format!(
        "postgres://{}@localhost:{}/{}?host={}",
        options.get_username(),
        options.get_port(),
        database.0,
        way.display()
    );
    let bench = Bench::on(database, &[("DATABASE_URL", &url), PATIENT]);
    let two =
        || [run(&bench.pool, "select pg_sleep(0.2)"), run(&bench.pool, "select pg_sleep(0.2)")];
    for outcome in futures_util::future::join_all(two()).await {
        outcome.unwrap();
    }

    std::fs::remove_file(&way).unwrap();
    let three = two().into_iter().chain([run(&bench.pool, "select pg_sleep(0.2)")]);
    let outcomes = futures_util::future::join_all(three).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1, "{outcomes:?}");
    let state = bench.pool.state();
    assert_eq!((state.standing, state.idle), (Standing::Down, 2));
    for outcome in futures_util::future::join_all(two()).await {
        outcome.unwrap();
    }
    std::os::unix::fs::symlink(sockets, &way).unwrap();
    until("it is up", SOON, async || bench.pool.state().standing == Standing::Up).await;
}

#[tokio::test]
async fn terminated_backends_cost_one_call_per_connection_at_most() {
    let app = App::start().await;
    let database = Database(app.database.clone());
    database.make_profile("ada").await;
    warm_up(&app, &database, 5).await;
    let ada = app.person("ada");

    let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity";
    let ended = database.number(&format!("{terminate} where {}", super::OURS)).await;
    assert!(ended >= 5, "{ended}");

    let mut failed = 0;
    while let Err(status) = reads_ada(&ada).await {
        is_unavailable(&status);
        failed += 1;
        assert!(failed <= ended, "{failed} calls failed over {ended} connections");
    }
    for _ in 0..20 {
        reads_ada(&ada).await.unwrap();
    }
}

#[tokio::test]
async fn a_write_survives_backends_that_were_terminated_while_idle() {
    let app = App::start().await;
    let database = Database(app.database.clone());
    database.make_profile("ada").await;
    for round in 0..5 {
        warm_up(&app, &database, 3).await;
        let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity";
        database.number(&format!("{terminate} where {}", super::OURS)).await;
        app.person(&format!("new-{round}")).creates_public_profile(&format!("new_{round}")).await;
    }
}

#[tokio::test]
async fn who_finds_no_connection_is_told_so_in_time_and_the_rest_ends_by_its_deadline() {
    let wait = WAIT_MAX.as_millis().to_string();
    let app = App::builder().with("DB_WAIT_MS_MAX", wait).start().await;
    let database = Database(app.database.clone());
    database.make_profile("ada").await;
    // What is waited for is a connection that others hold, not one that is being made.
    warm_up(&app, &database, 10).await;
    let lock = database.lock_profiles().await;

    let calls = all_read_ada(&app, 100);
    let health = async {
        database.waits_for("ten calls wait", 10, "wait_event_type = 'Lock'").await;
        is_healthy_at_once(&app).await;
    };
    let (outcomes, ()) = tokio::join!(calls, health);

    let mut expired = 0;
    for (outcome, took) in outcomes {
        let told = told(&outcome.unwrap_err());
        match told.code {
            Code::Unavailable => {
                assert_eq!(told.reason, "POOL_EXHAUSTED");
                assert!(told.retry_delay.is_some());
                assert!(took < DEADLINE_MAX, "{took:?}");
            }
            code => {
                assert_eq!(
                    (code, told.reason.as_str()),
                    (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
                );
                assert!(took < DEADLINE_MAX, "{took:?}");
                expired += 1;
            }
        }
    }
    assert_eq!(expired, 10);
    assert_eq!(app.internal("/health/ready").await.0, 200, "busy is not down");
    lock.release().await;
}

#[tokio::test]
async fn calls_that_wait_for_a_lock_are_answered_when_it_is_gone() {
    let app = App::start().await;
    let database = Database(app.database.clone());
    database.make_profile("ada").await;
    let lock = database.lock_profiles().await;
    let calls = all_read_ada(&app, 15);
    let release = async {
        database.waits_for("ten calls wait", 10, "wait_event_type = 'Lock'").await;
        lock.release().await;
        Instant::now()
    };
    let (outcomes, released) = tokio::join!(calls, release);
    assert!(released.elapsed() < Duration::from_secs(1));
    for (outcome, _took) in outcomes {
        outcome.unwrap();
    }
}

#[tokio::test]
async fn a_silent_database_costs_no_call_more_than_its_deadline() {
    let proxy = Proxy::open();
    let (app, database) = app_behind(&proxy).await;
    warm_up(&app, &database, 4).await;

    proxy.stall();
    for (outcome, took) in all_read_ada(&app, 20).await {
        let told = told(&outcome.unwrap_err());
        assert!(matches!(told.code, Code::DeadlineExceeded | Code::Unavailable), "{told:?}");
        assert!(took < DEADLINE_MAX, "{took:?}");
    }
    assert_eq!(app.internal("/health/ready").await.0, 503);
    assert_eq!(healthz(&app).await, 200);

    proxy.reopen();
    serves_within(&app.person("ada"), SOON).await;
}

#[tokio::test]
async fn connections_that_a_network_has_forgotten_are_left_behind() {
    let proxy = Proxy::open();
    let (app, database) = app_behind(&proxy).await;
    warm_up(&app, &database, 2).await;

    proxy.lose();
    for (outcome, took) in all_read_ada(&app, 10).await {
        assert!(took < DEADLINE_MAX, "{took:?}");
        let code = outcome.map_or_else(|status| told(&status).code, |()| Code::Ok);
        assert!(matches!(code, Code::Ok | Code::DeadlineExceeded), "{code:?}");
    }
    for (outcome, _took) in all_read_ada(&app, 20).await {
        outcome.unwrap();
    }
}
