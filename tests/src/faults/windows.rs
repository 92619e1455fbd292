//! Readers that do not read.

use std::time::Duration;

use proto::user::v1::{WatchProfilesRequest, watch_profiles_response::Event};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Case, Field, Seen,
    field::{GROWTH_MIB_MAX, Watched, person, token},
    floods::GET,
    frame::{DATA, END_HEADERS, END_STREAM, HEADERS, PING, call, frame},
    peer::{Manners, Peer, Seen as Answers},
    slow::framed,
    writes::number,
};
use crate::Person;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "Watches behind windows of 0 bytes",
        expected: "all over within twice BODY_IDLE_MS_MAX (30 s) and 10 s; more than MAX_WATCHES answered 14; memory below 256 MiB",
        run: |field| Box::pin(shut_windows(field, 0)),
    },
    Case {
        name: "Watches behind windows of 10 bytes",
        expected: "all over within twice BODY_IDLE_MS_MAX (30 s) and 10 s; memory below 256 MiB",
        run: |field| Box::pin(shut_windows(field, 10)),
    },
    Case {
        name: "unary answers behind windows of 0 bytes",
        expected: "beyond 4,096 that wait whoever takes nothing is gone within 1 s (10 s on a busy machine); memory below 256 MiB",
        run: |field| Box::pin(shut_answers(field, 0)),
    },
    Case {
        name: "unary answers behind windows of 10 bytes",
        expected: "beyond 4,096 that wait whoever takes nothing is gone within 1 s (10 s on a busy machine); memory below 256 MiB",
        run: |field| Box::pin(shut_answers(field, 10)),
    },
    Case {
        name: "answers to PING that nobody reads",
        expected: "closed within BODY_IDLE_MS_MAX (30 s) and 10 s",
        run: |field| Box::pin(unread(field)),
    },
    Case {
        name: "a watch that nobody reads while 100,000 changes are written",
        expected: "memory +8 MiB; ended within twice BODY_IDLE_MS_MAX (30 s) and 10 s; from its cursor each change is told, in order",
        run: |field| Box::pin(unread_changes(field)),
    },
];

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/mayfly.user.v1.UserService/WatchProfiles";
const LATE_MAX: Duration = Duration::from_secs(10);

/// What all watches together may take.
const ALL_MIB_MAX: f64 = 256.0;

/// What a second round may take beyond the first, as a part of it; a leak would be all of it.
const MORE_MAX: f64 = 0.3;

fn limit(field: &Field) -> (Duration, &'static str) {
    field.pick((Duration::from_secs(1), "1000"), (Duration::from_secs(30), "30000"))
}

async fn shut_windows(field: &Field, window: u32) -> Seen {
    let (limit, setting) = limit(field);
    let watches_max = field.pick("100", "5000");
    let settings = [("BODY_IDLE_MS_MAX", setting), ("MAX_WATCHES", watches_max)];
    let watched = field.watched(&settings).await;
    let mut seen = Seen::default();
    // As many on each as one caller may have, and more in all than there are places.
    let (connections, streams) = field.pick((20, 10), (200, 100));
    let mut grown = Vec::new();
    // What the allocator keeps of the first round serves the second; what leaks does not.
    for _round in 0..2 {
        let mut peers = Vec::new();
        for number in 0..connections {
            let manners = Manners { answers: true, window };
            let token = token(&format!("watcher-{number}"));
            peers.push(watching(&watched, manners, &token, streams).await);
        }
        let start = Instant::now();
        let is_over = wait_for_the_ends(&mut peers, u64::from(streams), limit * 2 + LATE_MAX).await;
        let took = start.elapsed().as_secs_f64();
        let all = connections * streams;
        let reset: u64 = peers.iter().flat_map(|peer| peer.seen().resets.into_values()).sum();
        let closed = peers.iter().filter(|peer| peer.seen().ended.is_some()).count();
        let refused: u64 = peers.iter().map(|peer| peer.seen().ends).sum();
        seen.note(
            is_over,
            format!(
                "{all} watches over {connections} connections: {refused} refused, {reset} reset, \
                 {closed} connections closed, after {took:.1} s all over: {is_over}"
            ),
        );
        drop(peers);
        sleep(Duration::from_secs(1)).await;
        grown.push(watched.growth_mib());
    }
    let first = grown.first().copied().unwrap_or_default();
    let more = grown.last().unwrap_or(&0.0) - first;
    let is_kept = more <= (first * MORE_MAX).max(GROWTH_MIB_MAX);
    seen.note(is_kept, format!("{first:+.1} MiB, the second time {more:+.1} more"));
    watched.end_grown(&mut seen, ALL_MIB_MAX, ALL_MIB_MAX).await;
    seen
}

/// How many short answers wait for their clients before these are hurried.
const WAITING_MAX: u64 = 4096;

/// With the settings of production: no client may wait for half a minute once there are so many.
async fn shut_answers(field: &Field, window: u32) -> Seen {
    const STREAMS: u32 = 100;
    let mut seen = Seen::default();
    for (path, token) in [(GET, Some(token("neighbour"))), (HEALTH, None)] {
        let watched = field.watched(&[]).await;
        let mut peers = Vec::new();
        let manners = Manners { answers: true, window };
        for _peer in 0..field.pick(44, 200) {
            let headers = call(path, token.as_deref());
            let mut peer = asking(&watched, manners, (&headers, &[0; 5]), STREAMS).await;
            // Only so many are worked on at a time; heads need no window.
            let is_over = |seen: &Answers| seen.ended.is_some() || seen.goaway.is_some();
            peer.sees(LATE_MAX, |seen| seen.headers >= STREAMS.into() || is_over(seen)).await;
            peers.push(peer);
        }
        let all = u64::from(STREAMS) * peers.len() as u64;
        let start = Instant::now();
        let mut left = waiting(&mut peers, STREAMS.into()).await;
        while left > WAITING_MAX && start.elapsed() < LATE_MAX {
            sleep(Duration::from_millis(50)).await;
            left = waiting(&mut peers, STREAMS.into()).await;
        }
        let took = start.elapsed().as_secs_f64();
        let told = format!("{path}: of {all} answers {left} wait after {took:.1} s");
        seen.note(all > WAITING_MAX && left <= WAITING_MAX, told);
        drop(peers);
        sleep(Duration::from_secs(1)).await;
        watched.end_grown(&mut seen, ALL_MIB_MAX, ALL_MIB_MAX).await;
    }
    seen
}

/// How many streams have neither ended nor lost their connection.
async fn waiting(peers: &mut [Peer], streams: u64) -> u64 {
    let mut waiting = 0;
    for peer in peers {
        // What is closed in between takes no answers.
        let _outcome = peer.send(&[]).await;
        let seen = peer.seen();
        let ends = seen.ends + seen.resets.values().sum::<u64>();
        waiting += if seen.ended.is_some() { 0 } else { streams.saturating_sub(ends) };
    }
    waiting
}

/// A peer that has asked for so many watches.
async fn watching(watched: &Watched, manners: Manners, token: &str, streams: u32) -> Peer {
    let headers = call(WATCH, Some(token));
    let asked = framed(&WatchProfilesRequest::default());
    asking(watched, manners, (&headers, &asked), streams).await
}

/// A peer that has made the same call so often.
async fn asking(
    watched: &Watched,
    manners: Manners,
    (headers, asked): (&[u8], &[u8]),
    streams: u32,
) -> Peer {
    let peer = Peer::connect(watched.server.address, manners).await;
    let mut peer = peer.expect("the server listens");
    for number in 0..streams {
        let stream = number * 2 + 1;
        let begun = frame(HEADERS, END_HEADERS, stream, headers);
        let body = frame(DATA, END_STREAM, stream, asked);
        peer.send(&[begun, body].concat()).await.expect("it is sent");
    }
    peer
}

/// Waits until every stream has ended, or its connection.
async fn wait_for_the_ends(peers: &mut [Peer], streams: u64, within: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < within {
        let mut open = 0;
        for peer in &mut *peers {
            let seen = peer.seen();
            let ends = seen.ends + seen.resets.values().sum::<u64>();
            if seen.ended.is_none() && ends < streams {
                // What is closed in between takes no answers.
                let _outcome = peer.send(&[]).await;
                open += 1;
            }
        }
        if open == 0 {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

async fn unread(field: &Field) -> Seen {
    let (limit, setting) = limit(field);
    let watched = field.watched(&[("BODY_IDLE_MS_MAX", setting), ("KEEPALIVE_SECS", "300")]).await;
    let mut seen = Seen::default();
    let took = super::peer::flood_unread(
        watched.server.address,
        &frame(PING, 0, 0, &[0; 8]).repeat(1000),
        limit * 2 + LATE_MAX,
    )
    .await;
    seen.note(
        took.is_some_and(|took| took <= limit + LATE_MAX),
        match took {
            Some(took) => format!("closed after {:.1} s", took.as_secs_f64()),
            None => "still open".to_owned(),
        },
    );
    watched.end(&mut seen, 8.0).await;
    seen
}

async fn unread_changes(field: &Field) -> Seen {
    let (limit, setting) = limit(field);
    let watched = field.watched(&[("BODY_IDLE_MS_MAX", setting)]).await;
    let mut seen = Seen::default();
    let (name, changes) = field.pick(("unread", 2_000), ("unreadf", 100_000));
    let reader = person(&watched.server, name);
    let cursor = caught_up(&reader).await;
    // It takes what its window lets through, and makes no more room.
    let mut peer = watching(&watched, Manners::POLITE, &token(name), 1).await;
    let is_told = peer.sees(LATE_MAX, |seen| seen.body_bytes > 0).await;
    seen.note(is_told, "the watch has begun");

    write_changes(field, name, changes).await;
    let start = Instant::now();
    let is_over = wait_for_the_ends(std::slice::from_mut(&mut peer), 1, limit * 2 + LATE_MAX).await;
    let (took, taken) = (start.elapsed().as_secs_f64(), peer.seen().body_bytes);
    seen.note(is_over, format!("{taken} bytes taken; over after {took:.1} s: {is_over}"));
    let told = goes_on(&reader, cursor, changes).await;
    seen.note(told == changes, format!("{told} of {changes} changes told from the cursor"));
    watched.end(&mut seen, GROWTH_MIB_MAX).await;
    seen
}

/// Where somebody's watch of themself stands.
async fn caught_up(reader: &Person) -> String {
    let answer = reader.user().watch_profiles(WatchProfilesRequest::default()).await;
    let mut stream = answer.expect("a watch").into_inner();
    loop {
        let message = stream.message().await.expect("a message").expect("a watch goes on");
        if !message.cursor.is_empty() {
            return message.cursor;
        }
    }
}

/// Writes so many changes where a person's are told, of so many keys that are gone: no change is passed
/// over for a later one.
async fn write_changes(field: &Field, name: &str, changes: usize) {
    const AT_ONCE: usize = 1_000;
    for first in (1..=changes).step_by(AT_ONCE) {
        let last = first + AT_ONCE - 1;
        let insert = format!(
            "with made as (
                 insert into mayfly.change (topic, key)
                 select 'user.profile/{name}', n::text from generate_series({first}, {last}) as n
                 returning 1
             )
             select count(*) from made"
        );
        number(field, &insert).await;
    }
}

/// How many of so many changes are told from a cursor, each behind the one before it.
async fn goes_on(reader: &Person, cursor: String, changes: usize) -> usize {
    let request = WatchProfilesRequest { user_ids: Vec::new(), cursor };
    let answer = reader.user().watch_profiles(request).await;
    let mut stream = answer.expect("a watch").into_inner();
    let mut told = 0;
    while told < changes {
        let Ok(Ok(Some(message))) = timeout(LATE_MAX, stream.message()).await else { break };
        match message.event {
            Some(Event::GoneUserId(key)) if key == (told + 1).to_string() => told += 1,
            Some(_another) => break,
            None => {}
        }
    }
    told
}
