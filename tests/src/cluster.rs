//! A Postgres of a test's own, which may be killed, started again, and followed by another.

use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use platform::database::{RUNTIME_ROLE, create_runtime_role};
use postgres::{Durability, Options, Postgres, find_or_start};
use settings::Env;
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use tempfile::TempDir;
use tokio::{task::block_in_place, time::Instant};

/// Enough for a server's pool, and for those who look from outside.
const CONNECTIONS_MAX: u32 = 60;

/// How long a server that was killed may keep its memory from the next.
const START_MAX: Duration = Duration::from_secs(15);

const POLL: Duration = Duration::from_millis(10);

/// The database in it.
const DATABASE: &str = "mayfly";

/// A cluster, with a database that is migrated; its server runs unless it was killed. It needs a
/// runtime of several threads.
#[derive(Debug)]
pub struct Cluster {
    postgres: Option<Postgres>,
    data: PathBuf,
    /// Goes last.
    _dir: TempDir,
}

impl Cluster {
    /// Makes one. None where there are no binaries to run it from, but a container.
    pub async fn start() -> Option<Self> {
        let dir = directory();
        let data = dir.path().join("data");
        let postgres = match block_in_place(|| find_or_start(&options(&data))) {
            Ok(postgres) => postgres,
            Err(error @ postgres::Error::Missing { .. }) => {
                crate::skip(&format!("no Postgres to be killed: {error}"));
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let cluster = Self { postgres: Some(postgres), data, _dir: dir };
        let url = cluster.owner_url();
        cluster.sql_in("postgres", &format!("create database {DATABASE}")).await;
        schema::migrate(&url).await.expect("the migrations apply");
        create_runtime_role(&url).await.expect("the runtime role");
        Some(cluster)
    }

    /// Whoever owns the schema.
    pub fn owner_url(&self) -> String {
        self.postgres().url(None, DATABASE)
    }

    /// Whoever runs the functions.
    pub fn runtime_url(&self) -> String {
        self.postgres().url(Some(RUNTIME_ROLE), DATABASE)
    }

    /// Runs statements as the owner.
    pub async fn sql(&self, statements: &str) {
        self.sql_in(DATABASE, statements).await;
    }

    async fn sql_in(&self, database: &str, statements: &str) {
        let url = self.postgres().url(None, database);
        let mut owner = PgConnection::connect(&url).await.expect("the cluster answers");
        raw_sql(AssertSqlSafe(statements.to_owned()))
            .execute(&mut owner)
            .await
            .unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// Whether it takes connections.
    pub async fn answers(&self) -> bool {
        PgConnection::connect(&self.owner_url()).await.is_ok()
    }

    /// What a query of one number finds.
    pub async fn number(&self, query: &str) -> i64 {
        let mut owner =
            PgConnection::connect(&self.owner_url()).await.expect("the cluster answers");
        #[expect(clippy::disallowed_methods, reason = "a test looks at the tables from outside")]
        let found = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut owner).await;
        found.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Sends its server a signal.
    pub fn signal(&self, signal: &str) {
        let pid = self.pid();
        assert!(send(signal, &pid), "there is a `kill` for {pid}");
    }

    fn pid(&self) -> String {
        let lock = fs::read_to_string(self.data.join("postmaster.pid")).expect("it runs");
        lock.lines().next().expect("its process").to_owned()
    }

    /// Ends the server by a signal, `QUIT` or `KILL`, say, and waits until its process is gone.
    pub fn kill(&mut self, signal: &str) {
        let pid = self.pid();
        let Some(postgres) = self.postgres.take() else { return };
        assert!(send(signal, &pid), "there is a `kill` for {pid}");
        block_in_place(|| {
            while send("0", &pid) {
                sleep(POLL);
            }
            // The watchdog has seen it, too.
            postgres.stop().expect("what is gone is stopped");
        });
    }

    /// Starts the server on what it has left.
    pub fn restart(&mut self) {
        block_in_place(|| {
            let start = Instant::now();
            self.postgres = Some(loop {
                match find_or_start(&options(&self.data)) {
                    Ok(postgres) => break postgres,
                    // The last processes of one that was killed still hold its memory.
                    Err(_) if start.elapsed() < START_MAX => sleep(POLL * 5),
                    Err(error) => panic!("{error}"),
                }
            });
        });
    }

    /// Another that follows this one. From its return on a commit here is one there as well.
    pub async fn follower(&self) -> Self {
        let dir = directory();
        let data = dir.path().join("data");
        block_in_place(|| self.copy_to(&data));
        let mut follower = Self { postgres: None, data, _dir: dir };
        follower.restart();
        let sync = "alter system set synchronous_standby_names = '*'";
        self.sql_in("postgres", sync).await;
        self.sql_in("postgres", "select pg_reload_conf()").await;
        let in_step = "select count(*) from pg_stat_replication where sync_state = 'sync'";
        crate::until("it is followed", START_MAX, async || self.number(in_step).await == 1).await;
        follower
    }

    /// Makes a follower a server of its own.
    pub async fn promote(&self) {
        assert_eq!(self.number("select pg_promote(true, 10)::int::bigint").await, 1);
    }

    fn copy_to(&self, data: &Path) {
        let owner = fs::metadata(&self.data).expect("the cluster's directory");
        DirBuilder::new().mode(0o700).create(data).expect("a directory");
        let sockets = schema::options(&self.owner_url()).expect("its own URL");
        let sockets = sockets.get_socket().expect("it has a socket").clone();
        let program = self.postgres().program("pg_basebackup").expect("it was started here");
        let mut command = Command::new(program);
        command.arg("-h").arg(sockets).args(["-U", "postgres", "-X", "stream", "-c", "fast"]);
        command.args(["-R", "-N", "-D"]).arg(data).current_dir("/").stdin(Stdio::null());
        if owner.uid() != fs::metadata(data).expect("made just now").uid() {
            chown(data, Some(owner.uid()), Some(owner.gid())).expect("we are root");
            command.uid(owner.uid()).gid(owner.gid());
        }
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn postgres(&self) -> &Postgres {
        self.postgres.as_ref().expect("its server runs")
    }
}

fn options(data: &Path) -> Options {
    let env = Env::of_process().expect("the environment is readable");
    Options {
        url: None,
        binaries: env.get("PG_BIN").map(Into::into),
        data: Some(data.to_owned()),
        // What was committed outlives the server, as it does in production.
        durability: Durability::OfServer,
        connections_max: CONNECTIONS_MAX,
        tell: |_line| {},
    }
}

/// A directory that whoever Postgres runs as can enter.
fn directory() -> TempDir {
    let everybody = Permissions::from_mode(0o755);
    let made = tempfile::Builder::new().prefix("mayfly-cluster-").permissions(everybody).tempdir();
    made.expect("a directory")
}

/// Whether a process took a signal.
fn send(signal: &str, pid: &str) -> bool {
    let arguments = [&format!("-{signal}"), pid];
    let sent = Command::new("kill").args(arguments).stderr(Stdio::null()).status();
    sent.is_ok_and(|status| status.success())
}
