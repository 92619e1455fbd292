//! What is asked of Firebase: the Identity Toolkit and Secure Token REST surfaces.

mod access;
mod refusal;
mod service_account;

use call::Call;
use chassis::{Context, Own};
use chrono::DateTime;
use http::{HeaderMap, StatusCode, header};
use identity::{UserId, safe_url};
use outbound::{Http, Request, Url};
use serde_json::{Map, Value, json};
use settings::{Need, Reader, Secret, Setting};

pub(crate) use self::refusal::{Error, Refusal};
use self::{access::Access, service_account::ServiceAccount};
use crate::model::password::Policy;

/// What Firebase says no with is kept to this much for the log.
const WORD_CHARS_MAX: usize = 60;

/// How often a revocation is tried once more that was not answered.
const REVOKES_AGAIN_MAX: usize = 1;

const UNAUTHORIZED: u16 = StatusCode::UNAUTHORIZED.as_u16();

/// Where Firebase is, and who we are to it.
#[derive(Debug)]
pub struct Settings {
    /// `IDENTITY_TOOLKIT_URL`: where accounts are.
    toolkit_url: Url,
    /// `SECURE_TOKEN_URL`: where sign-ins are continued.
    token_url: Url,
    /// `FIREBASE_API_KEY`: which project it is.
    api_key: Secret,
    /// `FIREBASE_SERVICE_ACCOUNT`: who administers the project's accounts, where somebody does.
    service_account: Option<ServiceAccount>,
}

/// A client of Firebase.
#[derive(Clone, Debug)]
pub(crate) struct Toolkit {
    accounts: Http,
    tokens: Http,
    api_key: Secret,
    /// Where an administrator finds the project's accounts.
    project_path: String,
    admin: Option<Access>,
}

/// An account that was just made.
pub(crate) struct SignedUp {
    pub(crate) user_id: UserId,
    pub(crate) id_token: String,
}

/// What an account says of itself beyond its address.
pub(crate) struct Claims {
    pub(crate) claims: Map<String, Value>,
    /// When that was said, by Firebase's clock, in seconds since 1970.
    pub(crate) said_time: Option<i64>,
}

/// What a sign-in brings.
pub(crate) struct SignedIn {
    pub(crate) id_token: String,
    pub(crate) refresh_token: String,
}

impl Own for Settings {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let url = |reader: &mut Reader<'_>, name, default, about| {
            let expects = "an https URL, or http on this machine";
            reader.read(Setting { name, need: Need::Default(default), expects, about }, safe_url)
        };
        let toolkit_url = url(
            reader,
            "IDENTITY_TOOLKIT_URL",
            "https://identitytoolkit.googleapis.com/",
            "where Firebase's accounts are",
        );
        let token_url = url(
            reader,
            "SECURE_TOKEN_URL",
            "https://securetoken.googleapis.com/",
            "where Firebase continues sign-ins",
        );
        let api_key = Setting {
            name: "FIREBASE_API_KEY",
            need: Need::Required,
            expects: "1 to 200 letters, digits, dashes and underscores",
            about: "the web API key of the Firebase project",
        };
        let api_key = reader.read(api_key, |text| word(text).then(|| Secret::new(text)));
        let service_account = Setting {
            name: "FIREBASE_SERVICE_ACCOUNT",
            need: Need::Optional,
            expects: "the JSON of a Google service account's key, or the path of a file with it",
            about: "who administers the project's accounts; unset, roles are not set, and sign-ins \
                    end here alone",
        };
        let service_account = reader.maybe(service_account, ServiceAccount::read);
        Some(Self {
            toolkit_url: toolkit_url?,
            token_url: token_url?,
            api_key: api_key?,
            service_account: service_account?,
        })
    }
}

fn word(text: &str) -> bool {
    let of_key = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    text.len() <= 200 && text.bytes().all(of_key)
}

impl Toolkit {
    /// A client with these settings.
    pub(crate) fn new(settings: Settings, context: &Context) -> Self {
        let Settings { toolkit_url, token_url, api_key, service_account } = settings;
        let Context { outbound, clock, verifier, .. } = context;
        let access = |account| Access::new(account, outbound, clock.clone());
        Self {
            accounts: outbound.http("identity-toolkit", toolkit_url),
            tokens: outbound.http("secure-token", token_url),
            api_key,
            // The project whose people sign in, whichever the account was made in.
            project_path: format!("/v1/projects/{}", verifier.project_id()),
            admin: service_account.map(access),
        }
    }

    /// Whether there is somebody to administer accounts as.
    pub(crate) fn has_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// What the project asks of passwords.
    pub(crate) async fn password_policy(&self, call: &Call) -> Result<Policy, Error> {
        let request = self.of_project(Request::get("/v2/passwordPolicy"));
        let answer = self.send(call, &self.accounts, request).await?.body;
        Ok(Policy::of(&answer))
    }

    /// Makes an account.
    pub(crate) async fn sign_up(
        &self,
        call: &Call,
        email: &str,
        password: &str,
    ) -> Result<SignedUp, Error> {
        let message = json!({"email": email, "password": password, "returnSecureToken": true});
        let answer = self.ask(call, "signUp", &message).await?;
        let user_id = UserId::parse(&text(&answer, "localId")?).ok_or_else(senseless)?;
        Ok(SignedUp { user_id, id_token: text(&answer, "idToken")? })
    }

    /// Signs in by a password.
    pub(crate) async fn sign_in(
        &self,
        call: &Call,
        email: &str,
        password: &str,
    ) -> Result<SignedIn, Error> {
        let message = json!({"email": email, "password": password, "returnSecureToken": true});
        let answer = self.ask(call, "signInWithPassword", &message).await?;
        if answer.get("mfaPendingCredential").is_some() {
            return Err(Refusal::NotAlone.into());
        }
        let (id_token, refresh_token) = (text(&answer, "idToken")?, text(&answer, "refreshToken")?);
        Ok(SignedIn { id_token, refresh_token })
    }

    /// Continues a sign-in.
    pub(crate) async fn refresh(&self, call: &Call, token: &str) -> Result<SignedIn, Error> {
        let message = json!({"grant_type": "refresh_token", "refresh_token": token});
        let request = Request::post("/v1/token").json(&message).repeatable();
        let answer = self.send(call, &self.tokens, self.of_project(request)).await?.body;
        let (id_token, refresh_token) =
            (text(&answer, "id_token")?, text(&answer, "refresh_token")?);
        Ok(SignedIn { id_token, refresh_token })
    }

    /// Has a message sent by which a new password is set.
    pub(crate) async fn send_password_reset(&self, call: &Call, email: &str) -> Result<(), Error> {
        let message = json!({"requestType": "PASSWORD_RESET", "email": email});
        self.ask(call, "sendOobCode", &message).await.map(drop)
    }

    /// Has a message sent by which the holder of a token shows that the address is theirs.
    pub(crate) async fn send_verification(&self, call: &Call, id_token: &str) -> Result<(), Error> {
        let message = json!({"requestType": "VERIFY_EMAIL", "idToken": id_token});
        self.ask(call, "sendOobCode", &message).await.map(drop)
    }

    /// The custom claims of an account.
    pub(crate) async fn claims(&self, call: &Call, user_id: &UserId) -> Result<Claims, Error> {
        let Said { body, said_time } = self.administer(call, self.lookup(user_id)).await?;
        Ok(Claims { claims: claims_of(&body)?, said_time })
    }

    /// Replaces the custom claims of an account; when that was, by Firebase's clock, in seconds since
    /// 1970.
    pub(crate) async fn set_claims(
        &self,
        call: &Call,
        user_id: &UserId,
        claims: Map<String, Value>,
    ) -> Result<Option<i64>, Error> {
        let claims = Value::Object(claims).to_string();
        let update = self.update(user_id, "customAttributes", claims).repeatable();
        Ok(self.administer(call, update).await?.said_time)
    }

    /// Has nobody sign in as an account.
    pub(crate) async fn disable(&self, call: &Call, user_id: &UserId) -> Result<(), Error> {
        let update = self.update(user_id, "disableUser", true).repeatable();
        self.administer(call, update).await.map(drop)
    }

    /// Lets them again.
    pub(crate) async fn enable(&self, call: &Call, user_id: &UserId) -> Result<(), Error> {
        let update = self.update(user_id, "disableUser", false).repeatable();
        self.administer(call, update).await.map(drop)
    }

    /// Revokes the refresh tokens of an account from before a time, in seconds since 1970. Where those
    /// of before a later one are revoked already, as by a password that was changed, it stays so; not
    /// where that comes between the look and the update, which Firebase makes on no condition. So each
    /// attempt looks first.
    pub(crate) async fn revoke(
        &self,
        call: &Call,
        user_id: &UserId,
        valid_since: i64,
    ) -> Result<(), Error> {
        let mut repeats = 0..REVOKES_AGAIN_MAX;
        loop {
            let account = self.administer(call, self.lookup(user_id)).await?.body;
            if valid_since_of(&account)? >= valid_since {
                return Ok(());
            }
            let update = self.update(user_id, "validSince", valid_since.to_string());
            match self.administer(call, update).await {
                Err(Error::Unreachable(_)) if repeats.next().is_some() => {}
                outcome => return outcome.map(drop),
            }
        }
    }

    /// Asks as an app does.
    async fn ask(&self, call: &Call, what: &str, message: &Value) -> Result<Value, Error> {
        let request = Request::post(format!("/v1/accounts:{what}")).json(message);
        Ok(self.send(call, &self.accounts, self.of_project(request)).await?.body)
    }

    /// What reads an account.
    fn lookup(&self, user_id: &UserId) -> Request {
        self.of_accounts("lookup", &json!({"localId": [user_id.as_str()]})).repeatable()
    }

    /// What sets one field of an account.
    fn update(&self, user_id: &UserId, field: &str, value: impl Into<Value>) -> Request {
        let value = value.into();
        self.of_accounts("update", &json!({"localId": user_id.as_str(), field: value}))
    }

    fn of_accounts(&self, what: &str, message: &Value) -> Request {
        Request::post(format!("{}/accounts:{what}", self.project_path)).json(message)
    }

    /// Asks as an administrator does.
    async fn administer(&self, call: &Call, request: Request) -> Result<Said, Error> {
        let admin = self.admin.as_ref().ok_or(Error::NoAdmin)?;
        let bearer = admin.bearer(call).await?;
        let request = request.header(header::AUTHORIZATION, bearer.clone());
        let outcome = self.send(call, &self.accounts, request).await;
        if matches!(&outcome, Err(Error::Unexpected { status, .. }) if *status == UNAUTHORIZED) {
            admin.forget(&bearer).await;
        }
        outcome
    }

    fn of_project(&self, request: Request) -> Request {
        request.query("key", self.api_key.expose())
    }

    async fn send(&self, call: &Call, to: &Http, request: Request) -> Result<Said, Error> {
        let answer = to.call(call, &request).await?;
        let body = said(answer.status, &answer.body)?;
        Ok(Said { body, said_time: date_of(&answer.headers) })
    }
}

/// What Firebase has answered, and when by its own clock.
struct Said {
    body: Value,
    said_time: Option<i64>,
}

/// What Firebase has said.
fn said(status: StatusCode, body: &[u8]) -> Result<Value, Error> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if status.is_success() {
        return Ok(body);
    }
    let message = body.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
    let word = message.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_');
    let word: String = word.take(WORD_CHARS_MAX).collect();
    match Refusal::of(&word) {
        Some(refusal) => Err(refusal.into()),
        None => Err(Error::Unexpected { status: status.as_u16(), word }),
    }
}

/// When an answer was made, by the clock of whoever made it, in seconds since 1970.
fn date_of(headers: &HeaderMap) -> Option<i64> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(date).ok()?.timestamp())
}

/// From when on sign-ins count of the one account that was looked up.
fn valid_since_of(answer: &Value) -> Result<i64, Error> {
    let user = answer.pointer("/users/0").ok_or(Refusal::NoAccount)?;
    let since = user.get("validSince").and_then(Value::as_str);
    Ok(since.and_then(|since| since.parse().ok()).unwrap_or_default())
}

/// The custom claims of the one account that was looked up.
fn claims_of(answer: &Value) -> Result<Map<String, Value>, Error> {
    let user = answer.pointer("/users/0").ok_or(Refusal::NoAccount)?;
    let claims = user.get("customAttributes").and_then(Value::as_str).unwrap_or("{}");
    // What is no object is replaced: no token says any of it.
    Ok(serde_json::from_str(claims).unwrap_or_default())
}

fn text(answer: &Value, name: &str) -> Result<String, Error> {
    let text = answer.get(name).and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(senseless)
}

/// An answer that does not hold what it must.
fn senseless() -> Error {
    Error::Unexpected { status: 200, word: String::new() }
}

/// What the fuzzers call: what is made of an answer of Firebase, or the word it says no with. It is
/// in no other build.
#[cfg(fuzzing)]
pub fn made_of(status: u16, body: &[u8]) -> Result<(Option<String>, usize), String> {
    let answer = StatusCode::from_u16(status).map_err(|_none| String::new());
    let said = said(answer?, body).map_err(|error| match error {
        Error::Unexpected { word, .. } => word,
        _ => String::new(),
    })?;
    let claims = claims_of(&said).map_or(0, |claims| claims.len());
    Ok((text(&said, "idToken").ok(), claims))
}
