//! Told to stop: what is under way finishes, nothing new begins, and there is a hard end.

use std::{fs::File, os::unix::fs::OpenOptionsExt, process::Command};

use proto::{
    auth::v1::RegisterRequest,
    user::v1::{CreateProfileRequest, Profile},
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use tests::{Person, keyed, world};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Environment, NOWHERE, Serving, get, lines,
    own::with_firebase,
    program::{ALL, Program, eventually},
    secs,
};
use crate::auth::{accounts::mail, front::Front};

/// `O_NONBLOCK`, as Linux has it.
const WITHOUT_WAITING: i32 = 0o4000;

/// A process whose calls wait: the owner holds the table that they write to.
struct Held {
    serving: Serving,
    owner: PgConnection,
}

impl Held {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let database = world().new_database().await;
        let environment = Environment::of(&world().runtime_url(&database)).with_issuer();
        let environment = settings
            .iter()
            .fold(environment, |environment, (name, value)| environment.with(name, *value));
        let serving = Serving::start(&environment).await;
        let mut owner = PgConnection::connect(&world().owner_url(&database)).await.unwrap();
        run(&mut owner, "begin; lock table mayfly_user.profile in access exclusive mode").await;
        Self { serving, owner }
    }

    /// Waits until so many calls wait.
    async fn has_waiting(&mut self, calls: i64) {
        let query = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
            where datname = current_database() and not granted";
        for _ in 0..500 {
            #[expect(clippy::disallowed_methods, reason = "a test looks from outside")]
            let waiting: i64 = sqlx::query_scalar(query).fetch_one(&mut self.owner).await.unwrap();
            if waiting == calls {
                return;
            }
            sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("not within 5 s: {calls} calls that wait");
    }

    async fn release(&mut self) {
        run(&mut self.owner, "rollback").await;
    }
}

async fn run(connection: &mut PgConnection, statements: &str) {
    raw_sql(AssertSqlSafe(statements.to_owned())).execute(connection).await.unwrap();
}

fn create(handle: &str) -> CreateProfileRequest {
    let profile =
        Profile { handle: handle.into(), display_name: handle.into(), ..Default::default() };
    CreateProfileRequest { profile: Some(profile) }
}

async fn drains(signal: &str) {
    let mut held = Held::start(&[]).await;
    let (ada, bob) = (held.serving.person("ada"), held.serving.person("bob"));
    let mut user = ada.user();
    let message = json!({ "profile": { "handle": "bob", "displayName": "Bob" } });

    let (over_grpc, over_http, ended) = tokio::join!(
        user.create_profile(keyed(create("ada"))),
        bob.json("CreateProfile", &message),
        async {
            held.has_waiting(2).await;
            assert_eq!(get(held.serving.address, "/healthz").await.unwrap().0, 200);
            held.serving.program.signal(signal);
            let give_up = Instant::now() + secs(5);
            while held.serving.is_listening().await {
                assert!(Instant::now() < give_up, "it still takes connections");
                sleep(std::time::Duration::from_millis(5)).await;
            }
            let ready = get(held.serving.internal, "/health/ready").await;
            assert_eq!(ready, Some((503, "draining\n".to_owned())));
            held.release().await;
            held.serving.program.end(secs(5)).await
        }
    );

    assert_eq!(over_grpc.unwrap().into_inner().handle, "ada");
    assert_eq!(over_http.0, 200, "{over_http:?}");
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stderr, "");
    assert!(ended.stdout.contains("drained") && !ended.stdout.contains("cut short"), "{ended:?}");
}

#[tokio::test]
async fn sigterm_lets_calls_finish_and_begins_none() {
    drains("TERM").await;
}

#[tokio::test]
async fn sigint_lets_calls_finish_and_begins_none() {
    drains("INT").await;
}

#[tokio::test]
async fn a_call_that_does_not_finish_is_cut_when_the_drain_is_over() {
    let mut held = Held::start(&[("DRAIN_SECS", "1")]).await;
    let ada = held.serving.person("ada");
    let mut user = ada.user();
    let (call, (ended, took)) = tokio::join!(user.create_profile(keyed(create("ada"))), async {
        held.has_waiting(1).await;
        let told = Instant::now();
        held.serving.program.signal("TERM");
        let ended = held.serving.program.end(secs(5)).await;
        (ended, told.elapsed())
    });
    let status = call.unwrap_err();
    let told = tests::told(&status);
    assert_eq!((told.code, &*told.reason), (tonic::Code::Unavailable, "DRAINING"));
    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"), "{status:?}");
    assert!(took >= secs(1), "{took:?}: {ended:?}");
    assert_eq!(ended.code(), Some(143), "{ended:?}");
    assert!(ended.stdout.contains("drain cut short"), "{ended:?}");
    // Its transaction went with it.
    timeout(secs(5), held.has_waiting(0)).await.unwrap();
}

#[tokio::test]
async fn what_a_caller_has_left_is_done_before_the_drain_is_over() {
    let database = world().new_database().await;
    let front = Front::open().await;
    let environment = Environment::of(&world().runtime_url(&database)).with_issuer();
    let environment = with_firebase(environment).with("IDENTITY_TOOLKIT_URL", front.url());
    let mut serving = Serving::of(&mut environment.command_of(ALL.as_ref(), &[])).await;
    let mut held = front.holds("accounts:signUp");
    let stranger = Person::new(serving.address, "nobody", None);
    let mut auth = stranger.auth();
    let email = "left-before-the-drain@example.com".to_owned();
    let request = RegisterRequest { email: email.clone(), password: "correct horse".to_owned() };
    tokio::select! {
        answer = auth.register(request) => panic!("{answer:?}"),
        () = held.came() => {}
    }
    drop((auth, stranger));
    serving.program.signal("TERM");
    // With nothing under way it would be gone by then.
    sleep(secs(3)).await;
    held.goes();

    let ended = serving.program.end(secs(10)).await;
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(mail(&email).await, ["VERIFY_EMAIL"]);
    // It is in the log as well, long after the line of its call.
    let lines = lines(&ended.stdout);
    let events: Vec<_> = lines.iter().filter_map(|line| line.get("event")?.as_str()).collect();
    assert_eq!(events, ["register_begun", "registered"]);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for (first, second, code) in [("TERM", "TERM", 143), ("INT", "INT", 130), ("TERM", "INT", 130)]
    {
        let mut held = Held::start(&[]).await;
        let ada = held.serving.person("ada");
        let mut user = ada.user();
        let (call, ended) = tokio::join!(user.create_profile(keyed(create("ada"))), async {
            held.has_waiting(1).await;
            held.serving.program.signal(first);
            held.serving
                .program
                .line("drain", |line| line.contains("draining").then_some(()))
                .await;
            held.serving.program.signal(second);
            held.serving.program.end(secs(5)).await
        });
        call.unwrap_err();
        assert_eq!(ended.code(), Some(code), "{ended:?}");
    }
}

#[tokio::test]
async fn with_nothing_under_way_it_is_gone_at_once() {
    let environment = Environment::of(NOWHERE);
    let mut serving = Serving::start(&environment).await;
    assert_eq!(get(serving.address, "/healthz").await.unwrap().0, 200);
    // A client that keeps its connection, and has nothing to ask.
    let idle = serving.person("ada");
    let (status, _body) = idle.json("GetProfile", &json!({})).await;
    assert!(status >= 400);
    drop(idle.user().create_profile(keyed(create("ada"))).await.unwrap_err());
    serving.program.signal("TERM");
    let ended = serving.program.end(secs(5)).await;
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    eventually(5, "nobody listens", || {
        std::net::TcpStream::connect(serving.address).is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_signal_before_the_settings_are_read_ends_it_as_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());
    let environment = Environment::of(NOWHERE).with("MAYFLY_CONFIG", config.to_str().unwrap());
    for (arguments, code) in [(&[][..], 0), (&["migrate"], 143)] {
        let mut program = Program::start(&mut environment.command(arguments));
        // A pipe that nobody reads is not opened; one that has a writer is read until it leaves.
        let open = || File::options().write(true).custom_flags(WITHOUT_WAITING).open(&config).ok();
        let _writer = eventually(20, "the settings are read", open).await;
        program.signal("TERM");
        let ended = program.end(secs(5)).await;
        assert_eq!(ended.code(), Some(code), "{ended:?}");
    }
}
