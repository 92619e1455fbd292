//! A token that is good counts no longer once its person, its sign-in or what it says is revoked.

mod processes;
mod streams;

use std::time::Duration;

use clock::Clock;
use database::Pool;
use identity::{Person, UserId};
use jsonwebtoken::{Algorithm, Header};
use proto::user::v1::{GetProfileRequest, Profile};
use revocation::Revocations;
use serde_json::{Value, json};
use settings::{Env, Reader};
use sqlx::{Connection, PgConnection, raw_sql};
use tests::{App, Proxy, told, until, world};
use tokio::time::{Instant, advance, pause, resume, sleep};
use tokio_util::task::TaskTracker;
use tonic::Code;

/// The shortest time that can be set, as these tests want to see it pass.
const SOON: Duration = Duration::from_secs(1);

/// How much later something may be noticed on a machine that has other things to do.
const SLACK: Duration = Duration::from_secs(10);

/// Somebody who may revoke, as the function that does so.
struct Revoker {
    pool: Pool,
    revocations: Revocations,
}

impl Revoker {
    async fn of(database: &str) -> Self {
        let mut owner = PgConnection::connect(&world().owner_url(database)).await.unwrap();
        let role = "do $$ begin
                if not exists (select from pg_roles where rolname = 'mayfly_revoker') then
                    create role mayfly_revoker nologin;
                end if;
            exception when duplicate_object or unique_violation then null; end $$;
            grant usage on schema mayfly to mayfly_revoker;
            grant select, insert, update on mayfly.revocation to mayfly_revoker";
        raw_sql(role).execute(&mut owner).await.unwrap();
        let env = Env::of([("DATABASE_URL", &*world().owner_url(database))]);
        let settings = Reader::new(&env).finish(database::Settings::read).unwrap();
        let ours = Reader::new(&env).finish(revocation::Settings::read).unwrap();
        let (clock, tasks) = (Clock::system(), TaskTracker::new());
        let pool = Pool::new(&settings, "revoker", clock.clone(), tasks.clone());
        let revocations = Revocations::new(&ours, pool.clone(), clock, tasks);
        Self { pool, revocations }
    }

    async fn revoke(&self, name: &str, valid_from: i64) {
        let id = UserId::parse(name).unwrap();
        let id = &id;
        let work = |tx| async move { Ok(self.revocations.revoke(&tx, id, valid_from).await?) };
        self.pool.transaction(work).await.unwrap();
    }
}

/// Somebody whose token was found good, and who signed in then.
fn person(name: &str, auth_time: i64) -> Person {
    Person {
        user_id: UserId::parse(name).unwrap(),
        roles: Vec::new(),
        expire_time: i64::MAX,
        auth_time,
        email: None,
        email_verified: false,
        sign_in_provider: None,
        issue_time: now(),
    }
}

/// A token of a person who signed in then, made now.
fn token(name: &str, auth_time: i64) -> String {
    signed(name, auth_time, now() + 3600)
}

/// A token of a person who signed in just now, good until then.
fn token_until(name: &str, expires: i64) -> String {
    signed(name, now(), expires)
}

fn signed(name: &str, auth_time: i64, expires: i64) -> String {
    let issuer = &world().issuer;
    let header = Header { kid: Some(issuer.kid()), ..Header::new(Algorithm::RS256) };
    let claims = json!({
        "iss": issuer.issuer_url(), "aud": issuer.project(), "sub": name, "user_id": name,
        "iat": now(), "auth_time": auth_time, "exp": expires,
    });
    issuer.sign(&header, &claims)
}

/// What somebody with this token is told: the reason, or that there is no such profile.
async fn asks(app: &App, token: &str) -> (Code, String) {
    let person = app.stranger(Some(token));
    let answer: Result<tonic::Response<Profile>, _> =
        person.user().get_profile(GetProfileRequest::default()).await;
    let told = told(&answer.unwrap_err());
    (told.code, told.reason)
}

async fn is_taken(app: &App, token: &str) -> bool {
    asks(app, token).await == (Code::NotFound, "NOT_FOUND".to_owned())
}

async fn is_refused(app: &App, token: &str, reason: &str) -> bool {
    asks(app, token).await == (Code::Unauthenticated, reason.to_owned())
}

fn now() -> i64 {
    Clock::system().unix_secs()
}

/// How often an app has read the revocations.
async fn reads(app: &App) -> u64 {
    let (_status, text) = app.internal("/health/detailed").await;
    let told: Value = serde_json::from_str(&text).unwrap();
    told["revocations"]["reads"].as_u64().unwrap()
}

#[tokio::test]
async fn whoever_is_revoked_in_one_process_is_refused_by_another_in_time() {
    let app = App::builder().with("REVOCATION_SECS_MAX", "1").start().await;
    let revoker = Revoker::of(&app.database).await;
    let (before, other) = (token("ada", now() - 60), token("bob", now() - 60));
    assert!(is_taken(&app, &before).await);

    let cut = now() - 30;
    revoker.revoke("ada", cut).await;
    let took = until("she is refused", SOON + SLACK, async || {
        is_refused(&app, &before, "TOKEN_REVOKED").await
    });
    took.await;
    // Refreshed, it still comes from that sign-in.
    assert!(is_refused(&app, &token("ada", now() - 59), "TOKEN_REVOKED").await);
    assert!(is_taken(&app, &token("ada", cut)).await);
    assert!(is_taken(&app, &other).await);
    // A process that starts later knows as well, and nothing gives the old sign-ins back.
    revoker.revoke("ada", cut - 1000).await;
    let late = App::builder().database(&app.database).start().await;
    assert!(is_refused(&late, &before, "TOKEN_REVOKED").await);
}

#[tokio::test]
async fn a_session_a_role_and_a_person_end_each_in_their_own_way() {
    let app = App::start().await;
    let revoker = Revoker::of(&app.database).await;
    let id = &UserId::parse("ada").unwrap();
    let then = now() - 50;
    let (phone, laptop) = (token("ada", then), token("ada", then + 10));
    let Revoker { pool, revocations } = &revoker;
    let work = |tx| async move { Ok(revocations.revoke_session(&tx, id, then).await?) };
    pool.transaction(work).await.unwrap();
    assert!(is_refused(&app, &phone, "TOKEN_REVOKED").await);
    assert!(is_taken(&app, &laptop).await);

    // What follows is noticed at once by a process that starts after it.
    let later = now() + 10;
    let times = (now(), later);
    let work = |tx| async move { Ok(revocations.begin_change(&tx, id, times).await?) };
    assert!(pool.transaction(work).await.unwrap());
    assert!(!pool.transaction(work).await.unwrap(), "one is under way");
    let ends = |until| {
        let end = move |tx| async move { Ok(revocations.end_change(&tx, id, until, later).await?) };
        pool.transaction(end)
    };
    assert!(!ends(later + 1).await.unwrap(), "that is another");
    assert!(ends(later).await.unwrap());
    let app = App::builder().database(&app.database).start().await;
    assert!(is_refused(&app, &laptop, "TOKEN_EXPIRED").await);

    let work = |tx| async move { Ok(revocations.disable(&tx, id).await?) };
    let mark = pool.transaction(work).await.unwrap();
    let app = App::builder().database(&app.database).start().await;
    assert!(is_refused(&app, &token("ada", now() + 20), "TOKEN_REVOKED").await);

    let work = |tx| async move { Ok(revocations.enable(&tx, id, mark).await?) };
    assert!(pool.transaction(work).await.unwrap());
    assert!(!pool.transaction(work).await.unwrap(), "something was written since");
    let app = App::builder().database(&app.database).start().await;
    assert!(is_refused(&app, &phone, "TOKEN_REVOKED").await);
}

#[tokio::test]
async fn of_more_than_a_hundred_sessions_the_oldest_take_the_older_ones_with_them() {
    let app = App::start().await;
    let revoker = Revoker::of(&app.database).await;
    let id = &UserId::parse("ada").unwrap();
    let Revoker { pool, revocations } = &revoker;
    let start = now() - 1000;
    for second in 0..=101 {
        let then = start + 2 * second;
        let work = |tx| async move { Ok(revocations.revoke_session(&tx, id, then).await?) };
        pool.transaction(work).await.unwrap();
    }
    let row = format!(
        "select count(*) from mayfly.revocation
         where cardinality(sessions) = 100 and valid_from = {}",
        start + 3
    );
    assert_eq!(app.sql_count(&row).await, 1);
    for over in [-1, 0, 1, 2, 4, 202] {
        assert!(is_refused(&app, &token("ada", start + over), "TOKEN_REVOKED").await, "{over}");
    }
    for good in [3, 5, 201, 203] {
        assert!(is_taken(&app, &token("ada", start + good)).await, "{good}");
    }
}

#[tokio::test]
async fn many_callers_read_once_and_known_ones_not_at_all() {
    // It is not due to be read again while this goes on.
    let app = App::builder().with("REVOCATION_SECS_MAX", "30").start().await;
    let tokens: Vec<_> = (0..50).map(|n| token(&format!("person-{n}"), now())).collect();
    let all_call = async || {
        let calls = tokens.iter().map(|token| is_taken(&app, token));
        let taken = futures_util::future::join_all(calls).await;
        assert!(taken.into_iter().all(|is_taken| is_taken));
    };
    all_call().await;
    let first = reads(&app).await;
    assert!(first < 25, "{first} reads for 50 callers at once");
    all_call().await;
    assert_eq!(reads(&app).await, first);
}

#[tokio::test]
async fn whoever_writes_of_some_makes_nobody_else_wait() {
    let database = world().new_database().await;
    let revoker = Revoker::of(&database).await;
    let Revoker { revocations, .. } = &revoker;
    let ada = |auth_time| person("ada", auth_time);
    revocations.check(&ada(now())).await.unwrap();
    let began = Instant::now();
    let mut written = 0;
    let writes = async {
        while began.elapsed() < Duration::from_secs(2) {
            let names = (0..4).map(|n| format!("writer-{n}")).collect::<Vec<_>>();
            let writes = names.iter().map(|name| revoker.revoke(name, 1));
            futures_util::future::join_all(writes).await;
            written += 4;
        }
    };
    let checks = async {
        while began.elapsed() < Duration::from_secs(2) {
            for other in ["ada", "bob"] {
                revocations.check(&person(other, now())).await.expect("nothing is said of them");
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::join!(writes, checks);
    // One for each of the two, and then as often as what is known becomes old.
    let (reads, most) = (revocations.reads_total(), 4 + began.elapsed().as_secs());
    assert!(written > 40 && reads <= most, "{reads} reads beside {written} writes");
    // Of whom something is written here it holds here at once.
    revoker.revoke("ada", now()).await;
    let told = revocations.check(&ada(now() - 60)).await;
    assert!(matches!(told, Err(revocation::Error::Revoked)), "{told:?}");
}

#[tokio::test]
async fn what_is_known_is_read_again_when_it_is_asked_for_and_never_by_itself() {
    let clock = Clock::at(now());
    let app = App::builder().clock(clock.clone()).start().await;
    let ada = token("ada", now());
    assert!(is_taken(&app, &ada).await);
    let first = reads(&app).await;
    // Both clocks go on, so that a timer of its own would be over by now.
    let later = Duration::from_secs(20);
    clock.advance(later);
    pause();
    advance(later).await;
    resume();
    sleep(Duration::from_millis(50)).await;
    assert_eq!(reads(&app).await, first);
    assert!(is_taken(&app, &ada).await);
    assert_eq!(reads(&app).await, first + 1);
}

#[tokio::test]
async fn without_the_database_nobody_is_let_in_for_long() {
    let database = world().new_database().await;
    let proxy = Proxy::open();
    let clock = Clock::at(now());
    let app = App::builder()
        .database(&database)
        .with("DATABASE_URL", proxy.url(&database))
        .clock(clock.clone())
        .start()
        .await;
    let ada = token("ada", now());
    assert!(is_taken(&app, &ada).await);
    proxy.close().await;
    clock.advance(Duration::from_secs(6));
    let refused = (Code::Unavailable, "DB_UNAVAILABLE".to_owned());
    until("she is not let in", SLACK, async || asks(&app, &ada).await == refused).await;
    let (_status, told) = app.internal("/health/detailed").await;
    assert!(told.contains("\"last_error\": \"the database has not told\""), "{told}");
    let (_status, metrics) = app.internal("/metrics").await;
    let failures =
        metrics.lines().find_map(|it| it.strip_prefix("mayfly_revocation_read_failures_total "));
    assert!(failures.unwrap().parse::<u64>().unwrap() > 0, "{metrics}");
    proxy.reopen();
    until("she is let in again", SLACK, async || is_taken(&app, &ada).await).await;
}

#[tokio::test]
async fn a_function_that_does_not_revoke_cannot_write_revocations() {
    let app = App::start().await;
    let mut owner = app.owner().await;
    for statement in [
        "insert into mayfly.revocation (user_id) values ('ada')",
        "update mayfly.revocation set valid_from = 0",
        "delete from mayfly.revocation",
    ] {
        raw_sql("set role mayfly_user").execute(&mut owner).await.unwrap();
        let refused = raw_sql(statement).execute(&mut owner).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "42501", "{statement}");
    }
}
