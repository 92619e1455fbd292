//! What only the owner does: accounts by the hundred, and keys.

use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    RawBody,
    account::user,
    answer::{Answer, Failure},
    blocking, json_of,
    update::{Fields, answer},
};
use crate::{Issuer, Refusal};

/// As many as Google lists at once.
const PAGE_MAX: usize = 1000;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Create {
    local_id: Option<String>,
    #[serde(flatten)]
    fields: Fields,
}

/// Makes an account without signing it in.
pub(super) async fn create(State(issuer): State<Issuer>, body: RawBody) -> Result<Answer, Failure> {
    let Create { local_id, fields } = json_of(body)?;
    let made = blocking(move || {
        let user_id = issuer.add(local_id, fields.change()?)?;
        let account = issuer.account(&user_id)?;
        Ok((user_id, account))
    });
    let (user_id, account) = made.await?;
    Ok(answer("identitytoolkit#SignupNewUserResponse", &user_id, &account).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    max_results: Option<usize>,
    next_page_token: Option<String>,
}

/// Lists everybody, in the order of their ids; a page's token is the last id of the one before.
pub(super) async fn batch_get(
    State(issuer): State<Issuer>,
    Query(Page { max_results, next_page_token }): Query<Page>,
) -> Answer {
    let count = max_results.unwrap_or(20).clamp(1, PAGE_MAX);
    let mut found = issuer.page(&next_page_token.unwrap_or_default(), count + 1);
    let is_more = found.len() > count;
    found.truncate(count);
    let mut answer = Map::new();
    answer.insert("kind".into(), json!("identitytoolkit#DownloadAccountResponse"));
    if let (Some((last, _)), true) = (found.last(), is_more) {
        answer.insert("nextPageToken".into(), json!(last));
    }
    let users: Vec<_> = found.iter().map(|(user_id, account)| user(user_id, account)).collect();
    answer.insert("users".into(), json!(users));
    answer.into()
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Find {
    return_user_info: Option<bool>,
    /// Numbers, as numbers or as text.
    limit: Value,
    offset: Value,
    expression: Vec<Expression>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Expression {
    email: Option<String>,
    user_id: Option<String>,
}

/// Counts or lists accounts: all, or those of an address or an id.
pub(super) async fn query(State(issuer): State<Issuer>, body: RawBody) -> Result<Answer, Failure> {
    let Find { return_user_info, limit, offset, expression } = json_of(body)?;
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().and_then(|number| usize::try_from(number).ok()),
    };
    let limit = number(&limit).filter(|limit| *limit > 0).unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let offset = number(&offset).unwrap_or_default();
    let ids: Vec<_> = expression.iter().filter_map(|one| one.user_id.clone()).collect();
    let emails: Vec<_> = expression.iter().filter_map(|one| one.email.clone()).collect();
    let (found, count) = if expression.is_empty() {
        (issuer.page("", offset.saturating_add(limit)), issuer.count())
    } else {
        let found = issuer.find(&ids, &emails);
        let count = found.len();
        (found, count)
    };
    let mut answer = Map::new();
    if return_user_info == Some(false) {
        answer.insert("recordsCount".into(), json!(count.to_string()));
        return Ok(answer.into());
    }
    let found = found.iter().skip(offset).take(limit);
    let users: Vec<_> = found.map(|(user_id, account)| user(user_id, account)).collect();
    answer.insert("recordsCount".into(), json!(users.len().to_string()));
    answer.insert("userInfo".into(), json!(users));
    Ok(answer.into())
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BatchDelete {
    local_ids: Vec<String>,
    force: bool,
}

/// Deletes many. Without force, whoever is not disabled is told as an error and stays.
pub(super) async fn batch_delete(
    State(issuer): State<Issuer>,
    body: RawBody,
) -> Result<Answer, Failure> {
    let BatchDelete { local_ids, force } = json_of(body)?;
    if local_ids.is_empty() || local_ids.len() > PAGE_MAX {
        return Err(Refusal::MissingLocalId.into());
    }
    let errors = blocking(move || {
        let mut errors = Vec::new();
        for (index, user_id) in local_ids.iter().enumerate() {
            match issuer.account(user_id) {
                // Whoever is not there need not be deleted.
                Err(_missing) => {}
                Ok(account) if force || account.is_disabled() => issuer.remove(user_id)?,
                Ok(_account) => {
                    let message = "NOT_DISABLED : Disable the account before batch deletion.";
                    errors.push(json!({ "index": index, "localId": user_id, "message": message }));
                }
            }
        }
        Ok(errors)
    });
    let mut answer = Map::new();
    let errors = errors.await?;
    if !errors.is_empty() {
        answer.insert("errors".into(), json!(errors));
    }
    Ok(answer.into())
}

/// Deletes everybody, as between two tests.
pub(super) async fn delete_all(State(issuer): State<Issuer>) -> Result<Answer, Failure> {
    blocking(move || issuer.remove_all()).await?;
    Ok(Answer::from(Map::new()))
}

/// Lets the next key sign.
pub(super) async fn rotate(State(issuer): State<Issuer>) -> Result<Answer, Failure> {
    let kid = blocking(move || issuer.rotate()).await?;
    Ok(Answer::from(Map::from_iter([("kid".to_owned(), json!(kid))])))
}
