//! The queries of `queries/changes`: one function per file, under the file's name.

use std::time::Duration;

use database::Result;
use sqlx::{PgExecutor, query_file, query_file_scalar};
use uuid::Uuid;

use crate::cursor::{Place, Stand};

/// How long a read for those who watch may take. Over a connection that has died it would take for
/// ever: the deadline of a stream is its age, and a look at the log has none.
pub(crate) const READ_MAX: Duration = Duration::from_secs(2);

/// Something that has changed.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: String,
    /// What was said besides, unless it was erased since.
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) place: Place,
}

/// The end of the log, after a place.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Which log it is.
    pub(crate) epoch: Uuid,
    /// Up to which transaction nothing can appear any more, whatever crashes.
    pub(crate) settled: i64,
    /// Whether there is more, behind a transaction that runs.
    pub(crate) is_unsettled: bool,
    /// The topics that have changed, each with its place.
    pub(crate) topics: Vec<(Place, String)>,
}

pub(crate) async fn append(
    db: impl PgExecutor<'_>,
    (topic, key): (&str, &str),
    payload: Option<&[u8]>,
) -> Result<()> {
    query_file!("../../queries/changes/append.sql", topic, key, payload).execute(db).await?;
    Ok(())
}

pub(crate) async fn erase(db: impl PgExecutor<'_>, topics: &[String]) -> Result<()> {
    query_file!("../../queries/changes/erase.sql", topics).execute(db).await?;
    Ok(())
}

pub(crate) async fn notify(db: impl PgExecutor<'_>, sender: &str) -> Result<()> {
    query_file!("../../queries/changes/notify.sql", sender).fetch_one(db).await?;
    Ok(())
}

pub(crate) async fn read(
    db: impl PgExecutor<'_>,
    topics: &[String],
    after: Place,
    rows_max: i64,
) -> Result<(Stand, Vec<Change>)> {
    let rows =
        query_file!("../../queries/changes/read.sql", topics, after.xid, after.sequence, rows_max)
            .fetch_all(db)
            .await?;
    let mut stand = Stand { epoch: Uuid::nil(), horizon: 0, settled: 0, swept: Place::START };
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        let swept = Place { xid: row.swept_xid, sequence: row.swept_sequence };
        stand = Stand { epoch: row.epoch, horizon: row.horizon, settled: row.settled, swept };
        if let (Some(xid), Some(sequence), Some(key)) = (row.xid, row.sequence, row.key) {
            let place = Place { xid, sequence };
            changes.push(Change { key, payload: row.payload, place });
        }
    }
    Ok((stand, changes))
}

pub(crate) async fn tail(db: impl PgExecutor<'_>, after: Place, rows_max: i64) -> Result<Tail> {
    let rows = query_file!("../../queries/changes/tail.sql", after.xid, after.sequence, rows_max)
        .fetch_all(db)
        .await?;
    let topics = Vec::with_capacity(rows.len());
    let mut tail = Tail { epoch: Uuid::nil(), settled: 0, is_unsettled: false, topics };
    for row in rows {
        (tail.epoch, tail.settled, tail.is_unsettled) = (row.epoch, row.settled, row.is_unsettled);
        if let (Some(xid), Some(sequence), Some(topic)) = (row.xid, row.sequence, row.topic) {
            tail.topics.push((Place { xid, sequence }, topic));
        }
    }
    Ok(tail)
}

/// How many entries were dropped.
pub(crate) async fn sweep(db: impl PgExecutor<'_>) -> Result<u64> {
    let dropped = query_file_scalar!("../../queries/changes/sweep.sql").fetch_optional(db).await?;
    Ok(dropped.unwrap_or_default().unsigned_abs())
}
