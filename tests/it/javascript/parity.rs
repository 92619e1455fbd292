//! Every way to fail that can be had without a hook, over every client: the same code, message,
//! details and id in each, before and after a stream's first messages.

use futures_util::future::join_all;
use proto::user::v1::Profile;
use serde_json::{Value, json};
use sqlx::Connection;
use tests::{App, until};

use crate::javascript::{
    PATIENCE, anonymous, app_for, call, change,
    clients::{CLIENTS, Call, Client, Clients, Within},
    count, create, lock_profiles,
    table::{Table, Told, end, identified, stream, unary},
    under, users, watches_of,
};

/// The largest message that is read, and more than a connection takes in before it is refused.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
const TOO_LARGE: usize = 5 << 19;

/// The ways to fail that are tried, and three calls that do not.
const ROWS: usize = 28;

/// A contract that only the clients have.
const LATER: &str = "mayfly.later.v1.LaterService";

#[tokio::test]
async fn every_client_is_told_the_same() {
    let Some(clients) = Clients::start().await else { return };
    let bytes_max = MESSAGE_BYTES_MAX.to_string();
    let app = app_for(&clients).with("MAX_MESSAGE_BYTES", bytes_max).start().await;
    let mut table = Table::default();

    answers(&clients, &app, &mut table).await;
    refusals(&clients, &app, &mut table).await;
    failures(&clients, &app, &mut table).await;
    streams_that_do_not_begin(&clients, &app, &mut table).await;
    streams_that_end(&clients, app, &mut table).await;

    table.print();
    table.holds();
    // No row has 1, which a client tells itself; 2, which nothing here is told as; or 15, which is
    // INTEGRITY: nothing that is served so far has a seal to be broken.
    let codes: Vec<_> = (0..=14).chain([16]).filter(|code| ![1, 2].contains(code)).collect();
    assert_eq!(table.codes(), codes);
    assert_eq!(table.cells(), ROWS * CLIENTS.len());
    clients.end().await;
}

async fn answers(clients: &Clients, app: &App, table: &mut Table) {
    let created = table
        .ask(clients, unary("a profile is created", 0, ""), |client| create(app, client))
        .await;
    for (client, messages) in CLIENTS.into_iter().zip(&created) {
        let [profile] = &messages[..] else { panic!("{}: {messages:?}", client.title()) };
        assert_eq!(profile["handle"], client.person());
    }
    let repeated = table
        .ask(clients, unary("and again under its key", 0, ""), |client| create(app, client))
        .await;
    assert_eq!(repeated, created);
    let read = table
        .ask(clients, unary("and read", 0, ""), |client| {
            call(app, client, "GetProfile", &json!({}))
        })
        .await;
    assert_eq!(read, created);
}

async fn refusals(clients: &Clients, app: &App, table: &mut Table) {
    let update = |client: Client, profile: Value| {
        under("update", call(app, client, "UpdateProfile", &json!({ "profile": profile })))
    };
    app.person("taken").creates_public_profile("taken").await;

    let expected = unary("fields that break the contract", 3, "INVALID_ARGUMENT");
    let wrong = json!({ "handle": "a", "displayName": "x".repeat(81), "avatarFileId": "no-uuid" });
    table.ask(clients, expected, |client| update(client, wrong.clone())).await;

    let expected = unary("no idempotency key", 3, "IDEMPOTENCY_KEY_MISSING");
    let nothing = json!({ "profile": {} });
    table.ask(clients, expected, |client| call(app, client, "CreateProfile", &nothing)).await;

    let expected = unary("nobody's profile", 5, "NOT_FOUND");
    let nobody = json!({ "userId": "nobody" });
    table.ask(clients, expected, |client| call(app, client, "GetProfile", &nobody)).await;

    let expected = unary("a second profile", 6, "PROFILE_EXISTS");
    table.ask(clients, expected, |client| under("second", create(app, client))).await;

    let expected = unary("a handle that is taken", 6, "HANDLE_TAKEN");
    table.ask(clients, expected, |client| update(client, json!({ "handle": "taken" }))).await;

    let expected = unary("a role that the caller lacks", 7, "ROLE_REQUIRED");
    table
        .ask(clients, expected, |client| {
            let mut set = call(app, client, "", &json!({ "userId": "taken", "roles": ["admin"] }));
            set["path"] = json!("mayfly.auth.v1.AuthService/SetRoles");
            set
        })
        .await;

    let expected = unary("a message that is too large", 8, "MESSAGE_TOO_LARGE");
    let large = json!({ "bio": "x".repeat(TOO_LARGE) });
    table.ask(clients, expected, |client| update(client, large.clone())).await;

    let expected = unary("another version's etag", 9, "ETAG_MISMATCH");
    let stale = json!({ "bio": "b", "etag": "stale" });
    table.ask(clients, expected, |client| update(client, stale.clone())).await;

    let expected = unary("another request's key", 9, "IDEMPOTENCY_KEY_REUSED");
    let other = json!({ "profile": { "handle": "other", "displayName": "other" } });
    table
        .ask(clients, expected, |client| {
            under("create", call(app, client, "CreateProfile", &other))
        })
        .await;

    let expected = unary("a later version's method", 12, "UNIMPLEMENTED");
    let later = format!("{LATER}/GetLater");
    table.ask(clients, expected, |_client| anonymous(app, &later, &json!({}))).await;

    let expected = unary("no token", 16, "TOKEN_MISSING");
    let get = users("GetProfile");
    table.ask(clients, expected, |_client| anonymous(app, &get, &json!({}))).await;

    let expected = unary("a forged token, and a large message", 16, "TOKEN_INVALID");
    table
        .ask(clients, expected, |client| {
            let mut update = update(client, large.clone());
            update["headers"]["authorization"] = json!("Bearer forged");
            update
        })
        .await;
}

async fn failures(clients: &Clients, app: &App, table: &mut Table) {
    let hurried = app_for(clients).database(&app.database).with("MAX_DEADLINE_MS", "700");
    let hurried = hurried.start().await;
    let profiles = lock_profiles(&hurried).await;
    let expected = unary("a statement that waits", 4, "DEADLINE_EXCEEDED");
    table.ask(clients, expected, |client| call(&hurried, client, "GetProfile", &json!({}))).await;
    profiles.close().await.unwrap();
    hurried.stopped().await;

    // Nothing of ours writes what cannot be opened: whoever finds it has found a bug.
    app.sql("update mayfly.exactly_once set answer = '\\x00'").await;
    let expected = unary("a stored answer that was tampered with", 13, "INTERNAL");
    table.ask(clients, expected, |client| create(app, client)).await;

    app.sql(IN_THE_WAY).await;
    let expected = unary("writers that are always in the way", 10, "CONFLICT");
    table
        .ask(clients, expected, |client| {
            let to = json!({ "profile": { "bio": "in the way" } });
            under("in_the_way", call(app, client, "UpdateProfile", &to))
        })
        .await;
    app.sql("drop function mayfly_user.in_the_way() cascade").await;

    let down = down(clients).await;
    let expected = unary("a database that is down", 14, "DB_UNAVAILABLE");
    table.ask(clients, expected, |client| call(&down, client, "GetProfile", &json!({}))).await;
}

/// Every update fails as one does that met another.
const IN_THE_WAY: &str = "
    create function mayfly_user.in_the_way() returns trigger language plpgsql as $$
    begin
        raise exception using errcode = 'serialization_failure';
    end $$;
    create trigger in_the_way before update on mayfly_user.profile
        for each row execute function mayfly_user.in_the_way()";

/// An app without its database: nobody listens on the discard port.
async fn down(clients: &Clients) -> App {
    let nowhere = "postgres://mayfly@127.0.0.1:9/mayfly";
    app_for(clients).with("DATABASE_URL", nowhere).start().await
}

async fn streams_that_do_not_begin(clients: &Clients, app: &App, table: &mut Table) {
    let watch = |client: Client, message: &Value| call(app, client, "WatchProfiles", message);

    let expected = stream("watch: fields that break the contract", 3, "INVALID_ARGUMENT");
    let many: Vec<_> = (0..101).map(|number| number.to_string()).collect();
    let many = json!({ "userIds": many });
    table.ask(clients, expected, |client| watch(client, &many)).await;

    // Over HTTP/2, Connect's own Node client waits for ever to send what nobody reads: this message
    // is sent before it is refused.
    let strict = app_for(clients).with("MAX_MESSAGE_BYTES", "65536").start().await;
    let expected = stream("watch: a message that is too large", 8, "MESSAGE_TOO_LARGE");
    let large = json!({ "userIds": ["x".repeat(100_000)] });
    table.ask(clients, expected, |client| call(&strict, client, "WatchProfiles", &large)).await;

    let expected = stream("watch: a later version's method", 12, "UNIMPLEMENTED");
    let later = format!("{LATER}/WatchLater");
    table.ask(clients, expected, |_client| anonymous(app, &later, &json!({}))).await;

    let down = down(clients).await;
    let expected = stream("watch: a database that is down", 14, "DB_UNAVAILABLE");
    table.ask(clients, expected, |client| call(&down, client, "WatchProfiles", &json!({}))).await;

    let expected = stream("watch: no token", 16, "TOKEN_MISSING");
    let path = users("WatchProfiles");
    table.ask(clients, expected, |_client| anonymous(app, &path, &json!({}))).await;
}

async fn streams_that_end(clients: &Clients, mut app: App, table: &mut Table) {
    // `buf curl` keeps the header to itself, and so ends by its own timer.
    let own_timer = |client: Client| client.within == Within::Nothing && client.has_streams();
    let row = CLIENTS.map(|client| {
        let mut watch = call(&app, client, "WatchProfiles", &json!({}));
        if own_timer(client) {
            watch["timeoutMs"] = json!(8000);
        } else if client.has_streams() {
            watch["headers"]["grpc-timeout"] = json!("5S");
        }
        let (watch, id) = identified(watch);
        let begun = clients.begin(client, &watch);
        async move {
            let (messages, told) = end(begun, &id).await;
            assert_eq!(!messages.is_empty(), client.has_streams(), "{}: {told}", client.title());
            (messages, Told { client, end: told, is_by_client: own_timer(client) })
        }
    });
    let (messages, row): (Vec<_>, Vec<_>) = join_all(row).await.into_iter().unzip();
    table.add(stream("watch: the deadline, after messages", 4, "DEADLINE_EXCEEDED"), &row);

    // As if the log had been made anew.
    app.sql("update mayfly.change_log set id = gen_random_uuid()").await;
    let cursor = |client: Client| {
        let own = CLIENTS.iter().position(|one| *one == client).and_then(|n| messages[n].last());
        own.map_or(Value::Null, |message| message["cursor"].clone())
    };
    let expected = stream("watch: a cursor of another log", 11, "CURSOR_EXPIRED");
    table
        .ask(clients, expected, |client| {
            call(&app, client, "WatchProfiles", &json!({ "cursor": cursor(client) }))
        })
        .await;

    // Whoever watches a log that is made anew is told with its next change.
    let watches = watch_all(clients, &app).await;
    app.sql("update mayfly.change_log set id = gen_random_uuid()").await;
    for client in CLIENTS {
        let to = Profile { bio: "another log's".to_owned(), ..Profile::default() };
        change(&app, &client.person(), to).await;
    }
    let row = ends(watches).await;
    table.add(stream("watch: the log made anew, after messages", 11, "CURSOR_EXPIRED"), &row);

    let watches = watch_all(clients, &app).await;
    app.stop();
    table.add(stream("watch: the drain, after messages", 14, "DRAINING"), &ends(watches).await);
    app.stopped().await;
}

type Watch<'c> = (Client, Call<'c>, String);

/// Has every client watch its person's profile, and hear of it.
async fn watch_all<'c>(clients: &'c Clients, app: &App) -> Vec<Watch<'c>> {
    let begin = |client: Client| {
        let (watch, id) = identified(call(app, client, "WatchProfiles", &json!({})));
        (client, clients.begin(client, &watch), id)
    };
    let (before, ended) = watches_of(app).await;
    // Those that tell nothing before the end come first, and so have heard when the others have.
    let (others, late): (Vec<_>, Vec<_>) =
        CLIENTS.into_iter().partition(|client| client.hears_at_once() || !client.has_streams());
    let mut watches: Vec<_> = late.into_iter().map(begin).collect();
    let late = count(watches.len());
    until("they watch", PATIENCE, async || watches_of(app).await.0 == before + late).await;
    watches.extend(others.into_iter().map(begin));
    for (client, watch, _id) in &mut watches {
        if client.hears_at_once() {
            watch.message().await;
        }
    }
    let refused = count(CLIENTS.into_iter().filter(|client| !client.has_streams()).count());
    let expected = (before + count(CLIENTS.len()), ended + refused);
    until("they watch", PATIENCE, async || watches_of(app).await == expected).await;
    watches.sort_by_key(|(client, ..)| CLIENTS.iter().position(|one| one == client));
    watches
}

async fn ends(watches: Vec<Watch<'_>>) -> Vec<Told> {
    let mut row = Vec::new();
    for (client, watch, id) in watches {
        let (messages, told) = end(watch, &id).await;
        // The others have told theirs.
        let has_heard = client.hears_at_once() || client.has_streams() != messages.is_empty();
        assert!(has_heard, "{}: {messages:?}, {told}", client.title());
        row.push(Told { client, end: told, is_by_client: false });
    }
    row
}
