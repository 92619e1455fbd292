//! PgBouncer between a function and its Postgres.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use proto::user::v1::GetProfileRequest;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, raw_sql};
use tempfile::TempDir;
use tests::{App, skip, told, until, world};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;

use super::{Database, SOON, end_in_time, reads_ada};

const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// A pooler that runs until it is dropped.
struct Pooler {
    process: Child,
    address: SocketAddr,
    /// Goes last.
    _dir: TempDir,
}

impl Pooler {
    /// One in `mode`, before the Postgres of the tests; none where there is no program.
    async fn start(mode: &str) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            skip("there is no PgBouncer: apt-get install pgbouncer");
            return None;
        }
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        let dir = tempfile::Builder::new().permissions(everybody).tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = port.local_addr().unwrap();
        drop(port);
        let options = schema::options(&world().owner_url("postgres")).unwrap();
        let host = match options.get_socket() {
            Some(sockets) => sockets.display().to_string(),
            None => options.get_host().to_owned(),
        };
        let users = dir.path().join("users");
        fs::write(&users, "\"mayfly_runtime\" \"\"\n").unwrap();
        let config = dir.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={host} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
             pool_mode = {mode}\nignore_startup_parameters = extra_float_digits\n",
            options.get_port(),
            address.port(),
            users.display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("-q").arg(&config).stdin(Stdio::null()).stderr(Stdio::null());
        // It refuses to be root, and nobody else may enter the directory of the server's socket.
        if let Some(sockets) = options.get_socket() {
            let owner = fs::metadata(sockets).unwrap();
            if owner.uid() != fs::metadata(&config).unwrap().uid() {
                command.uid(owner.uid()).gid(owner.gid());
            }
        }
        let process = command.spawn().unwrap();
        let pooler = Self { process, address, _dir: dir };
        until("it listens", SOON, async || TcpStream::connect(address).await.is_ok()).await;
        Some(pooler)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://mayfly_runtime@{}/{database}?sslmode=disable", self.address)
    }

    /// An app whose queries go through it, and whose control goes past it.
    async fn app(&self) -> (App, Database) {
        let database = Database(world().new_database().await);
        database.make_profile("ada").await;
        let builder = App::builder().database(&database.0);
        let builder = builder.with("DATABASE_URL", self.url(&database.0));
        let direct = world().runtime_url(&database.0);
        (builder.with("DATABASE_DIRECT_URL", direct).start().await, database)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is reaped here.
        self.process.kill().unwrap_or_default();
        let _status = self.process.wait();
    }
}

#[tokio::test]
async fn a_pooler_in_session_mode_is_as_good_as_none() {
    let Some(pooler) = Pooler::start("session").await else { return };
    let (app, database) = pooler.app().await;
    assert_eq!(app.internal("/health/ready").await.0, 200);
    for number in 0..10 {
        let person = app.person(&format!("pooled-{number}"));
        person.creates_public_profile(&format!("pooled_{number}")).await;
        reads_ada(&person).await.unwrap();
    }
    // Whoever leaves is cancelled behind it, too.
    let lock = database.lock_profiles().await;
    let mut outlived = Vec::new();
    for _ in 0..3 {
        let mut request = tonic::Request::new(GetProfileRequest::default());
        request.set_timeout(Duration::from_millis(200));
        app.person("ada").user().get_profile(request).await.unwrap_err();
        outlived.push(database.waits_for("the statement is gone", 0, "state = 'active'").await);
    }
    end_in_time(&outlived);
    lock.release().await;
    reads_ada(&app.person("ada")).await.unwrap();
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_refused_by_the_name_of_its_setting() {
    let Some(pooler) = Pooler::start("transaction").await else { return };
    let (app, _database) = pooler.app().await;
    let refusal = "DATABASE_URL leads to a pooler in transaction mode";
    let expected = (503, format!("auth: {refusal}\nuser: {refusal}\n"));
    // One pool may have asked its first question before another found out.
    let is_told = async || app.internal("/health/ready").await == expected;
    until("each pool is told", SOON, is_told).await;
    // Nor is anything done under a role that may be another's.
    for _ in 0..5 {
        let told = told(&reads_ada(&app.person("ada")).await.unwrap_err());
        assert_eq!((told.code, told.reason.as_str()), (Code::Unavailable, "DB_UNAVAILABLE"));
    }
    assert_eq!(app.internal("/health/ready").await, expected);
}

#[tokio::test]
async fn migrations_go_past_a_pooler_in_transaction_mode_or_not_at_all() {
    let Some(pooler) = Pooler::start("transaction").await else { return };
    let database = world().new_empty_database().await;
    let url = pooler.url(&database);
    for _ in 0..2 {
        let error = schema::migrate(&url).await.unwrap_err();
        assert!(matches!(error, schema::Error::Shared), "{error:?}");
        assert!(error.is_mismatch() && error.to_string().contains("DATABASE_DIRECT_URL"));
        // Whoever else the backend serves finds it as it was.
        let set = settings(&url).await;
        assert_eq!(set, ["0", "0", "0", "0", ""], "of {set:?}");
    }
    // Nor does it take away what others have set.
    let mut other = PgConnection::connect(&url).await.unwrap();
    raw_sql("set mayfly.session = 'started'").execute(&mut other).await.unwrap();
    schema::migrate(&url).await.unwrap_err();
    assert_eq!(settings(&url).await, ["0", "0", "0", "0", "started"]);
}

/// What a backend is left with.
async fn settings(url: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let mut settings = Vec::new();
    for name in [
        "lock_timeout",
        "client_connection_check_interval",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "mayfly.session",
    ] {
        let text = format!("select coalesce(current_setting('{name}', true), '')");
        let row = raw_sql(AssertSqlSafe(text)).fetch_one(&mut connection).await.unwrap();
        settings.push(row.get(0));
    }
    settings
}
