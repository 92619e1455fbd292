//! Clients that other people made for JavaScript and for the command line, in Node, in Chromium and
//! by themselves: what each of them does, and that all of them are told the same.

mod project;
mod host;
mod clients;
mod table;
mod parity;
mod firebase;
#[expect(dead_code, reason = "its scripts are not run here")]
#[expect(clippy::duplicate_mod, reason = "grpcio's tests keep it to themselves")]
#[path = "grpcio/python.rs"]
mod python;

use std::time::Duration;

use proto::user::v1::{Profile, UpdateProfileRequest};
use serde_json::{Map, Value, json};
use sqlx::{Connection, Executor, PgConnection, raw_sql};
use tests::{App, AppBuilder, keyed, until, world};

use crate::{
    grpcio::make_large_page,
    javascript::clients::{CLIENTS, Client, Clients, Within},
};

/// How long to wait for what takes no time at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// How soon the server counts a call whose client has gone.
const NOTICED_MAX: Duration = Duration::from_secs(1);

/// A request that is larger than what a stream takes in at once, and what stands in it before its one
/// text.
const LARGE_BYTES: usize = 271_828;
const LARGE_HEAD_BYTES: usize = 4;

/// An app whose listed origin is that of the clients' pages.
fn app_for(clients: &Clients) -> AppBuilder {
    // All clients at once, each with a statement that waits, on a machine that browsers keep busy.
    let app = App::builder().with("CORS_ORIGINS", &*clients.listed);
    app.with("DB_POOL_MAX", "30").with("DB_WAIT_MS_MAX", "5000")
}

/// A call by a stranger.
fn anonymous(app: &App, path: &str, message: &Value) -> Value {
    json!({ "address": app.address.to_string(), "path": path, "message": message, "headers": {} })
}

/// A call of the `user` function by the client's own person.
fn call(app: &App, client: Client, method: &str, message: &Value) -> Value {
    let mut call = anonymous(app, &users(method), message);
    let token = world().issuer.id_token(&client.person(), &Map::new());
    call["headers"]["authorization"] = json!(format!("Bearer {token}"));
    call
}

fn users(method: &str) -> String {
    format!("mayfly.user.v1.UserService/{method}")
}

/// The same call, under an idempotency key.
fn under(key: &str, mut call: Value) -> Value {
    call["headers"]["idempotency-key"] = json!(key);
    call
}

/// The client's person makes a profile.
fn create(app: &App, client: Client) -> Value {
    let person = client.person();
    let profile = json!({ "profile": { "handle": person, "displayName": person } });
    under("create", call(app, client, "CreateProfile", &profile))
}

fn profiles() -> &'static str {
    "select count(*) from mayfly_user.profile"
}

/// Keeps everybody from the profiles, until it is closed.
async fn lock_profiles(app: &App) -> PgConnection {
    let mut owner = app.owner().await;
    let lock = raw_sql("begin; lock table mayfly_user.profile in access exclusive mode");
    owner.execute(lock).await.unwrap();
    owner
}

/// Waits until this many statements wait for the lock.
async fn are_waiting(app: &App, expected: usize) {
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() \
                   and application_name = 'mayfly_user' and wait_event_type = 'Lock'";
    let expected = i64::try_from(expected).unwrap();
    until("statements wait", PATIENCE, async || app.sql_count(waiting).await == expected).await;
}

/// The sum of a metric's series with these labels.
async fn metric(app: &App, name: &str, labels: &[(&str, &str)]) -> u64 {
    let (_status, text) = app.internal("/metrics").await;
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let lines = text.lines().filter(|line| line.starts_with(name));
    let lines = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

async fn handled(app: &App, method: &str, code: &str) -> u64 {
    let labels = [("grpc_method", method), ("grpc_code", code)];
    metric(app, "grpc_server_handled_total", &labels).await
}

/// Waits until calls have ended so.
async fn ends_as(app: &App, method: &str, code: &str, expected: usize, limit: Duration) {
    let expected = count(expected);
    let what = format!("{expected} of {method} end with {code}");
    until(&what, limit, async || handled(app, method, code).await == expected).await;
}

/// How many watches have begun so far, and how many have ended.
async fn watches_of(app: &App) -> (u64, u64) {
    let labels = [("grpc_method", "WatchProfiles")];
    let begun = metric(app, "grpc_server_started_total", &labels).await;
    (begun, metric(app, "grpc_server_handled_total", &labels).await)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}

#[tokio::test]
async fn a_deadline_ends_the_call_at_both_ends_and_the_statement() {
    let Some(clients) = Clients::start().await else { return };
    let app = app_for(&clients).start().await;
    // The time runs while a browser starts.
    let starts =
        CLIENTS.map(|client| clients.begin(client, &call(&app, client, "GetProfile", &json!({}))));
    for start in starts {
        start.end().await;
    }
    let lock = lock_profiles(&app).await;

    let calls = CLIENTS.map(|client| {
        let mut create = create(&app, client);
        // A program's time includes its start.
        let is_program = client.within == Within::Nothing;
        create["timeoutMs"] = json!(if is_program { 4000 } else { 2000 });
        clients.begin(client, &create)
    });
    for (client, call) in CLIENTS.into_iter().zip(calls) {
        let (messages, told) = call.end().await;
        assert_eq!(told["code"], 4, "{}: {told}", client.title());
        assert_eq!(messages.len(), 0, "{}", client.title());
    }
    are_waiting(&app, 0).await;

    // A client's time also runs while it starts, connects and asks first: beside other clients it
    // may be over before the call is sent.
    let of_creates = [("grpc_method", "CreateProfile")];
    let begun = async || metric(&app, "grpc_server_started_total", &of_creates).await;
    let ended = async || metric(&app, "grpc_server_handled_total", &of_creates).await;
    until("all that began have ended", PATIENCE, async || begun().await == ended().await).await;
    assert_eq!(handled(&app, "CreateProfile", "OK").await, 0);
    assert!(begun().await * 2 >= count(CLIENTS.len()), "{} have begun", begun().await);
    lock.close().await.unwrap();
    assert_eq!(app.sql_count(profiles()).await, 0);
    clients.end().await;
}

#[tokio::test]
async fn a_cancel_ends_the_call_at_both_ends_and_the_statement() {
    let Some(clients) = Clients::start().await else { return };
    let app = app_for(&clients).start().await;
    let lock = lock_profiles(&app).await;

    // One after the other: on a busy machine the first has waited its time before the last begins.
    for client in CLIENTS {
        let call = clients.begin(client, &create(&app, client));
        are_waiting(&app, 1).await;
        call.cancel();
        are_waiting(&app, 0).await;
        let (messages, told) = call.end().await;
        // A program that is interrupted has nobody left to tell.
        let is_told = told["code"] == 1 || client.within == Within::Nothing;
        assert!(is_told && messages.is_empty(), "{}: {told}", client.title());
    }
    ends_as(&app, "CreateProfile", "Canceled", CLIENTS.len(), NOTICED_MAX).await;

    lock.close().await.unwrap();
    assert_eq!(app.sql_count(profiles()).await, 0);
    clients.end().await;
}

#[tokio::test]
async fn a_stream_is_heard_message_by_message_until_it_is_cancelled() {
    let Some(clients) = Clients::start().await else { return };
    let app = app_for(&clients).start().await;
    let ada = app.person("ada");
    ada.creates_public_profile("ada").await;
    let streaming = || CLIENTS.into_iter().filter(|client| client.has_streams());

    let of_ada = json!({ "userIds": ["ada"] });
    let watches = streaming().map(|client| {
        let watch = call(&app, client, "WatchProfiles", &of_ada);
        (client, clients.begin(client, &watch))
    });
    let mut watches: Vec<_> = watches.collect();
    for bio in ["", "first", "second"] {
        if !bio.is_empty() {
            change(&app, "ada", Profile { bio: bio.to_owned(), ..Profile::default() }).await;
        }
        for (client, watch) in watches.iter_mut().filter(|(client, _)| client.hears_at_once()) {
            // Between changes it is said that there is none.
            let profile = loop {
                let mut message = watch.message().await;
                if message["profile"].is_object() {
                    break message["profile"].take();
                }
            };
            assert_eq!(profile["bio"].as_str().unwrap_or_default(), bio, "{}", client.title());
        }
    }
    let all = (count(watches.len()), 0);
    until("they watch", PATIENCE, async || watches_of(&app).await == all).await;
    for (_client, watch) in &watches {
        watch.cancel();
    }
    ends_as(&app, "WatchProfiles", "Canceled", watches.len(), NOTICED_MAX).await;
    for (client, watch) in watches {
        let (_messages, told) = watch.end().await;
        let is_told = told["code"] == 1 || client.within == Within::Nothing;
        assert!(is_told, "{}: {told}", client.title());
    }
    clients.end().await;
}

/// As gRPC's interop case `large_unary` has them. The field that the request's own contract does not
/// know is passed over; that it was read shows where one byte less is allowed.
#[tokio::test]
async fn messages_above_a_streams_window_are_read_and_come_whole() {
    let Some(clients) = Clients::start().await else { return };
    let app = app_for(&clients).with("MAX_MESSAGE_BYTES", LARGE_BYTES.to_string()).start().await;
    let less = (LARGE_BYTES - 1).to_string();
    let strict = app_for(&clients).database(&app.database).with("MAX_MESSAGE_BYTES", less);
    let strict = strict.start().await;
    make_large_page(&app).await;
    let page = json!({ "pageSize": 200, "handlePrefix": "large" });
    let filler = "x".repeat(LARGE_BYTES - LARGE_HEAD_BYTES);

    for client in CLIENTS.into_iter().filter(|client| client.within == Within::Node) {
        let (messages, told) =
            clients.begin(client, &call(&app, client, "ListProfiles", &page)).end().await;
        assert_eq!(told["code"], 0, "{}: {told}", client.title());
        let profiles = messages[0]["profiles"].as_array().unwrap();
        let is_whole = |profile: &Value| profile["bio"] == "\u{1F980}".repeat(500);
        assert!(profiles.len() == 200 && profiles.iter().all(is_whole), "{}", client.title());

        // In JSON nobody sends what they do not know.
        if client.name == "connect-web connect" {
            continue;
        }
        clients.begin(client, &create(&app, client)).end().await;
        for (app, code) in [(&app, 0), (&strict, 8)] {
            let mut get = call(app, client, "GetProfile", &json!({ "pageToken": filler }));
            get["of"] = json!("mayfly.user.v1.ListProfilesRequest");
            let (_messages, told) = clients.begin(client, &get).end().await;
            assert_eq!(told["code"], code, "{}: {told}", client.title());
        }
    }
    clients.end().await;
}

/// Changes a person's profile, as a client of our own.
async fn change(app: &App, uid: &str, profile: Profile) {
    let request = keyed(UpdateProfileRequest { profile: Some(profile), update_mask: None });
    app.person(uid).user().update_profile(request).await.unwrap();
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_before_the_handler() {
    let Some(clients) = Clients::start().await else { return };
    let app = app_for(&clients).start().await;
    let in_chromium = || CLIENTS.into_iter().filter(|client| client.is_in_chromium());
    let received = async || {
        let labels = [("grpc_service", "mayfly.user.v1.UserService")];
        metric(&app, "grpc_server_msg_received_total", &labels).await
    };

    for client in in_chromium() {
        let refused = clients.begin_at(&clients.foreign, client, &create(&app, client));
        let (messages, told) = refused.end().await;
        assert_ne!(told["code"], 0, "{}: {told}", client.title());
        // A page learns nothing from the refusal: not even its id.
        assert_eq!((messages, &told["requestIds"]), (vec![], &json!([])), "{}", client.title());
    }
    // What needs no preflight is sent, and is refused by the server itself.
    let url = format!("http://{}/{}", app.address, users("CreateProfile"));
    let order = json!({ "origin": clients.foreign, "url": url, "body": "{}" });
    assert_eq!(clients.has_done("post", order).await, "opaque");
    assert_eq!((received().await, app.sql_count(profiles()).await), (0, 0));
    assert_eq!(handled(&app, "CreateProfile", "OK").await, 0);

    for client in in_chromium() {
        let (_messages, told) = clients.begin(client, &create(&app, client)).end().await;
        assert_eq!(told["code"], 0, "{}: {told}", client.title());
    }
    until("four are received", NOTICED_MAX, async || received().await == 4).await;
    assert_eq!(app.sql_count(profiles()).await, 4);
    clients.end().await;
}

#[tokio::test]
async fn a_page_creates_a_profile_and_watches_it_change() {
    let Some(clients) = Clients::start().await else { return };
    let app = app_for(&clients).start().await;

    let (server, issuer) = (app.address, world().issuer_address);
    let query = format!("server=http://{server}&issuer=http://{issuer}");
    let page = clients.open(&format!("{}/page?{query}", clients.listed)).await;
    let fill = json!({ "page": page, "selector": "#handle", "text": "ada" });
    clients.has_done("fill", fill).await;
    clients.has_done("click", json!({ "page": page, "selector": "button" })).await;
    let shows = async |selector: &str| {
        clients.has_done("shows", json!({ "page": page, "selector": selector })).await
    };
    assert_eq!(shows("#seen li:nth-child(1)").await, "ada: ada");

    let who = shows("#who").await;
    let to = Profile { display_name: "Ada, Countess".to_owned(), ..Profile::default() };
    change(&app, who.as_str().unwrap(), to).await;
    assert_eq!(shows("#seen li:nth-child(2)").await, "ada: Ada, Countess");
    assert_eq!(shows("#error").await, "");
    clients.end().await;
}
