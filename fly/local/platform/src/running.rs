//! Starts the parts one after the other, and stops them in the reverse order.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
};

use ::issuer::Issuer;
use ::postgres::Postgres;
use ::settings::Env;
use clock::Clock;
use tokio::net::TcpListener;

use crate::{
    Beginning, Error, Options,
    data::{empty, lock, start_postgres},
    database::Database,
    functions::{Decided, Functions},
    issuer::Served,
    options::Hosting,
};

/// The Firebase project of a platform that was told no other.
const PROJECT: &str = "mayfly-dev";

/// A platform that runs.
#[derive(Debug)]
pub struct Running {
    /// Where apps call.
    pub address: SocketAddr,
    /// Where operators look.
    pub internal_address: SocketAddr,
    /// The issuer's own way in, for a first token.
    pub issuer: Issuer,
    /// The issuer, as it is served.
    pub served: Served,
    /// Where the database comes from, in words.
    pub database: String,
    /// How to look into it.
    pub psql: Option<String>,
    postgres: Postgres,
    functions: Functions,
    /// The data is nobody else's for as long.
    _lock: File,
}

impl Running {
    /// Starts everything.
    pub async fn start(options: &Options) -> Result<Self, Error> {
        let env = Env::of_process()?;
        check_database_urls(options, &env)?;
        let lock = lock(&options.data())?;
        let issuer_listener = bind(options.issuer_port, "--issuer-port").await?;
        // These two are bound by the functions, once there is a database; a conflict is told now.
        let port = bind(options.port, "--port").await?;
        let internal_port = bind(options.internal_port, "--internal-port").await?;
        let (address, internal_address) = (port.local_addr()?, internal_port.local_addr()?);
        drop((port, internal_port));

        if options.beginning == Beginning::Fresh {
            // Before any part opens what it keeps: one that had read it would save it again.
            let options = options.clone();
            tokio::task::spawn_blocking(move || empty(&options)).await??;
        }
        let project = env.get("FIREBASE_PROJECT_ID").unwrap_or(PROJECT).to_owned();
        let database = tokio::task::spawn_blocking({
            let (options, env) = (options.clone(), env.clone());
            move || start_postgres(&options, &env)
        });
        let issuer = tokio::task::spawn_blocking({
            let (dir, project) = (options.data().join("issuer"), project.clone());
            move || Issuer::open(&dir, &project, Clock::system())
        });
        let (database, issuer) = tokio::try_join!(database, issuer)?;
        let (postgres, issuer) = (database?, issuer?);
        let served = Served::start(&issuer, issuer_listener)?;

        let database = Database::prepare(&postgres, given(&env)).await?;
        let service_account = tokio::task::spawn_blocking({
            let (issuer, url) = (issuer.clone(), served.url());
            move || issuer.service_account(&url)
        });
        let service_account = service_account.await??;
        let decided = Decided {
            address,
            internal_address,
            database,
            project,
            keys_url: served.keys_url(),
            issuer_url: served.url(),
            service_issuer: issuer.service_issuer_url(),
            service_account,
        };
        let functions = match options.hosting {
            Hosting::InProcess => Functions::host(&env, &decided)?,
            Hosting::Watched => Functions::watch(&env, decided).await?,
        };
        Ok(Self {
            address: functions.address,
            internal_address: functions.internal_address,
            issuer,
            served,
            database: postgres.origin().to_owned(),
            psql: postgres.psql(),
            postgres,
            functions,
            _lock: lock,
        })
    }

    /// Stops everything: the functions drain first, the database goes last.
    pub async fn stop(self) -> Result<(), Error> {
        self.functions.stop().await?;
        self.served.stop().await;
        tokio::task::spawn_blocking(move || self.postgres.stop()).await??;
        Ok(())
    }
}

/// Everything listens on the loopback address only.
async fn bind(port: u16, option: &'static str) -> Result<TcpListener, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Error::PortTaken { port, option },
        _ => Error::Port { port, option, cause: error },
    })
}

/// The URLs of a database that was given: where its queries go, and where its migrations do.
fn given(env: &Env) -> Option<(&str, Option<&str>)> {
    let url = env.get("DATABASE_URL")?;
    Some((url, direct_url(env)))
}

/// `DATABASE_DIRECT_URL`, of which alone nothing follows: it leads past the pooler of another URL.
pub(crate) fn direct_url(env: &Env) -> Option<&str> {
    env.get("DATABASE_URL").and_then(|_url| env.get("DATABASE_DIRECT_URL"))
}

fn check_database_urls(options: &Options, env: &Env) -> Result<(), Error> {
    let Some((url, direct)) = given(env) else {
        return Ok(());
    };
    if options.beginning == Beginning::Fresh {
        return Err(Error::FreshRemote);
    }
    check_database_url(options, "DATABASE_URL", url)?;
    direct.map_or(Ok(()), |url| check_database_url(options, "DATABASE_DIRECT_URL", url))
}

fn check_database_url(options: &Options, name: &'static str, url: &str) -> Result<(), Error> {
    let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let parsed = schema::options(url).ok().filter(|_parsed| is_postgres);
    let parsed = parsed.ok_or(Error::DatabaseUrl { name })?;
    let host = parsed.get_host();
    let is_local = parsed.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if is_local || options.is_remote_database {
        Ok(())
    } else {
        Err(Error::RemoteDatabase { name })
    }
}
