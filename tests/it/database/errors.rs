//! What Postgres refuses, and what a caller is told of it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use database::Standing;
use fault::{Fault, Reason};
use sqlx::query;
use tests::{Cluster, says_nothing_of_us, until, world};
use tokio::{
    sync::Barrier,
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{Bench, Database, PATIENT, SOON, number, run};

/// Two tables that refuse many things.
const TABLES: &str = "
    create table mayfly_user.zebra (
        id int constraint zebra_key primary key,
        name varchar(3),
        small smallint constraint zebra_small check (small < 10)
    );
    create table mayfly_user.foal (
        zebra int constraint foal_zebra references mayfly_user.zebra
    );
    insert into mayfly_user.zebra (id, small) values (1, 0), (2, 0);
    grant select, insert, update, delete on mayfly_user.zebra, mayfly_user.foal to mayfly_user";

const CREATE: &str = "insert into mayfly_user.zebra (id) values (3)";
const CREATE_AGAIN: &str = "insert into mayfly_user.zebra (id) values (1)";

async fn bench(settings: &[(&str, &str)]) -> Bench {
    let bench = Bench::with(&[&[PATIENT], settings].concat()).await;
    bench.database.sql(TABLES).await;
    bench
}

/// Insists on what a caller is told, and on what it is not.
#[track_caller]
fn tells(error: impl Into<Fault>, code: Code, reason: &str) {
    let status = Status::from(error.into());
    let info = status.get_details_error_info().unwrap();
    assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{status:?}");
    let details = String::from_utf8_lossy(status.details()).into_owned();
    for text in [status.message(), details.as_str()] {
        says_nothing_of_us(text);
        for inside in ["zebra", "foal", "grass", "23", "22", "42"] {
            assert!(!text.contains(inside), "{inside:?} in {text:?}");
        }
    }
}

#[tokio::test]
async fn every_refusal_has_its_code_and_gives_nothing_away() {
    let bench = bench(&[("DB_STATEMENT_MS_MAX", "2000")]).await;
    let refusals = [
        (CREATE_AGAIN, Code::AlreadyExists, "ALREADY_EXISTS"),
        (
            "insert into mayfly_user.foal values (9)",
            Code::FailedPrecondition,
            "FAILED_PRECONDITION",
        ),
        ("delete from mayfly_user.zebra; ", Code::Ok, ""),
        (
            "insert into mayfly_user.zebra (id, small) values (5, 10)",
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
        ),
        (
            "insert into mayfly_user.zebra (id, name) values (5, 'grass')",
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
        ),
        ("select 'grass'::int", Code::InvalidArgument, "INVALID_ARGUMENT"),
        ("select 40000::smallint", Code::InvalidArgument, "INVALID_ARGUMENT"),
        ("select pg_sleep(20)", Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        ("select * from mayfly_user.grass", Code::Internal, "INTERNAL"),
        ("select grass from mayfly_user.zebra", Code::Internal, "INTERNAL"),
        ("select from from", Code::Internal, "INTERNAL"),
        ("drop table mayfly_user.zebra", Code::Internal, "INTERNAL"),
    ];
    for (statement, code, reason) in refusals {
        match run(&bench.pool, statement).await {
            Ok(()) => assert_eq!(code, Code::Ok, "{statement}"),
            Err(error) => tells(error, code, reason),
        }
    }
    // One connection went through all of it.
    assert_eq!(bench.database.ours("true").await, 1);

    #[expect(clippy::disallowed_methods, reason = "it belongs to no function")]
    let nul = query("select $1::text").bind("gra\0ss").execute(&bench.pool).await.unwrap_err();
    tells(database::Error::from(nul), Code::InvalidArgument, "INVALID_ARGUMENT");
}

/// Ends the backend that is asked `statement`, once it sleeps in it, and tells what came of it.
async fn ended(bench: &Bench, statement: &str) -> database::Result<()> {
    let terminate = async {
        let sleeping = "query like '%pg_sleep%' and state = 'active'";
        bench.database.waits_for("it sleeps", 1, sleeping).await;
        let terminate = "select pg_terminate_backend(pid) from pg_stat_activity";
        bench.database.sql(&format!("{terminate} where {}", super::OURS)).await;
    };
    let (outcome, ()) = tokio::join!(run(&bench.pool, statement), terminate);
    outcome
}

#[tokio::test]
async fn a_backend_that_is_ended_is_an_outage_for_who_writes_and_nothing_for_who_reads() {
    let bench = bench(&[]).await;
    // Whether it has happened, nobody knows.
    let write = "update mayfly_user.zebra set small = small + 1 where pg_sleep(20)::text = ''";
    tells(ended(&bench, write).await.unwrap_err(), Code::Unavailable, "DB_UNAVAILABLE");
    ended(&bench, "-- It is read.\nselect pg_sleep(3)").await.unwrap();
    run(&bench.pool, "select 1").await.unwrap();
}

#[tokio::test]
async fn a_database_without_a_place_left_has_callers_wait_for_the_connections_there_are() {
    let bench = bench(&[("DB_WAIT_MS_MAX", "1500")]).await;
    let limit = format!("alter database {} with connection limit 3", bench.database.0);
    bench.database.sql(&limit).await;
    // Whoever has been there counts, until its backend is gone.
    let there =
        format!("select count(*) from pg_stat_activity where datname = '{}'", bench.database.0);
    let is_empty = async || world().count_as_admin(&there).await == 0;
    until("nobody is there", SOON, is_empty).await;
    let ours = format!("{there} and usename = 'mayfly_runtime'");
    for (callers, standing) in [(3, Standing::Up), (8, Standing::Full), (8, Standing::Full)] {
        let calls = (0..callers).map(|_| run(&bench.pool, "select pg_sleep(0.1)"));
        for outcome in futures_util::future::join_all(calls).await {
            outcome.unwrap();
        }
        assert_eq!(bench.pool.state().standing, standing);
        assert_eq!(world().count_as_admin(&ours).await, 3);
    }

    // They wait no longer than for any connection.
    let calls = (0..4).map(|_| run(&bench.pool, "select pg_sleep(2.5)"));
    let outcomes = futures_util::future::join_all(calls).await;
    let (served, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((served.len(), refused.len()), (3, 1));
    for outcome in refused {
        tells(outcome.unwrap_err(), Code::Unavailable, "POOL_EXHAUSTED");
    }

    // Who has none has none to wait for.
    let other = Bench::on(Database(bench.database.0.clone()), &[("DB_WAIT_MS_MAX", "60000")]);
    for _ in 0..3 {
        let refused = timeout(SOON, run(&other.pool, "select 1")).await.unwrap();
        tells(refused.unwrap_err(), Code::Unavailable, "DB_UNAVAILABLE");
    }
    let unlimited = format!("alter database {} with connection limit -1", bench.database.0);
    bench.database.sql(&unlimited).await;
    until("it is found out", SOON, async || {
        [&bench, &other].iter().all(|bench| bench.pool.state().standing == Standing::Up)
    })
    .await;
    run(&other.pool, "select 1").await.unwrap();
}

#[tokio::test]
async fn a_standby_is_no_database_to_write_to() {
    let bench = bench(&[]).await;
    let outcome: Result<(), _> = bench
        .pool
        .transaction(|tx| async move {
            run(&tx, "set transaction read only").await?;
            Ok(run(&tx, CREATE).await?)
        })
        .await;
    tells(outcome.unwrap_err(), Code::Unavailable, "DB_UNAVAILABLE");
    // Connected anew, which would find the primary.
    assert_eq!(bench.pool.state().idle, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_no_database_to_watch() {
    let Some(primary) = Cluster::start().await else { return };
    let standby = primary.follower().await;
    let database = Database("mayfly".to_owned());
    let bench = Bench::on(database, &[("DATABASE_URL", &standby.runtime_url()), PATIENT]);
    run(&bench.pool, "select 1").await.unwrap();
    let epoch = "select mayfly.change_epoch()";
    tells(run(&bench.pool, epoch).await.unwrap_err(), Code::Unavailable, "DB_UNAVAILABLE");
    assert_eq!(bench.pool.state().idle, 0);
    standby.promote().await;
    run(&bench.pool, epoch).await.unwrap();
}

#[tokio::test]
async fn a_transaction_left_open_too_long_is_ended_and_told_as_an_outage() {
    let bench = bench(&[("DB_STATEMENT_MS_MAX", "1000")]).await;
    let database = &bench.database;
    let outcome: Result<(), _> = bench
        .pool
        .transaction(|tx| async move {
            run(&tx, CREATE).await?;
            database.waits_for("Postgres ends it", 0, "true").await;
            Ok(run(&tx, CREATE_AGAIN).await?)
        })
        .await;
    tells(outcome.unwrap_err(), Code::Unavailable, "DB_UNAVAILABLE");
    assert_eq!(database.number("select count(*) from mayfly_user.zebra").await, 2);
    run(&bench.pool, "select 1").await.unwrap();
}

#[tokio::test]
async fn a_transaction_never_commits_around_a_statement_that_failed() {
    let bench = bench(&[]).await;
    let overlooks = bench.pool.transaction(|tx| async move {
        run(&tx, CREATE).await?;
        let _overlooked = run(&tx, CREATE_AGAIN).await;
        Ok(())
    });
    // Postgres would answer the commit with a rollback, and the caller would be told that all is well.
    tells(overlooks.await.unwrap_err(), Code::Internal, "INTERNAL");

    let abandons = bench.pool.transaction(|tx| async move {
        run(&tx, CREATE).await?;
        let _elapsed = timeout(Duration::from_millis(50), run(&tx, "select pg_sleep(20)")).await;
        Ok(())
    });
    let abandons = timeout(SOON, abandons).await.unwrap();
    tells(abandons.unwrap_err(), Code::Internal, "INTERNAL");

    bench.database.waits_for("nothing is under way", 0, "state <> 'idle'").await;
    assert_eq!(bench.database.number("select count(*) from mayfly_user.zebra").await, 2);
}

#[tokio::test]
async fn a_transaction_that_fails_leaves_nothing_and_keeps_its_connection() {
    let bench = bench(&[]).await;
    let outcome: Result<(), Fault> = bench
        .pool
        .transaction(|tx| async move {
            run(&tx, CREATE).await?;
            Err(Reason::EtagMismatch.into())
        })
        .await;
    tells(outcome.unwrap_err(), Code::FailedPrecondition, "ETAG_MISMATCH");
    assert_eq!(bench.database.number("select count(*) from mayfly_user.zebra").await, 2);
    assert_eq!(bench.pool.state().idle, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_in_each_others_way_are_tried_again_and_lose_nothing() {
    let bench = bench(&[]).await;
    bench.database.sql("alter table mayfly_user.zebra drop constraint zebra_small").await;
    let tries = std::sync::Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..6 {
        let (pool, tries) = (bench.pool.clone(), std::sync::Arc::clone(&tries));
        writers.spawn(async move {
            let mut counted = 0;
            for _ in 0..20 {
                let outcome = pool.transaction(|tx| {
                    tries.fetch_add(1, Ordering::Relaxed);
                    async move {
                        run(&tx, "set transaction isolation level serializable").await?;
                        let read = "select small::bigint from mayfly_user.zebra where id = 2";
                        let write = number(&tx, read).await? + 1;
                        let write = format!("update mayfly_user.zebra set small = {write}");
                        Ok(run(&tx, &format!("{write} where id = 2")).await?)
                    }
                });
                match outcome.await {
                    Ok(()) => counted += 1,
                    Err(fault) => tells(fault, Code::Aborted, "CONFLICT"),
                }
            }
            counted
        });
    }
    let counted: i64 = writers.join_all().await.into_iter().sum();
    let kept = "select small::bigint from mayfly_user.zebra where id = 2";
    assert_eq!(bench.database.number(kept).await, counted);
    assert!(tries.load(Ordering::Relaxed) > 120, "somebody was in the way");
}

#[tokio::test]
async fn a_conflict_that_persists_is_told_after_five_tries() {
    let bench = bench(&[]).await;
    let (database, tries) = (&bench.database, &std::sync::Mutex::new(Vec::new()));
    let outcome: Result<(), _> = bench
        .pool
        .transaction(|tx| async move {
            tries.lock().unwrap().push(Instant::now());
            run(&tx, "set transaction isolation level repeatable read").await?;
            number(&tx, "select count(*) from mayfly_user.zebra").await?;
            database.sql("update mayfly_user.zebra set name = 'x'").await;
            Ok(run(&tx, "update mayfly_user.zebra set name = 'y'").await?)
        })
        .await;
    tells(outcome.unwrap_err(), Code::Aborted, "CONFLICT");
    let tries = tries.lock().unwrap();
    assert_eq!(tries.len(), 5);
    let waits = tries.windows(2).map(|two| two[1] - two[0]);
    for (wait, least_ms) in waits.zip([5, 10, 20, 40]) {
        assert!(wait >= Duration::from_millis(least_ms), "{wait:?}");
    }
}

#[tokio::test]
async fn a_deadlock_is_tried_again() {
    let bench = bench(&[]).await;
    let patience = "alter role mayfly_runtime in database";
    let patience = format!("{patience} {} set deadlock_timeout = '20ms'", bench.database.0);
    bench.database.sql(&patience).await;

    let (both_have_one, tries) = (&Barrier::new(2), &AtomicUsize::new(0));
    let crossing = |first: u8, second: u8| {
        bench.pool.transaction(move |tx| async move {
            let is_first = tries.fetch_add(1, Ordering::Relaxed) < 2;
            let write = "update mayfly_user.zebra set small = small + 1 where id =";
            run(&tx, &format!("{write} {first}")).await?;
            if is_first {
                both_have_one.wait().await;
            }
            Ok(run(&tx, &format!("{write} {second}")).await?)
        })
    };
    let (one, other) = tokio::join!(crossing(1, 2), crossing(2, 1));
    one.unwrap();
    other.unwrap();
    assert!(tries.load(Ordering::Relaxed) > 2, "there was a deadlock");
    let written = "select count(*) from mayfly_user.zebra where small = 2";
    assert_eq!(bench.database.number(written).await, 2);
}
