//! Every security event that `auth` knows of, made to happen: each is a row of the audit and a line of
//! the log, and neither holds a secret.

use std::collections::BTreeSet;

use clock::Clock;
use futures_util::future::join_all;
use issuer::Issuer;
use proto::auth::v1::{
    CreateApiClientRequest, DeleteApiClientRequest, ExchangeApiKeyRequest, ListSessionsRequest,
    RefreshTokenRequest, RegisterRequest, RevokeAllSessionsRequest, RevokeSessionRequest,
    RotateApiClientSecretRequest, SendPasswordResetRequest, SetDisabledRequest, SetRolesRequest,
    SignInRequest, SignOutRequest, Tokens,
};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use tests::{PROJECT, Person, keyed, world};
use tokio::join;

use crate::auth::front::Front;

use super::{Environment, Serving, get, lines, own::with_firebase, program::ALL, secs};

/// Where the names of events are spelled.
const EVENTS: &str = include_str!("../../../functions/auth/src/model/event.rs");

const PASSWORD: &str = "hunter2-canary-password";

/// The names of all events, as the function spells them.
fn names() -> BTreeSet<String> {
    let spelled = EVENTS.lines().filter_map(|line| line.trim().strip_prefix("Self::"));
    let names = spelled.filter_map(|line| line.split_once(" => \"")?.1.strip_suffix("\","));
    names.map(str::to_owned).collect()
}

/// Somebody who makes things happen, and whatever nobody should read of it later.
struct Scene {
    address: std::net::SocketAddr,
    secrets: Vec<String>,
}

impl Scene {
    fn stranger(&self) -> Person {
        Person::new(self.address, "nobody", None)
    }

    fn holder(&self, token: &str) -> Person {
        Person::new(self.address, "somebody", Some(token.to_owned()))
    }

    fn admin(&self) -> Person {
        let claims = Map::from_iter([("roles".to_owned(), json!(["admin"]))]);
        self.holder(&world().issuer.id_token("an-admin", &claims))
    }

    /// An address with an account.
    fn account(&mut self, name: &str) -> String {
        let email = format!("events-{name}@example.com");
        world().issuer.sign_up(&email, PASSWORD).unwrap();
        self.secrets.push(email.clone());
        email
    }

    async fn signs_in(&mut self, email: &str) -> (Person, Tokens) {
        let request = SignInRequest {
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            device_name: "hunter2-canary-device".to_owned(),
        };
        let answer = self.stranger().auth().sign_in(request).await.unwrap().into_inner();
        let tokens = answer.tokens.unwrap();
        self.secrets.extend([tokens.id_token.clone(), tokens.refresh_token.clone()]);
        (self.holder(&tokens.id_token), tokens)
    }

    /// Registering, and what strangers try.
    async fn strangers(&mut self, front: &Front) {
        let taken = self.account("taken");
        let free = "events-free@example.com".to_owned();
        self.secrets.push(free.clone());
        let registers = [free, taken.clone()].map(async |email| {
            let request = RegisterRequest { email, password: PASSWORD.to_owned() };
            self.stranger().auth().register(request).await.unwrap();
        });
        join_all(registers).await;
        let request = RegisterRequest {
            email: "events-weak@example.com".to_owned(),
            password: "hunter2-canary-weak".to_owned(),
        };
        self.secrets.push(request.email.clone());
        front.refuses("accounts:signUp", "WEAK_PASSWORD : hunter2");
        self.stranger().auth().register(request).await.unwrap();
        let request = SendPasswordResetRequest { email: taken.clone() };
        self.stranger().auth().send_password_reset(request.clone()).await.unwrap();
        front.refuses("accounts:sendOobCode", "QUOTA_EXCEEDED : hunter2");
        self.stranger().auth().send_password_reset(request).await.unwrap();
        let fails = (0..6).map(|_| async {
            let (password, device_name) = ("hunter2-canary-wrong".to_owned(), String::new());
            let request = SignInRequest { email: taken.clone(), password, device_name };
            self.stranger().auth().sign_in(request).await.unwrap_err();
        });
        join_all(fails).await;
    }

    /// Sign-ins, and the ways in which they end.
    async fn sessions(&mut self) {
        let email = self.account("revokes");
        let (ada, tokens) = self.signs_in(&email).await;
        let listed = ada.auth().list_sessions(ListSessionsRequest::default()).await.unwrap();
        let session_id = listed.into_inner().sessions[0].session_id.clone();
        ada.auth().revoke_session(RevokeSessionRequest { session_id }).await.unwrap();
        let request = RefreshTokenRequest { refresh_token: tokens.refresh_token };
        self.stranger().auth().refresh_token(request).await.unwrap_err();

        let email = self.account("signs-out");
        let (bob, _) = self.signs_in(&email).await;
        bob.auth().sign_out(SignOutRequest {}).await.unwrap();
        let email = self.account("revokes-all");
        let (cyd, _) = self.signs_in(&email).await;
        cyd.auth().revoke_all_sessions(RevokeAllSessionsRequest {}).await.unwrap();
    }

    async fn standings(&mut self) {
        let email = self.account("is-disabled");
        let user_id = self.signs_in(&email).await.1.user_id;
        let admin = self.admin();
        for disabled in [true, false] {
            let request = SetDisabledRequest { user_id: user_id.clone(), disabled };
            admin.auth().set_disabled(request).await.unwrap();
        }
    }

    /// Roles that are given, and others by whoever may not call any more once Firebase has them.
    async fn roles(&mut self, front: &Front) {
        let email = self.account("has-roles");
        let user_id = self.signs_in(&email).await.1.user_id;
        let gives = async |admin: Person, role: &str| {
            let (user_id, roles) = (user_id.clone(), vec![role.to_owned()]);
            admin.auth().set_roles(SetRolesRequest { user_id, roles }).await
        };
        gives(self.admin(), "editor").await.unwrap();
        let email = self.account("gives-roles");
        let user_id = self.signs_in(&email).await.1.user_id;
        let claims = Map::from_iter([("roles".to_owned(), json!(["admin"]))]);
        let other = self.holder(&world().issuer.id_token(&user_id, &claims));
        let mut held = front.holds("accounts:update");
        let disables = async {
            held.came().await;
            let request = SetDisabledRequest { user_id, disabled: true };
            self.admin().auth().set_disabled(request).await.unwrap();
            held.goes();
        };
        let (outcome, ()) = join!(gives(other, "admin"), disables);
        outcome.unwrap_err();
    }

    async fn machines(&mut self) {
        let admin = self.admin();
        let (display_name, scopes) = ("Billing".to_owned(), Vec::new());
        let request = keyed(CreateApiClientRequest { display_name, scopes });
        let made = admin.auth().create_api_client(request).await.unwrap().into_inner();
        let api_client_id = made.api_client.unwrap().api_client_id;
        for client_secret in [made.client_secret.clone(), "mfs_hunter2-canary".to_owned()] {
            let api_client_id = api_client_id.clone();
            let request = ExchangeApiKeyRequest { api_client_id, client_secret };
            let answer = self.stranger().auth().exchange_api_key(request).await;
            self.secrets.extend(answer.map(|answer| answer.into_inner().access_token));
        }
        let grace_period = None;
        let request =
            RotateApiClientSecretRequest { api_client_id: api_client_id.clone(), grace_period };
        let rotated = admin.auth().rotate_api_client_secret(keyed(request)).await.unwrap();
        self.secrets.extend([made.client_secret, rotated.into_inner().client_secret]);
        let request = keyed(DeleteApiClientRequest { api_client_id });
        admin.auth().delete_api_client(request).await.unwrap();
    }
}

/// What a process that Google knows as this account has logged.
async fn process(
    (database, front): (&str, &Front),
    service_account: &str,
    scene: &mut Scene,
    play: impl AsyncFnOnce(&mut Scene),
) -> String {
    let environment = Environment::of(&world().runtime_url(database)).with_issuer();
    let environment = with_firebase(environment)
        .with("IDENTITY_TOOLKIT_URL", front.url())
        .with("FIREBASE_SERVICE_ACCOUNT", service_account);
    let mut serving = Serving::of(&mut environment.command_of(ALL.as_ref(), &[])).await;
    scene.address = serving.address;
    play(scene).await;
    let (_status, metrics) = get(serving.internal, "/metrics").await.unwrap();
    serving.program.signal("TERM");
    let ended = serving.program.end(secs(5)).await;
    // A label with a person in it would be a series for each of them, and a list of who there is.
    for secret in scene.secrets.iter().map(String::as_str).chain(["an-admin", "127.0.0.1"]) {
        assert!(!metrics.contains(secret), "{secret} in {metrics}");
    }
    ended.stdout
}

async fn texts(database: &str, query: &str) -> Vec<String> {
    let mut owner = PgConnection::connect(&world().owner_url(database)).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test looks at the tables from outside")]
    let texts = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
    texts.fetch_all(&mut owner).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_a_row_and_a_line_and_neither_holds_a_secret() {
    let database = world().new_database().await;
    let mut scene = Scene {
        address: ([127, 0, 0, 1], 1).into(),
        secrets: vec!["hunter2".to_owned(), "BEGIN PRIVATE KEY".to_owned()],
    };
    let stranger = Issuer::in_memory(PROJECT, Clock::system()).unwrap();
    let issuer_url = format!("http://{}", world().issuer_address);
    let unknown = stranger.service_account(&issuer_url).unwrap();
    let front = Front::open().await;
    // At first Google does not know the account, so that something is left to be told.
    let first = process((&database, &front), &unknown, &mut scene, async |scene| {
        scene.strangers(&front).await;
        scene.sessions().await;
        scene.machines().await;
    });
    let first = first.await;
    let mut owner = PgConnection::connect(&world().owner_url(&database)).await.unwrap();
    let waited = "update mayfly_auth.untold set try_time = now() - interval '1 hour'";
    raw_sql(waited).execute(&mut owner).await.unwrap();
    let second =
        process((&database, &front), &world().service_account, &mut scene, async |scene| {
            let email = scene.account("later");
            scene.signs_in(&email).await;
            scene.roles(&front).await;
            scene.standings().await;
        });
    let logged = first + &second.await;

    let rows = "select distinct event from mayfly_auth.audit";
    let rows: BTreeSet<_> = texts(&database, rows).await.into_iter().collect();
    assert!(names().len() >= 20, "{:?}", names());
    assert_eq!(rows, names(), "what the audit has, and what there is");
    let roles = "select event || ' ' || array_to_string(roles, ' ') from mayfly_auth.audit
        where roles is not null or event like 'roles%' order by create_time";
    let roles = texts(&database, roles).await;
    let (given, taken_back) = (
        ["roles_begun editor", "roles_set editor"],
        ["roles_begun admin", "roles_withdrawn admin", "roles_restored editor"],
    );
    assert_eq!(roles, [&given[..], &taken_back[..]].concat());
    let lines = lines(&logged);
    let text = |line: &Map<String, Value>, name: &str| Some(line.get(name)?.as_str()?.to_owned());
    let is_event =
        |line: &&Map<String, Value>| text(line, "message").as_deref() == Some("security event");
    let told: Vec<_> = lines
        .iter()
        .filter(is_event)
        .map(|line| (text(line, "event").unwrap(), text(line, "request_id").unwrap()))
        .collect();
    let mut audit =
        texts(&database, "select event || ' ' || request_id from mayfly_auth.audit").await;
    let mut told: Vec<_> = told.iter().map(|(event, id)| format!("{event} {id}")).collect();
    audit.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, audit, "what is logged, and what is kept");

    let kept = texts(&database, "select row::text from mayfly_auth.audit as row").await.join("\n");
    for secret in &scene.secrets {
        assert!(!logged.contains(secret), "{secret} is logged");
        assert!(!kept.contains(secret), "{secret} is kept");
    }
}
