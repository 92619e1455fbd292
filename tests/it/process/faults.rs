//! Settings that cannot be used: all named, none shown, nothing bound.

use std::{ffi::OsStr, fs, net::TcpListener, os::unix::ffi::OsStrExt};

use chassis::Function;

use super::{
    CANARY, Environment, NOWHERE,
    program::{ENDS_MAX, Program},
};

/// What no setting takes.
const NONSENSE: &str = "=hunter2-canary, [what?]";

fn good() -> Environment {
    Environment::of(NOWHERE)
}

/// Starts with these settings, and expects to be told that exactly `names` cannot be used.
async fn refuses(environment: &Environment, names: &[&str]) {
    for command in ["serve", "migrate", "check"] {
        refuses_to(command, environment, names).await;
    }
}

async fn refuses_to(command: &str, environment: &Environment, names: &[&str]) {
    let ended = Program::run(&mut environment.command(&[command]), ENDS_MAX).await;
    assert_eq!(ended.code(), Some(78), "{command} {environment:?}: {ended:?}");
    let told: Vec<_> = ended.stderr.lines().skip(1).collect();
    let found: Vec<_> = told.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(found, names, "{ended:?}");
    assert!(told.iter().all(|line| line.len() > 10), "each says what is wrong: {told:?}");
    assert!(!ended.stderr.contains(CANARY), "{ended:?}");
    assert_eq!(ended.stdout, "");
}

#[tokio::test]
async fn a_required_setting_that_is_missing_is_named() {
    for declared in Function::declared_settings() {
        if declared.default == "required" {
            refuses(&good().without(declared.name), &[declared.name]).await;
        }
    }
    let nothing = good().without("DATABASE_URL").without("FIREBASE_PROJECT_ID");
    refuses(&nothing, &["DATABASE_URL", "FIREBASE_PROJECT_ID"]).await;
}

#[tokio::test]
async fn every_setting_that_is_empty_or_nonsense_is_named() {
    for declared in Function::declared_settings() {
        for value in ["", " ", NONSENSE] {
            refuses_to("check", &good().with(declared.name, value), &[declared.name]).await;
        }
    }
}

#[tokio::test]
async fn a_number_out_of_its_range_is_named() {
    let mut tried = 0;
    for declared in Function::declared_settings() {
        let Some(range) = declared.expects.strip_prefix("a whole number from ") else { continue };
        let (min, max) = range.split_once(" to ").unwrap();
        let (min, max): (i64, i64) = (min.parse().unwrap(), max.parse().unwrap());
        for value in [min - 1, max + 1, i64::MAX] {
            let environment = good().with(declared.name, value.to_string());
            refuses_to("check", &environment, &[declared.name]).await;
        }
        for value in ["1.5", "1e3", "0x10", "1_000", "१"] {
            refuses_to("check", &good().with(declared.name, value), &[declared.name]).await;
        }
        tried += 1;
    }
    assert!(tried >= 10, "{tried}");
}

#[tokio::test]
async fn a_url_of_another_scheme_is_named() {
    for (name, value) in [
        ("DATABASE_URL", "mysql://mayfly:hunter2-canary@db/mayfly"),
        ("DATABASE_DIRECT_URL", "redis://:hunter2-canary@db"),
        ("DATABASE_URL", "postgres://mayfly:hunter2-canary@db:port/mayfly"),
        ("JWKS_URL", "ftp://keys.example.com/hunter2-canary"),
        ("JWKS_URL", "http://keys.example.com/hunter2-canary"),
        ("TOKEN_ISSUER", "gopher://hunter2-canary"),
        ("LISTEN_ADDR", "unix:/hunter2-canary"),
        ("METRICS_ADDR", "localhost"),
    ] {
        refuses_to("serve", &good().with(name, value), &[name]).await;
    }
}

#[tokio::test]
async fn all_faults_are_told_at_once() {
    let names: Vec<_> = Function::declared_settings().iter().map(|one| one.name).collect();
    let all = names.iter().fold(good(), |environment, name| environment.with(name, NONSENSE));
    refuses(&all, &names).await;
}

#[tokio::test]
async fn a_value_that_is_not_text_is_not_taken_for_absent() {
    for name in ["DATABASE_URL", "LISTEN_ADDR", "DB_POOL_MAX"] {
        let mut command = good().command(&["check"]);
        command.env(name, OsStr::from_bytes(b"\xff\xfe5"));
        let ended = Program::run(&mut command, ENDS_MAX).await;
        assert_eq!(ended.code(), Some(78), "{name}: {ended:?}");
        assert!(ended.stderr.contains(name), "{ended:?}");
    }
}

#[tokio::test]
async fn nothing_is_bound_before_the_settings_are_good() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    // Whoever binds first would be told of the port, and with another code.
    let environment = good().with("LISTEN_ADDR", &address).with("METRICS_ADDR", &address);
    refuses_to("serve", &environment.with("DB_POOL_MAX", "0"), &["DB_POOL_MAX"]).await;
}

#[tokio::test]
async fn a_settings_file_stands_under_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mayfly.toml");
    let file_with = |text: &str| fs::write(&file, text).unwrap();
    let only_file = Environment::default().with("MAYFLY_CONFIG", file.to_str().unwrap());

    file_with(&format!("database_url = \"{NOWHERE}\"\nfirebase_project_id = \"mayfly-test\""));
    let ended = Program::run(&mut only_file.command(&["check"]), ENDS_MAX).await;
    assert_eq!(ended.code(), Some(0), "{ended:?}");

    file_with("database_url = \"hunter2-canary\"\ndb_pool_max = 0\ndrain_secs = 5");
    let over = good().with("MAYFLY_CONFIG", file.to_str().unwrap());
    refuses(&over, &["DB_POOL_MAX"]).await;
    let ended =
        Program::run(&mut over.with("DB_POOL_MAX", "7").command(&["check"]), ENDS_MAX).await;
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

#[tokio::test]
async fn a_settings_file_that_cannot_be_read_is_said_to_be_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mayfly.toml");
    let environment = good().with("MAYFLY_CONFIG", file.to_str().unwrap());
    for content in [
        None,
        Some(&b"database_url = 'hunter2-canary"[..]),
        Some(b"[database]\nurl = 'hunter2-canary'"),
        Some(b"database_url = [ 'hunter2-canary' ]"),
        Some(b"database_url = '\xff'"),
    ] {
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        for command in ["serve", "migrate", "check"] {
            let ended = Program::run(&mut environment.command(&[command]), ENDS_MAX).await;
            assert_eq!(ended.code(), Some(78), "{ended:?}");
            assert!(ended.stderr.contains("MAYFLY_CONFIG"), "{ended:?}");
            assert!(!format!("{ended:?}").contains(CANARY), "{ended:?}");
        }
    }
}
