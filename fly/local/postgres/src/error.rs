//! Why there is no Postgres, and what to do about it.

use std::{fmt, io, path::PathBuf};

/// Why there is no Postgres, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is not one of Postgres. It may hold a password, so it is not repeated.
    #[error("DATABASE_URL is not of the form postgres://user:password@host:port/database")]
    Url,
    /// There are no binaries to start.
    #[error(
        "no Postgres found on this machine:\n  {}\ninstall one (`apt-get install postgresql`, \
         `brew install postgresql`), or name its binaries' \
         directory by PG_BIN; `cargo dev` takes a DATABASE_URL as well",
        list(skipped)
    )]
    Missing {
        /// What was looked at.
        skipped: Vec<Skipped>,
    },
    /// The cluster was made by another major version.
    #[error(
        "the data in {data} is PostgreSQL {cluster}'s and only PostgreSQL {found} was found; install \
         {cluster}, or start over with `--fresh`, which removes the data",
        data = data.display()
    )]
    Version {
        /// The cluster's directory.
        data: PathBuf,
        /// The major version that made it.
        cluster: u32,
        /// The major versions that are installed.
        found: String,
    },
    /// Something else than a cluster is in the directory.
    #[error(
        "{} is neither empty nor a Postgres cluster; name another directory", data.display()
    )]
    NotACluster {
        /// The directory.
        data: PathBuf,
    },
    /// The cluster belongs to an account we cannot become.
    #[error(
        "{} belongs to {owner}, and Postgres would not use it; give it away \
         (`chown -R {wanted} {}`), or remove it", data.display(), data.display()
    )]
    Owner {
        /// The cluster's directory.
        data: PathBuf,
        /// Whose it is.
        owner: String,
        /// Whose it has to be.
        wanted: String,
    },
    /// We are root, which Postgres refuses to run as, and there is nobody else.
    #[error(
        "Postgres does not run as root, and /etc/passwd has neither the user `postgres` nor \
         `nobody`: add one, or do not run as root"
    )]
    NoAccount,
    /// The account Postgres runs under cannot get to a directory.
    #[error(
        "Postgres does not run as root but as `{account}`, which cannot enter {}; name a directory \
         elsewhere, let it in (`chmod o+x {}`), or do not run as root", barrier.display(), barrier.display()
    )]
    Barrier {
        /// Whom Postgres runs as.
        account: String,
        /// The directory in the way.
        barrier: PathBuf,
    },
    /// Another server runs on the same data.
    #[error(
        "another Postgres{} runs on {}; stop it first{}", process(*pid, " (process ", ")"),
        data.display(), process(*pid, " (if that process is no Postgres, remove postmaster.pid there: ", ")")
    )]
    Running {
        /// The cluster's directory.
        data: PathBuf,
        /// Its process.
        pid: Option<u32>,
    },
    /// `initdb` failed.
    #[error("initdb failed: {said}")]
    Initdb {
        /// Its last lines.
        said: String,
    },
    /// The server ended before it was ready.
    #[error("Postgres ended while it started; the last lines of {}:\n{said}", log.display())]
    Ended {
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        said: String,
    },
    /// The server is not ready yet, and we wait no longer.
    #[error("Postgres was not ready within {secs} s; the last lines of {}:\n{said}", log.display())]
    NotReady {
        /// How long we waited.
        secs: u64,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        said: String,
    },
    /// The server did not stop.
    #[error("Postgres{} did not stop within {secs} s", process(*pid, " (process ", ")"))]
    NotStopped {
        /// How long we waited.
        secs: u64,
        /// Its process.
        pid: Option<u32>,
    },
    /// The system refused something.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it was refused.
        source: io::Error,
    },
}

/// A place without a usable Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Where was looked.
    pub place: String,
    /// Why nothing there was used.
    pub why: String,
}

// === impl Error ===

impl Error {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { what, path: path.into(), source }
    }
}

fn list(skipped: &[Skipped]) -> String {
    skipped.iter().map(Skipped::to_string).collect::<Vec<_>>().join("\n  ")
}

fn process(pid: Option<u32>, before: &str, after: &str) -> String {
    pid.map(|pid| format!("{before}{pid}{after}")).unwrap_or_default()
}

// === impl Skipped ===

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, why } = self;
        write!(f, "{place}: {why}")
    }
}
