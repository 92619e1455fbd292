//! Callers that leave: what they had begun ends, and nobody else notices.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use proto::user::v1::{
    CreateProfileRequest, DeleteProfileRequest, GetProfileRequest, Profile, UpdateProfileRequest,
};
use tests::{App, Person, Proxy, told, until, with_key, world};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::{Code, Response, Status};

use super::{
    Bench, Database, Dice, PATIENT, SOON, all_end_in_time, end_in_time, number, reads_ada, run,
};

/// The statements that are under way.
const UNDER_WAY: &str = "state = 'active'";

/// A statement that takes longer than anybody waits here.
const SLEEPS: &str = "select pg_sleep(20)";

/// Nothing is left of those who left: at most a pool, the control connection, one of another pool
/// and the one for revocations, all idle, no lock.
pub(super) async fn nothing_is_left(database: &Database) {
    database.waits_for("no statement is under way", 0, UNDER_WAY).await;
    database.waits_for("no transaction is open", 0, "state like 'idle in transaction%'").await;
    until("the connections are a pool and three", SOON, async || database.ours("true").await <= 13)
        .await;
    let locks = "select count(*) from pg_locks join pg_stat_activity using (pid)
        where datname = current_database() and pid <> pg_backend_pid()";
    assert_eq!(database.number(locks).await, 0);
}

/// Waits until no call of the app has a connection.
pub(super) async fn all_given_back(app: &App) {
    until("all connections are given back", SOON, async || {
        let (_status, detail) = app.internal("/health/detailed").await;
        let detail: serde_json::Value = serde_json::from_str(&detail).unwrap();
        let in_use = |function: &str| &detail["functions"][function]["database"]["in_use"];
        ["auth", "user"].into_iter().all(|function| *in_use(function) == 0)
    })
    .await;
}

#[tokio::test]
async fn a_statement_ends_with_the_deadline_of_its_caller() {
    let app = App::start().await;
    let database = Database(app.database.clone());
    database.make_profile("ada").await;
    let lock = database.lock_profiles().await;
    let ada = app.person("ada");
    let mut outlived = Vec::new();
    for _ in 0..5 {
        let mut request = tonic::Request::new(GetProfileRequest::default());
        request.set_timeout(Duration::from_millis(150));
        let status = ada.user().get_profile(request).await.unwrap_err();
        let answered = Instant::now();
        // The client's own timer may be first; the server's answer has the details.
        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
        database.waits_for("the statement is gone", 0, UNDER_WAY).await;
        outlived.push(answered.elapsed());
    }
    end_in_time(&outlived);
    lock.release().await;
    all_given_back(&app).await;
    nothing_is_left(&database).await;
}

#[tokio::test]
async fn a_statement_ends_when_its_caller_leaves() {
    let app = App::start().await;
    let database = Database(app.database.clone());
    database.make_profile("ada").await;
    let lock = database.lock_profiles().await;
    let ada = app.person("ada");
    let mut outlived = Vec::new();
    for _ in 0..5 {
        let call = timeout(SOON, reads_ada(&ada));
        let leave = database.waits_for("the call waits", 1, "wait_event_type = 'Lock'");
        tokio::select! {
            biased;
            outcome = call => panic!("{outcome:?}"),
            _waits = leave => {}
        }
        let left = Instant::now();
        database.waits_for("the statement is gone", 0, UNDER_WAY).await;
        outlived.push(left.elapsed());
    }
    end_in_time(&outlived);
    lock.release().await;
    reads_ada(&ada).await.unwrap();
    all_given_back(&app).await;
    nothing_is_left(&database).await;
}

#[tokio::test]
async fn a_statement_whose_cancel_is_lost_ends_by_itself() {
    // Nobody listens where the cancel would go.
    let direct = ("DATABASE_DIRECT_URL", "postgres://mayfly_runtime@127.0.0.1:1/none");
    let bench = Bench::with(&[direct, PATIENT]).await;
    let mut outlived = Vec::new();
    for _ in 0..3 {
        let impatient = run(&bench.pool, SLEEPS);
        timeout(Duration::from_millis(100), impatient).await.unwrap_err();
        outlived.push(bench.database.waits_for("the statement is gone", 0, UNDER_WAY).await);
        bench.is_idle().await;
    }
    end_in_time(&outlived);
}

#[tokio::test]
async fn a_statement_whose_cancel_is_not_answered_ends_by_itself() {
    // The way of cancels swallows what it is sent; that of statements is whole.
    let proxy = Proxy::open();
    let database = Database(world().new_database().await);
    let direct = proxy.url(&database.0);
    let bench = Bench::on(database, &[("DATABASE_DIRECT_URL", &direct), PATIENT]);
    let leave = async || {
        let impatient = || timeout(Duration::from_millis(100), run(&bench.pool, SLEEPS));
        for left in join_all((0..3).map(|_| impatient())).await {
            left.unwrap_err();
        }
        let outlived = bench.database.waits_for("the statements are gone", 0, UNDER_WAY).await;
        bench.is_idle().await;
        outlived
    };
    // There are connections, one for control among them, before it is silent.
    leave().await;
    proxy.stall();
    let mut outlived = Vec::new();
    for _ in 0..5 {
        outlived.push(leave().await);
    }
    all_end_in_time(outlived);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_cancels_hit_nobody_else() {
    let bench = Bench::with(&[("DB_WAIT_MS_MAX", "30000")]).await;
    let mut callers = JoinSet::new();
    for caller in 0..10 {
        let pool = bench.pool.clone();
        callers.spawn(async move {
            let mut dice = Dice::new(caller);
            for _ in 0..100 {
                let patience = dice.micros(6000);
                timeout(patience, run(&pool, "select pg_sleep(30)")).await.unwrap_err();
            }
        });
        let pool = bench.pool.clone();
        callers.spawn(async move {
            for expected in 0..150 {
                let query = format!("select {expected}::bigint from pg_sleep(0.001)");
                assert_eq!(number(&pool, &query).await.unwrap(), expected);
            }
        });
    }
    callers.join_all().await;
    bench.is_idle().await;
    assert!(bench.pool.state().idle <= 10);
    nothing_is_left(&bench.database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_that_are_dropped_fail_no_other_call() {
    let app = App::builder().with("DB_WAIT_MS_MAX", "30000").start().await;
    let database = Database(app.database.clone());
    database.make_profile("ada").await;
    let mut callers = JoinSet::new();
    for caller in 0..10 {
        let person = app.person(&format!("leaver-{caller}"));
        callers.spawn(async move {
            let mut dice = Dice::new(caller);
            for _ in 0..100 {
                // Some are answered before they are dropped; none may fail.
                if let Ok(outcome) = timeout(dice.micros(8000), reads_ada(&person)).await {
                    outcome.unwrap();
                }
            }
        });
    }
    for caller in 0..5 {
        let person = app.person(&format!("stayer-{caller}"));
        callers.spawn(async move {
            for _ in 0..60 {
                reads_ada(&person).await.unwrap();
            }
        });
    }
    // Meanwhile the table is locked, again and again.
    while !callers.is_empty() {
        let lock = database.lock_profiles().await;
        let held = timeout(Duration::from_millis(10), callers.join_next()).await;
        lock.release().await;
        if let Ok(Some(ended)) = held {
            ended.unwrap();
        }
    }
    all_given_back(&app).await;
    nothing_is_left(&database).await;
}

/// What a person does once, whose key stays the same.
#[derive(Clone, Copy)]
enum Write {
    Create,
    Update,
    Delete,
}

async fn write(person: &Person, write: Write) -> Result<Response<Profile>, Status> {
    let name = person.name.clone();
    match write {
        Write::Create => {
            let profile =
                Profile { handle: name.clone(), display_name: name, ..Default::default() };
            let message = CreateProfileRequest { profile: Some(profile) };
            person.user().create_profile(with_key(message, "create")).await
        }
        Write::Update => {
            let profile = Profile { bio: name, ..Default::default() };
            let message = UpdateProfileRequest { profile: Some(profile), update_mask: None };
            person.user().update_profile(with_key(message, "update")).await
        }
        Write::Delete => {
            let request = with_key(DeleteProfileRequest::default(), "delete");
            let answer = person.user().delete_profile(request).await?;
            Ok(answer.map(|()| Profile::default()))
        }
    }
}

/// One in so many of those who write deletes it all in the end.
const DELETE_EVERY: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_dropped_at_any_point_happens_once_when_it_is_repeated() {
    let app = App::builder().with("DB_WAIT_MS_MAX", "30000").start().await;
    let database = Database(app.database.clone());
    // How many of the dropped writes had happened.
    let happened = std::sync::Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..10 {
        let people: Vec<_> = (0..50).map(|n| app.person(&format!("p{writer}_{n}"))).collect();
        let happened = std::sync::Arc::clone(&happened);
        writers.spawn(async move {
            let mut dice = Dice::new(writer);
            let mut etags = BTreeSet::new();
            // How long the last write took that was not cut short.
            let mut whole = Duration::from_millis(6);
            for (number, person) in people.into_iter().enumerate() {
                let deletes = number.is_multiple_of(DELETE_EVERY);
                let steps = [Write::Create, Write::Update, Write::Delete];
                for step in steps.into_iter().take(if deletes { 3 } else { 2 }) {
                    // Dropped somewhere; or answered, which must be the answer of the repeat.
                    let below = u64::try_from(whole.as_micros()).unwrap() * 2;
                    let (start, first) = (Instant::now(), write(&person, step));
                    let first = timeout(dice.micros(below), first).await;
                    let (answered, again) = (start.elapsed(), Instant::now());
                    let second = write(&person, step).await.unwrap();
                    let took = again.elapsed();
                    let third = write(&person, step).await.unwrap();
                    let is_replayed = second.metadata().contains_key("idempotency-replayed");
                    happened.fetch_add(u64::from(is_replayed), Ordering::Relaxed);
                    assert!(third.metadata().contains_key("idempotency-replayed"));
                    let (second, third) = (second.into_inner(), third.into_inner());
                    assert_eq!(second, third);
                    if let Ok(first) = first {
                        assert_eq!(first.unwrap().into_inner(), second);
                        assert!(is_replayed);
                        whole = answered;
                    } else if !is_replayed {
                        whole = took;
                    }
                    if let (Write::Update, false) = (step, deletes) {
                        etags.insert(second.etag);
                    }
                }
            }
            etags
        });
    }
    let etags: BTreeSet<_> = writers.join_all().await.into_iter().flatten().collect();

    let happened = happened.load(Ordering::Relaxed);
    assert!((10..1090).contains(&happened), "{happened} of 1,100 drops came after the commit");
    let rows = "select count(*) from mayfly_user.profile where bio = user_id and handle = user_id";
    assert_eq!(database.number(rows).await, 400);
    assert_eq!(database.number("select count(*) from mayfly_user.profile").await, 400);
    assert_eq!(database.number("select count(*) from mayfly.exactly_once").await, 1100);
    // Of whoever has deleted theirs, nothing is kept but that the keys were used.
    let unanswered = "select count(*) from mayfly.exactly_once where answer is null";
    assert_eq!(database.number(unanswered).await, 200);
    // The version that each was told is the version that is there.
    let known: Vec<_> = etags.iter().map(|etag| format!("'{etag}'")).collect();
    let told_of = "select count(*) from mayfly_user.profile where etag::text in";
    assert_eq!(database.number(&format!("{told_of} ({})", known.join(","))).await, 400);
    all_given_back(&app).await;
    nothing_is_left(&database).await;
}

#[tokio::test]
async fn an_expired_call_is_told_what_it_ran_into() {
    let app = App::start().await;
    let database = Database(app.database.clone());
    let lock = database.lock_profiles().await;
    let mut outlived = Vec::new();
    for _ in 0..3 {
        // The rule's own two seconds, so that no timer of the client is in the way.
        let told = told(&reads_ada(&app.person("ada")).await.unwrap_err());
        let (code, reason) = (told.code, told.reason.as_str());
        assert_eq!((code, reason), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
        outlived.push(database.waits_for("the statement is gone", 0, UNDER_WAY).await);
    }
    end_in_time(&outlived);
    lock.release().await;
}
