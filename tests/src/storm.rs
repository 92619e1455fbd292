//! A storm over the change log: writers that commit in any order, and watchers whose connections,
//! database sessions and servers are killed all the while. Each watcher must see exactly what was
//! committed, in the order of the log.

mod served;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proto::user::v1::{WatchProfilesRequest, watch_profiles_response::Event};
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use tokio::{
    sync::{Notify, watch},
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep},
};
use tonic::{Code, Status};

pub use served::{function, topic};

use crate::{Person, random::Server, world};

/// Topics that are written to. Every second watcher watches all of them, the others half.
const TOPICS: usize = 10;

/// Transactions of at most so many entries.
const ENTRIES_MAX: u64 = 20;

/// How far writers and killers may run ahead of each other, in thousandths of the whole.
const AHEAD_MAX: usize = 20;

/// How long watchers may take to see the last of it, once nobody kills any more.
const END_MAX: Duration = Duration::from_mins(2);

/// How large a storm is.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// Entries that are committed.
    pub events: usize,
    /// Those who watch.
    pub watchers: usize,
    /// Connections that are killed: of watchers, of the pool, of the listener.
    pub kills: usize,
    /// Servers that are killed, by SIGKILL.
    pub deaths: usize,
    /// Servers that are drained, and started anew like those that were killed.
    pub drains: usize,
    /// Those who write.
    pub writers: usize,
    /// What chance is made of.
    pub seed: usize,
}

/// What has become of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Entries that were committed.
    pub committed: usize,
    /// Messages that watchers were sent.
    pub messages: usize,
    /// Messages that a watcher should have been sent and was not.
    pub lost: usize,
    /// Messages that a watcher should not have been sent, or not then.
    pub wrong: usize,
    /// How often a watch began anew from its cursor.
    pub resumed: usize,
    /// Database sessions that were killed.
    pub sessions_killed: usize,
    /// How long it took.
    pub took: Duration,
    /// How long the last message came after the last commit.
    pub behind: Duration,
}

/// What those who take part have in common.
struct Shared {
    storm: Storm,
    written: AtomicUsize,
    harmed: AtomicUsize,
    resumed: AtomicUsize,
    /// Where the server is at the moment.
    address: watch::Sender<SocketAddr>,
    /// Ends the connection of a watcher.
    cuts: Vec<Notify>,
    /// What each watcher has been sent.
    seen: Vec<Mutex<Vec<u32>>>,
    last_seen: Mutex<Instant>,
}

/// Chance that can be repeated.
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_of(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap_or(1))).unwrap_or_default()
    }
}

impl Storm {
    /// Lets it rage over servers that are processes of `binary`, which serves [`function`], and tells
    /// what has become of it.
    pub async fn rage(self, binary: &Path) -> Report {
        let start = Instant::now();
        let database = world().new_database().await;
        let servers = Servers { binary: binary.to_owned(), database: database.clone() };
        let server = servers.start().await;
        let shared = Arc::new(Shared {
            storm: self,
            written: AtomicUsize::new(0),
            harmed: AtomicUsize::new(0),
            resumed: AtomicUsize::new(0),
            address: watch::channel(server.address).0,
            cuts: (0..self.watchers).map(|_| Notify::new()).collect(),
            seen: (0..self.watchers).map(|_| Mutex::default()).collect(),
            last_seen: Mutex::new(start),
        });

        let mut watching = JoinSet::new();
        for number in 0..self.watchers {
            watching.spawn(watch_on(Arc::clone(&shared), number));
        }
        let begun = || async { shared.resumed.load(Ordering::Relaxed) >= self.watchers };
        crate::until("everybody watches", END_MAX, begun).await;

        let mut writing = JoinSet::new();
        for number in 0..self.writers {
            writing.spawn(write(Arc::clone(&shared), database.clone(), number));
        }
        let (_server, sessions_killed) = harm(Arc::clone(&shared), servers, server).await;
        writing.join_all().await;
        let last_commit = Instant::now();

        let expected = expected(&mut owner(&database).await).await;
        let counts = self.counts(&expected);
        let is_short = || shared.counts().iter().zip(&counts).any(|(seen, all)| seen < all);
        while is_short() && last_commit.elapsed() < END_MAX {
            sleep(Duration::from_millis(10)).await;
            // None of them ends by itself.
            if let Some(Err(panicked)) = watching.try_join_next() {
                std::panic::resume_unwind(panicked.into_panic());
            }
        }
        let behind = lock(&shared.last_seen).saturating_duration_since(last_commit);
        // Whatever was sent twice comes now.
        sleep(Duration::from_millis(300)).await;
        watching.abort_all();
        let (lost, wrong) = shared.compare(&expected);
        Report {
            committed: expected.len(),
            messages: shared.counts().iter().sum(),
            lost,
            wrong,
            resumed: shared.resumed.load(Ordering::Relaxed) - self.watchers,
            sessions_killed,
            took: start.elapsed(),
            behind,
        }
    }

    /// The topics that a watcher watches.
    fn watched(number: usize) -> Vec<usize> {
        let is_half = !number.is_multiple_of(2);
        let is_watched = |topic: &usize| !is_half || (topic + number / 2).is_multiple_of(2);
        (0..TOPICS).filter(is_watched).collect()
    }

    fn counts(&self, expected: &[(usize, u32)]) -> Vec<usize> {
        let count = |number| of_watcher(number, expected).count();
        (0..self.watchers).map(count).collect()
    }

    /// Holds back whoever is ahead of the others.
    async fn keep_pace(&self, own: (&AtomicUsize, usize), other: (&AtomicUsize, usize)) {
        let share = |(done, all): (&AtomicUsize, usize)| {
            (done.load(Ordering::Relaxed) * 1000).checked_div(all).unwrap_or(1000).min(1000)
        };
        while share(own) > share(other) + AHEAD_MAX && share(other) < 1000 {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Shared {
    fn counts(&self) -> Vec<usize> {
        self.seen.iter().map(|seen| lock(seen).len()).collect()
    }

    /// What is missing, and what is there too much or out of order, over all watchers.
    fn compare(&self, expected: &[(usize, u32)]) -> (usize, usize) {
        let (mut lost, mut wrong) = (0, 0);
        for (number, seen) in self.seen.iter().enumerate() {
            let mut seen = lock(seen).clone().into_iter().peekable();
            for event in of_watcher(number, expected) {
                if seen.next_if_eq(&event).is_none() {
                    lost += 1;
                }
            }
            wrong += seen.count();
        }
        (lost, wrong)
    }
}

fn of_watcher(number: usize, expected: &[(usize, u32)]) -> impl Iterator<Item = u32> {
    let watched = Storm::watched(number);
    let of_watched = expected.iter().filter(move |(topic, _)| watched.contains(topic));
    of_watched.map(|(_, event)| *event)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was committed, in the order of the log: the topic and the event.
async fn expected(owner: &mut PgConnection) -> Vec<(usize, u32)> {
    let statement = "select split_part(topic, '/', 2)::bigint, key::bigint from mayfly.change
                     order by xid, sequence";
    #[expect(clippy::disallowed_methods, reason = "a test looks at the tables from outside")]
    let rows = sqlx::query_as::<_, (i64, i64)>(statement).fetch_all(owner).await;
    let number = |(topic, event): (i64, i64)| {
        (usize::try_from(topic).expect("a topic"), u32::try_from(event).expect("an event"))
    };
    rows.expect("the log is readable").into_iter().map(number).collect()
}

/// Whether a call failed on its way: our client says so in several codes, and none of ours is one.
fn is_of_the_network(status: &Status) -> bool {
    let is_transport = std::error::Error::source(status)
        .and_then(|source| source.downcast_ref::<tonic::transport::Error>())
        .is_some();
    is_transport || matches!(status.code(), Code::Unavailable | Code::Unknown)
}

/// One watcher, who comes back after whatever happens.
async fn watch_on(shared: Arc<Shared>, number: usize) {
    let user_ids: Vec<_> = Storm::watched(number).iter().map(ToString::to_string).collect();
    let name = format!("watcher-{number}");
    let token = world().issuer.id_token(&name, &serde_json::Map::new());
    let mut cursor = String::new();
    loop {
        // A connection of their own each time, as after a network's failure.
        let person = Person::new(*shared.address.borrow(), &name, Some(token.clone()));
        let request = WatchProfilesRequest { user_ids: user_ids.clone(), cursor: cursor.clone() };
        let mut stream = match person.user().watch_profiles(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                let may_pass = is_of_the_network(&status);
                assert!(may_pass, "watcher {number} was refused: {status:?}");
                sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        shared.resumed.fetch_add(1, Ordering::Relaxed);
        loop {
            let message = tokio::select! {
                biased;
                () = shared.cuts[number].notified() => break,
                message = stream.message() => message,
            };
            let Ok(Some(message)) = message else { break };
            cursor = message.cursor;
            if let Some(Event::GoneUserId(event)) = message.event {
                lock(&shared.seen[number]).push(event.parse().expect("a number"));
                *lock(&shared.last_seen) = Instant::now();
            }
        }
    }
}

/// One writer: transactions of any size that take their time, and are sometimes rolled back.
async fn write(shared: Arc<Shared>, database: String, number: usize) {
    let mut dice = Dice(u64::try_from(shared.storm.seed ^ (number + 1)).unwrap_or_default());
    let mut owner = owner(&database).await;
    let all = shared.storm.events;
    loop {
        let (own, other) = ((&shared.written, all), (&shared.harmed, shared.storm.harms()));
        shared.storm.keep_pace(own, other).await;
        let count = usize::try_from(1 + dice.below(ENTRIES_MAX)).unwrap_or(1);
        let first = shared.written.fetch_add(count, Ordering::Relaxed);
        if first >= all {
            return;
        }
        let values: Vec<_> = (first..all.min(first + count))
            .map(|event| format!("('storm/{}', '{event}')", dice.one_of(TOPICS)))
            .collect();
        let insert = format!("insert into mayfly.change (topic, key) values {}", values.join(", "));
        if dice.below(10) == 0 {
            run(&mut owner, &format!("begin; {insert}; rollback")).await;
        }
        run(&mut owner, &format!("begin; {insert}")).await;
        if dice.below(4) == 0 {
            sleep(Duration::from_millis(dice.below(10))).await;
        }
        run(&mut owner, "commit").await;
        if dice.below(2) == 0 {
            run(&mut owner, "select pg_notify('mayfly_change', '')").await;
        }
    }
}

async fn run(connection: &mut PgConnection, statements: &str) {
    let outcome = raw_sql(AssertSqlSafe(statements.to_owned())).execute(connection).await;
    outcome.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

async fn owner(database: &str) -> PgConnection {
    PgConnection::connect(&world().owner_url(database)).await.expect("the database answers")
}

/// Starts the servers of a storm, one after the other.
struct Servers {
    binary: PathBuf,
    database: String,
}

impl Servers {
    async fn start(&self) -> Server {
        let (binary, database) = (self.binary.clone(), self.database.clone());
        spawn_blocking(move || Server::start(&binary, &database)).await.expect("a server")
    }
}

impl Storm {
    fn harms(&self) -> usize {
        self.kills + self.servers()
    }

    /// Servers that come to their end.
    fn servers(&self) -> usize {
        self.deaths + self.drains
    }
}

/// Kills connections and servers, spread evenly over each other and over the writing; the last
/// server, and how many sessions of the database were killed.
async fn harm(shared: Arc<Shared>, servers: Servers, mut server: Server) -> (Server, usize) {
    let storm = shared.storm;
    let mut dice = Dice(u64::try_from(!storm.seed).unwrap_or_default());
    let mut owner = owner(&servers.database).await;
    let (mut sessions, mut ended, mut drained) = (0, 0, 0);
    for done in 0..storm.harms() {
        let (own, other) = ((&shared.harmed, storm.harms()), (&shared.written, storm.events));
        storm.keep_pace(own, other).await;
        if ended < storm.servers() && ended * storm.harms() <= done * storm.servers() {
            ended += 1;
            if drained * storm.servers() < ended * storm.drains {
                drained += 1;
                spawn_blocking(move || server.drained()).await.expect("a server that drains");
            } else {
                drop(server);
            }
            server = servers.start().await;
            shared.address.send_replace(server.address);
        } else if dice.below(3) == 0 {
            let whose = if dice.below(4) == 0 { "mayfly_listen" } else { "mayfly_user" };
            let kill = format!(
                "select pg_terminate_backend(pid) from (
                     select pid from pg_stat_activity
                     where datname = current_database() and application_name = '{whose}'
                     order by random() limit 1
                 ) as chosen"
            );
            run(&mut owner, &kill).await;
            sessions += 1;
        } else {
            shared.cuts[dice.one_of(storm.watchers)].notify_one();
        }
        shared.harmed.fetch_add(1, Ordering::Relaxed);
    }
    (server, sessions)
}
