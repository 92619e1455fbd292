//! How connections are made, kept, checked, replaced and given back.

use std::time::Duration;

use database::Standing;
use futures_util::StreamExt;
use sqlx::{AssertSqlSafe, Executor, raw_sql};
use tests::{Proxy, until, world};
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{Instant, advance, pause, resume, sleep, timeout},
};

use super::{Bench, Database, PATIENT, SOON, number, run, text};

/// How long the pool waits for the answer of a connection that may be dead.
const PING_MAX: Duration = Duration::from_millis(250);

/// Lets time pass for the pool, and not for Postgres.
async fn later(bench: &Bench, by: Duration) {
    bench.clock.advance(by);
    pause();
    advance(by).await;
    resume();
}

/// The backend that serves the next statement; one that is dead would never say.
async fn pid(bench: &Bench) -> i64 {
    let pid = number(&bench.pool, "select pg_backend_pid()::bigint");
    timeout(SOON, pid).await.unwrap().unwrap()
}

async fn behind(proxy: &Proxy) -> Bench {
    let database = Database(world().new_database().await);
    let url = proxy.url(&database.0);
    Bench::on(database, &[("DATABASE_URL", &url), PATIENT])
}

#[tokio::test]
async fn every_connection_runs_under_its_function_and_its_limits() {
    let bench = Bench::new().await;
    let settings = "select concat_ws(' ', current_user, session_user,
        current_setting('application_name'), current_setting('statement_timeout'),
        current_setting('idle_in_transaction_session_timeout'),
        current_setting('client_connection_check_interval'), current_setting('timezone'),
        pg_sleep(0.1))";
    let all = std::iter::repeat_n((), 10).map(|()| text(&bench.pool, settings));
    for settings in futures_util::future::join_all(all).await {
        let expected = "mayfly_user mayfly_runtime mayfly_user 30s 5s 250ms UTC";
        assert_eq!(settings.unwrap().trim(), expected);
    }
    assert_eq!(bench.pool.state().idle, 10);
}

#[tokio::test]
async fn a_backend_that_was_somebody_elses_session_and_was_not_reset_is_refused() {
    let bench = Bench::new().await;
    // What a session of ours leaves behind for the next, where a pooler hands it on as it is.
    let mark = format!("alter database {} set mayfly.session = 'started'", bench.database.0);
    bench.database.sql(&mark).await;
    let error = run(&bench.pool, "select 1").await.unwrap_err();
    assert!(error.is_shared(), "{error:?}");
    // It stays refused, and is asked again.
    assert!(run(&bench.pool, "select 1").await.unwrap_err().is_shared());
    let unmark = format!("alter database {} reset mayfly.session", bench.database.0);
    bench.database.sql(&unmark).await;
    until("it serves", SOON, async || run(&bench.pool, "select 1").await.is_ok()).await;
}

#[tokio::test]
async fn a_connection_that_died_in_a_long_idle_time_is_found_out_before_it_is_used() {
    let proxy = Proxy::open();
    let bench = behind(&proxy).await;
    let first = pid(&bench).await;
    assert_eq!(pid(&bench).await, first);

    // Alive, it is asked and used again.
    later(&bench, Duration::from_secs(31)).await;
    assert_eq!(pid(&bench).await, first);

    // Its server has ended it.
    let terminate = format!("select pg_terminate_backend({first})");
    bench.database.sql(&terminate).await;
    later(&bench, Duration::from_secs(31)).await;
    let second = pid(&bench).await;
    assert_ne!(second, first);

    // The network has forgotten it, and tells nobody.
    proxy.lose();
    later(&bench, Duration::from_secs(31)).await;
    assert_ne!(pid(&bench).await, second);
}

#[tokio::test]
async fn connections_that_a_machine_slept_on_are_not_even_asked() {
    let proxy = Proxy::open();
    let bench = behind(&proxy).await;
    let mut took = Vec::new();
    for _ in 0..3 {
        let sleep = || text(&bench.pool, "select pg_sleep(0.2)::text");
        for outcome in futures_util::future::join_all([sleep(), sleep(), sleep()]).await {
            outcome.unwrap();
        }
        let made = proxy.made();
        assert_eq!(bench.pool.state().idle, 3);
        proxy.lose();
        // Asleep, the machine's own count of time stands still; the wall clock is put right.
        bench.clock.advance(Duration::from_hours(2));
        // None of the three is asked, and none is left for others.
        let start = Instant::now();
        pid(&bench).await;
        took.push(start.elapsed());
        assert_eq!((bench.pool.state().idle, proxy.made()), (1, made + 1));
    }
    // The one that is made instead may be held up by other tests.
    assert!(took.iter().any(|took| *took < PING_MAX), "{took:?}");
}

#[tokio::test]
async fn a_connection_is_replaced_when_it_is_old() {
    let bench = Bench::new().await;
    let first = pid(&bench).await;
    later(&bench, Duration::from_secs(601)).await;
    assert_eq!(pid(&bench).await, first, "it is checked, and used once more");
    assert_ne!(pid(&bench).await, first);
    bench.database.waits_for("the old one is gone", 1, "true").await;
}

#[tokio::test]
async fn a_caller_who_leaves_while_connecting_leaves_the_connection_to_the_next() {
    let proxy = Proxy::open();
    let bench = behind(&proxy).await;
    proxy.stall();
    let impatient = timeout(Duration::from_millis(50), pid(&bench)).await;
    assert!(impatient.is_err());
    assert_eq!(bench.pool.state().in_use, 1);

    proxy.reopen();
    until("it is there", SOON, async || bench.pool.state().idle == 1).await;
    pid(&bench).await;
    assert_eq!(proxy.made(), 1);
}

#[tokio::test]
async fn a_caller_waits_for_a_connection_for_half_a_second() {
    let bench = Bench::with(&[]).await;
    let mut sleepers = JoinSet::new();
    // One after the other: each waits no longer for its own.
    for taken in 1..=10 {
        let pool = bench.pool.clone();
        sleepers.spawn(async move { run(&pool, "select pg_sleep(20)").await });
        bench.database.waits_for("it is taken", taken, "query like '%pg_sleep%'").await;
    }
    let (start, wait) = (Instant::now(), Duration::from_millis(500));
    let callers = (0..50).map(async |_| {
        let error = run(&bench.pool, "select 1").await.unwrap_err();
        (error, start.elapsed())
    });
    let control = async {
        sleep(wait).await;
        start.elapsed()
    };
    let (told, slept) = tokio::join!(futures_util::future::join_all(callers), control);
    for (error, took) in told {
        assert!(error.is_busy(), "{error:?}");
        // As long as the same wait takes here of whoever waits for nothing else.
        let is_in_time = took >= wait && took < slept + Duration::from_millis(300);
        assert!(is_in_time, "{took:?}, of which {slept:?} for the wait");
    }
    sleepers.shutdown().await;
    bench.is_idle().await;
}

#[tokio::test]
async fn a_slow_connection_does_not_make_the_database_down() {
    let proxy = Proxy::open();
    let database = Database(world().new_database().await);
    let url = proxy.url(&database.0);
    let bench = Bench::on(database, &[("DATABASE_URL", &url), ("DB_WAIT_MS_MAX", "1000")]);
    proxy.stall();
    // It waits for a second; connecting may take two.
    run(&bench.pool, "select 1").await.unwrap_err();
    assert_eq!(bench.pool.state().standing, Standing::Up);
    proxy.reopen();
    run(&bench.pool, "select 1").await.unwrap();
}

#[tokio::test]
async fn a_closed_pool_keeps_no_connection() {
    let bench = Bench::new().await;
    let sleeps = std::iter::repeat_n((), 5).map(|()| run(&bench.pool, "select pg_sleep(0.05)"));
    futures_util::future::join_all(sleeps).await;
    // One cancelled, so that there is a control connection as well.
    let impatient = run(&bench.pool, "select pg_sleep(10)");
    timeout(Duration::from_millis(50), impatient).await.unwrap_err();
    bench.is_idle().await;
    bench.database.waits_for("four and the one for control", 5, "true").await;

    bench.pool.close().await;
    bench.database.waits_for("all are closed", 0, "true").await;
    run(&bench.pool, "select 1").await.unwrap();
    bench.database.waits_for("a late one is closed after its use", 0, "true").await;
}

#[test]
fn a_statement_may_be_dropped_where_there_is_no_runtime() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(Bench::new());
    let statement = raw_sql(AssertSqlSafe("select generate_series(1, 100000)"));
    let mut rows = (&bench.pool).fetch(statement);
    runtime.block_on(rows.next()).unwrap().unwrap();
    assert_eq!(bench.pool.state().in_use, 1);
    drop(rows);
    assert_eq!(bench.pool.state().in_use, 0);

    runtime.block_on(async {
        run(&bench.pool, "select 1").await.unwrap();
        bench.database.waits_for("the backend has noticed", 1, "true").await;
    });
}

#[tokio::test]
async fn nothing_prints_the_password() {
    let url = "postgres://someone:hunter2@db.example.com/main";
    let database = Database("nowhere".to_owned());
    let urls = [("DATABASE_URL", url), ("DATABASE_DIRECT_URL", url)];
    let printed = format!("{:#?}", Bench::on(database, &urls).pool);
    assert!(printed.contains("mayfly_user") && !printed.contains("hunter2"), "{printed}");
}
