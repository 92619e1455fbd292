//! People who write, each until it is acknowledged, whatever happens meanwhile.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use fault::causes;
use proto::user::v1::{CreateProfileRequest, Profile};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tonic::{Code, Response, Status};

use super::{Seen, field::token, writes::number_at};
use crate::{Person, with_key};

/// How long one write is repeated, and how long one attempt is waited for.
const WRITE_MAX: Duration = Duration::from_secs(30);
const ATTEMPT_MAX: Duration = Duration::from_secs(3);

/// What clients went through.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) calls: AtomicU64,
    pub(super) attempts: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// Some who write until they are told to stop.
pub(super) struct Writers {
    prefix: String,
    is_done: Arc<AtomicBool>,
    tally: Arc<Tally>,
    writing: JoinSet<()>,
}

impl Writers {
    /// So many, each making one profile after another; the names begin with `prefix`.
    pub(super) fn start(address: SocketAddr, prefix: &str, count: u64) -> Self {
        let (is_done, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
        let mut writing = JoinSet::new();
        for writer in 0..count {
            let (is_done, tally) = (Arc::clone(&is_done), Arc::clone(&tally));
            let prefix = prefix.to_owned();
            writing.spawn(async move {
                let mut number = 0;
                while !is_done.load(Ordering::Relaxed) {
                    let name = format!("{prefix}_{writer}_{number}");
                    write_until_acknowledged(address, &name, &tally).await;
                    number += 1;
                }
            });
        }
        Self { prefix: prefix.to_owned(), is_done, tally, writing }
    }

    /// Has them finish what they are at, and looks what has become of it in the database at `url`.
    /// How many attempts each took is told.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of small numbers")]
    pub(super) async fn end(self, seen: &mut Seen, url: &str) -> f64 {
        let Self { prefix, is_done, tally, writing } = self;
        is_done.store(true, Ordering::Relaxed);
        writing.join_all().await;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (acknowledged, failed) = (count(&tally.calls), count(&tally.failed));
        seen.note(
            acknowledged > 0 && failed == 0,
            format!(
                "{acknowledged} writes acknowledged in {} attempts, {failed} refused",
                count(&tally.attempts)
            ),
        );
        effects(seen, url, &prefix, acknowledged).await;
        count(&tally.attempts) as f64 / acknowledged.max(1) as f64
    }
}

/// Makes a profile for somebody new.
pub(super) async fn create(person: &Person, name: &str) -> Result<Response<Profile>, Status> {
    let profile =
        Profile { handle: name.to_owned(), display_name: name.to_owned(), ..Default::default() };
    let message = CreateProfileRequest { profile: Some(profile) };
    person.user().create_profile(with_key(message, "create")).await
}

/// Whether a client may try again: told so, or cut off, which gRPC's own clients call the same.
pub(super) fn is_unavailable(status: &Status) -> bool {
    status.code() == Code::Unavailable || is_cut_off(status) || has_met_a_goodbye(status)
}

/// Whether the call crossed the goodbye of its connection, and was not sent, or is beyond the last
/// stream that the server takes: RFC 9113 (6.8) has such calls made again, and gRPC's own clients
/// do so unseen. tonic's tells of it, as 13.
fn has_met_a_goodbye(status: &Status) -> bool {
    causes(status).filter_map(|cause| cause.downcast_ref::<h2::Error>()).any(|error| {
        error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
    })
}

fn is_cut_off(status: &Status) -> bool {
    matches!(status.code(), Code::Unknown | Code::Cancelled) && status.details().is_empty()
}

/// Repeats one write under its key until it is acknowledged, as an app does that wants it done.
async fn write_until_acknowledged(address: SocketAddr, name: &str, tally: &Tally) {
    let person = Person::new(address, name, Some(token(name)));
    let start = Instant::now();
    while start.elapsed() < WRITE_MAX {
        tally.attempts.fetch_add(1, Ordering::Relaxed);
        match timeout(ATTEMPT_MAX, create(&person, name)).await {
            Ok(Ok(_answer)) => {
                tally.calls.fetch_add(1, Ordering::Relaxed);
                return;
            }
            // In time of trouble a call may have waited for all of its time.
            Ok(Err(status)) if status.code() == Code::DeadlineExceeded => {}
            Ok(Err(status)) if !is_unavailable(&status) => break,
            // Nobody is there for a moment.
            Ok(Err(_)) | Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
    tally.failed.fetch_add(1, Ordering::Relaxed);
}

/// So many writes have happened, and each once: its row, its key, its entry in the change log.
pub(super) async fn effects(seen: &mut Seen, url: &str, prefix: &str, calls: u64) {
    let of = |table: &str, column: &str| {
        format!("select count(*) from {table} where {column} like '{prefix}\\_%'")
    };
    let rows = number_at(url, &of("mayfly_user.profile", "user_id")).await;
    let expected = i64::try_from(calls).unwrap_or(i64::MAX);
    seen.note(rows == expected, format!("{rows} profiles"));
    let each = of("(select distinct key, xid from mayfly.change) as each", "key");
    let logged = number_at(url, &each).await;
    seen.note(logged == expected, format!("{logged} transactions in the change log"));
}
