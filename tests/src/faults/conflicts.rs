//! Writers in each other's way: serialization failures and deadlocks.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use proto::user::v1::{Profile, UpdateProfileRequest};
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::{Code, Status};

use super::{
    Case, Field, Seen,
    field::{person, token},
    writers::create,
    writes::number,
};
use crate::{Person, with_key};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "serialization failures on hot rows, 16 writers",
        expected: "each call OK, or 10 after at most 5 tries; what was told OK is there, once",
        run: |field| Box::pin(serialization(field)),
    },
    Case {
        name: "deadlocks with somebody who locks in the opposite order",
        expected: "none surfaces as 13; each call OK or 10, each write once",
        run: |field| Box::pin(deadlocks(field)),
    },
];

async fn update(person: &Person, (bio, key): (&str, &str)) -> Result<Profile, Status> {
    let profile = Profile { bio: bio.to_owned(), ..Default::default() };
    let message = UpdateProfileRequest { profile: Some(profile), update_mask: None };
    person.user().update_profile(with_key(message, key)).await.map(tonic::Response::into_inner)
}

async fn sql(field: &Field, statements: &str) {
    let mut owner = PgConnection::connect(&field.owner_url()).await.expect("the database answers");
    execute(&mut owner, statements).await.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

async fn execute(owner: &mut PgConnection, statements: &str) -> sqlx::Result<()> {
    raw_sql(AssertSqlSafe(statements.to_owned())).execute(owner).await.map(drop)
}

/// Has an update of a hot row fail as a conflict does, three times in ten; each try is counted by a
/// sequence, which no rollback takes back. Nobody's function asks for SERIALIZABLE, so that this is
/// how Postgres comes to raise it.
const CONFLICTS: &str = "
    create sequence mayfly_user.tried;
    grant usage on sequence mayfly_user.tried to mayfly_user;
    create function mayfly_user.conflict() returns trigger language plpgsql as $$
    begin
        perform nextval('mayfly_user.tried');
        if random() < 0.3 then
            raise exception using errcode = 'serialization_failure';
        end if;
        return new;
    end $$;
    create trigger conflict before update on mayfly_user.profile
        for each row when (old.user_id like 'hot\\_%')
        execute function mayfly_user.conflict()";

const NO_CONFLICTS: &str = "
    drop function mayfly_user.conflict() cascade;
    drop sequence mayfly_user.tried";

async fn serialization(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let server = field.server(&[("DB_WAIT_MS_MAX", "4000")]);
    for row in 0..4 {
        let name = format!("hot_{row}");
        // Of an earlier case it may be there already.
        let _made = create(&person(&server, &name), &name).await;
    }
    sql(field, CONFLICTS).await;
    let each = field.pick(20, 500);
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let person = person(&server, &format!("hot_{}", writer % 4));
        writers.spawn(async move {
            let (mut done, mut refused, mut wrong) = (0_i64, 0_i64, Vec::new());
            for number in 0..each {
                let (key, start) = (format!("hot-{writer}-{number}"), Instant::now());
                match update(&person, (&key, &key)).await {
                    Ok(_) => done += 1,
                    Err(status) if status.code() == Code::Aborted => refused += 1,
                    Err(status) => wrong.push(format!("{status:?} after {:?}", start.elapsed())),
                }
            }
            (done, refused, wrong)
        });
    }
    let told = writers.join_all().await;
    let done: i64 = told.iter().map(|(done, ..)| done).sum();
    let refused: i64 = told.iter().map(|(_, refused, _)| refused).sum();
    let wrong: Vec<_> = told.into_iter().flat_map(|(.., wrong)| wrong).collect();
    let tried = number(field, "select last_value from mayfly_user.tried").await;
    sql(field, NO_CONFLICTS).await;
    seen.note(
        wrong.is_empty() && done > refused && tried <= (done + refused) * 5,
        format!("{done} served, {refused} refused, {tried} tries, others: {wrong:?}"),
    );
    let kept = "select count(*) from mayfly.exactly_once
        where caller like '%hot\\_%' and rpc like '%UpdateProfile' and answer is not null";
    let kept = number(field, kept).await;
    seen.note(kept == done, format!("{kept} writes kept"));
    seen
}

/// Until the update has its key and waits for the profile that `owner` has locked.
async fn waited_for(owner: &mut PgConnection) {
    let waiting = "select count(*) from pg_stat_activity
        where pg_backend_pid() = any (pg_blocking_pids(pid))";
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        #[expect(clippy::disallowed_methods, reason = "a test looks at the tables from outside")]
        let waiting = sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *owner).await;
        if waiting.is_ok_and(|waiting| waiting > 0) {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Somebody outside, who has locked a profile, and then waits for the key that its update holds.
async fn cross(owner: &mut PgConnection, name: &str, key: &str) {
    let hash = digest(&SHA256, key.as_bytes());
    let hash = hash.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let claim = format!(
        "insert into mayfly.exactly_once (caller, rpc, key_hash, request_hash, expire_time)
         values ('person:{name}', '/mayfly.user.v1.UserService/UpdateProfile', '\\x{hash}', '',
             now())"
    );
    // One of the two is ended, and it does not matter which.
    let _outcome = execute(owner, &claim).await;
    execute(owner, "rollback").await.expect("the database answers");
}

async fn deadlocks(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let server = field.server(&[]);
    let (prefix, all) = field.pick(("cross", 40_u64), ("crossf", 10_000));
    let patience = format!(
        "alter role mayfly_runtime in database {} set deadlock_timeout = '60ms'",
        field.database
    );
    sql(field, &patience).await;
    let (url, address) = (field.owner_url(), server.address);
    let counted = "select deadlocks from pg_stat_database where datname = current_database()";
    let before = number(field, counted).await;
    let tallies = Arc::new(Mutex::new((0_u64, Vec::new())));
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (url, tallies) = (url.clone(), Arc::clone(&tallies));
        let name = format!("{prefix}_{writer}");
        writers.spawn(async move {
            let person = Person::new(address, &name, Some(token(&name)));
            create(&person, &name).await.expect("a profile");
            let mut owner = PgConnection::connect(&url).await.expect("the database answers");
            // It waits for longer than the function's side does, which so is the one that is ended.
            execute(&mut owner, "set deadlock_timeout = '2s'").await.expect("we may");
            for number in 0..all / 8 {
                let key = format!("cross-{number}");
                let lock = format!(
                    "begin; select from mayfly_user.profile where user_id = '{name}' for update"
                );
                execute(&mut owner, &lock).await.expect("nobody else has it");
                let crossing = async {
                    waited_for(&mut owner).await;
                    cross(&mut owner, &name, &key).await;
                };
                let start = Instant::now();
                let (outcome, ()) = tokio::join!(update(&person, (&key, &key)), crossing);
                let mut tallies = tallies.lock().await;
                match outcome {
                    Ok(_) => tallies.0 += 1,
                    Err(status) if status.code() == Code::Aborted => {}
                    Err(status) => tallies.1.push(format!("{status:?}, {:?}", start.elapsed())),
                }
            }
        });
    }
    writers.join_all().await;
    // A backend tells what it has counted every ten seconds while it is idle, and when it ends.
    let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and usename = 'mayfly_runtime'";
    number(field, terminate).await;
    let (start, mut dead) = (Instant::now(), 0_i64);
    while dead.unsigned_abs() * 4 <= all && start.elapsed() < Duration::from_secs(10) {
        sleep(Duration::from_millis(50)).await;
        dead = number(field, counted).await - before;
    }
    let (done, wrong) = &*tallies.lock().await;
    seen.note(
        wrong.is_empty() && *done * 10 >= all * 9 && dead > 0 && dead.unsigned_abs() * 4 > all,
        format!("{all} crossings, {dead} deadlocks; {done} served, others: {wrong:?}"),
    );
    let kept = format!(
        "select count(*) from mayfly.exactly_once where caller like '%{prefix}\\_%'
         and rpc like '%UpdateProfile' and answer is not null"
    );
    let kept = number(field, &kept).await;
    seen.note(u64::try_from(kept) == Ok(*done), format!("{kept} writes kept"));
    seen
}
