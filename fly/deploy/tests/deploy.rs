//! `cargo fly` against a stand-in for flyctl: what it calls, in which order, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use chassis::{Server, Settings};
use clock::Clock;
use settings::{Env, Reader};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

const OLD: &str = "registry.fly.io/example:old";
const SECRETS: &str =
    r#"[{"name": "DATABASE_URL", "digest": "1"}, {"name": "FIREBASE_PROJECT_ID", "digest": "2"}]"#;

/// A Fly with nothing in it but what a test has put there.
struct Fly {
    dir: TempDir,
    /// Nobody else's app has this prefix, so nobody else's file is written.
    prefix: String,
    url: String,
}

impl Fly {
    /// Nothing is there, and nobody answers.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().file_name().unwrap().to_str().unwrap().to_lowercase();
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let fly =
            Self { dir, prefix: format!("test-{name}"), url: "http://127.0.0.1:1".to_owned() };
        fly.set("apps.json", "[]");
        fly.set("machines.json", "[]");
        fly.set("secrets.json", SECRETS);
        fly
    }

    /// The app runs an old release.
    fn running() -> Self {
        let fly = Self::new();
        fly.set("apps.json", &format!(r#"[{{"Name": "{}"}}]"#, fly.app()));
        fly.set(
            "machines.json",
            &format!(
                r#"[{{"id": "1", "state": "suspended", "region": "fra", "config": {{"image": "{OLD}"}}, "checks": []}}]"#
            ),
        );
        fly.set("config.toml", "app = \"x\"\nprimary_region = \"fra\"\nkill_timeout = \"29s\"\n");
        fly
    }

    fn app(&self) -> String {
        format!("{}-staging-user", self.prefix)
    }

    fn set(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn get(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// What flyctl was asked, a line for each call, without what is read again and again.
    fn calls(&self) -> Vec<String> {
        self.get("calls").lines().map(str::to_owned).collect()
    }

    fn deploys(&self) -> Vec<String> {
        self.calls().into_iter().filter(|call| call.starts_with("[deploy]")).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deploy"));
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flyctl.sh");
        let (task, options) = arguments.split_first().unwrap();
        command
            .arg(task)
            .args(["--env", "staging", "--prefix", &self.prefix, "--flyctl"])
            .arg(stand_in)
            .args(options)
            .env("FAKE", self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().await.unwrap())
    }

    /// Deploys `user`, and gives the new release a second to answer.
    async fn deploy(&self, arguments: &[&str]) -> Ended {
        let mut all = vec!["deploy", "user", "--url", &self.url, "--probe-secs", "1"];
        all.extend(arguments);
        self.run(&all).await
    }
}

impl Drop for Fly {
    fn drop(&mut self) {
        // The files for flyctl lie in the repository's target directory.
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        for entry in fs::read_dir(root.join("target/fly")).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&self.prefix) {
                fs::remove_file(entry.path()).unwrap_or_default();
            }
        }
    }
}

/// A command that is over.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    told: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(output.status.signal(), None, "{out}{err}");
        Self { code: output.status.code(), told: out + &err }
    }

    #[track_caller]
    fn is(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.told.contains(word), "{word:?} in {}", self.told);
        }
    }
}

/// A function that serves while `work` is under way. Its database is not there, and it is healthy.
async fn served<T>(address: SocketAddr, work: impl Future<Output = T>) -> T {
    let env = Env::of([
        ("DATABASE_URL", "postgres://127.0.0.1:1/mayfly"),
        ("FIREBASE_PROJECT_ID", "mayfly-test"),
        ("FIREBASE_API_KEY", "any"),
        ("METRICS_ADDR", "127.0.0.1:0"),
        ("RUST_LOG", "off"),
    ]);
    let env = env.with("LISTEN_ADDR", address.to_string());
    let read = |reader: &mut Reader<'_>| Settings::read_for(all::functions(), reader);
    let (settings, functions) = Reader::new(&env).finish(read).unwrap();
    let server = Server::bind(&settings, functions, &Clock::system()).unwrap();
    tokio::select! {
        done = work => done,
        _ended = server.serve(std::future::pending()) => panic!("nobody has told it to stop"),
    }
}

/// A port that is free a moment later.
fn free() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_first_deploy_makes_the_app_asks_for_secrets_deploys_and_probes() {
    let address = free();
    let mut fly = Fly::new();
    fly.url = format!("http://{address}");
    let app = fly.app();

    fly.set("secrets.json", r#"[{"name": "OTHER", "digest": "1"}]"#);
    let ended = fly.deploy(&["--region", "ams"]).await;
    ended.is(78, &[&app, "no DATABASE_URL and no FIREBASE_PROJECT_ID", "flyctl secrets import"]);
    assert_eq!(fly.deploys(), [""; 0]);
    assert!(fly.calls().contains(&format!("[apps][create][{app}][--org][personal]")));

    fly.set("secrets.json", SECRETS);
    fly.deploy(&[]).await.is(64, &["--region", &app]);
    assert_eq!(fly.deploys(), [""; 0]);

    served(address, fly.deploy(&["--region", "ams"])).await.is(0, &["deploying", "serves"]);
    let [deploy] = fly.deploys().try_into().unwrap();
    let head =
        format!("[deploy][.][--app][{app}][--config][target/fly/{app}.toml][--ha=false][--yes]");
    assert!(deploy.starts_with(&head), "{deploy}");
    assert!(deploy.contains("[--build-arg][COMMIT="), "{deploy}");
    let creations = fly.calls().into_iter().filter(|call| call.starts_with("[apps][create]"));
    assert_eq!(creations.count(), 1, "it was there the second time");
    let file: toml::Table = fly.get("deployed.toml").parse().unwrap();
    assert_eq!(file["app"].as_str(), Some(app.as_str()));
    assert_eq!(file["primary_region"].as_str(), Some("ams"));
    assert_eq!(file["build"]["dockerfile"].as_str(), Some("../../Dockerfile"));
    assert_eq!(file["deploy"]["release_command"].as_str(), Some("migrate"));
    check::keys(&fly.get("deployed.toml")).unwrap();
}

#[tokio::test]
async fn what_runs_keeps_its_region_and_options_reach_flyctl_as_they_are() {
    let address = free();
    let mut fly = Fly::running();
    fly.url = format!("http://{address}");
    let image = "ghcr.io/example/user@sha256:00ff";
    let options = ["--image", image, "--strategy", "canary", "--vm", "shared-cpu-2x"];
    served(address, fly.deploy(&options)).await.is(0, &["serves"]);
    let [deploy] = fly.deploys().try_into().unwrap();
    assert!(deploy.contains(&format!("[--image][{image}]")), "{deploy}");
    assert!(deploy.contains("[--strategy][canary]") && !deploy.contains("--build-arg"), "{deploy}");
    let file: toml::Table = fly.get("deployed.toml").parse().unwrap();
    assert_eq!(file["primary_region"].as_str(), Some("fra"));
    assert_eq!(file["vm"][0]["size"].as_str(), Some("shared-cpu-2x"));
    assert_eq!(file["vm"][0].get("memory"), None, "that was for the other size");
}

#[tokio::test]
async fn when_migrating_fails_nothing_is_deployed() {
    let fly = Fly::running();
    fly.set("fail", "migrate");
    fly.deploy(&[]).await.is(1, &["release command failed", "nothing of", "still runs"]);
    assert_eq!(fly.deploys().len(), 1, "there is nothing to go back from");
    assert!(fly.get("machines.json").contains(OLD));
}

#[tokio::test]
async fn a_deploy_that_fails_halfway_goes_back() {
    let fly = Fly::running();
    fly.set("fail", "halfway");
    fly.deploy(&[]).await.is(1, &["begun to replace", &format!("rolled back to {OLD}")]);
    let [_deploy, back] = fly.deploys().try_into().unwrap();
    assert!(back.contains(&format!("[--image][{OLD}]")), "{back}");
    assert!(back.contains("[--skip-release-command]"), "the schema stays: {back}");
    assert!(fly.get("config.toml").contains("29s"), "under the file it ran under");
}

#[tokio::test]
async fn a_release_that_does_not_answer_is_taken_back_and_what_ran_before_is_probed() {
    let address = free();
    let mut fly = Fly::running();
    fly.url = format!("http://{address}");
    let comes_back = async {
        while fly.deploys().len() < 2 {
            sleep(Duration::from_millis(20)).await;
        }
        served(address, std::future::pending::<()>()).await;
    };
    let arguments = ["deploy", "user", "--url", &fly.url, "--probe-secs", "3"];
    let ended = tokio::select! {
        ended = fly.run(&arguments) => ended,
        () = comes_back => unreachable!("it serves until the end"),
    };
    ended.is(1, &["does not serve", "/healthz", &format!("rolled back to {OLD}, which serves")]);
    assert!(fly.get("machines.json").contains(OLD));
}

#[tokio::test]
async fn without_a_release_before_there_is_none_to_go_back_to() {
    let fly = Fly::new();
    let ended = fly.deploy(&["--region", "ams"]).await;
    ended.is(1, &["does not serve", "first release"]);
    assert_eq!(fly.deploys().len(), 1);
}

#[tokio::test]
async fn going_back_may_fail_too_and_that_is_said() {
    let fly = Fly::running();
    fly.set("fail", "halfway\nback");
    fly.deploy(&[]).await.is(1, &["rolling back failed", "cargo fly status"]);
}

#[tokio::test]
async fn interrupted_it_hands_the_signal_on_and_tells_what_was_done() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let fly = Fly::running();
        fly.set("hang", "until it is told");
        let child = hanging(&fly).await;
        send(&child, signal).await;
        let ended = timeout(Duration::from_secs(10), child.wait_with_output()).await.unwrap();
        Ended::of(ended.unwrap()).is(code, &["interrupted", "nothing was deployed"]);
        let interruptions = fly.calls().into_iter().filter(|call| call == "interrupted");
        assert_eq!(interruptions.count(), 1, "flyctl was told, once");
    }
}

#[tokio::test]
async fn the_second_signal_means_now() {
    let fly = Fly::running();
    fly.set("hang", "deaf");
    let child = hanging(&fly).await;
    send(&child, "INT").await;
    until(|| fly.calls().iter().any(|call| call == "interrupted")).await;
    send(&child, "INT").await;
    let ended = timeout(Duration::from_secs(10), child.wait_with_output()).await.unwrap();
    Ended::of(ended.unwrap()).is(130, &["interrupted"]);
}

/// A deploy whose flyctl is under way.
async fn hanging(fly: &Fly) -> Child {
    let child = fly.command(&["deploy", "user"]).spawn().unwrap();
    until(|| !fly.get("ready").is_empty()).await;
    child
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let poll = async {
        while !is_so() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), poll).await.unwrap();
}

async fn send(child: &Child, signal: &str) {
    let pid = child.id().unwrap().to_string();
    assert!(
        Command::new("kill").args([&format!("-{signal}"), &pid]).status().await.unwrap().success()
    );
}

#[tokio::test]
async fn a_fly_that_cannot_be_reached_is_told_so() {
    let fly = Fly::new();
    fly.set("fail", "apps");
    fly.deploy(&["--region", "ams"]).await.is(69, &["flyctl apps list failed", "no access token"]);
    fly.set("fail", "");
    fly.set("apps.json", "Update available!");
    fly.deploy(&["--region", "ams"]).await.is(69, &["apps list", "JSON"]);
    let nowhere: PathBuf = fly.dir.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    let ended = fly.deploy(&["--region", "ams", "--flyctl", nowhere]).await;
    ended.is(69, &["nowhere", "install it"]);
}

#[tokio::test]
async fn what_it_does_not_know_is_a_wrong_use() {
    let fly = Fly::new();
    for (arguments, word) in [
        (&["deploy", "nobody"][..], "fly/nobody.toml"),
        (&["deploy", "../user"], "fly/../user.toml"),
        (&["deploy"], "which function"),
        (&["dpeloy", "user"], "dpeloy"),
        (&["status", "nobody"], "fly/nobody.toml"),
    ] {
        fly.run(arguments).await.is(64, &[word]);
    }
    assert_eq!(fly.calls(), [""; 0], "Fly was asked nothing");
    fly.run(&["--help"]).await.is(0, &["--dry-run", "Exit codes"]);
}

#[tokio::test]
async fn a_dry_run_prints_every_call_and_makes_none() {
    let fly = Fly::new();
    let ended = fly.run(&["deploy", "user", "--dry-run", "--region", "ams", "--org", "acme"]).await;
    let app = fly.app();
    ended.is(
        0,
        &[
            "flyctl apps list --json",
            &format!("flyctl apps create {app} --org acme"),
            &format!("flyctl secrets list --app {app} --json"),
            "DATABASE_URL, FIREBASE_PROJECT_ID",
            &format!("flyctl machine list --app {app} --json"),
            &format!("flyctl config show --app {app} --toml"),
            &format!("flyctl deploy . --app {app} --config target/fly/{app}.toml"),
            &format!("https://{app}.fly.dev/healthz"),
            "--skip-release-command",
        ],
    );
    fly.run(&["rollback", "user", "--dry-run", "--image", OLD]).await.is(0, &[OLD]);
    fly.run(&["drift", "--dry-run"]).await.is(0, &["config show"]);
    assert_eq!(fly.calls(), [""; 0]);
}

#[tokio::test]
async fn rolling_back_by_hand_does_not_migrate() {
    let address = free();
    let mut fly = Fly::running();
    fly.url = format!("http://{address}");
    let arguments =
        ["rollback", "user", "--image", "registry.fly.io/example:older", "--url", &fly.url];
    served(address, fly.run(&arguments)).await.is(0, &["serves"]);
    let [back] = fly.deploys().try_into().unwrap();
    assert!(back.contains("[--skip-release-command]") && back.contains("example:older"), "{back}");
}

#[tokio::test]
async fn drift_is_told_line_by_line() {
    let address = free();
    let mut fly = Fly::running();
    fly.url = format!("http://{address}");
    served(address, fly.deploy(&[])).await.is(0, &[]);
    fly.run(&["drift", "user"]).await.is(0, &["no drift"]);

    // Somebody has been there by hand.
    let config = fly.get("config.toml").replace("h2_backend = true", "h2_backend = false");
    fly.set("config.toml", &format!("console_command = \"/bin/sh\"\n{config}"));
    fly.set(
        "secrets.json",
        r#"[{"name": "DATABASE_URL"}, {"name": "LISTEN_ADDR"}, {"name": "DEBUG"}, {"name": "JWKS_URL"}]"#,
    );
    fly.set(
        "machines.json",
        &fly.get("machines.json").replace("revision\": \"", "revision\": \"another"),
    );
    fly.run(&["drift", "user"]).await.is(
        1,
        &[
            "http_service.http_options.h2_backend is true in the file and false on Fly",
            "console_command is not in the file and \"/bin/sh\" on Fly",
            "secret FIREBASE_PROJECT_ID is not set",
            "secret DEBUG is no setting",
            "secret LISTEN_ADDR hides the value in the file",
            "JWKS_URL is set: tokens are taken that Firebase has not signed",
            "runs commit another",
        ],
    );
}

#[tokio::test]
async fn status_tells_what_runs() {
    let fly = Fly::running();
    fly.run(&["status", "user"]).await.is(0, &["1 machines", "fra", "suspended", OLD]);
    let sick = fly.get("machines.json").replace("suspended", "started");
    fly.set(
        "machines.json",
        &sick.replace("\"checks\": []", r#""checks": [{"status": "critical"}]"#),
    );
    fly.run(&["status", "user"]).await.is(1, &["checks 0/1", "not all is well"]);
    fly.run(&["status"]).await.is(1, &["staging-all: there is no such app"]);
}

#[tokio::test]
async fn where_no_app_is_found_nothing_is_well_and_nothing_is_without_drift() {
    let fly = Fly::new();
    let told =
        ["staging-user: there is no such app", "are --env and --prefix those of the deploy?"];
    for arguments in [["drift"].as_slice(), &["drift", "user"], &["status"], &["status", "user"]] {
        fly.run(arguments).await.is(1, &told);
    }
}
