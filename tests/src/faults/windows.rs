//! Readers that do not read.

use std::time::Duration;

use proto::user::v1::WatchProfilesRequest;
use tokio::time::{Instant, sleep};

use super::{
    Case, Field, Seen,
    field::{GROWTH_MIB_MAX, Watched, token},
    frame::{DATA, END_HEADERS, END_STREAM, HEADERS, PING, call, frame},
    peer::{Manners, Peer},
    slow::framed,
};

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
        name: "answers to PING that nobody reads",
        expected: "closed within BODY_IDLE_MS_MAX (30 s) and 10 s",
        run: |field| Box::pin(unread(field)),
    },
];

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

/// A peer that has asked for so many watches.
async fn watching(watched: &Watched, manners: Manners, token: &str, streams: u32) -> Peer {
    let headers = call(WATCH, Some(token));
    let asked = framed(&WatchProfilesRequest::default());
    let peer = Peer::connect(watched.server.address, manners).await;
    let mut peer = peer.expect("the server listens");
    for number in 0..streams {
        let stream = number * 2 + 1;
        let begun = frame(HEADERS, END_HEADERS, stream, &headers);
        let body = frame(DATA, END_STREAM, stream, &asked);
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
