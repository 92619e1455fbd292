//! One Watch: first how things stand, then what has become of what changed, for as long as the
//! client takes it.

use std::{collections::HashMap, time::Duration};

use async_stream::try_stream;
use backoff::BackoffBuilder;
use call::Call;
use fault::{Fault, Reason};
use futures_core::stream::BoxStream;
use tokio::time::{sleep, timeout};
use tonic::Status;
use uuid::Uuid;

use crate::{
    Log,
    cursor::{Cursors, Place, Stand},
    hub::Watcher,
    store::{self, Change, READ_MAX},
    told::{Entry, Told},
};

/// Changes that are read at a time.
const BATCH_MAX: usize = 100;

/// How a read is tried again while the database is away or busy: for some ten seconds.
const TRIES_MAX: usize = 16;
const DELAY_MIN: Duration = Duration::from_millis(50);
const DELAY_MAX: Duration = Duration::from_secs(1);

/// The messages of a Watch.
pub type Messages<T> = BoxStream<'static, Result<T, Status>>;

/// What a Watch is about, and how it stands for whoever watches.
///
/// The payload of an entry is the version that the change made of its key, or none where the change
/// was the end of it. A version that another has followed is passed over: that one has an entry of
/// its own.
pub trait Subject: Send + Sync + 'static {
    /// What its client is sent. One that is empty but for the cursor says that nothing is left to
    /// be told for now.
    type Message: Clone + Default + Send + 'static;

    /// The topics that are watched. What the caller must not hear of has another.
    fn topics(&self) -> Vec<String>;

    /// Those that are watched by name, and told of when the watch begins: at most a few hundred.
    fn keys(&self) -> Vec<String>;

    /// Those of `keys` that are there for the caller to see, as they stand now.
    fn read(
        &self,
        keys: &[String],
    ) -> impl Future<Output = Result<Vec<Standing<Self::Message>>, Fault>> + Send;

    /// Tells that a key is not there, or not for the caller to see, which is the same.
    fn gone(&self, key: &str) -> Self::Message;

    /// Puts the cursor into a message that goes on after it.
    fn set_cursor(message: &mut Self::Message, cursor: String);
}

/// How something stands that is watched.
#[derive(Clone, Debug)]
pub struct Standing<T> {
    /// What it is called in the log.
    pub key: String,
    /// Which version it is, as the payload of the entry that made it.
    pub version: Vec<u8>,
    /// What its client is told.
    pub message: T,
}

struct Watch<S> {
    log: Log,
    watcher: Watcher,
    subject: S,
    told: Told,
    cursors: Cursors,
    epoch: Uuid,
    place: Place,
    progress: Progress,
}

/// What one read has found, and what is told of it.
type Next<M> = (Stand, Vec<Change>, Telling<M>);

/// What is told of some changes.
struct Telling<M> {
    /// Each message with the place it goes on after.
    messages: Vec<(Place, M)>,
    /// Whether the last of them were told before: whoever goes on from the last message would be
    /// told again.
    ends_with_old: bool,
}

/// How far a watch has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    /// There is more to read, and at its end perhaps to be said that nothing is left.
    Behind { owes_end: bool },
    /// There was nothing more to read.
    CaughtUp,
}

impl Log {
    /// Answers a Watch: from where the cursor stands or, without one, with a snapshot first. The
    /// messages of a snapshot have no cursor; who breaks off there starts over.
    pub async fn watch<S: Subject>(
        &self,
        call: &Call,
        cursor: &str,
        subject: S,
    ) -> Result<Messages<S::Message>, Fault> {
        let mut topics = subject.topics();
        topics.sort_unstable();
        topics.dedup();
        let cursors = Cursors::of(&self.pool, call, &topics).await?;
        let from = match cursor {
            "" => None,
            cursor => Some(
                cursors
                    .read(cursor)
                    .ok_or_else(|| Fault::invalid("cursor", "is not a cursor of this watch"))?,
            ),
        };

        // Told of changes from before the first read, so that none falls between the two.
        let watcher = self.hub.watcher(&self.pool, topics.into());
        let leave = self.hub.read().await;
        // Nothing is read of no topics but how the log stands.
        let stand = async { Ok(store::read(&self.pool, &[], Place::START, 0).await?) };
        let (stand, _nothing) = in_time(stand).await?;
        let (epoch, place) = match from {
            None => (stand.epoch, stand.settled()),
            Some((epoch, place)) if stand.keeps(epoch, place) => (epoch, place),
            Some(_lost) => return Err(Reason::CursorExpired.into()),
        };
        let keys = subject.keys();
        let told = Told::nothing(&keys);
        let (log, progress) = (self.clone(), Progress::Behind { owes_end: true });
        let mut watch = Watch { log, watcher, subject, told, cursors, epoch, place, progress };
        let snapshot = match from {
            None => in_time(watch.snapshot(keys)).await?,
            Some(_) => Vec::new(),
        };
        drop(leave);
        Ok(watch.messages(snapshot))
    }
}

impl<S: Subject> Watch<S> {
    fn messages(mut self, snapshot: Vec<S::Message>) -> Messages<S::Message> {
        Box::pin(try_stream! {
            for message in snapshot {
                yield message;
            }
            loop {
                // Nothing is read until the client has taken what there was.
                for message in self.next_patiently().await? {
                    yield message;
                }
            }
        })
    }

    /// Tells how everything stands that is watched by name.
    async fn snapshot(&mut self, keys: Vec<String>) -> Result<Vec<S::Message>, Fault> {
        let standing = self.read(&keys).await?;
        let mut messages = Vec::with_capacity(keys.len());
        for key in keys {
            let now = standing.get(&key);
            if self.told.is_news(&key, now.map(|now| &*now.version)) {
                let message = now.map(|now| now.message.clone());
                messages.push(message.unwrap_or_else(|| self.subject.gone(&key)));
            }
        }
        Ok(messages)
    }

    /// Tells what has become of what changed.
    async fn tell(&mut self, changes: &[Change]) -> Result<Telling<S::Message>, Fault> {
        let mut keys: Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        let standing = self.read(&keys).await?;
        let last: HashMap<_, _> =
            changes.iter().map(|change| (&change.key, change.place)).collect();
        let mut telling = Telling { messages: Vec::new(), ends_with_old: false };
        for Change { key, payload, place } in changes {
            let now = standing.get(key);
            // Who is gone is told so by the last entry, or whoever goes on from there is told again.
            if now.is_none() && last.get(key) != Some(place) {
                continue;
            }
            let entry = self.told.entry(key, payload.as_deref(), now.map(|now| &*now.version));
            match entry {
                Entry::News => {
                    let message = now.map(|now| now.message.clone());
                    let message = message.unwrap_or_else(|| self.subject.gone(key));
                    telling.messages.push((*place, message));
                    telling.ends_with_old = false;
                }
                Entry::Old => telling.ends_with_old = true,
                Entry::Followed => {}
            }
        }
        Ok(telling)
    }

    async fn read(&self, keys: &[String]) -> Result<HashMap<String, Standing<S::Message>>, Fault> {
        let standing = self.subject.read(keys).await?;
        Ok(standing.into_iter().map(|standing| (standing.key.clone(), standing)).collect())
    }

    /// The next messages, whatever the database is doing meanwhile.
    async fn next_patiently(&mut self) -> Result<Vec<S::Message>, Fault> {
        let delays = backoff::ExponentialBuilder::new()
            .with_min_delay(DELAY_MIN)
            .with_max_delay(DELAY_MAX)
            .with_jitter()
            .with_max_times(TRIES_MAX);
        let mut delays = delays.build();
        loop {
            let fault = match self.next().await {
                Ok(messages) => return Ok(messages),
                Err(fault) => fault,
            };
            let may_pass = matches!(fault.reason(), Reason::DbUnavailable | Reason::PoolExhausted);
            match delays.next() {
                Some(delay) if may_pass => sleep(delay.min(DELAY_MAX)).await,
                _ => return Err(fault),
            }
        }
    }

    /// Waits for a change, unless there is more to read, and tells what has become of it.
    async fn next(&mut self) -> Result<Vec<S::Message>, Fault> {
        if self.progress == Progress::CaughtUp {
            self.watcher.changed().await;
            self.progress = Progress::Behind { owes_end: false };
        }
        let leave = self.log.hub.read().await;
        let (stand, changes, telling) = in_time(self.changes()).await?;
        drop(leave);

        if telling.ends_with_old {
            self.progress = Progress::Behind { owes_end: true };
        }
        let told = telling.messages.into_iter();
        let told = told.map(|(place, message)| self.with_cursor(message, place));
        let mut messages: Vec<_> = told.collect();
        match changes.last() {
            Some(last) if changes.len() == BATCH_MAX => self.place = last.place,
            _ => {
                self.place = stand.settled();
                if self.progress == (Progress::Behind { owes_end: true }) {
                    messages.push(self.with_cursor(S::Message::default(), self.place));
                }
                self.progress = Progress::CaughtUp;
            }
        }
        Ok(messages)
    }

    /// How the log stands, what of it is next, and what is to be told of that.
    async fn changes(&mut self) -> Result<Next<S::Message>, Fault> {
        let rows_max = i64::try_from(BATCH_MAX).unwrap_or(i64::MAX);
        let topics = self.watcher.topics();
        let (stand, changes) = store::read(&self.log.pool, topics, self.place, rows_max).await?;
        if !stand.keeps(self.epoch, self.place) {
            return Err(Reason::CursorExpired.into());
        }
        let telling = match changes.as_slice() {
            [] => Telling { messages: Vec::new(), ends_with_old: false },
            changes => self.tell(changes).await?,
        };
        Ok((stand, changes, telling))
    }

    fn with_cursor(&self, mut message: S::Message, place: Place) -> S::Message {
        S::set_cursor(&mut message, self.cursors.write(self.epoch, place));
        message
    }
}

/// A read that the database does not answer is one that it cannot.
async fn in_time<T>(read: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    timeout(READ_MAX, read).await.unwrap_or_else(|_elapsed| Err(Reason::DbUnavailable.into()))
}
