//! What a failed query means to a caller.

use std::io;

use fault::{Fault, Reason};
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use tonic::Status;

use crate::connect::Shared;

/// A query that failed.
#[derive(Debug, thiserror::Error)]
#[error("query failed")]
pub struct Error(#[from] sqlx::Error);

/// What a query returns.
pub type Result<T> = std::result::Result<T, Error>;

/// The database could not be reached, or refused the connection.
#[derive(Debug, thiserror::Error)]
#[error("the database is unavailable")]
pub(crate) struct Unreachable(#[source] pub(crate) Option<sqlx::Error>);

impl Unreachable {
    /// Travels through sqlx's own error type, which an `Executor` has to return.
    pub(crate) fn into_sqlx(self) -> sqlx::Error {
        sqlx::Error::Io(io::Error::other(self))
    }

    /// Why there was no connection, if that is what an error tells of.
    fn behind(error: &io::Error) -> Option<&sqlx::Error> {
        error.get_ref()?.downcast_ref::<Self>()?.0.as_ref()
    }
}

/// The server has greeted us and then broke off: its process for us was ended, by somebody who did
/// not let it say so.
#[derive(Debug, thiserror::Error)]
#[error("the server broke off after its greeting")]
pub(crate) struct Ended(#[source] sqlx::Error);

impl Ended {
    /// What a connection told that had been greeted; as an error of sqlx, like the others.
    pub(crate) fn after_greeting(error: sqlx::Error) -> sqlx::Error {
        if broke_off(&error) { sqlx::Error::Io(io::Error::other(Self(error))) } else { error }
    }
}

impl Error {
    fn reason(&self) -> Reason {
        match &self.0 {
            sqlx::Error::PoolTimedOut => Reason::PoolExhausted,
            sqlx::Error::Database(error) => match error.code() {
                Some(code) => of_sqlstate(&code),
                None => Reason::Internal,
            },
            // The connection broke under the query, or there was none to be had.
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
                Reason::DbUnavailable
            }
            _ => Reason::Internal,
        }
    }

    /// Whether the database is there and all connections to it are taken.
    pub fn is_busy(&self) -> bool {
        self.reason() == Reason::PoolExhausted
    }

    /// Whether a pooler shares our connections with others, which none that we use may do.
    pub fn is_shared(&self) -> bool {
        is_shared(&self.0)
    }

    /// Whether the database is there and what was asked for is not in it yet.
    pub fn is_missing_schema(&self) -> bool {
        is_missing_schema(&self.0)
    }

    /// The constraint that refused the statement, if one did.
    fn constraint(&self) -> Option<&str> {
        match &self.0 {
            sqlx::Error::Database(error) => error.constraint(),
            _ => None,
        }
    }
}

/// What a SQLSTATE means to a caller; `tests/it/database` provokes them.
fn of_sqlstate(code: &str) -> Reason {
    match code {
        "23505" => Reason::AlreadyExists,
        "23503" => Reason::FailedPrecondition,
        // The last is text that Postgres does not store: a NUL.
        "23514" | "22001" | "22P02" | "22003" | "22021" => Reason::InvalidArgument,
        "40001" | "40P01" => Reason::Conflict,
        // A statement is cancelled at the static ceiling, or because its caller's time was over.
        "57014" => Reason::DeadlineExceeded,
        // Locked; a standby, which takes no writes and has no place of its own in the log; a
        // transaction that was left open while the process was suspended; what a pooler in
        // transaction mode makes of prepared statements.
        "55P03" | "25006" | "55000" | "25P03" | "26000" | "42P05" => Reason::DbUnavailable,
        // The connection; out of connections, memory or disk; starting up or shutting down; the
        // disk itself.
        code if ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class)) => {
            Reason::DbUnavailable
        }
        _ => Reason::Internal,
    }
}

/// Whether the server answered, and has no such role, schema or table, or not for this caller.
pub(crate) fn is_missing_schema(error: &sqlx::Error) -> bool {
    const MISSING: [&str; 5] = ["22023", "3F000", "42P01", "42501", "42704"];
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| MISSING.contains(&&*code)),
        // Connecting under a role that no migration has made yet.
        sqlx::Error::Io(error) => Unreachable::behind(error).is_some_and(is_missing_schema),
        _ => false,
    }
}

/// Whether a pooler gave us a backend that others use as well.
pub(crate) fn is_shared(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Configuration(error) => error.is::<Shared>(),
        // A statement that was prepared on another backend, or by somebody else on this one.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| matches!(&*code, "26000" | "42P05"))
        }
        sqlx::Error::Io(error) => Unreachable::behind(error).is_some_and(is_shared),
        _ => false,
    }
}

/// Whether other writers were in the way, and nothing has happened.
pub(crate) fn is_conflict(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "40001" | "40P01"))
}

/// Whether somebody ended the server process that greeted us: the server itself is there.
pub(crate) fn was_ended(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == "57P01"),
        sqlx::Error::Io(error) => {
            error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Ended>)
                || Unreachable::behind(error).is_some_and(was_ended)
        }
        _ => false,
    }
}

/// Whether the server is there and has no place for one more.
pub(crate) fn is_full(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == "53300")
}

/// Whether a connect that ended so says that the connections there are were lost as well. What
/// never came to the server (a name that is not found, no descriptor left) says nothing of them,
/// and a server that speaks goes on with them.
pub(crate) fn tells_of_loss(error: &sqlx::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, TimedOut};
    let is_lost = match error {
        sqlx::Error::Io(error) => matches!(error.kind(), ConnectionRefused | TimedOut),
        _ => false,
    };
    is_lost || broke_off(error) || is_shared(error)
}

/// The kind of failure, for health: a SQLSTATE where the server spoke. No word of an error's own is in
/// it, which may quote a setting.
pub(crate) fn class(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.code().map_or("refused".into(), Into::into),
        sqlx::Error::Io(error) => error.kind().to_string(),
        sqlx::Error::Tls(_) => "tls".to_owned(),
        sqlx::Error::Protocol(_) => "protocol".to_owned(),
        error if is_shared(error) => "shared".to_owned(),
        _ => "other".to_owned(),
    }
}

/// Whether a connection broke off without a word while it was made.
pub(crate) fn broke_off(error: &sqlx::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error {
        sqlx::Error::Io(error) => {
            matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
        }
        _ => false,
    }
}

/// Whether the connection that gave this error is of no more use.
pub(crate) fn breaks_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let severity = error.try_downcast_ref().map(PgDatabaseError::severity);
            // A standby was the primary once: connected anew, the call finds the new one.
            matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
                || error.code().is_some_and(|code| {
                    let of_no_use = ["25006", "55000", "26000", "42P05"];
                    code.starts_with("08") || of_no_use.contains(&&*code)
                })
        }
        sqlx::Error::RowNotFound
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::Decode(_) => false,
        _ => true,
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::new(error.reason()).because(error)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Fault::from(error).into()
    }
}

/// Names what a broken constraint means, where it is broken.
pub trait OnConstraint<T> {
    /// Turns the refusal of `constraint` into `reason`.
    fn on_constraint(self, constraint: &str, reason: Reason) -> std::result::Result<T, Fault>;
}

impl<T, E: Into<Fault>> OnConstraint<T> for std::result::Result<T, E> {
    fn on_constraint(self, constraint: &str, reason: Reason) -> std::result::Result<T, Fault> {
        self.map_err(Into::into).map_err(|fault: Fault| {
            let broken = std::error::Error::source(&fault)
                .and_then(|cause| cause.downcast_ref::<Error>())
                .and_then(Error::constraint);
            if broken == Some(constraint) { Fault::new(reason).because(fault) } else { fault }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_came_to_the_server_says_nothing_of_its_connections() {
        use io::ErrorKind;
        let tells = |kind: ErrorKind| tells_of_loss(&sqlx::Error::Io(kind.into()));
        for lost in [
            ErrorKind::ConnectionRefused,
            ErrorKind::ConnectionReset,
            ErrorKind::BrokenPipe,
            ErrorKind::UnexpectedEof,
            ErrorKind::TimedOut,
        ] {
            assert!(tells(lost), "{lost:?}");
        }
        for kept in [ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::Other] {
            assert!(!tells(kept), "{kept:?}");
        }
        let no_descriptor_left = io::Error::from_raw_os_error(24);
        assert!(!tells_of_loss(&sqlx::Error::Io(no_descriptor_left)));
        assert!(tells_of_loss(&sqlx::Error::Configuration(Box::new(Shared))));
        assert!(!tells_of_loss(&sqlx::Error::Configuration("no such file".into())));
    }

    #[test]
    fn whoever_breaks_off_after_the_greeting_was_there() {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof};
        for kind in [BrokenPipe, ConnectionReset, UnexpectedEof] {
            assert!(!was_ended(&sqlx::Error::Io(kind.into())), "{kind:?} before it");
            let ended = Ended::after_greeting(sqlx::Error::Io(kind.into()));
            assert!(was_ended(&ended) && !broke_off(&ended) && !tells_of_loss(&ended), "{kind:?}");
            assert!(was_ended(&Unreachable(Some(ended)).into_sqlx()));
        }
        assert!(!was_ended(&Ended::after_greeting(sqlx::Error::Io(TimedOut.into()))));
    }
}
