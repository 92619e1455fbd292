//! What the function's role may do, and how the schema comes to be.

use std::{collections::BTreeSet, time::Duration};

use chassis::Function;
use clock::Clock;
use database::{Pool, Settings};
use proto::user::v1::GetProfileRequest;
use schema::{Error, LOCK_WAIT_MAX, migrate};
use settings::{Env, Reader};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgExecutor, migrate::MigrateError, raw_sql};
use tests::{App, until, world};
use tokio::time::{Instant, pause, resume};
use tokio_util::task::TaskTracker;
use tonic::Code;

const SOON: Duration = Duration::from_secs(5);

/// What a role may do with tables that are not Postgres's own.
const RIGHTS: &str = "
    select concat_ws(' ', nspname || '.' || relname,
        case when has_table_privilege(oid, 'select') then 'select' end,
        case when has_table_privilege(oid, 'insert') then 'insert' end,
        case when has_table_privilege(oid, 'update') then 'update' end,
        case when has_table_privilege(oid, 'delete') then 'delete' end,
        case when has_table_privilege(oid, 'truncate') then 'truncate' end,
        case when has_table_privilege(oid, 'references') then 'references' end,
        case when has_table_privilege(oid, 'trigger') then 'trigger' end)
    from (select pg_class.oid, nspname, relname from pg_class
        join pg_namespace on pg_namespace.oid = relnamespace
        where relkind in ('r', 'v', 'm', 'S', 'p', 'f')
        and nspname not in ('pg_catalog', 'information_schema', 'pg_toast')) tables
    where has_schema_privilege(nspname, 'usage')";

async fn owner(database: &str) -> PgConnection {
    PgConnection::connect(&world().owner_url(database)).await.unwrap()
}

async fn sql(database: &str, statements: &str) {
    let statements = AssertSqlSafe(statements.to_owned());
    raw_sql(statements).execute(&mut owner(database).await).await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "it belongs to no function")]
async fn texts(db: impl PgExecutor<'_>, query: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_all(db).await
}

/// The `SQLSTATE` that a statement ends with, if it is refused.
async fn sqlstate(db: impl PgExecutor<'_>, statement: &str) -> Option<String> {
    let outcome = raw_sql(AssertSqlSafe(statement.to_owned())).execute(db).await;
    let error = outcome.err()?;
    error.as_database_error().and_then(|error| Some(error.code()?.into_owned()))
}

/// The pool of `user`, as the function has it.
fn pool(database: &str) -> Pool {
    let env = Env::default().with("DATABASE_URL", world().runtime_url(database));
    let settings = Reader::new(&env).finish(Settings::read).unwrap();
    Pool::new(&settings, "user", Clock::system(), TaskTracker::new())
}

#[tokio::test]
async fn a_function_cannot_change_the_schema_or_anybodys_rights() {
    let database = world().new_database().await;
    let pool = pool(&database);
    for statement in [
        "create table mayfly_user.x (id int)",
        "create table mayfly.x (id int)",
        "create table public.x (id int)",
        "create schema mayfly_x",
        "create view mayfly_user.x as select 1",
        "create function mayfly_user.x() returns int language sql as 'select 1'",
        "create index on mayfly_user.profile (bio)",
        "drop table mayfly_user.profile",
        "drop schema mayfly_user cascade",
        "alter table mayfly_user.profile add column x int",
        "alter table mayfly_user.profile disable trigger all",
        "alter role mayfly_user superuser",
        "truncate mayfly_user.profile",
        "truncate mayfly.exactly_once",
        "create role x",
        "set role postgres",
        "set session authorization postgres",
        "copy mayfly_user.profile to program 'true'",
        "select pg_read_file('/etc/passwd')",
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'",
    ] {
        let refusal = sqlstate(&pool, statement).await;
        assert_eq!(refusal.as_deref(), Some("42501"), "{statement}");
    }
    // Granting what one may not grant is a warning, and does nothing.
    let _warned = sqlstate(&pool, "grant select on mayfly_user.profile to public").await;
    let public = "select count(*) from information_schema.role_table_grants
        where grantee = 'PUBLIC' and table_schema like 'mayfly%'";
    let granted = texts(&mut owner(&database).await, &format!("select ({public})::text")).await;
    assert_eq!(granted.unwrap(), ["0"]);
}

#[tokio::test]
async fn a_function_sees_its_own_schema_and_the_shared_one() {
    let database = world().new_database().await;
    sql(
        &database,
        "create schema mayfly_other; create table mayfly_other.secrets (id int);
         create table public.leftover (id int); create schema mayfly_open;
         grant usage on schema mayfly_open to public; create table mayfly_open.secrets (id int)",
    )
    .await;
    let pool = pool(&database);
    for table in ["mayfly_other.secrets", "mayfly_open.secrets", "public.leftover"] {
        for statement in
            [format!("select * from {table}"), format!("insert into {table} values (1)")]
        {
            assert_eq!(sqlstate(&pool, &statement).await.as_deref(), Some("42501"), "{statement}");
        }
    }

    let mut expected = BTreeSet::from([
        "mayfly.exactly_once select insert update delete",
        "mayfly.migrations select",
        "mayfly.secret select",
        "mayfly_user.profile select insert update delete",
    ]);
    for rights in texts(&pool, RIGHTS).await.unwrap() {
        let (table, rights) = rights.split_once(' ').unwrap_or((&rights, ""));
        let is_ours = table.starts_with("mayfly.") || table.starts_with("mayfly_user.");
        assert!(is_ours || rights.is_empty(), "{table}: {rights}");
        for right in ["truncate", "references", "trigger"] {
            assert!(!rights.contains(right), "{table}: {rights}");
        }
        expected.remove(format!("{table} {rights}").as_str());
    }
    assert_eq!(expected, BTreeSet::new());
}

#[tokio::test]
async fn a_function_cannot_write_the_secrets_or_the_ledger() {
    let database = world().new_database().await;
    let pool = pool(&database);
    for table in ["mayfly.secret", "mayfly.migrations"] {
        for statement in [
            format!("delete from {table}"),
            format!("insert into {table} select * from {table}"),
            format!("select * from {table} for update"),
        ] {
            assert_eq!(sqlstate(&pool, &statement).await.as_deref(), Some("42501"), "{statement}");
        }
    }
    for statement in
        ["update mayfly.secret set value = ''", "update mayfly.migrations set version = 0"]
    {
        assert_eq!(sqlstate(&pool, statement).await.as_deref(), Some("42501"), "{statement}");
    }
}

#[tokio::test]
async fn a_key_that_is_named_after_a_function_is_that_functions_alone() {
    let database = world().new_database().await;
    let mut owner = owner(&database).await;
    let keys = "select name from mayfly.secret order by name collate \"C\"";
    let all = ["auth_access", "auth_subject", "cursor", "page"];
    assert_eq!(texts(&mut owner, keys).await.unwrap(), all);
    for (role, seen) in [("mayfly_auth", &all[..]), ("mayfly_user", &all[2..])] {
        let change = format!("set role {role}");
        raw_sql(AssertSqlSafe(change)).execute(&mut owner).await.unwrap();
        assert_eq!(texts(&mut owner, keys).await.unwrap(), seen, "{role}");
        raw_sql("reset role").execute(&mut owner).await.unwrap();
    }
}

#[tokio::test]
async fn the_login_by_itself_sees_nothing() {
    let database = world().new_database().await;
    let mut login = PgConnection::connect(&world().runtime_url(&database)).await.unwrap();
    assert_eq!(texts(&mut login, RIGHTS).await.unwrap(), Vec::<String>::new());
    for table in
        ["mayfly_user.profile", "mayfly.exactly_once", "mayfly.secret", "mayfly.migrations"]
    {
        let refusal = sqlstate(&mut login, &format!("select * from {table}")).await;
        assert_eq!(refusal.as_deref(), Some("42501"), "{table}");
    }
    let owned = "select relname::text from pg_class where relowner::regrole::text like 'mayfly%'";
    assert_eq!(texts(&mut login, owned).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn calls_run_as_their_function() {
    let app = App::start().await;
    let mut lock = app.owner().await;
    let locked = "begin; lock table mayfly_user.profile in access exclusive mode";
    raw_sql(locked).execute(&mut lock).await.unwrap();
    let ada = app.person("ada");
    let watch = async {
        let seen = "select count(*) from pg_stat_activity where datname = current_database()
            and usename = 'mayfly_runtime' and application_name = 'mayfly_user'
            and query like '-- user.get_profile:%' and wait_event_type = 'Lock'";
        until("the call waits", SOON, async || app.sql_count(seen).await == 1).await;
        lock.close().await.unwrap();
    };
    let call = async { ada.user().get_profile(GetProfileRequest::default()).await };
    let (outcome, ()) = tokio::join!(call, watch);
    assert_eq!(outcome.unwrap_err().code(), Code::NotFound);

    app.sql(
        "create table public.who (name text default current_user);
        grant insert on public.who to public;
        create function public.note() returns trigger language plpgsql as
        $$ begin insert into public.who default values; return null; end $$;
        create trigger note after insert on mayfly_user.profile
        for each row execute function public.note()",
    )
    .await;
    ada.creates_public_profile("Ada").await;
    let as_user = "select count(*) from public.who where name = 'mayfly_user'";
    assert_eq!(app.sql_count(as_user).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_machines_that_migrate_at_once_take_each_step_once() {
    let steps = schema::needed_by("user").len();
    for _ in 0..5 {
        let database = world().new_empty_database().await;
        let url = world().owner_url(&database);
        let machines = (0..8).map(|_| migrate(&url));
        let applied = futures_util::future::join_all(machines).await;
        let applied: Vec<_> = applied.into_iter().map(Result::unwrap).collect();
        assert!(applied.iter().sum::<usize>() >= steps, "{applied:?}");
        assert_eq!(applied.iter().filter(|count| **count > 0).count(), 1, "{applied:?}");
        let ledger = "select version::text from mayfly.migrations where success";
        let ledger = texts(&mut owner(&database).await, ledger).await.unwrap();
        assert_eq!(ledger.len(), applied.iter().sum::<usize>());
        assert_eq!(migrate(&url).await.unwrap(), 0);
        let locks = "select count(*)::text from pg_locks where locktype = 'advisory'
            and database = (select oid from pg_database where datname = current_database())";
        // The lock goes with the session, whose end Postgres notices a moment later.
        until("nobody has the lock", SOON, async || {
            texts(&mut owner(&database).await, locks).await.unwrap() == ["0"]
        })
        .await;
    }
}

#[tokio::test]
async fn a_migration_that_was_edited_after_it_was_applied_is_refused() {
    let database = world().new_database().await;
    sql(&database, "update mayfly.migrations set checksum = 'x' where version = 1").await;
    let refused = migrate(&world().owner_url(&database)).await.unwrap_err();
    assert!(matches!(refused, Error::Migrate(MigrateError::VersionMismatch(1))), "{refused:?}");
}

#[tokio::test]
async fn a_migration_that_was_cut_short_is_refused() {
    let database = world().new_database().await;
    sql(&database, "update mayfly.migrations set success = false where version = 2").await;
    let refused = migrate(&world().owner_url(&database)).await.unwrap_err();
    assert!(matches!(refused, Error::Migrate(MigrateError::Dirty(2))), "{refused:?}");
    let app = App::builder().database(&database).start().await;
    let told = (503, "auth: ready\nuser: migrations missing\n".to_owned());
    assert_eq!(app.internal("/health/ready").await, told);
}

#[tokio::test]
async fn an_older_binary_runs_on_a_newer_ledger() {
    let database = world().new_database().await;
    sql(
        &database,
        "insert into mayfly.migrations (version, description, success, checksum, execution_time)
         values (9999, 'user later', true, 'x', 0)",
    )
    .await;
    assert_eq!(migrate(&world().owner_url(&database)).await.unwrap(), 0);
    let app = App::builder().database(&database).start().await;
    assert_eq!(app.internal("/health/ready").await.0, 200);
    app.person("ada").creates_public_profile("Ada").await;
}

#[tokio::test]
async fn a_function_is_ready_once_its_migrations_are_there() {
    let database = world().new_empty_database().await;
    let app = App::builder().database(&database).start().await;
    let told = (503, "auth: migrations missing\nuser: migrations missing\n".to_owned());
    assert_eq!(app.internal("/health/ready").await, told);
    assert_eq!(app.internal("/health/live").await.0, 200);

    migrate(&world().owner_url(&database)).await.unwrap();
    assert_eq!(app.internal("/health/ready").await, (200, "auth: ready\nuser: ready\n".to_owned()));
    app.person("ada").creates_public_profile("Ada").await;
}

#[tokio::test]
async fn a_migration_waits_for_another_and_no_longer_than_a_minute() {
    let database = world().new_empty_database().await;
    let mut other = owner(&database).await;
    let lock = "select pg_advisory_lock(hashtext('mayfly.migrations'))";
    raw_sql(lock).execute(&mut other).await.unwrap();

    let url = world().owner_url(&database);
    let start = Instant::now();
    let hurry = async {
        let tries = "select 1::text from pg_stat_activity where datname = current_database()
            and query like '-- schema.try_lock:%'";
        until("it has tried", SOON, async || {
            texts(&mut owner(&database).await, tries).await.unwrap().len() == 1
        })
        .await;
        // From here on the time between two tries passes at once.
        pause();
        std::future::pending::<()>().await;
    };
    let waited = tokio::select! {
        outcome = migrate(&url) => outcome.unwrap_err(),
        () = hurry => unreachable!(),
    };
    resume();
    assert!(matches!(waited, Error::Locked), "{waited:?}");
    let waited = start.elapsed();
    assert!(waited >= LOCK_WAIT_MAX && waited < LOCK_WAIT_MAX + SOON, "{waited:?}");

    let (applied, closed) = tokio::join!(migrate(&url), other.close());
    closed.unwrap();
    assert!(applied.unwrap() > 0);
}

/// A process that is killed, or has waited long enough, tells nobody.
#[tokio::test]
async fn a_migration_ends_with_who_began_it() {
    let database = world().new_empty_database().await;
    sql(
        &database,
        "create function public.compute() returns event_trigger language plpgsql as
         $$ begin if tg_tag = 'CREATE INDEX' then perform pg_sleep(60); end if; end $$;
         create event trigger compute on ddl_command_start execute function public.compute()",
    )
    .await;
    let url = world().owner_url(&database);
    let sleeping = async |expected: usize| {
        let sleeping = "select 1::text from pg_stat_activity where datname = current_database()
            and wait_event = 'PgSleep'";
        until("it computes, or no longer", SOON, async || {
            texts(&mut owner(&database).await, sleeping).await.unwrap().len() == expected
        })
        .await;
    };
    tokio::select! {
        outcome = migrate(&url) => panic!("{outcome:?}"),
        () = sleeping(1) => {}
    }
    sleeping(0).await;
}

#[tokio::test]
async fn a_migration_does_not_stand_in_a_queue_for_long() {
    let database = world().new_empty_database().await;
    let mut other = owner(&database).await;
    raw_sql("begin; create schema mayfly").execute(&mut other).await.unwrap();
    let start = Instant::now();
    let refused = migrate(&world().owner_url(&database)).await.unwrap_err();
    assert!(matches!(refused, Error::Migrate(_)), "{refused:?}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn all_functions_together_fit_into_a_small_database() {
    let settings = Function::declared_settings();
    let pool = settings.iter().find(|setting| setting.name == "DB_POOL_MAX").unwrap();
    let pool: usize = pool.default.parse().unwrap();
    // Each function has its pool; a process ends statements over one connection, reads revocations
    // over another, and listens on a third.
    let connections = pool * all::functions().len() + 3;
    assert!(connections <= 50, "{connections} connections by default");
}
