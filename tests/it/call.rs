//! `cargo call`, as whoever types it sees it.

use std::{
    io::Write,
    net::TcpListener,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tests::{App, Person, world};

use crate::process::program::{Ended, Program, command, eventually};

/// `cargo call`.
const CALL: &str = env!("CARGO_BIN_EXE_run-call");

const WITHIN: Duration = Duration::from_secs(20);

/// A command against an app, with the tests' issuer.
fn to(app: &App, arguments: &[&str]) -> Command {
    let mut command = command(CALL);
    command.args(arguments).arg(format!("--url=http://{}", app.address));
    command.arg(format!("--issuer=http://{}", world().issuer_address));
    command
}

async fn call(app: &App, arguments: &[&str]) -> Ended {
    Program::run(&mut to(app, arguments), WITHIN).await
}

/// As somebody in particular.
async fn call_as(app: &App, person: &Person, arguments: &[&str]) -> Ended {
    let mut command = to(app, arguments);
    command.args(["--token", person.token.as_deref().unwrap()]);
    Program::run(&mut command, WITHIN).await
}

fn profile(handle: &str) -> String {
    json!({ "profile": { "handle": handle, "displayName": "Ada" } }).to_string()
}

/// What a call that went well printed.
#[track_caller]
fn answer(ended: &Ended) -> Value {
    assert_eq!((ended.code(), &*ended.stderr), (Some(0), ""), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

#[tokio::test]
async fn it_signs_in_by_itself_and_brings_a_key_of_its_own() {
    let app = App::start().await;

    let created = answer(&call(&app, &["user.CreateProfile", &profile("ada")]).await);
    assert_eq!(created["handle"], "ada");

    let got = call(&app, &["user.GetProfile", "{}"]).await;
    assert_eq!(answer(&got), created, "it is the same account");
    assert!(got.stdout.starts_with("{\n  \"userId\": "), "{}", got.stdout);

    // Each call has another key: it is not answered with what the first one did.
    let again = call(&app, &["user.CreateProfile", &profile("ada")]).await;
    assert_eq!((again.code(), &*again.stdout), (Some(1), ""), "{again:?}");
    assert!(again.stderr.contains("AlreadyExists (6), PROFILE_EXISTS: "), "{again:?}");
    let key = ["user.UpdateProfile", r#"{"profile":{"bio":"x"}}"#, "--key", "mine"];
    let first = answer(&call(&app, &key).await);
    assert_eq!(answer(&call(&app, &key).await), first, "by its key it is the same call");
}

#[tokio::test]
async fn it_calls_as_whoever_the_token_is() {
    let app = App::start().await;
    let ada = app.person("ada-uid");

    let created = call_as(&app, &ada, &["user.CreateProfile", &profile("ada")]).await;
    assert_eq!(answer(&created)["userId"], "ada-uid");

    let refused = call(&app, &["user.GetProfile", "--token", "x"]).await;
    assert_eq!(refused.code(), Some(1));
    assert!(refused.stderr.contains("Unauthenticated (16), TOKEN_INVALID: "), "{refused:?}");
}

#[tokio::test]
async fn it_calls_as_somebody_who_has_a_role() {
    let app = App::start().await;

    let refused = call(&app, &["auth.ListApiClients"]).await;
    assert_eq!(refused.code(), Some(1));
    assert!(refused.stderr.contains("PermissionDenied (7), ROLE_REQUIRED: "), "{refused:?}");
    assert!(refused.stderr.contains("\n  --role calls as "), "{refused:?}");

    let listed = call(&app, &["auth.ListApiClients", "--role", "admin"]).await;
    assert_eq!(listed.code(), Some(0), "{listed:?}");
    let told = answer(&call(&app, &["auth.WhoAmI", "{}", "--role=admin"]).await);
    assert_eq!((&told["email"], &told["roles"]), (&json!("admin@example.com"), &json!(["admin"])));

    let none = call(&app, &["auth.WhoAmI", "{}", "--role", "no address"]).await;
    assert_eq!(none.code(), Some(64), "{none:?}");
    assert!(none.stderr.contains("INVALID_EMAIL"), "{none:?}");
}

#[tokio::test]
async fn a_failure_is_told_in_words() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    let bad = json!({ "profile": { "handle": "a", "displayName": "x".repeat(81) } }).to_string();

    let ended = call_as(&app, &ada, &["user.CreateProfile", &bad]).await;

    assert_eq!((ended.code(), &*ended.stdout), (Some(1), ""));
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert!(
        lines[0].starts_with("cargo call: InvalidArgument (3), INVALID_ARGUMENT: "),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("  profile.handle: "), "{lines:?}");
    assert!(lines[2].starts_with("  profile.display_name: "), "{lines:?}");
    let id = lines[3].strip_prefix("  request id ").unwrap();
    assert!(id.parse::<uuid::Uuid>().is_ok(), "{lines:?}");
}

#[tokio::test]
async fn when_to_come_back_is_told() {
    let app = App::builder().with("DATABASE_URL", "postgres://x@127.0.0.1:1/x").start().await;
    let ada = app.person("ada-uid");

    let ended = call_as(&app, &ada, &["user.GetProfile"]).await;

    assert_eq!(ended.code(), Some(1));
    assert!(ended.stderr.contains("Unavailable (14), DB_UNAVAILABLE"), "{ended:?}");
    assert!(ended.stderr.contains("\n  try again in "), "{ended:?}");
}

#[tokio::test]
async fn the_message_may_come_from_standard_input() {
    let app = App::start().await;
    for arguments in [&["user.ListProfiles"][..], &["user.ListProfiles", "-"]] {
        let mut command = to(&app, arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"{\"pageSize\": -1}").unwrap();
        let status = eventually(20, "the call is over", || child.try_wait().unwrap()).await;
        assert_eq!(status.code(), Some(1), "the page size was read: {arguments:?}");
    }
}

#[tokio::test]
async fn a_stream_is_shown_line_by_line() {
    let app = App::start().await;
    let mut health = Program::start(&mut to(&app, &["grpc.health.v1.Health/Watch"]));
    let serving = |line: &str| (line == r#"{"status":"SERVING"}"#).then_some(());
    health.line("the status", serving).await;

    let ada = app.person("ada-uid");
    ada.creates_public_profile("ada").await;
    let mut watch = to(&app, &["user.WatchProfiles"]);
    let mut watch = Program::start(watch.args(["--token", ada.token.as_deref().unwrap()]));
    let handle = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        line["profile"]["handle"].as_str().map(str::to_owned)
    };
    assert_eq!(watch.line("the profile", handle).await, "ada");

    app.stopped().await;
    let (health, watch) = (health.end(WITHIN).await, watch.end(WITHIN).await);
    for ended in [&health, &watch] {
        assert_eq!(ended.code(), Some(1));
        assert!(ended.stderr.contains("Unavailable (14), DRAINING"), "{ended:?}");
    }
    assert_eq!(health.stdout.lines().last(), Some(r#"{"status":"NOT_SERVING"}"#));
}

#[tokio::test]
async fn what_json_does_not_carry_is_called_all_the_same() {
    let app = App::builder().with("REFLECTION", "on").start().await;

    let check = call(&app, &["grpc.health.v1.Health/Check", r#"{"service":""}"#]).await;
    assert_eq!(answer(&check), json!({ "status": "SERVING" }));
    let unknown = call(&app, &["grpc.health.v1.Health/Check", r#"{"service":"x"}"#]).await;
    assert!(unknown.stderr.contains("NotFound (5), NOT_FOUND"), "{unknown:?}");

    let questions = r#"{"listServices":"*"} {"fileByFilename":"x.proto"}"#;
    let rpc = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let told = call(&app, &[rpc, questions]).await;
    assert_eq!((told.code(), told.stdout.lines().count()), (Some(0), 2), "{told:?}");
    assert!(told.stdout.contains("mayfly.user.v1.UserService"), "{told:?}");
}

#[tokio::test]
async fn what_there_is_to_call_is_listed() {
    let ended = Program::run(command(CALL).arg("--list"), WITHIN).await;

    assert_eq!((ended.code(), ended.stdout.lines().count()), (Some(0), proto::METHODS.len()));
    let create = ended.stdout.lines().find(|line| line.starts_with("user.CreateProfile ")).unwrap();
    let words: Vec<_> = create.split_whitespace().collect();
    assert_eq!(words.join(" "), "user.CreateProfile signed in 5 s exactly once");
}

#[tokio::test]
async fn the_exit_code_says_whose_fault_it_was() {
    for wrong in [
        &[][..],
        &["user.Nothing"],
        &["user.GetProfile", "{}", "{}"],
        &["--nothing"],
        &["grpc.health.v1.Health/Check", "{"],
        &["grpc.health.v1.Health/Check", "{} {}"],
        &["grpc.health.v1.Health/Check", "--url", "not a url"],
    ] {
        let ended = Program::run(command(CALL).args(wrong), WITHIN).await;
        assert_eq!((ended.code(), &*ended.stdout), (Some(64), ""), "{wrong:?}: {ended:?}");
        assert!(ended.stderr.starts_with("cargo call: "), "{ended:?}");
    }
    // On a loopback address of its own, where nobody else is given ports.
    let free = TcpListener::bind("127.0.0.80:0").unwrap().local_addr().unwrap();
    for nobody in ["--url", "--issuer"] {
        let app = App::start().await;
        let mut command = to(&app, &["user.GetProfile"]);
        let ended = Program::run(command.arg(nobody).arg(format!("http://{free}")), WITHIN).await;
        assert_eq!(ended.code(), Some(69), "{ended:?}");
        assert!(ended.stderr.contains("cargo dev"), "{ended:?}");
    }
    let help = Program::run(command(CALL).arg("--help"), WITHIN).await;
    assert_eq!(help.code(), Some(0));
    assert!(help.stdout.contains("--token"), "{help:?}");
}
