//! `migrate`: once and again, against what is not there, and told to stop halfway.

use std::net::TcpListener;

use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use tests::{Proxy, world};

use super::{CANARY, Environment, program::Program, secs};

/// A database with nothing in it, and whoever owns it.
async fn empty() -> (String, PgConnection) {
    let url = world().owner_url(&world().new_empty_database().await);
    let owner = PgConnection::connect(&url).await.unwrap();
    (url, owner)
}

async fn run(connection: &mut PgConnection, statement: &str) {
    raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await.unwrap();
}

async fn count(connection: &mut PgConnection, query: &str) -> i64 {
    #[expect(clippy::disallowed_methods, reason = "a test looks at the tables from outside")]
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(connection).await.unwrap()
}

/// Waits until a query of one number finds this one.
async fn until(connection: &mut PgConnection, query: &str, expected: i64) {
    for _ in 0..500 {
        if count(connection, query).await == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("not {expected} within 5 s: {query}");
}

/// Migrations that have asked for the lock; whoever has connected only may not listen for signals
/// yet, nor does every backend of a database belong to a migration.
const ASKING: &str = "select count(*) from pg_stat_activity
    where datname = current_database() and query like '-- schema.try_lock:%'";

/// Tries to take the lock that migrations hold; it is let go of with the session.
const LOCK_IS_FREE: &str = "select case when pg_try_advisory_lock(hashtext('mayfly.migrations'))
    then 1::bigint else 0 end";

#[tokio::test]
async fn an_empty_database_is_migrated_and_a_second_time_left_alone() {
    let (url, mut owner) = empty().await;
    let environment = Environment::of(&url);
    let first = Program::run(&mut environment.command(&["migrate"]), secs(10)).await;
    assert_eq!((first.code(), first.stderr.as_str()), (Some(0), ""), "{first:?}");
    let applied = count(&mut owner, "select count(*) from mayfly.migrations where success").await;
    assert!(applied >= 2, "{applied}");

    let second = Program::run(&mut environment.command(&["migrate"]), secs(10)).await;
    assert_eq!((second.code(), second.stderr.as_str()), (Some(0), ""), "{second:?}");
    let again = count(&mut owner, "select count(*) from mayfly.migrations").await;
    assert_eq!(again, applied);
}

/// Another binary's database, or one that was mended by hand: no repeat cures that.
#[tokio::test]
async fn a_ledger_that_says_otherwise_is_a_fault_of_the_setting() {
    for (change, back) in [
        ("set checksum = 'x' where version = 2", "migration 2 was previously applied"),
        ("set success = false where version = 3", "migration 3"),
    ] {
        let database = world().new_database().await;
        let url = world().owner_url(&database);
        let mut owner = PgConnection::connect(&url).await.unwrap();
        run(&mut owner, &format!("update mayfly.migrations {change}")).await;
        let ledger = "select count(*) from mayfly.migrations where success and checksum <> 'x'";
        let before = count(&mut owner, ledger).await;
        let ended = Program::run(&mut Environment::of(&url).command(&["migrate"]), secs(10)).await;
        assert_eq!(ended.code(), Some(78), "{ended:?}");
        assert!(ended.stderr.contains(back), "{ended:?}");
        assert_eq!(count(&mut owner, ledger).await, before, "nothing was changed");
    }
}

#[tokio::test]
async fn two_at_once_are_one_after_the_other() {
    let (url, _owner) = empty().await;
    let environment = Environment::of(&url);
    let (mut first, mut second) =
        (environment.command(&["migrate"]), environment.command(&["migrate"]));
    let (first, second) =
        tokio::join!(Program::run(&mut first, secs(10)), Program::run(&mut second, secs(10)));
    assert_eq!((first.code(), second.code()), (Some(0), Some(0)), "{first:?} {second:?}");
}

#[tokio::test]
async fn the_direct_url_is_the_one_that_is_migrated() {
    let (url, _owner) = empty().await;
    let environment = Environment::of(super::NOWHERE).with("DATABASE_DIRECT_URL", url);
    let ended = Program::run(&mut environment.command(&["migrate"]), secs(10)).await;
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_soon() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    let urls = [
        super::NOWHERE.to_owned(),
        // It takes connections, and says nothing.
        format!("postgres://mayfly:{CANARY}@{silent}/mayfly"),
        format!("{}?x=1", world().owner_url("no_such_database")),
    ];
    for url in urls {
        let ended = Program::run(&mut Environment::of(&url).command(&["migrate"]), secs(8)).await;
        assert_eq!(ended.code(), Some(69), "{ended:?}");
        assert!(ended.stderr.starts_with("user: "), "{ended:?}");
        assert!(!format!("{ended:?}").contains(CANARY), "{ended:?}");
    }
}

#[tokio::test]
async fn a_login_that_owns_nothing_cannot_migrate() {
    let database = world().new_empty_database().await;
    let url = world().runtime_url(&database);
    let ended = Program::run(&mut Environment::of(&url).command(&["migrate"]), secs(10)).await;
    assert_eq!(ended.code(), Some(69), "{ended:?}");
}

#[tokio::test]
async fn one_that_waits_for_another_ends_when_it_is_told_to() {
    let (url, mut owner) = empty().await;
    run(&mut owner, "select pg_advisory_lock(hashtext('mayfly.migrations'))").await;
    for signal in ["TERM", "INT"] {
        // The backend of the one before may take a moment to end.
        until(&mut owner, ASKING, 0).await;
        let mut waiting = Program::start(&mut Environment::of(&url).command(&["migrate"]));
        until(&mut owner, ASKING, 1).await;
        waiting.signal(signal);
        let ended = waiting.end(secs(2)).await;
        let code = if signal == "TERM" { 143 } else { 130 };
        assert_eq!(ended.code(), Some(code), "{ended:?}");
    }
    run(&mut owner, "select pg_advisory_unlock_all()").await;
    let mut next = PgConnection::connect(&url).await.unwrap();
    until(&mut next, LOCK_IS_FREE, 1).await;
}

#[tokio::test]
async fn one_that_is_told_to_stop_halfway_leaves_the_rest_to_the_next() {
    let (url, mut owner) = empty().await;
    // The migration has its lock, and then waits for this transaction.
    run(&mut owner, "begin; create schema mayfly").await;
    let mut migrating = Program::start(&mut Environment::of(&url).command(&["migrate"]));
    let has_lock = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
        where datname = current_database() and locktype = 'advisory' and granted";
    until(&mut owner, has_lock, 1).await;
    migrating.signal("TERM");
    let ended = migrating.end(secs(2)).await;
    assert_eq!(ended.code(), Some(143), "{ended:?}");

    run(&mut owner, "rollback").await;
    let mut next = PgConnection::connect(&url).await.unwrap();
    until(&mut next, LOCK_IS_FREE, 1).await;
    drop(next);
    let ended = Program::run(&mut Environment::of(&url).command(&["migrate"]), secs(10)).await;
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

#[tokio::test]
async fn one_that_is_killed_at_any_moment_leaves_nothing_to_be_done_by_hand() {
    for millis in [5, 20, 40, 80, 160] {
        let (url, mut owner) = empty().await;
        let environment = Environment::of(&url);
        let mut killed = Program::start(&mut environment.command(&["migrate"]));
        tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
        killed.signal("KILL");
        killed.end(secs(2)).await;
        let ended = Program::run(&mut environment.command(&["migrate"]), secs(20)).await;
        assert_eq!((ended.code(), &*ended.stderr), (Some(0), ""), "{millis} ms: {ended:?}");
        let failed = "select count(*) from mayfly.migrations where not success";
        assert_eq!(count(&mut owner, failed).await, 0, "{millis} ms");
        // It has ended; its backend may not have seen that yet.
        until(&mut owner, LOCK_IS_FREE, 1).await;
    }
}

/// The first thing that is made looks at who makes it.
#[tokio::test]
async fn one_runs_under_limits_of_its_own() {
    let (url, mut owner) = empty().await;
    let look = "create table public.seen (name text, setting text);
        create function public.look() returns event_trigger language plpgsql as $$
        begin
            insert into public.seen
            select name, setting from pg_settings where source = 'session';
        end $$;
        create event trigger look on ddl_command_end execute function public.look()";
    run(&mut owner, look).await;
    let ended = Program::run(&mut Environment::of(&url).command(&["migrate"]), secs(10)).await;
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    for (name, millis) in [
        ("lock_timeout", 1000),
        ("client_connection_check_interval", 1000),
        ("idle_in_transaction_session_timeout", 5000),
        ("idle_session_timeout", 5000),
    ] {
        let is_set = format!(
            "select count(distinct name) from public.seen
            where name = '{name}' and setting = '{millis}'"
        );
        assert_eq!(count(&mut owner, &is_set).await, 1, "{name}");
    }
    // Of a socket of this machine Postgres does not tell them.
    let of_tcp = "select count(distinct name) from public.seen where name in (
        'tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count', 'tcp_user_timeout'
    )";
    assert_eq!(count(&mut owner, of_tcp).await, 4);
}

/// Between two migrations, and in the middle of one.
#[tokio::test]
async fn one_whose_machine_is_gone_does_not_keep_the_next_from_it() {
    for schema in ["mayfly", "mayfly_user"] {
        let (url, mut owner) = empty().await;
        let proxy = Proxy::to_postgres(&url);
        let options = schema::options(&url).unwrap();
        let (name, database) = (options.get_username(), options.get_database().unwrap());
        let way = format!("postgres://{name}@{}/{database}?sslmode=disable", proxy.address);
        // It waits for this transaction, and is never heard of again.
        run(&mut owner, &format!("begin; create schema {schema}")).await;
        let mut watcher = PgConnection::connect(&url).await.unwrap();
        let _gone = Program::start(&mut Environment::of(&way).command(&["migrate"]));
        let waits = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        until(&mut watcher, waits, 1).await;
        proxy.lose();
        run(&mut owner, "rollback").await;
        let next = Program::run(&mut Environment::of(&url).command(&["migrate"]), secs(30)).await;
        assert_eq!(next.code(), Some(0), "{schema}: {next:?}");
    }
}
