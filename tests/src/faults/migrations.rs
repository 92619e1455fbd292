//! Migrations: by many processes at once, and beside a function that goes on serving.

use std::{process::Stdio, time::Duration};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use tokio::{
    process::Command,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    Case,
    field::{Field, Seen, Watched, person},
};
use crate::{PROJECT, Server, world};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "migrate, by eight processes at once",
        expected: "each ends with 0, and each migration is applied once",
        run: |field| Box::pin(raced(field)),
    },
    Case {
        name: "migrate by the next version, beside one that serves",
        expected: "no call fails; what waits for a lock gives up after a second, 69",
        run: |field| Box::pin(beside(field)),
    },
];

const PROCESSES: usize = 8;

/// How long one migration may take, of those that have to wait for others as well.
const MIGRATE_MAX: Duration = Duration::from_mins(1);

/// What takes back the migration that the `user` function can do without.
const WITHOUT_AUTH: &str = "drop schema mayfly_auth cascade;
    delete from mayfly.secret where name in ('auth_subject', 'auth_access');
    delete from mayfly.migrations where description = 'auth session'";

/// Runs `migrate` as the owner: its exit code, and how many migrations it says it has applied.
async fn migrate(binary: std::path::PathBuf, url: String) -> (Option<i32>, u64) {
    let mut command = Command::new(binary);
    command.arg("migrate").env_clear();
    command.envs([("DATABASE_URL", url.as_str()), ("FIREBASE_PROJECT_ID", PROJECT)]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let Ok(Ok(output)) = timeout(MIGRATE_MAX, command.output()).await else {
        return (None, 0);
    };
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let applied = lines.filter_map(|line| line["applied"].as_u64()).sum();
    (output.status.code(), applied)
}

async fn raced(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let rounds = field.pick(3, 100);
    let (mut failed, mut wrong, mut steps) = (0, 0, 0);
    for _round in 0..rounds {
        let database = world().new_empty_database().await;
        let url = world().owner_url(&database);
        let mut races = JoinSet::new();
        for _process in 0..PROCESSES {
            races.spawn(migrate(field.binary.clone(), url.clone()));
        }
        let ended = races.join_all().await;
        failed += ended.iter().filter(|(code, _applied)| *code != Some(0)).count();
        let applied: u64 = ended.iter().map(|(_code, applied)| applied).sum();
        let in_ledger = ledger(&url).await;
        steps += in_ledger;
        wrong += usize::from(in_ledger != applied || in_ledger == 0);
        world().as_admin(&format!("drop database {database} with (force)")).await;
    }
    seen.note(
        failed == 0 && wrong == 0,
        format!(
            "{rounds} races of {PROCESSES}: {failed} processes failed; {steps} migrations in the \
             ledgers, in {wrong} races not as often as was said"
        ),
    );
    seen
}

/// How many migrations there are, each once.
async fn ledger(url: &str) -> u64 {
    let mut owner = PgConnection::connect(url).await.expect("the database answers");
    let applied = schema::applied(&mut owner).await.expect("there is a ledger");
    u64::try_from(applied.len()).unwrap_or(0)
}

async fn run(owner: &mut PgConnection, statements: &str) -> Result<(), sqlx::Error> {
    raw_sql(AssertSqlSafe(statements.to_owned())).execute(owner).await.map(drop)
}

async fn beside(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let database = world().new_database().await;
    let url = world().owner_url(&database);
    let mut owner = PgConnection::connect(&url).await.expect("the database answers");
    run(&mut owner, WITHOUT_AUTH).await.expect("the owner may");
    let server = Server::start(&field.binary, &database);
    person(&server, "neighbour").creates_public_profile("neighbour").await;
    let watched = Watched::of(server, field.size).await;

    run(&mut owner, "begin; lock table mayfly.migrations in exclusive mode").await.expect("free");
    let start = Instant::now();
    let (code, _applied) = migrate(field.binary.clone(), url.clone()).await;
    let took = start.elapsed();
    seen.note(
        code == Some(69) && took < Duration::from_secs(5),
        format!("behind a lock: exit {code:?} after {:.1} s", took.as_secs_f64()),
    );
    run(&mut owner, "rollback").await.expect("it was begun");

    let rounds = field.pick(2, 50);
    let mut applied = 0;
    for round in 0..rounds {
        let (code, now) = migrate(field.binary.clone(), url.clone()).await;
        applied += now;
        seen_failed(&mut seen, code);
        // What a later version adds, and this one does not know of.
        let expand = format!(
            "set lock_timeout = '1s';
             alter table mayfly_user.profile add column later_{round} text not null default ''"
        );
        if let Err(error) = run(&mut owner, &expand).await {
            seen.note(false, format!("a column could not be added: {error}"));
        }
        run(&mut owner, WITHOUT_AUTH).await.expect("the owner may");
    }
    seen.note(applied == rounds, format!("{applied} migrations and {rounds} columns"));
    let ada = person(&watched.server, "ada");
    seen.note(
        ada.creates_public_profile("ada").await.handle == "ada",
        "a profile is made of the table as it is now",
    );
    watched.end(&mut seen, 16.0).await;
    seen
}

fn seen_failed(seen: &mut Seen, code: Option<i32>) {
    if code != Some(0) {
        seen.note(false, format!("migrate: exit {code:?}"));
    }
}
