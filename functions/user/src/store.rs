//! The queries of `queries/user`: one function per file, under the file's name.

use database::Result;
use identity::UserId;
use sqlx::{PgExecutor, query_file, query_file_as};

use crate::model::Profile;

pub(crate) async fn create_profile(db: impl PgExecutor<'_>, profile: &Profile) -> Result<Profile> {
    let query = query_file_as!(
        Profile,
        "../../queries/user/create_profile.sql",
        profile.user_id.as_str(),
        profile.handle,
        profile.display_name,
        profile.bio,
        profile.locale,
        profile.avatar_file_id,
        i16::from(profile.visibility),
    );
    Ok(query.fetch_one(db).await?)
}

pub(crate) async fn get_profile(
    db: impl PgExecutor<'_>,
    user_id: &UserId,
) -> Result<Option<Profile>> {
    let query = query_file_as!(Profile, "../../queries/user/get_profile.sql", user_id.as_str());
    Ok(query.fetch_optional(db).await?)
}

pub(crate) async fn batch_get_profiles(
    db: impl PgExecutor<'_>,
    user_ids: &[String],
) -> Result<Vec<Profile>> {
    let query = query_file_as!(Profile, "../../queries/user/batch_get_profiles.sql", user_ids);
    Ok(query.fetch_all(db).await?)
}

pub(crate) async fn lock_profile(
    db: impl PgExecutor<'_>,
    user_id: &UserId,
) -> Result<Option<Profile>> {
    let query = query_file_as!(Profile, "../../queries/user/lock_profile.sql", user_id.as_str());
    Ok(query.fetch_optional(db).await?)
}

pub(crate) async fn update_profile(db: impl PgExecutor<'_>, profile: &Profile) -> Result<Profile> {
    let query = query_file_as!(
        Profile,
        "../../queries/user/update_profile.sql",
        profile.user_id.as_str(),
        profile.handle,
        profile.display_name,
        profile.bio,
        profile.locale,
        profile.avatar_file_id,
        i16::from(profile.visibility),
    );
    Ok(query.fetch_one(db).await?)
}

pub(crate) async fn delete_profile(db: impl PgExecutor<'_>, user_id: &UserId) -> Result<()> {
    query_file!("../../queries/user/delete_profile.sql", user_id.as_str()).execute(db).await?;
    Ok(())
}

pub(crate) async fn list_profiles(
    db: impl PgExecutor<'_>,
    handle_prefix: &str,
    after: Option<&str>,
    rows_max: i64,
) -> Result<Vec<Profile>> {
    let query = query_file_as!(
        Profile,
        "../../queries/user/list_profiles.sql",
        handle_prefix,
        after,
        rows_max
    );
    Ok(query.fetch_all(db).await?)
}
