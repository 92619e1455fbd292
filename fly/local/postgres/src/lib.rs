//! Finds or starts a Postgres, for development and for tests.
//!
//! With a `DATABASE_URL` nothing is started.
//! Otherwise a server runs from whatever binaries this machine has, on a unix socket in a private
//! directory: no port to be taken, no password to be kept.
//! It lives under a watchdog (`watchdog.sh`) and ends with this process however that ends.
//!
//! ```no_run
//! use postgres::{Durability, Options, find_or_start};
//!
//! let options = Options {
//!     url: None,
//!     binaries: None,
//!     data: Some(".mayfly/postgres".into()),
//!     durability: Durability::Durable,
//!     connections_max: 50,
//!     tell: |_line| {},
//! };
//! let postgres = find_or_start(&options)?;
//! let url = postgres.url(None, "mayfly");
//! # Ok::<(), postgres::Error>(())
//! ```

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

mod account;
mod binaries;
mod cluster;
mod error;
mod server;
mod url;

pub use crate::error::{Error, Skipped};

use crate::{binaries::Binaries, server::Server};

/// Says which Postgres is wanted.
#[derive(Clone)]
pub struct Options {
    /// `DATABASE_URL`: used as it is, and then nothing is started and the rest is not looked at.
    pub url: Option<String>,
    /// `PG_BIN`: the only directory to take binaries from.
    pub binaries: Option<PathBuf>,
    /// The cluster's directory: made by `initdb` when missing, and kept.
    /// Without one the cluster is made beside the server's socket, and the watchdog removes it when
    /// the server ends, however this process ends: for tests.
    pub data: Option<PathBuf>,
    /// What a crash of the machine may cost.
    pub durability: Durability,
    /// How many connections the server allows, the three it reserves for superusers included.
    pub connections_max: u32,
    /// Is told what takes long, when it begins: one line for people.
    pub tell: fn(&str),
}

/// What a crash of the machine may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was committed: for development.
    Durable,
    /// The whole cluster, and a crash of the server may cost nothing: for tests that end the server.
    OfServer,
    /// The whole cluster, as may a crash of the server: for tests, which never wait for a disk.
    Fast,
}

/// A Postgres that is there. One that was started here is stopped when this is dropped.
pub struct Postgres {
    source: Source,
    origin: String,
}

enum Source {
    Url(String),
    Started { server: Server, psql: Option<PathBuf> },
}

/// Takes the given URL, or starts a server on the given directory and waits until it is ready.
///
/// Blocks, for a second or two when the cluster has to be made first.
pub fn find_or_start(options: &Options) -> Result<Postgres, Error> {
    match &options.url {
        Some(url) => {
            url::check(url)?;
            let source = Source::Url(url.clone());
            Ok(Postgres { source, origin: "DATABASE_URL".to_owned() })
        }
        None => start(options),
    }
}

/// Removes the cluster in `data`, unless a server runs on it.
pub fn erase(data: &Path) -> Result<(), Error> {
    let data = absolute(data)?;
    server::wait_while_stopping(&data, |_line| {});
    if let Some(pid) = server::running(&data) {
        return Err(Error::Running { data, pid: Some(pid) });
    }
    cluster::sweep(&data);
    match fs::remove_dir_all(&data) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", data, error))
        }
        _ => Ok(()),
    }
}

fn start(options: &Options) -> Result<Postgres, Error> {
    let kept = options.data.as_deref().map(absolute).transpose()?;
    let version = kept.as_deref().map_or(Ok(None), cluster::version)?;
    let binaries = Binaries::find(options.binaries.as_deref(), version)?;
    let owner = account::owner_of(kept.as_deref())?;
    if let Some(account) = &owner {
        kept.as_deref().map_or(Ok(()), |data| account.check_can_enter(data))?;
        binaries.dir().map_or(Ok(()), |dir| account.check_can_enter(dir))?;
    }

    let sockets = server::sockets(owner.as_ref())?;
    let origin = match &kept {
        Some(data) => format!("PostgreSQL {binaries}, data in {}", data.display()),
        None => format!("PostgreSQL {binaries}, data for this run only"),
    };
    // What lies beside the socket goes with it.
    let data = kept.unwrap_or_else(|| sockets.path().join("data"));
    cluster::prepare(&data, &binaries, owner.as_ref(), options.tell)?;
    let server = Server::start(options, &data, sockets, &binaries, owner.as_ref())?;

    let psql = binaries.psql();
    Ok(Postgres { source: Source::Started { server, psql }, origin })
}

/// The server neither runs in our directory nor shares our links, so it is given the whole path.
fn absolute(data: &Path) -> Result<PathBuf, Error> {
    let fail = |source: io::Error| Error::io("make", data, source);
    let data = std::path::absolute(data).map_err(fail)?;
    match (data.parent(), data.file_name()) {
        (Some(parent), Some(name)) => {
            fs::create_dir_all(parent).map_err(fail)?;
            Ok(parent.canonicalize().map_err(fail)?.join(name))
        }
        _ => Err(Error::NotACluster { data }),
    }
}

// === impl Postgres ===

impl Postgres {
    /// A URL of one database, for `role`, or for whoever owns the server if none is named.
    ///
    /// Derived from a given `DATABASE_URL`, it keeps that one's password, host and parameters.
    pub fn url(&self, role: Option<&str>, database: &str) -> String {
        match &self.source {
            Source::Url(given) => url::with(given, role, database),
            Source::Started { server, .. } => url::of_socket(server.sockets(), role, database),
        }
    }

    /// One line for people: which Postgres this is. Names no secret.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// A command line to copy; a database's name may be added to it. None without a `psql`.
    pub fn psql(&self) -> Option<String> {
        match &self.source {
            Source::Url(_) => Some("psql \"$DATABASE_URL\"".to_owned()),
            Source::Started { server, psql } => {
                let psql = psql.as_ref()?.display();
                Some(format!("{psql} -h {} -U {}", server.sockets().display(), url::SUPERUSER))
            }
        }
    }

    /// Another program that came with the server, such as `pg_dump`. None for one that was not
    /// started here.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        match &self.source {
            Source::Url(_) => None,
            Source::Started { psql, .. } => psql.as_ref().map(|psql| psql.with_file_name(name)),
        }
    }

    /// Stops what was started here, and waits until it is gone: ten seconds at the most.
    pub fn stop(self) -> Result<(), Error> {
        match self.source {
            Source::Url(_) => Ok(()),
            Source::Started { mut server, .. } => server.stop(),
        }
    }
}

// Written by hand: a URL may hold a password.
impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("origin", &self.origin).finish_non_exhaustive()
    }
}

// === impl Options ===

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, binaries, data, durability, connections_max, tell: _ } = self;
        f.debug_struct("Options")
            .field("url", &url.as_ref().map(|_| ".."))
            .field("binaries", binaries)
            .field("data", data)
            .field("durability", durability)
            .field("connections_max", connections_max)
            .finish()
    }
}
