//! What all tests of a binary share: one Postgres, one issuer.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use clock::Clock;
use issuer::Issuer;
use platform::database::{RUNTIME_ROLE, create_runtime_role};
use postgres::{Durability, Options, Postgres, find_or_start};
use settings::Env;
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use tokio::runtime::Builder;

use crate::container::{self, Container};

/// The Firebase project of the tests.
pub const PROJECT: &str = "mayfly-test";

/// The database that every test's own is copied from.
const TEMPLATE: &str = "mayfly_template";

/// Connections of all servers that run at a time.
const CONNECTIONS_MAX: u32 = 400;

/// What all tests of this binary share.
#[derive(Debug)]
pub struct World {
    /// Signs the tokens of people.
    pub issuer: Issuer,
    /// Where the issuer serves its keys.
    pub issuer_address: SocketAddr,
    /// The key file of who administers the issuer's accounts.
    pub service_account: String,
    postgres: Postgres,
    /// Holds what `postgres` runs in, if it was asked for.
    container: Option<Container>,
    databases: AtomicU32,
}

/// The world, made when the first test asks for it.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(World::make)
}

impl World {
    fn make() -> Self {
        let _already_installed = rustls_provider();
        let env = Env::of_process().expect("the environment is readable");
        let (postgres, container) = postgres(&env);

        let issuer = Issuer::in_memory(PROJECT, Clock::system()).expect("an issuer");
        let (tell, told) = mpsc::channel();
        let serving = issuer.clone();
        // A runtime of its own: those of the tests end with them.
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener =
                    tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
                tell.send(listener.local_addr().expect("an address")).expect("the world waits");
                axum::serve(listener, serving.router()).await.expect("the issuer serves");
            });
        });
        let issuer_address = told.recv().expect("the issuer has started");

        let url = format!("http://{issuer_address}");
        let service_account = issuer.service_account(&url).expect("a key");
        let databases = AtomicU32::new(0);
        let world =
            Self { issuer, issuer_address, service_account, postgres, container, databases };
        thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(world.make_template());
            });
        });
        world
    }

    async fn make_template(&self) {
        self.as_admin(&format!("create database {TEMPLATE}")).await;
        let url = self.owner_url(TEMPLATE);
        schema::migrate(&url).await.expect("the migrations apply");
        create_runtime_role(&url).await.expect("the runtime role");
    }

    /// A database of its own, migrated; its name.
    pub async fn new_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.as_admin(&format!("create database {name} template {TEMPLATE}")).await;
        name
    }

    /// A database of its own with nothing in it; its name.
    pub async fn new_empty_database(&self) -> String {
        let name = format!("empty_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.as_admin(&format!("create database {name}")).await;
        name
    }

    /// Whether the server is in a container, which keeps its files and sockets to itself.
    pub fn is_in_container(&self) -> bool {
        self.container.is_some()
    }

    /// Whoever owns the schema.
    pub fn owner_url(&self, database: &str) -> String {
        self.postgres.url(None, database)
    }

    /// Whoever runs the functions: a login that owns nothing.
    pub fn runtime_url(&self, database: &str) -> String {
        self.postgres.url(Some(RUNTIME_ROLE), database)
    }

    /// What a query of one number finds in the cluster's maintenance database.
    pub async fn count_as_admin(&self, query: &str) -> i64 {
        let url = self.owner_url("postgres");
        let mut connection = PgConnection::connect(&url).await.expect("the cluster answers");
        #[expect(clippy::disallowed_methods, reason = "a test looks at the cluster from outside")]
        let count = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
        count.fetch_one(&mut connection).await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Runs one statement on the cluster's maintenance database.
    pub async fn as_admin(&self, statement: &str) {
        let url = self.owner_url("postgres");
        let mut connection = PgConnection::connect(&url).await.expect("the cluster answers");
        raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// The server of this run: in a container if that is asked for, else from this machine's binaries.
fn postgres(env: &Env) -> (Postgres, Option<Container>) {
    let options = Options {
        url: None,
        binaries: env.get("PG_BIN").map(Into::into),
        data: None,
        durability: Durability::Fast,
        connections_max: CONNECTIONS_MAX,
        tell: say,
    };
    match env.get("MAYFLY_TEST_POSTGRES") {
        None => {
            let postgres = find_or_start(&options);
            let postgres = postgres.unwrap_or_else(|error| {
                panic!(
                    "the tests need a Postgres: {error}\nor have one in a container: \
                     MAYFLY_TEST_POSTGRES=docker, and --features tests/docker"
                )
            });
            say(postgres.origin());
            (postgres, None)
        }
        Some("docker") => {
            let started = container::start(&options);
            let (postgres, container) = started.unwrap_or_else(|error| {
                panic!("MAYFLY_TEST_POSTGRES=docker, and there is no container: {error}")
            });
            say("PostgreSQL in a container, data for this run only");
            (postgres, Some(container))
        }
        Some(_) => panic!("MAYFLY_TEST_POSTGRES must be docker, or unset"),
    }
}

/// Tells that this machine lacks what a test needs. Under `CI=true` that is a failure.
#[track_caller]
pub fn skip(why: &str) {
    let env = Env::of_process().expect("the environment is readable");
    assert!(env.get("CI") != Some("true"), "skipped under CI=true: {why}");
    leave_out(why);
}

/// Tells that something is left out for want of what nobody has to have, such as root's rights. It is
/// a failure nowhere.
pub fn leave_out(why: &str) {
    say(&format!("SKIPPED: {why}"));
}

/// Prints past the harness of tests, which keeps the output of a test that passes.
pub fn print(text: &str) {
    // A closed standard error is nothing to fail for.
    let _outcome = io::stderr().write_all(text.as_bytes());
}

fn say(line: &str) {
    print(&format!("tests: {line}\n"));
}

fn rustls_provider() -> Result<(), std::sync::Arc<rustls::crypto::CryptoProvider>> {
    rustls::crypto::aws_lc_rs::default_provider().install_default()
}
