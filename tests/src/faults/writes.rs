//! Writes whose client leaves at any moment, by a reset or with its whole connection.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use proto::user::v1::{
    CreateProfileRequest, DeleteProfileRequest, GetProfileRequest, Profile, UpdateProfileRequest,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::{Response, Status};

use super::{Case, Field, Seen, field::token};
use crate::{Person, Server, until, with_key};

pub(super) const CASES: &[Case] = &[Case {
    name: "writes dropped at random moments, by reset and by connection",
    expected: "each happened or did not; repeated under its key it is there once; 500 ms later nothing is left in Postgres or taken from the pool",
    run: |field| Box::pin(dropped_writes(field)),
}];

const SOON: Duration = Duration::from_secs(10);

/// How long Postgres may work for callers that have gone, and the pool miss what they had.
const FREED_MAX: Duration = Duration::from_millis(500);

/// Numbers that look like chance, the same in every run.
struct Dice(u64);

impl Dice {
    /// A time within twice as long as a write takes.
    fn within_two(&mut self, whole: Duration) -> Duration {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let below = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX >> 1).max(1) * 2;
        Duration::from_micros((self.0 >> 33) % below)
    }
}

/// What a query of one number finds in the field's database.
pub(super) async fn number(field: &Field, query: &str) -> i64 {
    number_at(&field.owner_url(), query).await
}

/// What a query of one number finds in the database at `url`.
pub(super) async fn number_at(url: &str, query: &str) -> i64 {
    let mut owner = PgConnection::connect(url).await.expect("the database answers");
    #[expect(clippy::disallowed_methods, reason = "a test looks at the tables from outside")]
    let number = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut owner).await;
    number.unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// The profiles, locked: whoever reads or writes one waits.
pub(super) struct Lock(PgConnection);

impl Lock {
    pub(super) async fn on_profiles(field: &Field) -> Self {
        let mut owner =
            PgConnection::connect(&field.owner_url()).await.expect("the database answers");
        let lock = "begin; lock table mayfly_user.profile in access exclusive mode";
        raw_sql(lock).execute(&mut owner).await.expect("nobody else locks it");
        Self(owner)
    }

    pub(super) async fn release(self) {
        // The lock goes with the session.
        self.0.close().await.expect("the database answers");
    }
}

async fn create(person: &Person) -> Result<Response<Profile>, Status> {
    let name = person.name.clone();
    let profile = Profile { handle: name.clone(), display_name: name, ..Default::default() };
    let message = CreateProfileRequest { profile: Some(profile) };
    person.user().create_profile(with_key(message, "create")).await
}

async fn update(person: &Person) -> Result<Response<Profile>, Status> {
    let profile = Profile { bio: person.name.clone(), ..Default::default() };
    let message = UpdateProfileRequest { profile: Some(profile), update_mask: None };
    person.user().update_profile(with_key(message, "update")).await
}

async fn delete(person: &Person) -> Result<Response<Profile>, Status> {
    let message = DeleteProfileRequest::default();
    let answer = person.user().delete_profile(with_key(message, "delete")).await?;
    Ok(answer.map(|()| Profile::default()))
}

/// One write, and how its client leaves it.
#[derive(Clone, Copy)]
struct Dropped {
    write: Write,
    after: Duration,
    leaves: Leaves,
}

#[derive(Clone, Copy)]
enum Write {
    Create,
    Update,
    Delete,
}

impl Write {
    const ALL: [Self; 3] = [Self::Create, Self::Update, Self::Delete];

    /// What one of many does: one in so many deletes it all in the end.
    fn of(number: u64) -> &'static [Self] {
        if number.is_multiple_of(DELETE_EVERY) { &Self::ALL } else { &Self::ALL[..2] }
    }
}

const DELETE_EVERY: u64 = 5;

#[derive(Clone, Copy)]
enum Leaves {
    ByReset,
    WithConnection,
}

async fn write(person: &Person, write: Write) -> Result<Response<Profile>, Status> {
    match write {
        Write::Create => create(person).await,
        Write::Update => update(person).await,
        Write::Delete => delete(person).await,
    }
}

/// Drops a write somewhere, then repeats it; whether it had happened. None: the repeat failed. How
/// long the last write took that was whole is kept in `whole`.
async fn drop_and_repeat(
    address: SocketAddr,
    name: &str,
    dropped: Dropped,
    whole: &mut Duration,
) -> Option<bool> {
    let bearer = token(name);
    let leaving = Person::new(address, name, Some(bearer.clone()));
    // Connected first, or most drops would come before there is a call.
    let _profile = leaving.user().get_profile(GetProfileRequest::default()).await;
    let start = Instant::now();
    let first = timeout(dropped.after, write(&leaving, dropped.write)).await;
    if first.is_ok() {
        *whole = start.elapsed();
    }
    let staying = match dropped.leaves {
        Leaves::ByReset => leaving,
        Leaves::WithConnection => {
            drop(leaving);
            Person::new(address, name, Some(bearer))
        }
    };
    let start = Instant::now();
    let second = write(&staying, dropped.write).await.ok()?;
    let had_happened = second.metadata().contains_key("idempotency-replayed");
    if !had_happened {
        *whole = start.elapsed();
    }
    let second = second.into_inner();
    let is_same = match first {
        Ok(Ok(first)) => had_happened && first.into_inner() == second,
        Ok(Err(_)) => false,
        Err(_dropped) => true,
    };
    is_same.then_some(had_happened)
}

async fn dropped_writes(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let server = field.server(&[("DB_WAIT_MS_MAX", "30000")]);
    let address = server.address;
    let (prefix, people) = field.pick(("drops", 15_u64), ("dropf", 500));
    let happened = Arc::new(AtomicU64::new(0));
    let failed = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..10_u64 {
        let (happened, failed) = (Arc::clone(&happened), Arc::clone(&failed));
        writers.spawn(async move {
            let (mut dice, mut whole) = (Dice(writer), Duration::from_millis(6));
            for number in 0..people {
                let name = format!("{prefix}_{writer}_{number}");
                for &write in Write::of(number) {
                    let is_even = number.is_multiple_of(2);
                    let leaves = if is_even { Leaves::WithConnection } else { Leaves::ByReset };
                    let dropped = Dropped { write, after: dice.within_two(whole), leaves };
                    match drop_and_repeat(address, &name, dropped, &mut whole).await {
                        Some(had_happened) => {
                            happened.fetch_add(u64::from(had_happened), Ordering::Relaxed);
                        }
                        None => {
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            }
        });
    }
    writers.join_all().await;
    let deletes = people.div_ceil(DELETE_EVERY);
    let drops = (people * 2 + deletes) * 10;
    let (happened, failed) = (happened.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
    seen.note(
        failed == 0 && happened > 0 && happened < drops,
        format!("{drops} drops, {happened} after the commit, {failed} repeats that failed"),
    );
    let like = format!("like '{prefix}\\_%'");
    let rows = format!("select count(*) from mayfly_user.profile where user_id {like}");
    let whole = number(field, &format!("{rows} and bio = user_id")).await;
    let rows = number(field, &rows).await;
    let expected = i64::try_from((people - deletes) * 10).unwrap_or(i64::MAX);
    seen.note(
        whole == expected && rows == expected,
        format!("{rows} profiles of {expected}, {whole} of them whole"),
    );
    nothing_is_left(&mut seen, field, &server).await;
    seen
}

/// What trouble may leave behind in Postgres: open transactions, locks, too many connections.
pub(super) async fn nothing_hangs(seen: &mut Seen, url: &str) {
    let of_ours = "from pg_stat_activity where datname = current_database()
        and usename = 'mayfly_runtime'";
    let idle = format!("select count(*) {of_ours} and state like 'idle in transaction%'");
    until("no transaction is open", SOON, async || number_at(url, &idle).await == 0).await;
    let locks = "select count(*) from pg_locks where locktype = 'advisory'
        and database = (select oid from pg_database where datname = current_database())";
    let locks = number_at(url, locks).await;
    let connections = number_at(url, &format!("select count(*) {of_ours}")).await;
    // A pool, one for control, one for revocations.
    seen.note(
        locks == 0 && connections <= 12,
        format!("{connections} connections left, {locks} advisory locks, no open transaction"),
    );
}

/// How long it may take until what callers that have gone left behind is free; beside other tests, as
/// long as anybody waits for it.
pub(super) fn freed_max(field: &Field) -> Duration {
    field.pick(SOON, FREED_MAX)
}

pub(super) async fn nothing_is_left(seen: &mut Seen, field: &Field, server: &Server) {
    let under_way = "select count(*) from pg_stat_activity where datname = current_database()
        and usename = 'mayfly_runtime' and (state = 'active' or state like 'idle in transaction%')";
    let limit = freed_max(field);
    let took =
        until("nothing is under way", SOON, async || number(field, under_way).await == 0).await;
    let millis = took.as_secs_f64() * 1e3;
    seen.note(took <= limit, format!("nothing under way in Postgres after {millis:.0} ms"));
    let took = until("all connections are given back", SOON, async || {
        let detail = detail(server).await;
        detail["functions"]["user"]["database"]["in_use"] == 0
    })
    .await;
    let millis = took.as_secs_f64() * 1e3;
    seen.note(took <= limit, format!("all of the pool given back after {millis:.0} ms"));
}

pub(super) async fn detail(server: &Server) -> serde_json::Value {
    let url = format!("http://{}/health/detailed", server.internal);
    let answer = crate::person::http().get(url).send().await.expect("the internal port");
    let text = answer.text().await.expect("text");
    serde_json::from_str(&text).expect("JSON")
}
