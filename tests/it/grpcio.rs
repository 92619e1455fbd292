//! Python's grpcio, a client that other people made: a topic of `tests/clients/python` per test.

mod python;

use std::{path::Path, time::Duration};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, raw_sql};
use tests::{App, skip};
use tokio::time::{Instant, sleep, timeout};

use crate::grpcio::python::{Script, interpreter};

/// How long a statement may go on after its caller has gone.
const STATEMENT_END_MAX: Duration = Duration::from_millis(500);

/// How often the scripts make a call that is not answered.
const ROUNDS: u64 = 3;

/// How long to wait for what takes no time at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long between two looks at the same thing.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The interpreter, unless this machine cannot have one.
async fn python() -> Option<&'static Path> {
    interpreter().await.map_err(skip).ok()
}

async fn passes(topic: &str, app: &App) {
    if let Some(python) = python().await {
        Script::start(python, topic, &app.address.to_string()).passes().await;
    }
}

/// Keeps everybody from the profiles.
struct Locked {
    owner: PgConnection,
    database: String,
}

impl Locked {
    async fn profiles_of(app: &App) -> Self {
        let mut owner = app.owner().await;
        let lock = "begin; lock table mayfly_user.profile in access exclusive mode";
        owner.execute(raw_sql(lock)).await.unwrap();
        Self { owner, database: app.database.clone() }
    }

    /// Waits until this many statements wait for the lock.
    async fn until_waiting(&mut self, expected: i64) {
        let query = format!(
            "select count(*) from pg_stat_activity where datname = '{}' and state = 'active' \
             and application_name = 'mayfly_user' and wait_event_type = 'Lock'",
            self.database
        );
        loop {
            // Statistics are a snapshot: inside a transaction they would never change.
            raw_sql("select pg_stat_clear_snapshot()").execute(&mut self.owner).await.unwrap();
            #[expect(clippy::disallowed_methods, reason = "a test looks at Postgres from outside")]
            let count = sqlx::query_scalar(AssertSqlSafe(query.clone()));
            let count: i64 = count.fetch_one(&mut self.owner).await.unwrap();
            if count == expected {
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn is_waited_for(&mut self) {
        timeout(PATIENCE, self.until_waiting(1)).await.expect("a statement waits for the lock");
    }

    /// Waits until no statement waits for it any more; how long that took.
    async fn is_left_alone(&mut self) -> Duration {
        let start = Instant::now();
        timeout(PATIENCE, self.until_waiting(0)).await.expect("the statement ends");
        start.elapsed()
    }

    async fn release(self) {
        self.owner.close().await.unwrap();
    }
}

/// Insists that statements end so soon after their callers. The quickest of several counts: what is
/// beside it on this machine may hold up one backend, or the look at it.
#[track_caller]
fn end_in_time(outlived: &[Duration]) {
    assert!(outlived.iter().any(|outlived| *outlived < STATEMENT_END_MAX), "{outlived:?}");
}

/// How many calls of `method` have ended with `code`.
async fn handled(app: &App, method: &str, code: &str) -> u64 {
    let (_status, text) = app.internal("/metrics").await;
    let method = format!("grpc_method=\"{method}\"");
    let code = format!("grpc_code=\"{code}\"");
    let is_asked_for = |line: &&str| {
        line.starts_with("grpc_server_handled_total")
            && line.contains(&method)
            && line.contains(&code)
    };
    let line = text.lines().find(is_asked_for).unwrap_or_else(|| panic!("no {code} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Waits until calls have ended so, and no call otherwise.
async fn ends_as(app: &App, method: &str, code: &str, expected: u64) {
    let counted = async {
        while handled(app, method, code).await != expected {
            sleep(LOOK_AGAIN).await;
        }
    };
    if timeout(PATIENCE, counted).await.is_err() {
        let (_status, text) = app.internal("/metrics").await;
        let lines = text.lines().filter(|line| line.contains(method) && !line.ends_with(" 0"));
        panic!("not {expected} of {code}: {:#?}", lines.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn calls_are_answered_and_repeats_are_replayed() {
    passes("calls", &App::start().await).await;
}

#[tokio::test]
async fn errors_are_told_with_code_reason_details_and_id() {
    passes("errors", &App::start().await).await;
}

#[tokio::test]
async fn a_database_that_is_down_is_unavailable_for_a_while() {
    // Nobody listens on the discard port.
    let nowhere = "postgres://mayfly@127.0.0.1:9/mayfly";
    let app = App::builder().with("DATABASE_URL", nowhere).start().await;

    passes("unavailable", &app).await;
}

#[tokio::test]
async fn a_deadline_ends_the_call_at_both_ends_and_the_statement() {
    let Some(python) = python().await else { return };
    let app = App::start().await;
    app.person("ada").creates_public_profile("ada").await;
    let mut profiles = Locked::profiles_of(&app).await;
    let mut script = Script::start(python, "deadline", &app.address.to_string());

    let mut outlived = Vec::new();
    for _ in 0..ROUNDS {
        script.says("ready").await;
        script.tell("call").await;
        profiles.is_waited_for().await;
        script.says("ended").await;
        outlived.push(profiles.is_left_alone().await);
    }
    end_in_time(&outlived);

    script.passes().await;
    ends_as(&app, "GetProfile", "DeadlineExceeded", ROUNDS).await;
    profiles.release().await;
}

#[tokio::test]
async fn a_cancel_ends_the_call_at_both_ends_and_the_statement() {
    let Some(python) = python().await else { return };
    let app = App::start().await;
    let mut profiles = Locked::profiles_of(&app).await;
    let mut script = Script::start(python, "cancel", &app.address.to_string());

    for method in ["GetProfile", "CreateProfile"] {
        let mut outlived = Vec::new();
        for round in 1..=ROUNDS {
            script.says("called").await;
            profiles.is_waited_for().await;
            script.tell("cancel").await;
            script.says("cancelled").await;
            outlived.push(profiles.is_left_alone().await);
            ends_as(&app, method, "Canceled", round).await;
            script.tell("go on").await;
        }
        end_in_time(&outlived);
    }

    script.passes().await;
    profiles.release().await;
    assert_eq!(app.sql_count("select count(*) from mayfly_user.profile").await, 0);
}

/// Makes 200 public profiles `large000` and so on, which are more than 400 KB together.
pub(crate) async fn make_large_page(app: &App) {
    app.sql(
        "insert into mayfly_user.profile
             (user_id, handle, display_name, bio, locale, visibility)
         select 'large-uid-' || n, 'large' || lpad(n::text, 3, '0'), 'L', repeat(U&'\\+01F980', 500),
                '', 2
         from generate_series(0, 199) n",
    )
    .await;
}

#[tokio::test]
async fn messages_above_a_streams_window_are_read_and_come_whole() {
    let app = App::start().await;
    make_large_page(&app).await;

    passes("large", &app).await;
}

#[tokio::test]
async fn one_connection_carries_threads_large_headers_and_pings() {
    passes("transport", &App::start().await).await;
}

#[tokio::test]
async fn a_call_that_may_wait_outlasts_a_server_that_is_not_there_yet() {
    let Some(python) = python().await else { return };
    // On a loopback address of its own, where nobody else is given ports.
    let gone = App::builder().with("LISTEN_ADDR", "127.0.0.79:0").start().await;
    let address = gone.address.to_string();
    gone.stopped().await;
    let mut script = Script::start(python, "patience", &address);

    script.says("waiting").await;
    let _app = App::builder().with("LISTEN_ADDR", &address).start().await;

    script.passes().await;
}

#[tokio::test]
async fn health_is_checked_and_watched_by_the_ecosystems_stubs() {
    let Some(python) = python().await else { return };
    let mut app = App::start().await;
    let mut script = Script::start(python, "health", &app.address.to_string());

    script.says("watching").await;
    app.stop();

    script.passes().await;
}
