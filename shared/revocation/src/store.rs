//! The queries of `queries/revocation`: one function per file, under the file's name.

use database::Result;
use identity::UserId;
use sqlx::{PgExecutor, query_file, query_file_scalar};

use crate::{
    known::{CHANGES_MAX, Found},
    standing::Standing,
};

pub(crate) async fn read(
    db: impl PgExecutor<'_>,
    from: Option<i64>,
    ids: &[UserId],
) -> Result<Found> {
    // From the end of all times on nothing has changed.
    let from = from.unwrap_or(i64::MAX);
    let changes_max = i64::try_from(CHANGES_MAX).unwrap_or(i64::MAX);
    let ids: Vec<_> = ids.iter().map(|id| id.as_str().to_owned()).collect();
    let rows = query_file!("../../queries/revocation/read.sql", from, changes_max, &ids)
        .fetch_all(db)
        .await?;
    let mut found = Found::default();
    for row in rows {
        (found.epoch, found.horizon) = (row.epoch, row.horizon);
        let Some(user_id) = row.user_id else { continue };
        let sessions = row.sessions.filter(|sessions| !sessions.is_empty());
        let standing = Standing {
            valid_from: row.valid_from.unwrap_or_default(),
            issued_from: row.issued_from.unwrap_or_default(),
            sessions: sessions.map(Into::into),
            is_disabled: row.is_disabled.unwrap_or_default(),
        };
        let to = if row.is_change == Some(true) { &mut found.changed } else { &mut found.asked };
        to.push((user_id.into(), standing));
    }
    Ok(found)
}

pub(crate) async fn revoke(
    db: impl PgExecutor<'_>,
    user_id: &UserId,
    valid_from: i64,
) -> Result<()> {
    query_file!("../../queries/revocation/revoke.sql", user_id.as_str(), valid_from)
        .execute(db)
        .await?;
    Ok(())
}

pub(crate) async fn revoke_session(
    db: impl PgExecutor<'_>,
    user_id: &UserId,
    auth_time: i64,
) -> Result<()> {
    query_file!("../../queries/revocation/revoke_session.sql", user_id.as_str(), auth_time)
        .execute(db)
        .await?;
    Ok(())
}

/// Whether no other change was under way at `now`.
pub(crate) async fn begin_change(
    db: impl PgExecutor<'_>,
    user_id: &UserId,
    (now, until): (i64, i64),
) -> Result<bool> {
    let id = user_id.as_str();
    let query = query_file!("../../queries/revocation/begin_change.sql", id, now, until);
    Ok(query.execute(db).await?.rows_affected() == 1)
}

/// Whether it was still the one that is under way.
pub(crate) async fn end_change(
    db: impl PgExecutor<'_>,
    user_id: &UserId,
    until: i64,
    issued_from: i64,
) -> Result<bool> {
    let id = user_id.as_str();
    let query = query_file!("../../queries/revocation/end_change.sql", id, until, issued_from);
    Ok(query.execute(db).await?.rows_affected() == 1)
}

/// What marks that it was written.
pub(crate) async fn disable(db: impl PgExecutor<'_>, user_id: &UserId) -> Result<i64> {
    let query = query_file_scalar!("../../queries/revocation/disable.sql", user_id.as_str());
    Ok(query.fetch_one(db).await?)
}

/// Whether the mark was still there.
pub(crate) async fn enable(db: impl PgExecutor<'_>, user_id: &UserId, mark: i64) -> Result<bool> {
    let query = query_file!("../../queries/revocation/enable.sql", user_id.as_str(), mark);
    Ok(query.execute(db).await?.rows_affected() == 1)
}

pub(crate) async fn mark(db: impl PgExecutor<'_>, user_id: &UserId) -> Result<Option<i64>> {
    let query = query_file_scalar!("../../queries/revocation/mark.sql", user_id.as_str());
    Ok(query.fetch_optional(db).await?)
}

pub(crate) async fn read_mark(db: impl PgExecutor<'_>, user_id: &UserId) -> Result<Option<i64>> {
    let query = query_file_scalar!("../../queries/revocation/read_mark.sql", user_id.as_str());
    Ok(query.fetch_optional(db).await?)
}
