//! What a binary can be asked, what it answers with, and under which conditions it still serves.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::CommandExt},
};

use chassis::Function;
use tests::skip;

use super::{CANARY, Environment, NOWHERE, Serving, get, program::Program, secs};
use crate::process::program::{ENDS_MAX, USER, eventually};

#[tokio::test]
async fn check_tells_that_the_settings_are_good() {
    let ended = Program::run(&mut Environment::of(NOWHERE).command(&["check"]), ENDS_MAX).await;
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert!(!ended.stdout.contains(CANARY));
}

#[tokio::test]
async fn version_and_help_need_no_settings() {
    let nothing = Environment::default();
    for (asked, code, word) in [
        ("--version", 0, "mayfly user "),
        ("-V", 0, "mayfly user "),
        ("--help", 0, "Usage: user"),
        ("-h", 0, "Usage: user"),
        ("help", 0, "Usage: user"),
    ] {
        let ended = Program::run(&mut nothing.command(&[asked]), ENDS_MAX).await;
        assert_eq!(ended.code(), Some(code), "{ended:?}");
        assert!(ended.stdout.contains(word), "{ended:?}");
        assert_eq!(ended.stderr, "");
    }
}

#[tokio::test]
async fn help_names_every_command_and_every_setting_and_shows_no_value() {
    let ended = Program::run(&mut Environment::of(NOWHERE).command(&["--help"]), ENDS_MAX).await;
    for word in ["serve", "migrate", "check", "--version", "--help", "MAYFLY_CONFIG"] {
        assert!(ended.stdout.contains(word), "{word} in {}", ended.stdout);
    }
    for declared in Function::declared_settings() {
        let line = ended.stdout.lines().find(|line| line.trim().starts_with(declared.name));
        let line = line.unwrap_or_else(|| panic!("{} in {}", declared.name, ended.stdout));
        assert!(line.ends_with(&format!("({})", declared.default)), "{line}");
    }
    assert!(!ended.stdout.contains(CANARY), "{ended:?}");
}

#[tokio::test]
async fn what_it_does_not_know_is_a_wrong_use() {
    for arguments in [&["srve"][..], &["--port", "1"], &["serve", "now"], &["check", "--help"]] {
        let ended = Program::run(&mut Environment::of(NOWHERE).command(arguments), ENDS_MAX).await;
        assert_eq!(ended.code(), Some(64), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains("--help") && ended.stdout.is_empty(), "{ended:?}");
    }
}

#[tokio::test]
async fn a_taken_port_is_told_by_the_name_of_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    for name in ["LISTEN_ADDR", "METRICS_ADDR"] {
        let address = taken.local_addr().unwrap().to_string();
        let environment = Environment::of(NOWHERE).with(name, address);
        let ended = Program::run(&mut environment.command(&[]), ENDS_MAX).await;
        assert_eq!(ended.code(), Some(69), "{ended:?}");
        assert!(ended.stderr.contains(name), "{ended:?}");
        assert!(!format!("{ended:?}").contains(CANARY), "{ended:?}");
    }
}

#[tokio::test]
async fn a_password_is_neither_on_the_command_line_nor_in_the_log() {
    let environment = Environment::of(NOWHERE).with_issuer().with("RUST_LOG", "debug,sqlx=trace");
    let mut serving = Serving::start(&environment).await;
    let failed = serving.person("ada").json("GetProfile", &serde_json::json!({})).await;
    assert_eq!(failed.0, 503, "{failed:?}");
    assert!(!failed.1.to_string().contains(CANARY));
    let (_status, health) = get(serving.internal, "/health/detailed").await.unwrap();
    assert!(!health.contains(CANARY), "{health}");
    match fs::read(format!("/proc/{}/cmdline", serving.program.pid())) {
        Ok(line) => assert!(!String::from_utf8_lossy(&line).contains(CANARY)),
        Err(_) => skip("there is no /proc"),
    }
    serving.program.signal("TERM");
    let ended = serving.program.end(secs(3)).await;
    assert!(!format!("{ended:?}").contains(CANARY), "{ended:?}");
}

/// No rights, no directory to write to, no `TMPDIR`, no `TZ`, no `HOME`, no `PATH`.
#[tokio::test]
async fn it_serves_as_nobody_from_a_directory_it_cannot_write_to() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("user");
    fs::copy(USER, &program).unwrap();
    let mode = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o555);
    let environment = Environment::of(NOWHERE).with("TMPDIR", "/nonexistent");
    let mut command = environment.command_of(&program, &[]);
    command.current_dir(dir.path());
    if owner_of_this_process() == 0 {
        command.uid(65_534).gid(65_534);
    }
    let serving = Serving::of(&mut command).await;
    assert_eq!(get(serving.address, "/healthz").await, Some((200, "ok\n".to_owned())));
    serving.stop().await;
    mode(0o755);
}

fn owner_of_this_process() -> u32 {
    let file = tempfile::tempfile().unwrap();
    std::os::unix::fs::MetadataExt::uid(&file.metadata().unwrap())
}

#[tokio::test]
async fn every_address_of_this_machine_is_served_by_default() {
    let environment = Environment::of(NOWHERE).with("LISTEN_ADDR", "[::]:0");
    let serving = Serving::start(&environment).await;
    for host in ["127.0.0.1", "::1"] {
        let address = (host.parse::<std::net::IpAddr>().unwrap(), serving.address.port());
        assert_eq!(get(address.into(), "/healthz").await.map(|told| told.0), Some(200), "{host}");
    }
    let ready = get(serving.internal, "/health/ready").await.unwrap();
    assert_eq!(ready.0, 503, "there is no database: {ready:?}");
    serving.stop().await;
}

#[tokio::test]
async fn a_signal_in_the_first_moment_ends_it_in_two_seconds() {
    for command in ["serve", "migrate"] {
        for delay_ms in [0, 1, 2, 5, 10, 20, 40] {
            let mut program = Program::start(&mut Environment::of(NOWHERE).command(&[command]));
            let age = std::time::Duration::from_millis(delay_ms);
            eventually(20, "the moment", || (program.age() >= age).then_some(())).await;
            program.signal("TERM");
            let ended = program.end(secs(2)).await;
            // Before it listens for signals, the system ends it; a database that is not there ends
            // a migration by itself.
            let is_well = ended.signal() == Some(15)
                || matches!(ended.code(), Some(0 | 143))
                || (command == "migrate" && ended.code() == Some(69));
            assert!(is_well, "{command} after {delay_ms} ms: {ended:?}");
        }
    }
}
