//! Why the platform cannot start.

use std::{io, path::PathBuf, process::ExitStatus};

use ::settings::Problems;

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
    /// It is not a URL of Postgres. It may hold a password, so it is not repeated.
    #[error("{name} is not of the form postgres://user:password@host:port/database")]
    DatabaseUrl {
        /// The variable.
        name: &'static str,
    },
    /// The database is not on this machine.
    #[error("{name} is not on this machine; if it is meant, add --remote-database")]
    RemoteDatabase {
        /// The variable.
        name: &'static str,
    },
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
    /// There is no cargo to build with.
    #[error("--watch needs cargo, which cannot be run")]
    Cargo(#[source] io::Error),
    /// There is nothing to build.
    #[error("--watch builds the workspace of the current directory, and there is none")]
    NoWorkspace,
    /// The sources cannot be watched.
    #[error("the sources cannot be watched")]
    Watch(#[from] notify::Error),
    /// The compiler refused; it has said why.
    #[error("the build failed")]
    Build,
    /// What was built cannot be run.
    #[error("{} cannot be run", binary.display())]
    Program {
        /// What was built.
        binary: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// What was built fails; it has said why.
    #[error("`{command}` failed ({status})")]
    Command {
        /// What it was told to do.
        command: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
    /// What was built does not serve.
    #[error("the functions do not answer")]
    NotServing,
    /// A file or a socket.
    #[error("the platform cannot start")]
    Io(#[from] io::Error),
    /// A part panicked while it started.
    #[error("a part of the platform panicked")]
    Panicked(#[from] tokio::task::JoinError),
}
