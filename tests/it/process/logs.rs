//! The log: one flat JSON object per line, a line for what failed and none for what went well.

use serde_json::{Map, Value, json};
use tests::{Person, world};

use super::{Environment, Serving, lines, secs};

async fn serving(settings: &[(&str, &str)]) -> Serving {
    let database = world().new_database().await;
    let environment = Environment::of(&world().runtime_url(&database)).with_issuer();
    let environment = settings
        .iter()
        .fold(environment, |environment, (name, value)| environment.with(name, *value));
    Serving::start(&environment).await
}

/// Stops it, and tells all that it has written.
async fn all(mut serving: Serving) -> String {
    serving.program.signal("TERM");
    let ended = serving.program.end(secs(3)).await;
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    ended.stdout
}

fn calls(stdout: &str) -> Vec<Map<String, Value>> {
    lines(stdout).into_iter().filter(|line| line.contains_key("rpc")).collect()
}

#[tokio::test]
async fn a_failing_call_writes_one_flat_line_and_a_quick_success_none() {
    let serving = serving(&[]).await;
    let ada = serving.person("ada");
    let id = "0197a4a0-7c00-7000-8000-0123456789ab";
    let answer = ada.json_with("GetProfile", &json!({}), &[("x-request-id", id)]).await;
    assert_eq!(answer.status, 404);
    let profile = json!({ "profile": { "handle": "ada", "displayName": "Ada" } });
    assert_eq!(ada.json("CreateProfile", &profile).await.0, 200);
    assert_eq!(ada.json("GetProfile", &json!({})).await.0, 200);

    let stdout = all(serving).await;
    let failed = calls(&stdout);
    assert_eq!(failed.len(), 1, "{stdout}");
    let line = &failed[0];
    for (name, value) in [
        ("level", "INFO"),
        ("message", "call failed"),
        ("request_id", id),
        ("rpc", "/mayfly.user.v1.UserService/GetProfile"),
        ("code", "NotFound"),
        ("reason", "NOT_FOUND"),
    ] {
        assert_eq!(line.get(name).and_then(Value::as_str), Some(value), "{name} of {line:?}");
    }
    for line in lines(&stdout) {
        assert!(line.contains_key("level") && line.contains_key("message"), "{line:?}");
        let is_flat = line.values().all(|value| !value.is_object() && !value.is_array());
        assert!(is_flat, "{line:?}");
    }
}

/// What a log says with `message`, of an error with all that is behind it.
fn error_of(stdout: &str, message: &str) -> String {
    let line = lines(stdout).into_iter().find(|line| line["message"] == message);
    let line = line.unwrap_or_else(|| panic!("{message:?} is not in {stdout}"));
    line["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_told_of_with_what_is_behind_it() {
    let serving = serving(&[("JWKS_URL", "http://127.0.0.1:1/keys")]).await;
    let (status, _told) = serving.person("ada").json("GetProfile", &json!({})).await;
    assert_eq!(status, 503);
    let stdout = all(serving).await;
    for message in ["token keys not fetched", "call failed"] {
        let error = error_of(&stdout, message);
        assert!(error.contains("the key server does not answer: "), "{error}");
        assert!(error.contains("Connection refused"), "{error}");
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_of_with_what_is_behind_it() {
    let environment = Environment::of(super::NOWHERE).with_issuer();
    let serving = Serving::start(&environment).await;
    let (status, _told) = serving.person("ada").json("GetProfile", &json!({})).await;
    assert_eq!(status, 503);
    let stdout = all(serving).await;
    for message in ["the revocations cannot be read", "call failed"] {
        let error = error_of(&stdout, message);
        assert!(error.contains("query failed: "), "{message}: {error}");
        assert!(error.contains("the database is unavailable"), "{message}: {error}");
    }
    assert!(!stdout.contains(super::CANARY), "{stdout}");
}

#[tokio::test]
async fn the_emulators_setting_changes_nothing_but_a_warning() {
    let serving = serving(&[("FIREBASE_AUTH_EMULATOR_HOST", "127.0.0.1:9099")]).await;
    let ada = serving.person("ada");
    assert_eq!(ada.json("GetProfile", &json!({})).await.0, 404);
    let [_head, claims, _signature] =
        ada.token.as_deref().unwrap().split('.').collect::<Vec<_>>()[..]
    else {
        panic!("{:?}", ada.token)
    };
    // {"alg":"none","typ":"JWT"}
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
    let mut mallory = ada;
    mallory.token = Some(unsigned);
    let (status, told) = mallory.json("GetProfile", &json!({})).await;
    assert_eq!((status, &told["code"]), (401, &json!("unauthenticated")), "{told}");

    let stdout = all(serving).await;
    let warnings =
        lines(&stdout).into_iter().filter(|line| line.get("level") == Some(&json!("WARN")));
    let warnings: Vec<_> = warnings.map(|line| line["message"].clone()).collect();
    let warning =
        "FIREBASE_AUTH_EMULATOR_HOST is set and changes nothing: unsigned tokens are refused";
    assert_eq!(warnings, [json!(warning)]);
}

/// Everything a stranger can get into a line, with line breaks in it.
async fn sends_line_breaks(serving: &Serving) {
    let eve = serving.person("eve");
    let forged = "\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}\r\n";
    let keys = [("idempotency-key", "a b"), ("x-request-id", "x"), ("user-agent", "\t{}")];
    for message in [
        json!({ "profile": { forged: forged } }),
        json!({ "profile": { "handle": forged, "displayName": forged } }),
        json!({ "profile": { "visibility": forged } }),
        json!({ "profile": forged }),
    ] {
        let answer = eve.json_with("CreateProfile", &message, &keys).await;
        assert!(answer.status >= 400, "{answer:?}");
    }
    let body = format!("{{\"user_id\": {forged}");
    let json = [("content-type", "application/json")];
    eve.post("/mayfly.user.v1.UserService/GetProfile", body, &json).await;
    eve.post("/%0d%0a{\"level\":\"ERROR\"}/x", "{}", &json).await;
    eve.post("/mayfly.user.v1.UserService/%0AGetProfile", "{}", &json).await;
    for name in [forged, "\u{1b}[31mred", "\u{2028}"] {
        let token = world().issuer.id_token(name, &Map::new());
        let stranger = Person::new(serving.address, "stranger", Some(token));
        stranger.json("GetProfile", &json!({})).await;
    }
}

#[tokio::test]
async fn nobody_can_break_a_line_or_forge_one() {
    let serving = serving(&[("RUST_LOG", "debug")]).await;
    let token = serving.person("eve").token.unwrap();
    sends_line_breaks(&serving).await;
    let stdout = all(serving).await;
    assert!(!calls(&stdout).is_empty());
    for line in lines(&stdout) {
        assert!(line.contains_key("timestamp"), "{line:?}");
        assert_ne!(line.get("message").and_then(Value::as_str), Some("forged"));
    }
    assert!(!stdout.contains(&token), "a token is no part of a log");
}

#[tokio::test]
async fn text_for_people_keeps_its_lines_whole_too() {
    let database = world().new_database().await;
    let environment = Environment::of(&world().runtime_url(&database)).with_issuer();
    // The ports are found in JSON, so they are chosen here.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let environment = environment.with("LISTEN_ADDR", port.to_string()).with("LOG_FORMAT", "text");
    let mut program = super::Program::start(&mut environment.command(&[]));
    program.line("start", |line| line.contains("serving").then_some(())).await;
    let serving = Serving { program, address: port, internal: port };
    sends_line_breaks(&serving).await;
    let stdout = all(serving).await;
    for line in stdout.lines() {
        assert!(line.starts_with("20"), "a line begins with its time: {line:?}");
        assert!(!line.contains('\u{1b}') && !line.contains('\r'), "{line:?}");
    }
}
