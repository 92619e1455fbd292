//! Frames by the thousand that are no calls, or calls that are taken back.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use super::{
    Case, Field, Seen,
    field::{GROWTH_MIB_MAX, Watched, token},
    frame::{
        CONTINUATION, DATA, END_HEADERS, HEADERS, PADDED, PING, PRIORITY, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, call, churning_block, frame,
    },
    peer::{Manners, Peer},
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "rapid reset, signed in",
        expected: "GOAWAY 11 within 1,000 frames of each connection; memory +64 MiB at most, +8 MiB after",
        run: |field| Box::pin(rapid_reset(field)),
    },
    Case {
        name: "reset of calls that have begun, signed in",
        expected: "GOAWAY 11 within 1,000 frames of each connection; memory +64 MiB at most, after a second crowd 8 MiB more than after the first",
        run: |field| Box::pin(late_reset(field)),
    },
    Case {
        name: "streams over the limit",
        expected: "no more than 100 at a time, then GOAWAY 11",
        run: |field| Box::pin(too_many_streams(field)),
    },
    Case {
        name: "CONTINUATION without end",
        expected: "GOAWAY 11 within 3,000 frames",
        run: |field| Box::pin(endless_frames(field, Endless::Continuation)),
    },
    Case {
        name: "empty DATA without end",
        expected: "GOAWAY 11 within 3,000 frames",
        run: |field| Box::pin(endless_frames(field, Endless::EmptyData)),
    },
    Case {
        name: "DATA of one byte without end",
        expected: "GOAWAY 11 within 3,000 frames",
        run: |field| Box::pin(endless_frames(field, Endless::TinyData)),
    },
    Case {
        name: "padded DATA without end",
        expected: "GOAWAY 11 within 3,000 frames, or held by the window",
        run: |field| Box::pin(endless_frames(field, Endless::PaddedData)),
    },
    Case {
        name: "PING flood",
        expected: "at most 2 s of CPU for a million frames, memory +4 MiB",
        run: |field| Box::pin(control_flood(field, PING)),
    },
    Case {
        name: "SETTINGS flood",
        expected: "at most 2 s of CPU for a million frames, memory +4 MiB",
        run: |field| Box::pin(control_flood(field, SETTINGS)),
    },
    Case {
        name: "PRIORITY flood",
        expected: "at most 2 s of CPU for a million frames, memory +4 MiB",
        run: |field| Box::pin(control_flood(field, PRIORITY)),
    },
    Case {
        name: "WINDOW_UPDATE(1) flood",
        expected: "at most 2 s of CPU for a million frames, memory +4 MiB",
        run: |field| Box::pin(control_flood(field, WINDOW_UPDATE)),
    },
    Case {
        name: "HPACK table churned by large headers",
        expected: "each answered, reset or sent away; memory +8 MiB",
        run: |field| Box::pin(churn(field)),
    },
];

/// Is a call that reads the caller's own profile.
pub(super) const GET: &str = "/mayfly.user.v1.UserService/GetProfile";

/// Is the code for too much, `ENHANCE_YOUR_CALM`.
const CALM: u32 = 11;

/// Is the code of a stream that was not begun, `REFUSED_STREAM`.
const REFUSED_STREAM: u32 = 7;

/// What a crowd of twenty may cost at its worst, a thousand calls at once.
const CROWD_MIB_MAX: f64 = 64.0;

/// After how many frames that never end a call a peer is sent away.
const FRAMES_MAX: usize = 3_000;

/// How long a server may take to say what it has made of a flood.
const TOLD_MAX: Duration = Duration::from_secs(10);

/// Runs one peer after the other's start, and tells what each came to.
async fn crowd<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    count: usize,
    peer: impl Fn(usize) -> F,
) -> Vec<T> {
    let peers: JoinSet<T> = (0..count).map(peer).collect();
    peers.join_all().await
}

fn stream(number: usize) -> u32 {
    u32::try_from(number * 2 + 1).unwrap_or(u32::MAX >> 1)
}

async fn rapid_reset(field: &Field) -> Seen {
    let pairs = field.pick(2_000, 50_000);
    resets(field, GROWTH_MIB_MAX, move |mut peer, headers| async move {
        peer.flood(pairs, |number| {
            let begun = frame(HEADERS, END_HEADERS, stream(number), &headers);
            [begun, reset(number)].concat()
        })
        .await;
        peer
    })
    .await
}

/// The server counts no stream that it has accepted before it was reset; so let it.
async fn late_reset(field: &Field) -> Seen {
    const AT_ONCE: usize = 50;
    let rounds = field.pick(40, 1_000);
    // A thousand calls at once leave more with the allocator.
    resets(field, CROWD_MIB_MAX, move |mut peer, headers| async move {
        for round in 0..rounds {
            let numbers = || (0..AT_ONCE).map(|number| round * AT_ONCE + number);
            let begun = |number| frame(HEADERS, END_HEADERS, stream(number), &headers);
            let begun: Vec<_> = numbers().flat_map(begun).collect();
            if peer.is_over() || peer.send(&begun).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(3)).await;
            let resets: Vec<_> = numbers().flat_map(reset).collect();
            if peer.send(&resets).await.is_err() {
                break;
            }
        }
        peer
    })
    .await
}

fn reset(number: usize) -> Vec<u8> {
    frame(RST_STREAM, 0, stream(number), &[0, 0, 0, 8])
}

/// Several peers that take back their calls, and leave the server larger by `kept_mib_max` at most.
async fn resets<F: Future<Output = Peer> + Send + 'static>(
    field: &Field,
    kept_mib_max: f64,
    attack: impl Fn(Peer, Vec<u8>) -> F + Clone + Send + Sync + 'static,
) -> Seen {
    let watched = field.watched(&[]).await;
    let mut seen = Seen::default();
    let (mut first, mut more) = (None, 0.0);
    // What the allocator keeps of the first round serves the second; what leaks does not.
    for _round in 0..2 {
        let ends = resets_of_a_crowd(field, watched.server.address, &attack).await;
        let sent_away = ends.iter().flatten().filter(|(code, ..)| *code == CALM).count();
        let told = format!("{sent_away} of {} sent away with 11", ends.len());
        seen.note(sent_away == ends.len(), told);
        // The last stream tells how many calls were looked at; each is two frames.
        let frames = ends.iter().flatten().map(|(_code, last, _words)| last + 1).max();
        let frames = frames.unwrap_or_default();
        seen.note(frames <= 1000, format!("after {frames} frames at most"));
        let before = first.unwrap_or_default();
        let grown = watched.settled_mib(before + GROWTH_MIB_MAX).await;
        more = grown - *first.get_or_insert(grown);
    }
    seen.note(more <= GROWTH_MIB_MAX, format!("the second time {more:+.1} MiB more"));
    watched.end_grown(&mut seen, CROWD_MIB_MAX, kept_mib_max).await;
    seen
}

/// How each peer of a crowd was sent away.
async fn resets_of_a_crowd<F: Future<Output = Peer> + Send + 'static>(
    field: &Field,
    address: SocketAddr,
    attack: &(impl Fn(Peer, Vec<u8>) -> F + Clone + Send + Sync + 'static),
) -> Vec<Option<(u32, u32, String)>> {
    let token = token("neighbour");
    crowd(field.pick(4, 20), |_peer| {
        let (attack, headers) = (attack.clone(), call(GET, Some(&token)));
        async move {
            let peer = Peer::connect(address, Manners::POLITE).await.ok()?;
            let mut peer = attack(peer, headers).await;
            peer.sees(TOLD_MAX, |seen| seen.goaway.is_some()).await;
            peer.seen().goaway
        }
    })
    .await
}

async fn too_many_streams(field: &Field) -> Seen {
    let watched = field.watched(&[]).await;
    let mut seen = Seen::default();
    let mut peer = connect(&watched).await;
    let headers = call(GET, None);
    // Bodies that never end keep their calls.
    let taken = peer
        .flood(field.pick(2_000, 50_000), |number| {
            frame(HEADERS, END_HEADERS, stream(number), &headers)
        })
        .await;
    peer.sees(TOLD_MAX, |seen| seen.goaway.is_some()).await;
    let end = peer.seen();
    let code = end.goaway.as_ref().map(|(code, ..)| *code);
    seen.note(code == Some(CALM), format!("GOAWAY {code:?} with {taken} streams sent"));
    // Calls that are answered before their body has ended are reset as well, with 0.
    let refused = end.resets.get(&REFUSED_STREAM).copied().unwrap_or_default();
    let last = end.goaway.map_or(0, |(_code, last, _words)| last);
    seen.note(refused <= 102, format!("{refused} refused, the last seen is {}", last.div_ceil(2)));
    watched.end(&mut seen, 8.0).await;
    seen
}

#[derive(Clone, Copy)]
enum Endless {
    Continuation,
    EmptyData,
    TinyData,
    PaddedData,
}

impl Endless {
    fn frame(self) -> Vec<u8> {
        match self {
            Self::Continuation => frame(CONTINUATION, 0, 1, &[]),
            Self::EmptyData => frame(DATA, 0, 1, &[]),
            Self::TinyData => frame(DATA, 0, 1, &[0]),
            Self::PaddedData => frame(DATA, PADDED, 1, &[&[254, 0][..], &[0; 254]].concat()),
        }
    }
}

async fn endless_frames(field: &Field, endless: Endless) -> Seen {
    let watched = field.watched(&[]).await;
    let mut seen = Seen::default();
    let mut peer = connect(&watched).await;
    let flags = if matches!(endless, Endless::Continuation) { 0 } else { END_HEADERS };
    let headers = call(GET, Some(&token("neighbour")));
    let begun = peer.send(&frame(HEADERS, flags, 1, &headers)).await;
    let mut sent = 0;
    // In small portions, so that the answer is seen soon; and no more than are allowed, as a server
    // that others keep busy reads them later than they are sent.
    while begun.is_ok() && sent < FRAMES_MAX && !peer.is_over() {
        if peer.send(&endless.frame().repeat(100)).await.is_err() {
            break;
        }
        sent += 100;
        tokio::task::yield_now().await;
        peer.sees(Duration::from_millis(2), |seen| seen.goaway.is_some()).await;
    }
    peer.sees(TOLD_MAX, |seen| seen.goaway.is_some()).await;
    let code = peer.seen().goaway.map(|(code, _last, words)| (code, words));
    let told = format!("{code:?} after {sent} frames");
    // A window that is overrun is an error of its own (3, FLOW_CONTROL_ERROR).
    let is_good = code.is_some_and(|(code, _words)| code == CALM || code == 3);
    seen.note(is_good, format!("GOAWAY {told}"));
    watched.end(&mut seen, 8.0).await;
    seen
}

async fn control_flood(field: &Field, kind: u8) -> Seen {
    let watched = field.watched(&[]).await;
    let address = watched.server.address;
    let (peers, frames) = (4, field.pick(10_000, 250_000));
    let one = match kind {
        PING => frame(PING, 0, 0, &[0; 8]),
        SETTINGS => frame(SETTINGS, 0, 0, &[]),
        PRIORITY => frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
        _ => frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
    };
    let ends = crowd(peers, |_peer| {
        let thousand = one.repeat(1000);
        async move {
            let mut peer = Peer::connect(address, Manners::POLITE).await.ok()?;
            let taken = peer.flood(frames / 1000, |_portion| thousand.clone()).await * 1000;
            // A last word, whose answer says that all before it was read.
            let is_alive = peer.send(&frame(HEADERS, END_HEADERS | 1, 3, &call(GET, None))).await;
            let is_answered = peer.sees(TOLD_MAX, |seen| seen.headers > 0).await;
            Some((taken, is_alive.is_ok() && is_answered, peer.seen().goaway.map(|end| end.0)))
        }
    })
    .await;
    let mut seen = Seen::default();
    let taken: usize = ends.iter().flatten().map(|(taken, ..)| taken).sum();
    let alive = ends.iter().flatten().filter(|(_, is_alive, _)| *is_alive).count();
    let away: BTreeMap<u32, usize> =
        ends.iter().flatten().filter_map(|end| end.2).fold(BTreeMap::new(), |mut codes, code| {
            *codes.entry(code).or_default() += 1;
            codes
        });
    let cpu = watched.cpu().as_secs_f64();
    let per_million = cpu * 1e6 / f64::from(u32::try_from(taken.max(1)).unwrap_or(u32::MAX));
    seen.note(
        alive + away.values().sum::<usize>() == peers,
        format!("{taken} frames, {alive} of {peers} served on, sent away {away:?}"),
    );
    // Of a short flood, little but the neighbour would be measured.
    let is_measured = !field.is_short();
    seen.note(!is_measured || per_million <= 2.0, format!("{per_million:.2} s for a million"));
    watched.end(&mut seen, 4.0).await;
    seen
}

async fn churn(field: &Field) -> Seen {
    let watched = field.watched(&[]).await;
    let mut seen = Seen::default();
    let mut peer = connect(&watched).await;
    let count = field.pick(100, 2_000);
    let taken = peer
        .flood(count, |number| {
            let mut headers = call(GET, None);
            headers.extend(churning_block((0..100).map(|field| {
                (format!("x-{number}-{field}"), format!("{number}{field}").repeat(12))
            })));
            frame(HEADERS, END_HEADERS | 1, stream(number), &headers)
        })
        .await;
    let answered = peer.sees(TOLD_MAX * 2, |seen| {
        seen.goaway.is_some()
            || seen.headers + seen.resets.values().sum::<u64>() >= u64::try_from(count).unwrap_or(0)
    });
    let is_answered = answered.await;
    let end = peer.seen();
    seen.note(
        is_answered,
        format!(
            "{taken} sent, {} answered, reset {:?}, GOAWAY {:?}",
            end.headers, end.resets, end.goaway
        ),
    );
    watched.end(&mut seen, 8.0).await;
    seen
}

pub(super) async fn connect(watched: &Watched) -> Peer {
    Peer::connect(watched.server.address, Manners::POLITE).await.expect("the server listens")
}
