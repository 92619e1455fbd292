//! What an administrator's calls to Firebase show: an access token of a service account, asked for
//! when it is needed, and kept until shortly before it ends.

use std::{fmt, sync::Arc};

use aws_lc_rs::error::Unspecified;
use call::Call;
use clock::Clock;
use http::HeaderValue;
use outbound::{Http, Outbound, Request, Url};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{ServiceAccount, WORD_CHARS_MAX};

/// How long before its end a token is no longer shown, in seconds: longer than a call may take.
const SPARE_SECS: i64 = 300;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Why there is no token to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    #[error("google's tokens cannot be asked for")]
    Unreachable(#[from] outbound::Error),
    #[error("the service account was refused: {status} {word}")]
    Refused { status: u16, word: String },
    #[error("the service account cannot sign")]
    Unsigned(#[from] Unspecified),
}

/// The access tokens of one account. Clones share them.
#[derive(Clone)]
pub(crate) struct Access(Arc<Inner>);

struct Inner {
    account: ServiceAccount,
    tokens: Http,
    path: String,
    clock: Clock,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    /// What goes into `authorization`.
    bearer: HeaderValue,
    renew_time: i64,
}

impl Access {
    /// Tokens of `account`, of which there is none yet.
    pub(crate) fn new(account: ServiceAccount, outbound: &Outbound, clock: Clock) -> Self {
        let (base, path) = (origin(&account.token_url), account.token_url.path().to_owned());
        let (tokens, kept) = (outbound.http("google-tokens", base), Mutex::default());
        Self(Arc::new(Inner { account, tokens, path, clock, kept }))
    }

    /// A token in its header. One caller asks for it, and whoever needs it meanwhile waits.
    pub(crate) async fn bearer(&self, call: &Call) -> Result<HeaderValue, AccessError> {
        let mut kept = self.0.kept.lock().await;
        if let Some(kept) = kept.as_ref()
            && self.0.clock.unix_secs() < kept.renew_time
        {
            return Ok(kept.bearer.clone());
        }
        let fresh = self.0.ask(call).await?;
        let bearer = fresh.bearer.clone();
        *kept = Some(fresh);
        Ok(bearer)
    }

    /// Whoever was shown this one has refused it: the next call asks for another.
    pub(crate) async fn forget(&self, shown: &HeaderValue) {
        let mut kept = self.0.kept.lock().await;
        // Somebody else may have asked meanwhile.
        kept.take_if(|kept| kept.bearer == shown);
    }
}

impl Inner {
    async fn ask(&self, call: &Call) -> Result<Kept, AccessError> {
        let now = self.clock.unix_secs();
        let assertion = self.account.assertion(now)?;
        // Neither has a character that a form would have to escape, but for the colons.
        let grant_type = GRANT_TYPE.replace(':', "%3A");
        let form = format!("grant_type={grant_type}&assertion={assertion}");
        let request = Request::post(self.path.clone())
            .body("application/x-www-form-urlencoded", form)
            // A second token takes nothing from the first.
            .repeatable();
        let answer = self.tokens.call(call, &request).await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        kept(&body, now).ok_or_else(|| {
            let said = body.get("error").and_then(Value::as_str).unwrap_or_default();
            let word = said.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_');
            let word = word.take(WORD_CHARS_MAX).collect();
            AccessError::Refused { status: answer.status.as_u16(), word }
        })
    }
}

/// What was answered, if it is a token for a while.
fn kept(body: &Value, now_secs: i64) -> Option<Kept> {
    let token = body.get("access_token").and_then(Value::as_str)?;
    let life = body.get("expires_in").and_then(Value::as_i64).filter(|life| *life > 0)?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    bearer.set_sensitive(true);
    // One that is shorter than the spare time is kept for half of its life.
    let kept_secs = (life - SPARE_SECS).max(life / 2);
    Some(Kept { bearer, renew_time: now_secs.saturating_add(kept_secs) })
}

/// What a URL's paths are below.
fn origin(url: &Url) -> Url {
    let mut origin = url.clone();
    origin.set_path("/");
    origin.set_query(None);
    origin
}

/// The token stays out.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("account", &self.0.account).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_kept_until_five_minutes_before_its_end() {
        let until = |life: Value| {
            let body = json!({ "access_token": "a", "expires_in": life });
            kept(&body, 1000).map(|kept| kept.renew_time - 1000)
        };
        assert_eq!(until(json!(3599)), Some(3299));
        assert_eq!(until(json!(400)), Some(200));
        assert_eq!(until(json!(i64::MAX)), Some(i64::MAX - 1000));
        for bad in [json!(0), json!(-1), json!("3600"), json!(null)] {
            assert_eq!(until(bad), None);
        }
        assert!(kept(&json!({ "access_token": "a\nb", "expires_in": 9 }), 0).is_none());
    }
}
