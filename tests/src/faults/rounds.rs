//! Rounds of what may happen to a database while people write: its processes are killed, an answer
//! to a commit is lost, another server takes its place.

use std::{process::Command, time::Duration};

use tokio::time::{Instant, sleep};
use tonic::Code;

use super::{
    Case, Field, Seen,
    field::person,
    writers::{Writers, create, effects, is_unavailable},
    writes::nothing_hangs,
};
use crate::{Cluster, Fate, Person, Proxy, Server};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "backends and postmasters killed while people write",
        expected: "every acknowledged write is there, once; served again within 2 s; 14 within 100 ms once it is known",
        run: |field| Box::pin(kills(field)),
    },
    Case {
        name: "a commit whose answer is cut off or never comes",
        expected: "cut off, the call succeeds by itself; in silence it ends in time and its repeat finds the answer; each write once; 500 ms later nothing left in Postgres or taken from the pool",
        run: |field| Box::pin(lost_answers(field)),
    },
    Case {
        name: "failover to a standby, by death and by demotion",
        expected: "every acknowledged write is there, once; written again within 5 s",
        run: |field| Box::pin(failovers(field)),
    },
];

/// How soon calls are served after the database is, and after another took its place.
const RECOVERY_MAX: Duration = Duration::from_secs(2);
const FAILOVER_MAX: Duration = Duration::from_secs(5);

/// How soon a call is told of what is known to be down.
const TOLD_MAX: Duration = Duration::from_millis(100);

/// How long a killed server stays away.
const AWAY: Duration = Duration::from_millis(400);

/// Somebody whose one write is repeated until it succeeds, and how long that took.
async fn writes_again(server: &Server, name: &str) -> Duration {
    let (writer, start) = (person(server, name), Instant::now());
    while create(&writer, name).await.is_err() && start.elapsed() < FAILOVER_MAX * 3 {
        sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

/// Somebody who writes while it cannot be done; how long each was told so in.
async fn is_told(server: &Server, name: &str, during: Duration) -> Vec<Duration> {
    let (writer, start) = (person(server, name), Instant::now());
    let mut told = Vec::new();
    while start.elapsed() < during {
        let began = Instant::now();
        if create(&writer, name).await.is_err_and(|status| is_unavailable(&status)) {
            told.push(began.elapsed());
        }
        sleep(Duration::from_millis(10)).await;
    }
    // Whoever comes first finds it out.
    told.drain(..told.len().min(1));
    told
}

/// The longest, and the one that nine of ten are shorter than.
fn longest(mut took: Vec<Duration>) -> (Duration, Duration) {
    took.sort_unstable();
    let place = took.len().saturating_sub(1) * 9 / 10;
    (took.last().copied().unwrap_or_default(), took.get(place).copied().unwrap_or_default())
}

fn ms(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1e3)
}

/// What is killed in a round.
async fn kill(cluster: &mut Cluster, server: &Server, round: u64) -> Vec<Duration> {
    let ours = "from pg_stat_activity where usename = 'mayfly_runtime'";
    match round % 4 {
        0 => {
            let pid = format!("select coalesce(max(pid), 0)::bigint {ours}");
            let pid = cluster.number(&pid).await;
            if pid == 0 {
                return Vec::new();
            }
            // Its neighbours are ended by the postmaster, which then recovers.
            let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            assert!(killed.is_ok(), "there is a `kill` for {pid}");
            Vec::new()
        }
        2 => {
            cluster.number(&format!("select count(pg_terminate_backend(pid)) {ours}")).await;
            Vec::new()
        }
        signal => {
            cluster.kill(if signal == 1 { "KILL" } else { "QUIT" });
            let told = is_told(server, &format!("told_{round}"), AWAY).await;
            cluster.restart();
            told
        }
    }
}

async fn kills(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let Some(mut cluster) = Cluster::start().await else { return seen };
    let proxy = Proxy::to_postgres(&cluster.owner_url());
    let server = field.server(&[("DATABASE_URL", &proxy.url("mayfly"))]);
    let writers = Writers::start(server.address, "pgkill", 6);
    let rounds = field.pick(3, 200);
    let (mut recoveries, mut told) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        sleep(Duration::from_micros(100_000 + round * 7_919 % 200_000)).await;
        told.extend(kill(&mut cluster, &server, round).await);
        proxy.lead_to(&cluster.owner_url());
        crate::until("the database is back", FAILOVER_MAX * 3, async || cluster.answers().await)
            .await;
        recoveries.push(writes_again(&server, &format!("again_{round}")).await);
    }
    seen.say(format!("{rounds} rounds"));
    writers.end(&mut seen, &cluster.owner_url()).await;
    nothing_hangs(&mut seen, &cluster.owner_url()).await;
    let (slowest, most) = longest(recoveries);
    let is_in_time = if field.is_short() { most } else { slowest } <= RECOVERY_MAX;
    seen.note(is_in_time, format!("served again after {} at most", ms(slowest)));
    let tellings = told.len();
    let (slowest, most) = longest(told);
    seen.note(
        field.is_short() || (tellings > 0 && most <= TOLD_MAX),
        format!(
            "{tellings} told of it, nine of ten within {}, all within {}",
            ms(most),
            ms(slowest)
        ),
    );
    seen
}

/// One write whose commit meets a fate; what is wrong with how that went.
async fn lose_answer(server: &Server, proxy: &Proxy, (name, fate): (&str, Fate)) -> Option<String> {
    let before = proxy.struck();
    let writer = person(server, name);
    proxy.strike_next_commit(fate);
    let first = match fate {
        Fate::Cut => create(&writer, name).await,
        Fate::Silence => impatiently(&writer, name).await,
    };
    if proxy.struck() != before + 1 {
        return Some(format!("{fate:?}: no commit was struck"));
    }
    match (fate, first) {
        (Fate::Cut, Ok(_)) => {}
        (Fate::Silence, Err(status))
            if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => {}
        (fate, outcome) => return Some(format!("{fate:?}: {outcome:?}")),
    }
    match create(&writer, name).await {
        Ok(again) if again.metadata().contains_key("idempotency-replayed") => None,
        again => Some(format!("{fate:?}, repeated: {again:?}")),
    }
}

/// A write by somebody with two seconds.
async fn impatiently(
    writer: &Person,
    name: &str,
) -> Result<tonic::Response<proto::user::v1::Profile>, tonic::Status> {
    use proto::user::v1::{CreateProfileRequest, Profile};
    let profile =
        Profile { handle: name.to_owned(), display_name: name.to_owned(), ..Default::default() };
    let message = CreateProfileRequest { profile: Some(profile) };
    let mut request = crate::with_key(message, "create");
    request.set_timeout(Duration::from_secs(2));
    writer.user().create_profile(request).await
}

async fn lost_answers(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let proxy = Proxy::open();
    let server = field.server(&[("DATABASE_URL", &proxy.url(&field.database))]);
    let (prefix, rounds) = field.pick(("lost", 6_u64), ("lostf", 50));
    let mut wrong = Vec::new();
    for round in 0..rounds {
        let fate = if round % 2 == 0 { Fate::Cut } else { Fate::Silence };
        let name = format!("{prefix}_{round}");
        wrong.extend(lose_answer(&server, &proxy, (&name, fate)).await);
    }
    seen.note(wrong.is_empty(), format!("{rounds} commits, not as expected: {wrong:?}"));
    effects(&mut seen, &field.owner_url(), prefix, rounds).await;
    super::writes::nothing_is_left(&mut seen, field, &server).await;
    seen
}

async fn failovers(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let Some(mut primary) = Cluster::start().await else { return seen };
    let proxy = Proxy::to_postgres(&primary.owner_url());
    let server = field.server(&[("DATABASE_URL", &proxy.url("mayfly"))]);
    let writers = Writers::start(server.address, "failover", 4);
    let rounds = field.pick(1, 50);
    let mut recoveries = Vec::new();
    for round in 0..rounds {
        let follower = primary.follower().await;
        sleep(Duration::from_micros(50_000 + round * 7_919 % 100_000)).await;
        if round % 2 == 1 {
            primary.kill(if round % 4 == 1 { "KILL" } else { "QUIT" });
        } else {
            // Who is connected to it stays, and is refused to write.
            primary.sql("alter system set default_transaction_read_only = on").await;
            primary.sql("select pg_reload_conf()").await;
        }
        follower.promote().await;
        proxy.lead_to(&follower.owner_url());
        recoveries.push(writes_again(&server, &format!("after_{round}")).await);
        primary = follower;
    }
    let url = primary.owner_url();
    seen.say(format!("{rounds} failovers"));
    writers.end(&mut seen, &url).await;
    nothing_hangs(&mut seen, &url).await;
    let (slowest, _most) = longest(recoveries);
    seen.note(slowest <= FAILOVER_MAX, format!("written again after {} at most", ms(slowest)));
    seen
}
