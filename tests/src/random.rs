//! Random calls against a running function: nothing that is sent may break it.
//!
//! Calls are made from the contract's descriptors and from chance, are the same for the same seed,
//! and every answer must be one of those that a client is promised.

mod chance;
pub mod message;
mod call;
mod wire;
mod judge;

use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use self::{
    call::{Kind, World},
    wire::Client,
};
use crate::world;

pub use crate::server::Server;
pub use chance::Chance;

/// Is how many clients call at a time.
const CLIENTS: u64 = 32;

/// Is how many wrong answers are told of.
const PROBLEMS_MAX: usize = 20;

const PROGRESS: Duration = Duration::from_secs(5);

/// Which calls are made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What they all follow from.
    pub seed: u64,
    /// The number of the first; a call that went wrong is repeated by its number.
    pub first: u64,
    /// How many there are.
    pub calls: u64,
}

/// What came of them.
#[derive(Debug, Default)]
pub struct Report {
    /// Counts calls by what they were and how they ended.
    codes: BTreeMap<(Kind, String), u64>,
    /// Tells what should not have been: the number of the call, and what was wrong.
    pub problems: Vec<String>,
    /// The server's memory after the first tenth of the calls and after all of them, in MiB.
    pub memory_mib: Option<(f64, f64)>,
    took: Duration,
}

/// Makes calls until all are made; `tell` hears how far it is.
pub async fn run(server: &Server, options: Options, tell: impl Fn(&str)) -> Report {
    let world = std::sync::Arc::new(World::new(&world().issuer));
    let next = std::sync::Arc::new(AtomicU64::new(0));
    let (start, mut clients) = (Instant::now(), JoinSet::new());
    for _ in 0..CLIENTS.min(options.calls) {
        let (world, next) = (std::sync::Arc::clone(&world), std::sync::Arc::clone(&next));
        clients.spawn(client(Client::new(server.address), world, next, options));
    }

    let mut report = Report::default();
    let mut ticks = interval(PROGRESS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut warm = None;
    loop {
        let made = next.load(Ordering::Relaxed).min(options.calls);
        if warm.is_none() && made >= options.calls / 10 {
            warm = server.memory_mib();
        }
        tokio::select! {
            ended = clients.join_next() => match ended {
                Some(ended) => report.add(ended.expect("a client does not panic")),
                None => break,
            },
            _tick = ticks.tick() => {
                let memory = server.memory_mib().unwrap_or_default();
                tell(&format!("{made} calls, {memory:.1} MiB"));
            }
        }
    }
    report.took = start.elapsed();
    report.memory_mib = warm.zip(server.memory_mib());
    report.problems.extend(server.panics().into_iter().map(|line| format!("a panic: {line}")));
    report
}

async fn client(
    mut client: Client,
    world: std::sync::Arc<World>,
    next: std::sync::Arc<AtomicU64>,
    options: Options,
) -> Report {
    let mut report = Report::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= options.calls || report.problems.len() >= PROBLEMS_MAX {
            return report;
        }
        let number = options.first + number;
        let call = world.call(&mut Chance::new(options.seed, number));
        let outcome = match client.send(&call).await {
            Ok(answer) => judge::judge(&call, &answer),
            Err(broken) => Err(broken),
        };
        let code = outcome.unwrap_or_else(|problem| {
            let (kind, path, seed) = (call.kind, &call.path, options.seed);
            report
                .problems
                .push(format!("{kind:?} {path} (--seed {seed} --first {number}): {problem}"));
            "wrong".to_owned()
        });
        *report.codes.entry((call.kind, code)).or_default() += 1;
    }
}

// === impl Report ===

impl Report {
    fn add(&mut self, other: Self) {
        for (key, count) in other.codes {
            *self.codes.entry(key).or_default() += count;
        }
        self.problems.extend(other.problems);
        self.problems.truncate(PROBLEMS_MAX);
    }

    /// Returns how many calls ended so, such as `0`.
    pub fn ended(&self, code: &str) -> u64 {
        self.codes.iter().filter(|((_kind, one), _)| one == code).map(|(_, count)| count).sum()
    }

    /// Returns by how much the server has grown since it was warm, in MiB.
    pub fn growth_mib(&self) -> Option<f64> {
        self.memory_mib.map(|(warm, end)| end - warm)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut codes: Vec<_> = self.codes.keys().map(|(_kind, code)| code.as_str()).collect();
        codes.sort_by_key(|code| (code.parse().unwrap_or(u8::MAX), *code));
        codes.dedup();
        write!(f, "{:<9}", "")?;
        codes.iter().try_for_each(|code| write!(f, "{code:>9}"))?;
        let mut kinds: Vec<_> = self.codes.keys().map(|(kind, _code)| *kind).collect();
        kinds.dedup();
        for kind in kinds {
            write!(f, "\n{:<9}", format!("{kind:?}"))?;
            for code in &codes {
                let count =
                    self.codes.get(&(kind, (*code).to_owned())).copied().unwrap_or_default();
                write!(f, "{count:>9}")?;
            }
        }
        let calls: u64 = self.codes.values().sum();
        #[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
        let rate = calls as f64 / self.took.as_secs_f64();
        write!(f, "\n{calls} calls in {:.1?}: {rate:.0}/s", self.took)?;
        if let Some((warm, end)) = self.memory_mib {
            write!(f, "\nmemory {warm:.1} MiB when warm, {end:.1} MiB at the end")?;
        }
        self.problems.iter().try_for_each(|problem| write!(f, "\nwrong: {problem}"))
    }
}
