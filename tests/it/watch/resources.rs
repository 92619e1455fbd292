//! What a watch costs, and what becomes of it when its means are taken away.

use std::{net::SocketAddr, time::Duration};

use clock::Clock;
use proto::user::v1::{
    WatchProfilesRequest, WatchProfilesResponse, user_service_client::UserServiceClient,
    watch_profiles_response::Event,
};
use tests::{
    App, Person, Proxy,
    storm::{Storm, function},
    until, world,
};
use tokio::time::{Instant, advance, pause, resume, sleep};
use tonic::{Request, Streaming, transport::Endpoint};

use super::{LIMIT, Watching, create, is_settled, say, told};

/// A watch is told within this, notified or not, once nothing is open that began earlier.
const POLLED_MAX: Duration = Duration::from_secs(3);

async fn sessions(app: &App, application: &str) -> i64 {
    let sessions = "select count(*) from pg_stat_activity where datname = current_database()";
    app.sql_count(&format!("{sessions} and application_name = '{application}'")).await
}

#[tokio::test]
async fn a_process_listens_on_one_connection_while_somebody_watches() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    create(&ada, "ada").await;
    assert_eq!(sessions(&app, "mayfly_listen").await, 0);
    let mut watching = Vec::new();
    for _ in 0..5 {
        watching.push(Watching::begin(&ada, &[]).await);
    }
    until("it listens", LIMIT, || async { sessions(&app, "mayfly_listen").await == 1 }).await;
    drop(watching);
    until("it stops", LIMIT, || async { sessions(&app, "mayfly_listen").await == 0 }).await;
}

#[tokio::test]
async fn a_watch_goes_on_when_a_network_has_forgotten_its_connections() {
    let near = App::start().await;
    let proxy = Proxy::open();
    let far =
        App::builder().database(&near.database).with("DATABASE_URL", proxy.url(&near.database));
    let far = far.start().await;
    let ada = near.person("ada-uid");
    create(&ada, "ada").await;
    let mut watching = Watching::begin(&far.person("ada-uid"), &[]).await;
    watching.until_caught_up().await;
    until("it listens", LIMIT, || async { sessions(&far, "mayfly_listen").await == 1 }).await;
    // Nobody tells those who look and listen, and their reads have no deadline near.
    proxy.lose();
    let said = say(&ada, "told in the end").await;
    assert_eq!(watching.next().await, told(&said));
}

/// Without notifications each would come with the next look, a second later.
#[tokio::test]
async fn another_process_is_told_of_changes_at_once() {
    let (near, mut took) = (App::start().await, Duration::ZERO);
    let far = App::builder().database(&near.database).start().await;
    let ada = far.person("ada-uid");
    create(&ada, "ada").await;
    let mut watching = Watching::begin(&near.person("ada-uid"), &[]).await;
    watching.until_caught_up().await;
    until("it listens", LIMIT, || async { sessions(&near, "mayfly_listen").await == 1 }).await;
    for n in 0..10 {
        let said = say(&ada, &n.to_string()).await;
        until("nothing is open", LIMIT, || is_settled(&near)).await;
        let since = Instant::now();
        assert_eq!(watching.next().await, told(&said));
        took += since.elapsed();
    }
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn changes_are_told_without_notifications() {
    let deaf = App::builder().with("DATABASE_DIRECT_URL", "postgres://nobody@127.0.0.1:1/none");
    let deaf = deaf.start().await;
    let far = App::builder().database(&deaf.database).start().await;
    let ada = far.person("ada-uid");
    create(&ada, "ada").await;
    let mut watching = Watching::begin(&deaf.person("ada-uid"), &[]).await;
    watching.until_caught_up().await;
    for n in 0..3 {
        let said = say(&ada, &n.to_string()).await;
        until("nothing is open", LIMIT, || is_settled(&far)).await;
        let since = Instant::now();
        assert_eq!(watching.next().await, told(&said));
        assert!(since.elapsed() < POLLED_MAX, "{:?}", since.elapsed());
    }
}

#[tokio::test]
async fn a_listener_that_is_killed_is_missed_for_no_longer_than_a_poll_and_comes_back() {
    let near = App::start().await;
    let far = App::builder().database(&near.database).start().await;
    let ada = far.person("ada-uid");
    create(&ada, "ada").await;
    let mut watching = Watching::begin(&near.person("ada-uid"), &[]).await;
    watching.until_caught_up().await;
    for n in 0..3 {
        until("it listens", LIMIT, || async { sessions(&near, "mayfly_listen").await == 1 }).await;
        near.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and application_name = 'mayfly_listen'",
        )
        .await;
        let said = say(&ada, &n.to_string()).await;
        until("nothing is open", LIMIT, || is_settled(&near)).await;
        let since = Instant::now();
        assert_eq!(watching.next().await, told(&said));
        assert!(since.elapsed() < POLLED_MAX, "{:?}", since.elapsed());
    }
}

#[tokio::test]
async fn a_listener_that_a_network_has_forgotten_is_replaced_within_half_a_minute() {
    let (proxy, database) = (Proxy::open(), world().new_database().await);
    // It tells the time that passes here, or the machine would seem to have slept.
    let clock = Clock::at(Clock::system().unix_secs());
    let builder = App::builder().database(&database).clock(clock.clone());
    let app = builder.with("DATABASE_DIRECT_URL", proxy.url(&database)).start().await;
    let ada = app.person("ada-uid");
    create(&ada, "ada").await;
    let mut watching = Watching::begin(&ada, &[]).await;
    watching.until_caught_up().await;
    until("it listens", LIMIT, || async { sessions(&app, "mayfly_listen").await == 1 }).await;
    let made = proxy.made();

    proxy.lose();
    // It is asked when it has been quiet for a while, and given up when it does not answer.
    for secs in [16, 6] {
        pause();
        clock.advance(Duration::from_secs(secs));
        advance(Duration::from_secs(secs)).await;
        resume();
        sleep(Duration::from_millis(100)).await;
    }
    until("it is replaced", LIMIT, async || proxy.made() > made).await;
}

/// A client that takes as little at a time as HTTP/2 allows.
async fn slow(person: &Person, address: SocketAddr) -> Streaming<WatchProfilesResponse> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let endpoint =
        endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let mut client = UserServiceClient::new(endpoint.connect_lazy());
    let topics = vec!["slow".to_owned()];
    let mut request =
        Request::new(WatchProfilesRequest { user_ids: topics, cursor: String::new() });
    let bearer = format!("Bearer {}", person.token.as_deref().unwrap());
    request.metadata_mut().insert("authorization", bearer.parse().unwrap());
    client.watch_profiles(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_slow_reader_costs_what_is_on_its_way_and_nothing_once_it_is_gone() {
    const EVENTS: usize = 20_000;
    let app = App::builder().functions(vec![function()]).start().await;
    let person = app.person("ada-uid");
    let mut reader = slow(&person, app.address).await;
    reader.message().await.unwrap().expect("caught up");
    app.sql(&format!(
        "insert into mayfly.change (topic, key)
         select 'storm/slow', n::text from generate_series(1, {EVENTS}) as n"
    ))
    .await;
    let first = reader.message().await.unwrap().expect("the first");
    assert_eq!(first.event, Some(Event::GoneUserId("1".to_owned())));

    // It reads no more, and what it left holds no connection: only those that wait are there.
    let busy = "select count(*) from pg_stat_activity where datname = current_database()
                and application_name = 'mayfly_user' and state <> 'idle'";
    until("the pool is free", LIMIT, || async { app.sql_count(busy).await == 0 }).await;
    drop(reader);
    until("it is gone", LIMIT, || async {
        sessions(&app, "mayfly_listen").await == 0 && app.sql_count(busy).await == 0
    })
    .await;
    let (_status, metrics) = app.internal("/metrics").await;
    let sent = metrics.lines().find(|line| {
        line.starts_with("grpc_server_msg_sent_total") && line.contains("WatchProfiles")
    });
    let sent: usize = sent.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(sent < EVENTS / 10, "{sent} messages were written for one that was read");

    // Whoever keeps reading gets them all.
    let mut reader = slow(&person, app.address).await;
    reader.message().await.unwrap().expect("caught up");
    app.sql(&format!(
        "insert into mayfly.change (topic, key)
         select 'storm/slow', n::text from generate_series(1, {EVENTS}) as n"
    ))
    .await;
    for n in 1..=EVENTS {
        let message = reader.message().await.unwrap().expect("the next");
        assert_eq!(message.event, Some(Event::GoneUserId(n.to_string())));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_every_watcher_sees_exactly_what_was_committed() {
    let (deaths, drains) = (4, 2);
    let storm =
        Storm { events: 2000, watchers: 20, kills: 200, deaths, drains, writers: 3, seed: 7 };
    let report = storm.rage(env!("CARGO_BIN_EXE_watch_storm").as_ref()).await;
    assert_eq!((report.committed, report.lost, report.wrong), (2000, 0, 0), "{report:?}");
    // They did not sit out the storm: on average each has come back.
    assert!(report.resumed > storm.watchers, "{report:?}");
}
