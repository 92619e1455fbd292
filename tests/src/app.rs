//! One server of every function, as production runs it, on a database and ports of its own.

use std::net::SocketAddr;

use chassis::{Function, Server, Settings};
use clock::Clock;
use settings::{Env, Reader};
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    Person,
    world::{PROJECT, World, world},
};

/// A server that runs until it is dropped or stopped.
#[derive(Debug)]
pub struct App {
    /// Where apps call.
    pub address: SocketAddr,
    /// Where operators look.
    pub internal_address: SocketAddr,
    /// The name of its database.
    pub database: String,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

/// An app that is not started yet.
#[derive(Debug)]
pub struct AppBuilder {
    env: Env,
    clock: Clock,
    database: Option<String>,
    functions: Vec<Function>,
    without: Vec<&'static str>,
}

impl App {
    /// Starts every function with the settings of production.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// An app to change before it starts.
    pub fn builder() -> AppBuilder {
        AppBuilder {
            env: Env::default(),
            clock: Clock::system(),
            database: None,
            functions: all::functions(),
            without: Vec::new(),
        }
    }

    /// A person, signed in. Their uid is the name.
    pub fn person(&self, name: &str) -> Person {
        let token = world().issuer.id_token(name, &serde_json::Map::new());
        Person::new(self.address, name, Some(token))
    }

    /// Somebody with a token of any making, or with none.
    pub fn stranger(&self, token: Option<&str>) -> Person {
        Person::new(self.address, "stranger", token.map(str::to_owned))
    }

    /// Runs statements on the app's database, as its owner.
    pub async fn sql(&self, statements: &str) {
        let mut owner = self.owner().await;
        raw_sql(AssertSqlSafe(statements.to_owned()))
            .execute(&mut owner)
            .await
            .unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// What a query of one value finds in the app's database.
    pub async fn sql_count(&self, query: &str) -> i64 {
        let mut owner = self.owner().await;
        #[expect(clippy::disallowed_methods, reason = "a test looks at the tables from outside")]
        let count = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut owner).await;
        count.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// A connection of the schema's owner.
    pub async fn owner(&self) -> PgConnection {
        let url = world().owner_url(&self.database);
        PgConnection::connect(&url).await.expect("the database answers")
    }

    /// What an operator reads at `path` of the internal port.
    pub async fn internal(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.internal_address);
        let response = crate::person::http().get(url).send().await.expect("the internal port");
        (response.status().as_u16(), response.text().await.expect("text"))
    }

    /// Tells it to stop; [`App::stopped`] waits for the drain.
    pub fn stop(&mut self) {
        self.stop = None;
    }

    /// Waits until it has stopped.
    pub async fn stopped(mut self) {
        self.stop();
        self.serving.await.expect("the server ends by itself");
    }
}

impl AppBuilder {
    /// Sets one setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env = self.env.with(name, value);
        self
    }

    /// Leaves out a setting that tests have by default.
    #[must_use]
    pub fn without(mut self, name: &'static str) -> Self {
        self.without.push(name);
        self
    }

    /// Tells the time by `clock`.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Uses a database that is there already.
    #[must_use]
    pub fn database(mut self, name: &str) -> Self {
        self.database = Some(name.to_owned());
        self
    }

    /// Serves these functions instead of the platform's.
    #[must_use]
    pub fn functions(mut self, functions: Vec<Function>) -> Self {
        self.functions = functions;
        self
    }

    /// Starts it.
    pub async fn start(self) -> App {
        let database = match self.database {
            Some(name) => name,
            None => world().new_database().await,
        };
        let env = defaults(world(), &database, self.env, &self.without);
        let read = |reader: &mut Reader<'_>| Settings::read_for(self.functions, reader);
        let (settings, functions) = Reader::new(&env).finish(read).expect("the settings are good");
        telemetry::logs::start(&settings.logs).expect("a thread for the log");
        let server = Server::bind(&settings, functions, &self.clock).expect("free ports");
        let (address, internal_address) = (server.address(), server.internal_address());
        let (stop, stopped) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
        let serving = tokio::spawn(async {
            let _ended = server.serve(async { drop(stopped.await) }).await;
        });
        App { address, internal_address, database, stop: Some(stop), serving }
    }
}

/// The settings of a test, under those that it has chosen itself.
fn defaults(world: &World, database: &str, chosen: Env, without: &[&str]) -> Env {
    let keys_url = format!("http://{}{}", world.issuer_address, issuer::Issuer::key_path());
    let runtime_url = world.runtime_url(database);
    let issuer_url = format!("http://{}", world.issuer_address);
    let defaults = [
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("METRICS_ADDR", "127.0.0.1:0"),
        ("DATABASE_URL", &runtime_url),
        ("FIREBASE_PROJECT_ID", PROJECT),
        ("JWKS_URL", &keys_url),
        ("IDENTITY_TOOLKIT_URL", &issuer_url),
        ("SECURE_TOKEN_URL", &issuer_url),
        ("FIREBASE_API_KEY", "any"),
        ("FIREBASE_SERVICE_ACCOUNT", &world.service_account),
        // Beside other tests a connection is made in more than the half second of production.
        ("DB_WAIT_MS_MAX", "5000"),
        ("DRAIN_SECS", "5"),
        ("RUST_LOG", "error"),
    ];
    let is_missing = |name: &str| chosen.get(name).is_none() && !without.contains(&name);
    let missing: Vec<_> = defaults.into_iter().filter(|(name, _)| is_missing(name)).collect();
    missing.into_iter().fold(chosen, |env, (name, value)| env.with(name, value))
}
