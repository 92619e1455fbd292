//! A machine with little memory: the process and what the kernel keeps for it, in a control group.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    Case,
    field::{Field, Seen, Watched, person},
};
use crate::Server;

pub(super) const CASES: &[Case] = &[Case {
    name: "128 MiB of memory (a control group), messages of 1 MB",
    expected: "the kernel ends nothing; each is answered",
    run: |field| Box::pin(small_machine(field)),
}];

const MEMORY_BYTES: u64 = 128 * 1024 * 1024;

/// A message that is read whole before it is refused.
const BIO_BYTES: usize = 1024 * 1024;

/// How long the kernel may take to forget a process that has ended.
const GONE_MAX: Duration = Duration::from_secs(5);

/// A control group of our own, in either version of them.
struct Group {
    dir: PathBuf,
    peak: &'static str,
    kills: &'static str,
}

impl Group {
    /// One with so much memory, where one can be made.
    fn of(bytes: u64) -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mayfly-{}-{number}", std::process::id());
        let versions = [
            ("memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"),
            ("", "memory.max", "memory.peak", "memory.events"),
        ];
        versions.into_iter().find_map(|(tree, limit, peak, kills)| {
            let dir = Path::new("/sys/fs/cgroup").join(tree).join(&name);
            fs::create_dir(&dir).ok()?;
            let group = Self { dir, peak, kills };
            fs::write(group.dir.join(limit), bytes.to_string()).ok()?;
            Some(group)
        })
    }

    fn number(&self, file: &str, name: &str) -> Option<u64> {
        let text = fs::read_to_string(self.dir.join(file)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    }

    async fn is_empty(&self) {
        let give_up = Instant::now() + GONE_MAX;
        while fs::remove_dir(&self.dir).is_err() && Instant::now() < give_up {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Most often it is gone already.
        fs::remove_dir(&self.dir).unwrap_or_default();
    }
}

async fn small_machine(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let Some(group) = Group::of(MEMORY_BYTES) else {
        seen.skip("no control group can be made here");
        return seen;
    };
    let mut command = Command::new("/bin/sh");
    let enter = "echo $$ > \"$1\"/cgroup.procs; exec \"$0\" \"$2\"";
    command.args(["-c", enter]).args([&field.binary, &group.dir]);
    let server = Server::with(&mut command, &field.database, &[]);
    let watched = Watched::of(server, field.size).await;
    let mut callers = JoinSet::new();
    let end = Instant::now() + field.pick(Duration::from_secs(2), Duration::from_mins(2));
    for caller in 0..field.pick(4, 16) {
        let person = person(&watched.server, &format!("large-{caller}"));
        callers.spawn(async move {
            let message = json!({ "profile": { "bio": "x".repeat(BIO_BYTES) } });
            let (mut answered, mut otherwise) = (0, 0);
            while Instant::now() < end {
                let (status, _told) = person.json("UpdateProfile", &message).await;
                answered += 1;
                otherwise += usize::from(status != 400);
            }
            (answered, otherwise)
        });
    }
    let (answered, otherwise) = callers
        .join_all()
        .await
        .into_iter()
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    seen.note(
        answered > 0 && otherwise == 0,
        format!("{answered} messages of 1 MB, {otherwise} of them not refused with 3"),
    );
    let kills = group.number(group.kills, "oom_kill ").unwrap_or(0);
    let peak = group.number(group.peak, "").unwrap_or(0);
    seen.note(kills == 0, format!("{kills} killed; {} MiB at most in all", peak / 1024 / 1024));
    watched.end_grown(&mut seen, 100.0, 64.0).await;
    group.is_empty().await;
    seen
}
