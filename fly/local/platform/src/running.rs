//! Starts the parts one after the other, and stops them in the reverse order.

use std::{
    fs::{self, File, TryLockError},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
};

use ::issuer::Issuer;
use ::postgres::{Durability, Postgres, erase, find_or_start};
use ::settings::{Env, Problems, Reader};
use chassis::{Server, Settings};
use clock::Clock;
use sqlx::postgres::PgConnectOptions;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{
    Beginning, Options,
    database::{DATABASE, RUNTIME_ROLE, create_runtime_role, ensure_database},
    issuer::Served,
    report::progress,
};

/// The Firebase project of a platform that was told no other.
const PROJECT: &str = "mayfly-dev";

/// Connections of the local cluster: each function's pool, control connections, and people.
const CONNECTIONS_MAX: u32 = 100;

/// The platform cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port is somebody else's.
    #[error("port {port} is taken: stop what uses it, or choose another with {option}")]
    PortTaken {
        /// The port.
        port: u16,
        /// The option that chooses another.
        option: &'static str,
    },
    /// A port cannot be had for another reason.
    #[error("port {port} cannot be used: choose another with {option}")]
    Port {
        /// The port.
        port: u16,
        /// The option that chooses another.
        option: &'static str,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Another platform runs on the same data.
    #[error(
        "another `cargo dev`{} uses {}: stop it, or choose another directory with --data",
        if process.is_empty() { String::new() } else { format!(" (process {process})") },
        data.display()
    )]
    InUse {
        /// The data.
        data: PathBuf,
        /// Its process, if it says so.
        process: String,
    },
    /// The data cannot be kept there.
    #[error("{} cannot be used: choose another directory with --data", data.display())]
    Data {
        /// The directory.
        data: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// `DATABASE_URL` is not a URL of Postgres. It may hold a password, so it is not repeated.
    #[error("DATABASE_URL is not of the form postgres://user:password@host:port/database")]
    DatabaseUrl,
    /// The database is not on this machine.
    #[error("DATABASE_URL is not on this machine; if it is meant, add --remote-database")]
    RemoteDatabase,
    /// The database is not ours to empty.
    #[error(
        "--fresh empties the local cluster only; unset DATABASE_URL, or drop its schemas yourself"
    )]
    FreshRemote,
    /// Settings in the environment are wrong.
    #[error("these settings cannot be used\n{0}")]
    Settings(Problems),
    /// The settings file is wrong.
    #[error(transparent)]
    Env(#[from] settings::Error),
    /// There is no Postgres.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// The database does not take what it is told.
    #[error("the local database cannot be prepared")]
    Database(#[from] sqlx::Error),
    /// The schema is not what it should be.
    #[error(transparent)]
    Schema(#[from] schema::Error),
    /// The issuer's files are not what they should be.
    #[error(transparent)]
    Issuer(#[from] issuer::Error),
    /// The functions cannot start.
    #[error(transparent)]
    Chassis(#[from] chassis::Error),
    /// A file or a socket.
    #[error("the platform cannot start")]
    Io(#[from] io::Error),
    /// A part panicked while it started.
    #[error("a part of the platform panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

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
    stop: oneshot::Sender<()>,
    functions: JoinHandle<()>,
    /// The data is nobody else's for as long.
    _lock: File,
}

impl Running {
    /// Starts everything.
    pub async fn start(options: &Options) -> Result<Self, Error> {
        let env = Env::of_process()?;
        check_database_url(options, &env)?;
        let lock = lock(&options.data())?;
        let issuer_listener = bind(options.issuer_port, "--issuer-port").await?;
        // These two are bound by the chassis, once there is a database; a conflict is told now.
        let port = bind(options.port, "--port").await?;
        let internal_port = bind(options.internal_port, "--internal-port").await?;
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

        let runtime_url = prepare(&postgres, env.get("DATABASE_URL")).await?;
        let settings = settings(options, &env, &project, &runtime_url, &served)?;
        telemetry::logs::start(&settings.logs);
        let bound = Server::bind(&settings, all::functions(), &Clock::system())?;
        let (address, internal_address) = (bound.address(), bound.internal_address());
        let (stop, stopped) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "the server is what drains; `stop` joins it")]
        let functions = tokio::spawn(bound.serve(async {
            // A sender that is gone stops the server as well.
            let _told = stopped.await;
        }));
        let (origin, psql) = (postgres.origin().to_owned(), postgres.psql());
        Ok(Self {
            address,
            internal_address,
            issuer,
            served,
            database: origin,
            psql,
            postgres,
            stop,
            functions,
            _lock: lock,
        })
    }

    /// Stops everything: the functions drain first, the database goes last.
    pub async fn stop(self) -> Result<(), Error> {
        drop(self.stop);
        self.functions.await?;
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

/// Takes the data directory, which one platform uses at a time.
fn lock(data: &Path) -> Result<File, Error> {
    let fail = |cause| Error::Data { data: data.to_owned(), cause };
    fs::create_dir_all(data).map_err(fail)?;
    let path = data.join("lock");
    let file = File::options().create(true).read(true).append(true).open(&path);
    let mut file = file.map_err(fail)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let process = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
            return Err(Error::InUse { data: data.to_owned(), process });
        }
        // Not every file system has locks; Postgres still guards its own.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    // For whoever comes second; the lock itself ends with the process.
    file.set_len(0).map_err(fail)?;
    writeln!(file, "{}", std::process::id()).map_err(fail)?;
    Ok(file)
}

fn check_database_url(options: &Options, env: &Env) -> Result<(), Error> {
    let Some(url) = env.get("DATABASE_URL") else {
        return Ok(());
    };
    if options.beginning == Beginning::Fresh {
        return Err(Error::FreshRemote);
    }
    let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let parsed = PgConnectOptions::from_str(url).ok().filter(|_parsed| is_postgres);
    let parsed = parsed.ok_or(Error::DatabaseUrl)?;
    let host = parsed.get_host();
    let is_local = parsed.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if is_local || options.is_remote_database { Ok(()) } else { Err(Error::RemoteDatabase) }
}

/// Removes what `--fresh` begins without.
fn empty(options: &Options) -> Result<(), Error> {
    let data = options.data();
    erase(&data.join("postgres"))?;
    if options.data.is_none() {
        erase(&open_data(&data)?)?;
    }
    match fs::remove_dir_all(data.join("issuer")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::Data { data, cause: error })
        }
        _ => Ok(()),
    }
}

fn start_postgres(options: &Options, env: &Env) -> Result<Postgres, Error> {
    let data = options.data();
    let postgres_options = |data: PathBuf| postgres::Options {
        url: env.get("DATABASE_URL").map(str::to_owned),
        binaries: env.get("PG_BIN").map(PathBuf::from),
        data: Some(data),
        durability: Durability::Durable,
        connections_max: CONNECTIONS_MAX,
        tell: progress,
    };
    match find_or_start(&postgres_options(data.join("postgres"))) {
        // Root's own directories are closed to the account that Postgres runs under.
        Err(postgres::Error::Barrier { .. }) if options.data.is_none() => {
            Ok(find_or_start(&postgres_options(open_data(&data)?))?)
        }
        outcome => Ok(outcome?),
    }
}

/// A directory for this checkout's cluster that every account can enter.
fn open_data(data: &Path) -> io::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    std::path::absolute(data)?.hash(&mut hasher);
    Ok(Path::new("/var/tmp").join(format!("mayfly-{:016x}", hasher.finish())))
}

/// Brings the database up to date, and tells the URL that functions use.
async fn prepare(postgres: &Postgres, given: Option<&str>) -> Result<String, Error> {
    if let Some(url) = given {
        schema::migrate(url).await?;
        return Ok(url.to_owned());
    }
    ensure_database(&postgres.url(None, "postgres")).await?;
    let owner_url = postgres.url(None, DATABASE);
    schema::migrate(&owner_url).await?;
    create_runtime_role(&owner_url).await?;
    Ok(postgres.url(Some(RUNTIME_ROLE), DATABASE))
}

/// The functions' settings: the environment's, but for what the platform decides.
fn settings(
    options: &Options,
    env: &Env,
    project: &str,
    database_url: &str,
    served: &Served,
) -> Result<Settings, Error> {
    let direct_url = env.get("DATABASE_DIRECT_URL").unwrap_or(database_url);
    let env = env
        .clone()
        .with("LISTEN_ADDR", format!("127.0.0.1:{}", options.port))
        .with("METRICS_ADDR", format!("127.0.0.1:{}", options.internal_port))
        .with("DATABASE_URL", database_url)
        .with("DATABASE_DIRECT_URL", direct_url)
        .with("FIREBASE_PROJECT_ID", project)
        .with("JWKS_URL", served.keys_url());
    Reader::new(&env).finish(Settings::read).map_err(Error::Settings)
}
