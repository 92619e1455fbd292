//! The pool of connections, on a Postgres that is slow, away or in the way.

use std::time::Duration;

use clock::Clock;
use database::{Pool, Settings};
use proto::user::v1::{GetProfileRequest, Profile};
use settings::{Env, Reader};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgExecutor, raw_sql};
use tests::{App, Person, leave_out, skip, until, world};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;
use tonic::Status;

mod accounts;
mod cancels;
mod connections;
mod ended;
mod errors;
mod outages;
mod pooler;
mod refusals;

/// What a bounded wait on this machine may take at the very most.
const SOON: Duration = Duration::from_secs(5);

/// How long a statement may outlive its caller.
const OUTLIVES_MAX: Duration = Duration::from_millis(500);

/// By how much other tests beside it may hold it up.
const BESIDE_OTHERS: Duration = Duration::from_millis(250);

/// Our statements on a database, as Postgres sees them: the functions' login.
const OURS: &str = "datname = current_database() and usename = 'mayfly_runtime'";

/// Beside other tests a connection is made in more than the half second of production.
const PATIENT: (&str, &str) = ("DB_WAIT_MS_MAX", "5000");

/// A pool of the `user` function, on a database of its own.
struct Bench {
    pool: Pool,
    database: Database,
    clock: Clock,
}

/// A database, seen by its owner.
struct Database(String);

/// A lock on the profiles: whoever reads or writes one waits.
struct TableLock(PgConnection);

/// Numbers that look like chance, the same in every run.
struct Dice(u64);

/// Tells that what a test does to the server's files cannot be done.
#[track_caller]
fn out_of_reach(why: &str) {
    if world().is_in_container() { leave_out(why) } else { skip(why) }
}

impl Bench {
    async fn new() -> Self {
        Self::with(&[PATIENT]).await
    }

    async fn with(settings: &[(&str, &str)]) -> Self {
        let database = Database(world().new_database().await);
        Self::on(database, settings)
    }

    fn on(database: Database, settings: &[(&str, &str)]) -> Self {
        let url = world().runtime_url(&database.0);
        let env = Env::default().with("DATABASE_URL", url);
        let env = settings.iter().fold(env, |env, (name, value)| env.with(name, *value));
        let settings = Reader::new(&env).finish(Settings::read).unwrap();
        let clock = Clock::at(1_700_000_000);
        let pool = Pool::new(&settings, "user", clock.clone(), TaskTracker::new());
        Self { pool, database, clock }
    }

    /// Waits until nobody has a connection.
    async fn is_idle(&self) {
        until("the pool is idle", SOON, async || self.pool.state().in_use == 0).await;
    }
}

impl Database {
    async fn owner(&self) -> PgConnection {
        PgConnection::connect(&world().owner_url(&self.0)).await.unwrap()
    }

    /// Runs statements as the owner.
    async fn sql(&self, statements: &str) {
        let statements = AssertSqlSafe(statements.to_owned());
        raw_sql(statements).execute(&mut self.owner().await).await.unwrap();
    }

    async fn number(&self, query: &str) -> i64 {
        number(&mut self.owner().await, query).await.unwrap()
    }

    /// How many of our connections are so.
    async fn ours(&self, condition: &str) -> i64 {
        let count = "select count(*) from pg_stat_activity";
        self.number(&format!("{count} where {OURS} and {condition}")).await
    }

    async fn waits_for(&self, what: &str, expected: i64, condition: &str) -> Duration {
        until(what, SOON, async || self.ours(condition).await == expected).await
    }

    async fn lock_profiles(&self) -> TableLock {
        let mut owner = self.owner().await;
        let lock = "begin; lock table mayfly_user.profile in access exclusive mode";
        raw_sql(lock).execute(&mut owner).await.unwrap();
        TableLock(owner)
    }

    /// A public profile.
    async fn make_profile(&self, user_id: &str) {
        self.sql(&format!(
            "insert into mayfly_user.profile (user_id, handle, display_name, bio, locale, visibility)
             values ('{user_id}', '{user_id}', '{user_id}', '', '', 2)"
        ))
        .await;
    }
}

impl TableLock {
    async fn release(self) {
        // The lock goes with the session.
        self.0.close().await.unwrap();
    }
}

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// A time span shorter than this.
    fn micros(&mut self, below: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_micros(self.0 % below)
    }
}

/// Insists that statements end so soon after their callers. The quickest of several counts: what is
/// beside it on this machine may hold up one backend, or the look at it.
#[track_caller]
fn end_in_time(outlived: &[Duration]) {
    assert!(outlived.iter().any(|outlived| *outlived < OUTLIVES_MAX), "{outlived:?}");
}

/// Insists that every one of them ends as soon as the number says in the median, and none much later:
/// what they wait for on the way there is a time-out, and no other work.
#[track_caller]
fn all_end_in_time(mut outlived: Vec<Duration>) {
    outlived.sort_unstable();
    let (median, most) = (outlived[outlived.len() / 2], outlived[outlived.len() - 1]);
    let is_in_time = median < OUTLIVES_MAX && most < OUTLIVES_MAX + BESIDE_OTHERS;
    assert!(is_in_time, "{outlived:?}");
}

/// Runs a statement of the test's own.
#[expect(clippy::disallowed_methods, reason = "it belongs to no function")]
async fn run(db: impl PgExecutor<'_>, statement: &str) -> database::Result<()> {
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(db).await?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it belongs to no function")]
async fn number(db: impl PgExecutor<'_>, query: &str) -> database::Result<i64> {
    Ok(sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(db).await?)
}

#[expect(clippy::disallowed_methods, reason = "it belongs to no function")]
async fn text(db: impl PgExecutor<'_>, query: &str) -> database::Result<String> {
    Ok(sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(db).await?)
}

/// Reads ada's profile, which is public.
async fn reads_ada(person: &Person) -> Result<Profile, Status> {
    let request = GetProfileRequest { user_id: "ada".into() };
    person.user().get_profile(request).await.map(tonic::Response::into_inner)
}

/// Has the app make this many connections, which are then idle.
async fn warm_up(app: &App, database: &Database, connections: i64) {
    let lock = database.lock_profiles().await;
    let mut calls = JoinSet::new();
    for number in 0..connections {
        let person = app.person(&format!("warm-{number}"));
        calls.spawn(async move { reads_ada(&person).await });
    }
    let waiting = "wait_event_type = 'Lock'";
    database.waits_for("the calls wait for the lock", connections, waiting).await;
    lock.release().await;
    for outcome in calls.join_all().await {
        outcome.unwrap();
    }
}
