//! Tries a backup: dumps a database, restores it on another cluster, and compares the two.
//!
//! A backup that nobody has restored is a hope. Everything here is on this machine, on clusters
//! that end with the command.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use postgres::{Durability, Postgres, find_or_start};
use settings::Env;
use sqlx::{AssertSqlSafe, Connection, PgConnection, query_scalar, raw_sql};
use tokio::{process::Command, time::Instant};

use crate::{
    command::{Stop, tell},
    flyctl::{Signals, last_lines},
};

/// Connections of a cluster that only we use.
const CONNECTIONS_MAX: u32 = 20;

/// Each table: how many rows it has, with a digest of them.
type Content = BTreeMap<String, String>;

/// A cluster, and the name of the database on it.
struct Cluster {
    postgres: Postgres,
}

/// Dumps a database of its own, or takes `dump`, and restores it.
pub(crate) async fn check(
    dump: Option<&Path>,
    env: &Env,
    signals: &mut Signals,
) -> Result<(), Stop> {
    let binaries = env.get("PG_BIN").map(PathBuf::from);
    let tried = async {
        match dump {
            Some(dump) => given(dump, binaries).await,
            None => own(binaries).await,
        }
    };
    tokio::select! {
        tried = tried => tried,
        code = signals.next() => Err(Stop::interrupted(code, "the clusters end with the command")),
    }
}

/// A database of ours, to another cluster and back to the letter.
async fn own(binaries: Option<PathBuf>) -> Result<(), Stop> {
    let source = Cluster::start(binaries.clone()).await?;
    let from = source.database("original").await?;
    schema::migrate(&from).await.map_err(|error| failed(&error))?;
    seed(&from).await.map_err(|error| failed(&error))?;
    let dir = tempfile::tempdir().map_err(|error| Stop::unavailable(error.to_string()))?;
    let file = dir.path().join("mayfly.dump");
    let dumped = source.dump(&from, &file).await?;

    let target = Cluster::start(binaries).await?;
    let (to, restored) = target.restore(&file).await?;
    let before = count_rows(&from).await.map_err(|error| failed(&error))?;
    let after = count_rows(&to).await.map_err(|error| failed(&error))?;
    report(&after);
    tell(&told_sizes(&file, Some(dumped), restored));
    let differing: Vec<_> =
        before.iter().filter(|(table, rows)| after.get(*table) != Some(*rows)).collect();
    if !differing.is_empty() || before.len() != after.len() {
        let tables: Vec<_> = differing.iter().map(|(table, _)| table.as_str()).collect();
        return Err(Stop::failed(format!("the restored database differs: {}", tables.join(", "))));
    }
    tell("restored on another cluster: every table has the same rows");
    Ok(())
}

/// A backup that somebody has: it restores, and this tree's migrations know it.
async fn given(dump: &Path, binaries: Option<PathBuf>) -> Result<(), Stop> {
    if !dump.is_file() {
        return Err(Stop::usage(format!("there is no file {}", dump.display())));
    }
    let target = Cluster::start(binaries).await?;
    let (to, restored) = target.restore(dump).await?;
    report(&count_rows(&to).await.map_err(|error| failed(&error))?);
    tell(&told_sizes(dump, None, restored));
    let applied = schema::migrate(&to).await.map_err(|error| failed(&error))?;
    tell(&format!("restored; {applied} newer migrations apply on top of it"));
    Ok(())
}

fn report(content: &Content) {
    for (table, rows) in content {
        let count = rows.split_once("<count>").and_then(|(_, rest)| rest.split_once('<'));
        tell(&format!("  {table}: {} rows", count.map_or("?", |(count, _)| count)));
    }
}

fn told_sizes(file: &Path, dumped: Option<Duration>, restored: Duration) -> String {
    let kilobytes = file.metadata().map_or(0, |metadata| metadata.len() / 1024);
    let dumped = dumped.map(|took| format!("dumped in {:.1} s, ", took.as_secs_f64()));
    let restored = restored.as_secs_f64();
    format!("{}{kilobytes} KB, restored in {restored:.1} s", dumped.unwrap_or_default())
}

// === impl Cluster ===

impl Cluster {
    async fn start(binaries: Option<PathBuf>) -> Result<Self, Stop> {
        let options = postgres::Options {
            url: None,
            binaries,
            data: None,
            durability: Durability::Fast,
            connections_max: CONNECTIONS_MAX,
            tell: |_line| {},
        };
        let started = tokio::task::spawn_blocking(move || find_or_start(&options)).await;
        match started {
            Ok(Ok(postgres)) => Ok(Self { postgres }),
            Ok(Err(error)) => Err(Stop::unavailable(error.to_string())),
            Err(error) => Err(Stop::unavailable(error.to_string())),
        }
    }

    /// Makes an empty database; its URL.
    async fn database(&self, name: &str) -> Result<String, Stop> {
        let mut command = self.program("createdb")?;
        let maintenance = self.postgres.url(None, "postgres");
        command.args(["--maintenance-db", &maintenance, name]);
        run(command, "createdb").await?;
        Ok(self.postgres.url(None, name))
    }

    async fn dump(&self, url: &str, file: &Path) -> Result<Duration, Stop> {
        let start = Instant::now();
        let mut command = self.program("pg_dump")?;
        command.args(["--format=custom", "--no-owner", "--file"]).arg(file).args(["--dbname", url]);
        run(command, "pg_dump").await?;
        Ok(start.elapsed())
    }

    /// Restores into a new database; its URL and how long that took.
    async fn restore(&self, file: &Path) -> Result<(String, Duration), Stop> {
        // A dump holds no roles, and its grants need them: the migrations make them.
        let roles = self.database("roles").await?;
        schema::migrate(&roles).await.map_err(|error| failed(&error))?;
        let url = self.database("restored").await?;
        let start = Instant::now();
        let mut command = self.program("pg_restore")?;
        command.args(["--no-owner", "--exit-on-error", "--dbname", &url]).arg(file);
        run(command, "pg_restore").await?;
        Ok((url, start.elapsed()))
    }

    fn program(&self, name: &str) -> Result<Command, Stop> {
        let program = self.postgres.program(name);
        let program = program.ok_or_else(|| Stop::unavailable(format!("there is no {name}")))?;
        Ok(Command::new(program))
    }
}

async fn run(mut command: Command, name: &str) -> Result<(), Stop> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|error| Stop::unavailable(format!("{name}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Stop::failed(format!("{name} failed:\n{}", last_lines(&said))))
}

async fn seed(url: &str) -> sqlx::Result<()> {
    let statement = include_str!("../../../queries/deploy/seed.sql");
    let mut connection = PgConnection::connect(url).await?;
    raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

async fn count_rows(url: &str) -> sqlx::Result<Content> {
    let statement = include_str!("../../../queries/deploy/count_rows.sql");
    let mut connection = PgConnection::connect(url).await?;
    #[expect(
        clippy::disallowed_methods,
        reason = "it reads every table there is, by the catalogue"
    )]
    let content: String = query_scalar(AssertSqlSafe(statement)).fetch_one(&mut connection).await?;
    connection.close().await?;
    serde_json::from_str(&content).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Stop {
    Stop::failed(fault::chain(error))
}
