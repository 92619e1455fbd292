//! Where a function may find itself: one core, one kind of address, nowhere to write, odd times.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;
use settings::Env;
use tests::{leave_out, skip, world};

use super::{Environment, Serving, get, lines, secs};
use crate::process::program::{Program, USER, eventually};

/// A `user` process over a database, started through another program.
async fn through(wrapper: &[&str], settings: &[(&str, &str)]) -> Serving {
    let database = world().new_database().await;
    let environment = Environment::of(&world().runtime_url(&database)).with_issuer();
    let environment = settings
        .iter()
        .fold(environment, |environment, (name, value)| environment.with(name, *value));
    let mut command = environment.command_of(Path::new(wrapper[0]), &wrapper[1..]);
    command.env("PATH", Env::of_process().unwrap().get("PATH").unwrap_or_default());
    Serving::of(command.arg(USER)).await
}

/// Whether a program does here what it is to do.
fn does(program: &str, arguments: &[&str]) -> bool {
    let run = Command::new(program).args(arguments).stderr(Stdio::null()).output();
    run.is_ok_and(|output| output.status.success())
}

/// It writes, it reads, and it ends as it should.
async fn serves(serving: Serving) -> String {
    let ada = serving.person("ada");
    let profile = json!({ "profile": { "handle": "ada", "displayName": "Ada" } });
    assert_eq!(ada.json("CreateProfile", &profile).await.0, 200);
    assert_eq!(ada.json("GetProfile", &json!({})).await.0, 200);
    // One line at least, with its time.
    assert_eq!(serving.person("eve").json("GetProfile", &json!({})).await.0, 404);
    let mut serving = serving;
    serving.program.signal("TERM");
    let ended = serving.program.end(secs(5)).await;
    assert_eq!((ended.code(), &*ended.stderr), (Some(0), ""), "{ended:?}");
    ended.stdout
}

#[tokio::test]
async fn on_one_core_it_serves() {
    if !does("taskset", &["-c", "0", "true"]) {
        return skip("there is no taskset that may choose a core");
    }
    serves(through(&["taskset", "-c", "0"], &[]).await).await;
}

#[tokio::test]
async fn on_a_root_that_nobody_can_write_to_it_serves() {
    let remount = "mount -o remount,bind,ro / &&";
    let (probe, run) = (format!("{remount} ! touch /x"), format!("{remount} exec \"$0\""));
    // Whoever is not root may be it in a user namespace of its own.
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let is_allowed = |way: &&&[&str]| does("unshare", &[way, &["sh", "-c", &probe][..]].concat());
    let Some(way) = ways.iter().find(is_allowed) else {
        return leave_out("a root that is read-only, which only root may have here");
    };
    let wrapper = [&["unshare"], *way, &["sh", "-c", &run]].concat();
    serves(through(&wrapper, &[("TMPDIR", "/nonexistent")]).await).await;
}

#[tokio::test]
async fn a_time_zone_changes_nothing_that_is_told() {
    for zone in ["", ":nonsense", "Pacific/Kiritimati", "XXX+25:61"] {
        let serving = through(&["env", "LANG=tr_TR.UTF-8"], &[("TZ", zone)]).await;
        let stdout = serves(serving).await;
        for line in lines(&stdout) {
            let time = line["timestamp"].as_str().unwrap();
            assert!(time.ends_with('Z') && time.starts_with("20"), "{zone}: {line:?}");
        }
    }
}

/// Fly's private network is IPv6 alone; `[::1]` takes nothing else either.
#[tokio::test]
async fn an_address_of_ipv6_alone_is_served() {
    let settings = [("LISTEN_ADDR", "[::1]:0"), ("METRICS_ADDR", "[::1]:0")];
    let serving = through(&["env"], &settings).await;
    assert!(serving.address.is_ipv6() && serving.internal.is_ipv6());
    assert_eq!(
        get(serving.internal, "/health/ready").await,
        Some((200, "user: ready\n".to_owned()))
    );
    serves(serving).await;
}

/// Threads and descriptors are given out by the kernel, which may have none: then it says so.
#[tokio::test]
async fn without_threads_or_memory_for_them_it_says_so_or_serves() {
    for limit in ["ulimit -n 12", "ulimit -n 20", "ulimit -v 200000", "ulimit -v 524288"] {
        let script = format!("{limit}; exec \"$0\"");
        let environment = Environment::of(super::NOWHERE);
        let mut command = environment.command_of(Path::new("/bin/sh"), &["-c", &script, USER]);
        let mut program = Program::start(&mut command);
        let started = eventually(20, "it serves or ends", || {
            (program.stdout().contains("\"serving\"") || !is_running(&program)).then_some(())
        });
        started.await;
        program.signal("TERM");
        let ended = program.end(secs(5)).await;
        let is_named = matches!(ended.code(), Some(69 | 70)) && !ended.stderr.is_empty();
        // One that has panicked for want of threads has at least said so, and does not spin.
        let is_said = ended.code() == Some(101) && ended.stderr.contains("panicked");
        let told = format!("{limit}: {ended:?}");
        assert!(
            ended.code() == Some(0) || is_named || is_said || ended.signal().is_some(),
            "{told}"
        );
    }
}

/// A process that has ended and was not waited for is still there, without anything in it.
fn is_running(program: &Program) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", program.pid())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_name, rest)| !rest.starts_with('Z'))
}
