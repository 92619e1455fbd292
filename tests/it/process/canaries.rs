//! Forty secrets and things of people, each sent where such a thing goes: none of them is in the log
//! at its loudest, in the metrics, in the health, on the command line or in an error's answer.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};
use tests::{Person, world};

use super::{Environment, NOWHERE, Serving, get, program::Program, secs};
use crate::process::program::ALL;

/// An id that no API client has.
const NO_CLIENT: &str = "018f4e9e-6c1a-7d3e-8a55-0242ac120002";

/// What is looked for.
#[derive(Default)]
struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    /// Another one, which stands for `what`. It is a word, a key and a part of an address.
    fn of(&mut self, what: &'static str) -> String {
        let canary = format!("canary-{}x{}", self.0.len(), what.len());
        self.0.push((what, canary.clone()));
        canary
    }

    /// Insists that none is in a sink.
    #[track_caller]
    fn are_not_in(&self, sink: &str, text: &str) {
        for (what, canary) in &self.0 {
            let at = text.find(canary.as_str());
            let around = at.map(|at| text.chars().skip(at.saturating_sub(200)).take(400));
            let around: Option<String> = around.map(Iterator::collect);
            assert!(around.is_none(), "{what} is in {sink}: .. {} ..", around.unwrap_or_default());
        }
    }
}

/// What is secret of a process.
fn settings(canaries: &mut Canaries, database: &str) -> Environment {
    let issuer = format!("http://{}", world().issuer_address);
    let mut with_password = |what| {
        let url = world().runtime_url(database);
        let (scheme, rest) = url.split_once("://").unwrap();
        let (user, rest) = rest.split_once('@').unwrap();
        let user = user.split(':').next().unwrap();
        format!("{scheme}://{user}:{}@{rest}", canaries.of(what))
    };
    let (url, direct_url) =
        (with_password("the database's password"), with_password("the direct one's password"));
    Environment::of(&url)
        .with_issuer()
        .with("DATABASE_DIRECT_URL", direct_url)
        .with("IDENTITY_TOOLKIT_URL", &issuer)
        .with("SECURE_TOKEN_URL", &issuer)
        .with("FIREBASE_API_KEY", canaries.of("the API key"))
        .with("FIREBASE_SERVICE_ACCOUNT", service_account(canaries))
        .with("RUST_LOG", "trace")
}

/// A key file that is good, whose key has a name that nobody should read.
fn service_account(canaries: &mut Canaries) -> String {
    let mut file: Value = serde_json::from_str(&world().service_account).unwrap();
    file["private_key_id"] = json!(canaries.of("the service account's key"));
    file.to_string()
}

/// One call in JSON: whose token, which RPC, what message, which headers.
struct Ask {
    token: Option<String>,
    path: String,
    message: String,
    headers: Vec<(&'static str, String)>,
}

fn ask(path: &str, message: &Value) -> Ask {
    let key = ("idempotency-key", "a-key".to_owned());
    Ask { token: None, path: path.to_owned(), message: message.to_string(), headers: vec![key] }
}

/// Headers with something secret in them.
fn headers(c: &mut Canaries) -> Vec<Ask> {
    let get = || ask("/mayfly.user.v1.UserService/GetProfile", &json!({}));
    let forged = |header: Value, claims: Value| {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let encode = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
        format!("{}.{}.c2lnbmF0dXJl", encode(header), encode(claims))
    };
    let kid = forged(json!({"alg": "RS256", "kid": c.of("a key's id")}), json!({"sub": "x"}));
    let claims = json!({"sub": c.of("a claim"), "email": c.of("an address in a claim")});
    let claims = forged(json!({"alg": "RS256", "kid": "k"}), claims);
    let mut asks: Vec<_> = [
        ("authorization", format!("Bearer {}", c.of("a token that is none"))),
        ("authorization", format!("Basic {}", c.of("a password in a header"))),
        ("authorization", format!("Bearer {kid}")),
        ("authorization", format!("Bearer {claims}")),
        ("x-mayfly-service", c.of("a service's token")),
        ("cookie", format!("session={}", c.of("a cookie"))),
        ("x-api-key", c.of("an API key in a header")),
        ("origin", format!("https://{}.example.com", c.of("an origin"))),
        ("grpc-timeout", c.of("a deadline that is none")),
        ("traceparent", c.of("a trace that is none")),
        ("user-agent", c.of("a user agent")),
        ("x-request-id", c.of("a request id that is none")),
        ("content-encoding", c.of("an encoding")),
    ]
    .map(|header| Ask { headers: vec![header], ..get() })
    .into();
    let path = format!("/{}/{}", c.of("a service's name"), c.of("a method's name"));
    asks.push(ask(&path, &json!({})));
    let query = format!("/mayfly.user.v1.UserService/GetProfile?key={}", c.of("a query"));
    asks.push(ask(&query, &json!({})));
    let broken = format!("{{\"userId\": \"{}", c.of("JSON that is broken"));
    asks.push(Ask { message: broken, ..get() });
    asks
}

/// What people keep with us, or look for; much of it is refused.
fn of_people(c: &mut Canaries) -> Vec<Ask> {
    let ada = || Some(world().issuer.id_token("canary-ada", &Map::new()));
    let user = |method: &str, message: Value| Ask {
        token: ada(),
        ..ask(&format!("/mayfly.user.v1.UserService/{method}"), &message)
    };
    let long = |canary: String| format!("{canary}{}", "x".repeat(600));
    let profile = json!({"handle": "ada", "displayName": c.of("a name"), "bio": c.of("a bio")});
    let mut create = user("CreateProfile", json!({"profile": profile}));
    create.headers = vec![("idempotency-key", c.of("an idempotency key"))];
    let again = json!({"profile": {"handle": "ada", "displayName": c.of("another name")}});
    let mut asks = vec![create];
    asks.extend([
        user("CreateProfile", again),
        user("CreateProfile", json!({"profile": {"handle": long(c.of("a handle"))}})),
        user("CreateProfile", json!({"profile": {"locale": long(c.of("a locale"))}})),
        user("UpdateProfile", json!({"profile": {"avatarFileId": c.of("a file's id")}})),
        user("UpdateProfile", json!({"profile": {"etag": c.of("an etag"), "bio": "x"}})),
        user("UpdateProfile", json!({"profile": {}, "updateMask": c.of("a mask")})),
        user("DeleteProfile", json!({"etag": c.of("an etag of a deletion")})),
        user("GetProfile", json!({"userId": c.of("somebody's id")})),
        user("BatchGetProfiles", json!({"userIds": [c.of("one of many ids")]})),
        user("ListProfiles", json!({"pageToken": c.of("a page token")})),
        user("ListProfiles", json!({"handlePrefix": c.of("a prefix")})),
        user("GetProfile", json!({c.of("an unknown field"): c.of("its value")})),
        user("WatchProfiles", json!({"cursor": c.of("a cursor")})),
    ]);
    asks
}

/// What signs people and machines in.
fn of_sign_ins(c: &mut Canaries) -> Vec<Ask> {
    let auth = |method: &str, message: Value| {
        ask(&format!("/mayfly.auth.v1.AuthService/{method}"), &message)
    };
    let address = |canary: String| format!("{canary}@example.com");
    let register =
        json!({"email": address(c.of("an address")), "password": c.of("a password that is set")});
    let sign_in = json!({
        "email": address(c.of("an address that signs in")),
        "password": c.of("a password that is tried"),
        "deviceName": c.of("a device"),
    });
    vec![
        auth("Register", register.clone()),
        auth("Register", register.clone()),
        auth("SignIn", register),
        auth("SignIn", sign_in),
        auth("RefreshToken", json!({"refreshToken": c.of("a refresh token")})),
        auth("SendPasswordReset", json!({"email": address(c.of("an address that forgot"))})),
        auth(
            "ExchangeApiKey",
            json!({"apiClientId": c.of("a machine"), "clientSecret": c.of("a secret")}),
        ),
        auth(
            "ExchangeApiKey",
            json!({"apiClientId": NO_CLIENT, "clientSecret": c.of("a secret of no machine")}),
        ),
    ]
}

/// A machine that is let in, and whoever asks about its token and about others: what is shown is
/// right, so that it comes as far as the handlers and the database.
async fn machine(serving: &Serving, canaries: &mut Canaries) {
    let roles = Map::from_iter([("roles".to_owned(), json!(["admin"]))]);
    let token = world().issuer.id_token("an-admin", &roles);
    canaries.0.push(("an administrator's token", token.clone()));
    let admin = Person::new(serving.address, "an-admin", Some(token.clone()));
    let headers = [("content-type", "application/json"), ("idempotency-key", "a-machine")];
    let ask = async |method: &str, message: Value| {
        let path = format!("/mayfly.auth.v1.AuthService/{method}");
        let answer = admin.post(&path, message.to_string(), &headers).await;
        assert_eq!(answer.status, 200, "{method}: {answer:?}");
        answer.body
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();

    let made = ask("CreateApiClient", json!({"displayName": "Billing"})).await;
    let secret = text(&made["clientSecret"]);
    canaries.0.push(("an API client's secret", secret.clone()));
    let id = &made["apiClient"]["apiClientId"];
    let key = json!({"apiClientId": id, "clientSecret": secret});
    let access = text(&ask("ExchangeApiKey", key).await["accessToken"]);
    canaries.0.push(("an access token", access.clone()));
    for token in [access, token] {
        assert_eq!(ask("ValidateToken", json!({"token": token})).await["active"], json!(true));
    }
    ask("ValidateToken", json!({"token": canaries.of("a token that is asked about")})).await;
}

/// Sends it all; what is refused is refused without a word of it. Gives how many were not.
async fn send(serving: &Serving, canaries: &Canaries, asks: Vec<Ask>) -> usize {
    let mut taken = 0;
    for Ask { token, path, message, headers } in asks {
        let person = Person::new(serving.address, "x", token);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let headers = [&headers[..], &[("content-type", "application/json")]].concat();
        let answer = person.post(&path, message, &headers).await;
        assert_ne!(answer.status, 500, "{path}: {answer:?}");
        if answer.status == 200 {
            taken += 1;
        } else {
            canaries.are_not_in("an error's answer", &format!("{answer:?}"));
        }
    }
    taken
}

/// Everything that a process tells of itself.
async fn sinks(mut serving: Serving, canaries: &Canaries) {
    for path in ["/metrics", "/health/ready", "/health/detailed", "/health/live"] {
        let (_status, text) = get(serving.internal, path).await.unwrap();
        canaries.are_not_in(path, &text);
    }
    if let Ok(line) = fs::read(format!("/proc/{}/cmdline", serving.program.pid())) {
        canaries.are_not_in("the command line", &String::from_utf8_lossy(&line));
    }
    serving.program.signal("TERM");
    let ended = serving.program.end(secs(5)).await;
    assert!(ended.stdout.contains("TRACE"), "it is at its loudest");
    canaries.are_not_in("the log", &ended.stdout);
    canaries.are_not_in("standard error", &ended.stderr);
}

#[tokio::test]
async fn none_of_forty_canaries_is_in_any_sink_at_the_loudest() {
    let mut canaries = Canaries::default();
    let database = world().new_database().await;
    let environment = settings(&mut canaries, &database);
    let serving = Serving::of(&mut environment.command_of(Path::new(ALL), &[])).await;
    let asks = [headers(&mut canaries), of_people(&mut canaries), of_sign_ins(&mut canaries)];
    assert!(canaries.0.len() >= 40, "{}", canaries.0.len());
    let taken = send(&serving, &canaries, asks.into_iter().flatten().collect()).await;
    assert!(taken >= 5, "{taken} calls went well");
    machine(&serving, &mut canaries).await;
    sinks(serving, &canaries).await;

    // Keys that are asked for with a secret, and are not there: people are told with the causes.
    let keys_url = format!("http://127.0.0.1:1/keys?key={}", canaries.of("a secret of keys"));
    let unkeyed = environment.clone().with("JWKS_URL", keys_url).with("LOG_FORMAT", "text");
    let mut program = Program::start(&mut unkeyed.command_of(Path::new(ALL), &[]));
    let is_told = |line: &str| line.contains("token keys not fetched").then_some(());
    program.line("it has no keys", is_told).await;
    program.signal("TERM");
    canaries.are_not_in("the log for people", &program.end(secs(5)).await.stdout);

    // The same without a database, whose errors are told.
    let nowhere = NOWHERE.replace(super::CANARY, &canaries.of("a password of no database"));
    let environment =
        environment.with("DATABASE_URL", &nowhere).with("DATABASE_DIRECT_URL", &nowhere);
    let serving = Serving::of(&mut environment.command_of(Path::new(ALL), &[])).await;
    let people = of_people(&mut canaries);
    send(&serving, &canaries, people).await;
    sinks(serving, &canaries).await;

    // And where it does not start, or only tells of itself.
    let broken = environment.clone().with("DB_POOL_MAX", "0");
    for (environment, argument) in
        [(&broken, "serve"), (&environment, "migrate"), (&environment, "--help")]
    {
        let mut command = environment.command_of(Path::new(ALL), &[argument]);
        let ended = Program::run(&mut command, secs(10)).await;
        canaries.are_not_in("a start that fails", &format!("{ended:?}"));
    }
}
