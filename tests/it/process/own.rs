//! Settings that only some functions read, and what their events look like in the log.

use proto::auth::v1::SignInRequest;
use serde_json::Value;
use tests::{Person, world};

use super::{
    CANARY, Environment, NOWHERE, Serving, lines,
    program::{ALL, Program},
    secs,
};

/// What `auth` needs beside the others.
pub(super) fn with_firebase(environment: Environment) -> Environment {
    let issuer = format!("http://{}", world().issuer_address);
    environment
        .with("FIREBASE_API_KEY", CANARY)
        .with("IDENTITY_TOOLKIT_URL", &issuer)
        .with("SECURE_TOKEN_URL", &issuer)
}

async fn check(environment: &Environment) -> (Option<i32>, String) {
    let mut command = environment.command_of(ALL.as_ref(), &["check"]);
    let ended = Program::run(&mut command, secs(5)).await;
    (ended.code(), ended.stderr)
}

#[tokio::test]
async fn what_one_function_needs_is_told_with_what_all_need() {
    let good = with_firebase(Environment::of(NOWHERE));
    assert_eq!(check(&good).await, (Some(0), String::new()));
    for (bad, names) in [
        (good.clone().without("FIREBASE_API_KEY"), &["FIREBASE_API_KEY"][..]),
        (good.clone().with("FIREBASE_API_KEY", "hunter2 canary"), &["FIREBASE_API_KEY"]),
        (good.clone().with("SECURE_TOKEN_URL", "http://example.com"), &["SECURE_TOKEN_URL"]),
        (
            good.clone().with("FIREBASE_SERVICE_ACCOUNT", "{\"private_key\": \"hunter2-canary\"}"),
            &["FIREBASE_SERVICE_ACCOUNT"],
        ),
        (
            good.clone().with("FIREBASE_SERVICE_ACCOUNT", "/nowhere/hunter2-canary.json"),
            &["FIREBASE_SERVICE_ACCOUNT"],
        ),
        (
            good.without("FIREBASE_API_KEY").with("DB_POOL_MAX", "hunter2-canary"),
            &["DB_POOL_MAX", "FIREBASE_API_KEY"],
        ),
    ] {
        let (code, told) = check(&bad).await;
        assert_eq!(code, Some(78), "{told}");
        let found: Vec<_> =
            told.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(found, names, "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let mut help = Environment::of(NOWHERE).command_of(ALL.as_ref(), &["--help"]);
    let told = Program::run(&mut help, secs(5)).await.stdout;
    for name in ["FIREBASE_API_KEY", "IDENTITY_TOOLKIT_URL", "TRUSTED_PROXY", "DATABASE_URL"] {
        assert!(told.contains(name), "{name} in {told}");
    }
}

#[tokio::test]
async fn an_event_is_one_line_with_its_request_and_no_secret() {
    let database = world().new_database().await;
    let environment = Environment::of(&world().runtime_url(&database)).with_issuer();
    let environment = with_firebase(environment);
    let mut serving = Serving::of(&mut environment.command_of(ALL.as_ref(), &[])).await;
    let (email, password) = ("logged@example.com", "hunter2-canary-password");
    world().issuer.sign_up(email, password).unwrap();

    let mut request = tonic::Request::new(SignInRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        device_name: "hunter2-canary-device".to_owned(),
    });
    let id = "0197a4a0-7c00-7000-8000-0123456789ab";
    request.metadata_mut().insert("x-request-id", id.parse().unwrap());
    let nobody = Person::new(serving.address, "nobody", None);
    let answer = nobody.auth().sign_in(request).await.unwrap().into_inner();
    let tokens = answer.tokens.unwrap();

    serving.program.signal("TERM");
    let ended = serving.program.end(secs(5)).await;
    let told: Vec<_> = lines(&ended.stdout)
        .into_iter()
        .filter(|line| line.get("message").and_then(Value::as_str) == Some("security event"))
        .collect();
    assert_eq!(told.len(), 2, "{}", ended.stdout);
    let sign_in = "/mayfly.auth.v1.AuthService/SignIn";
    for (line, event) in told.iter().zip(["sign_in_begun", "signed_in"]) {
        for (name, value) in [("event", event), ("request_id", id), ("rpc", sign_in)] {
            assert_eq!(line.get(name).and_then(Value::as_str), Some(value), "{name}");
        }
    }
    for secret in ["hunter2", email, &tokens.id_token, &tokens.refresh_token, &tokens.user_id] {
        assert!(!ended.stdout.contains(secret), "{secret} in {}", ended.stdout);
    }
}
