//! The queries of `queries/auth`: one function per file, under the file's name.

use call::Call;
use chrono::{DateTime, Utc};
use database::Result;
use identity::UserId;
use sqlx::{PgExecutor, query_file, query_file_as, query_file_scalar};
use uuid::Uuid;

use crate::model::{Session, Untold, api_client::ApiClient, attempt::Subject, event::Event};

/// Whatever begins or ends a person's sign-ins, or says who they are and whether they may call, waits
/// for whatever else does, and takes this first.
pub(crate) async fn lock_person(db: impl PgExecutor<'_>, user_id: &UserId) -> Result<()> {
    query_file!("../../queries/auth/lock_person.sql", user_id.as_str()).fetch_one(db).await?;
    Ok(())
}

/// Whether anything here is of a person.
pub(crate) async fn knows_person(db: impl PgExecutor<'_>, user_id: &UserId) -> Result<bool> {
    let query = query_file_scalar!("../../queries/auth/knows_person.sql", user_id.as_str());
    Ok(query.fetch_one(db).await?)
}

pub(crate) async fn create_session(db: impl PgExecutor<'_>, session: &Session) -> Result<()> {
    query_file!(
        "../../queries/auth/create_session.sql",
        uuid(&session.id),
        session.user_id.as_str(),
        session.auth_time,
        session.device_name,
        session.create_time,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether each of the sessions of that second is over.
pub(crate) async fn touch_sessions(
    db: impl PgExecutor<'_>,
    user_id: &UserId,
    auth_time: i64,
    now: DateTime<Utc>,
) -> Result<Vec<bool>> {
    let query = query_file_scalar!(
        "../../queries/auth/touch_sessions.sql",
        user_id.as_str(),
        auth_time,
        now,
    );
    Ok(query.fetch_all(db).await?)
}

pub(crate) async fn list_sessions(
    db: impl PgExecutor<'_>,
    user_id: &UserId,
    after: Option<&str>,
    rows_max: i64,
) -> Result<Vec<Session>> {
    let query = query_file_as!(
        Session,
        "../../queries/auth/list_sessions.sql",
        user_id.as_str(),
        after.map(uuid),
        rows_max,
    );
    Ok(query.fetch_all(db).await?)
}

pub(crate) async fn lock_session(
    db: impl PgExecutor<'_>,
    user_id: &UserId,
    session_id: &str,
) -> Result<Option<Session>> {
    let query = query_file_as!(
        Session,
        "../../queries/auth/lock_session.sql",
        user_id.as_str(),
        uuid(session_id),
    );
    Ok(query.fetch_optional(db).await?)
}

/// Ends those whose sign-in happened from the first second to the last.
pub(crate) async fn revoke_sessions(
    db: impl PgExecutor<'_>,
    user_id: &UserId,
    (first, last): (i64, i64),
    now: DateTime<Utc>,
) -> Result<()> {
    query_file!("../../queries/auth/revoke_sessions.sql", user_id.as_str(), first, last, now)
        .execute(db)
        .await?;
    Ok(())
}

/// The second of the latest sign-in beyond so many that are open, if there are more.
pub(crate) async fn get_surplus_sign_in(
    db: impl PgExecutor<'_>,
    user_id: &UserId,
    sessions_max: i64,
) -> Result<Option<i64>> {
    let query = query_file_scalar!(
        "../../queries/auth/get_surplus_sign_in.sql",
        user_id.as_str(),
        sessions_max,
    );
    Ok(query.fetch_optional(db).await?)
}

/// Drops those that are over.
pub(crate) async fn drop_sessions(db: impl PgExecutor<'_>, user_id: &UserId) -> Result<()> {
    query_file!("../../queries/auth/drop_sessions.sql", user_id.as_str()).execute(db).await?;
    Ok(())
}

/// Keeps in mind that Firebase has to be told.
pub(crate) async fn add_untold(
    db: impl PgExecutor<'_>,
    user_id: &UserId,
    valid_from: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    query_file!("../../queries/auth/add_untold.sql", user_id.as_str(), valid_from, now)
        .execute(db)
        .await?;
    Ok(())
}

/// What Firebase was not told for a while, for this caller to try.
pub(crate) async fn take_untold(
    db: impl PgExecutor<'_>,
    now: DateTime<Utc>,
) -> Result<Option<Untold>> {
    let query = query_file_as!(Untold, "../../queries/auth/take_untold.sql", now);
    Ok(query.fetch_optional(db).await?)
}

pub(crate) async fn drop_untold(
    db: impl PgExecutor<'_>,
    user_id: &UserId,
    valid_from: i64,
) -> Result<()> {
    query_file!("../../queries/auth/drop_untold.sql", user_id.as_str(), valid_from)
        .execute(db)
        .await?;
    Ok(())
}

/// How many attempts there were, this one included; none if it comes too early.
pub(crate) async fn count_attempt(
    db: impl PgExecutor<'_>,
    Subject { kind, hash }: &Subject,
    now: DateTime<Utc>,
) -> Result<Option<i32>> {
    let drain_secs = kind.drain().as_secs_f64();
    let query = query_file_scalar!("../../queries/auth/count_attempt.sql", hash, now, drain_secs);
    Ok(query.fetch_optional(db).await?)
}

pub(crate) async fn block_attempts(
    db: impl PgExecutor<'_>,
    subject: &[u8],
    until: DateTime<Utc>,
) -> Result<()> {
    query_file!("../../queries/auth/block_attempts.sql", subject, until).execute(db).await?;
    Ok(())
}

/// From when on the next attempt may be made, unless it may be made now.
pub(crate) async fn get_block(
    db: impl PgExecutor<'_>,
    subject: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    let query = query_file_scalar!("../../queries/auth/get_block.sql", subject, now);
    Ok(query.fetch_optional(db).await?)
}

pub(crate) async fn forget_attempts(db: impl PgExecutor<'_>, subject: &[u8]) -> Result<()> {
    query_file!("../../queries/auth/forget_attempts.sql", subject).execute(db).await?;
    Ok(())
}

pub(crate) async fn uncount_attempt(
    db: impl PgExecutor<'_>,
    subject: &[u8],
    now: DateTime<Utc>,
) -> Result<()> {
    query_file!("../../queries/auth/uncount_attempt.sql", subject, now).execute(db).await?;
    Ok(())
}

pub(crate) async fn append_audit(
    db: impl PgExecutor<'_>,
    call: &Call,
    event: &Event,
    now: DateTime<Utc>,
) -> Result<()> {
    query_file!(
        "../../queries/auth/append_audit.sql",
        event.what.name(),
        &*call.caller.key(),
        event.user_id.as_ref().map(UserId::as_str),
        event.subject.as_deref(),
        event.api_client_id,
        call.id.as_uuid(),
        call.address.map(|address| address.to_string()),
        now,
        event.roles.as_deref(),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(crate) async fn create_api_client(
    db: impl PgExecutor<'_>,
    client: &ApiClient,
    creator: &str,
) -> Result<()> {
    query_file!(
        "../../queries/auth/create_api_client.sql",
        uuid(&client.id),
        client.display_name,
        &client.scopes,
        client.secret_hash,
        creator,
        client.create_time,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(crate) async fn get_api_client(db: impl PgExecutor<'_>, id: Uuid) -> Result<Option<ApiClient>> {
    let query = query_file_as!(ApiClient, "../../queries/auth/get_api_client.sql", id);
    Ok(query.fetch_optional(db).await?)
}

pub(crate) async fn list_api_clients(
    db: impl PgExecutor<'_>,
    after: Option<&str>,
    rows_max: i64,
) -> Result<Vec<ApiClient>> {
    let query = query_file_as!(
        ApiClient,
        "../../queries/auth/list_api_clients.sql",
        after.map(uuid),
        rows_max,
    );
    Ok(query.fetch_all(db).await?)
}

/// The client with another secret; the one before stays good until a time.
pub(crate) async fn rotate_api_client_secret(
    db: impl PgExecutor<'_>,
    id: Uuid,
    secret_hash: &[u8],
    (now, previous_expire_time): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Option<ApiClient>> {
    let query = query_file_as!(
        ApiClient,
        "../../queries/auth/rotate_api_client_secret.sql",
        id,
        secret_hash,
        previous_expire_time,
        now,
    );
    Ok(query.fetch_optional(db).await?)
}

/// Whether there was one.
pub(crate) async fn delete_api_client(db: impl PgExecutor<'_>, id: Uuid) -> Result<bool> {
    let deleted = query_file!("../../queries/auth/delete_api_client.sql", id).execute(db).await?;
    Ok(deleted.rows_affected() == 1)
}

/// An id that the contract or a page token of ours has checked; any other is nobody's.
fn uuid(text: &str) -> Uuid {
    Uuid::try_parse(text).unwrap_or_default()
}
