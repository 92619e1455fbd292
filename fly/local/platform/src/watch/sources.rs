//! Says when something changes that the functions are built from.

use std::{path::Path, time::Duration};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{sync::mpsc, time::timeout};

use crate::Error;

/// What the functions are built from. The platform itself is not replaced while it runs.
const SOURCES: [&str; 6] = ["functions", "shared", "proto", "queries", "Cargo.toml", "Cargo.lock"];

/// An editor saves in several steps, and a checkout changes many files: they are one change.
const QUIET: Duration = Duration::from_millis(100);

/// Changes that never end are built all the same.
const STEPS_MAX: usize = 20;

/// The sources of a workspace, watched.
#[derive(Debug)]
pub(crate) struct Sources {
    changed: mpsc::Receiver<()>,
    /// Watches until it is dropped.
    _watcher: RecommendedWatcher,
}

impl Sources {
    /// Watches the sources below `root`.
    pub(crate) fn of(root: &Path) -> Result<Self, Error> {
        // One that is not read yet stands for all that follow.
        let (tell, changed) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error is an overflow of the system's queue: something was missed.
            if event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                return;
            }
            let _is_told_already = tell.try_send(());
        })?;
        for source in SOURCES.map(|source| root.join(source)).iter().filter(|path| path.exists()) {
            watcher.watch(source, RecursiveMode::Recursive)?;
        }
        Ok(Self { changed, _watcher: watcher })
    }

    /// Waits for a change, and until it is over.
    pub(crate) async fn changed(&mut self) {
        if self.changed.recv().await.is_none() {
            // The watcher holds the other end.
            return std::future::pending().await;
        }
        for _step in 0..STEPS_MAX {
            if timeout(QUIET, self.changed.recv()).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_new_file_is_a_change_and_one_outside_is_none() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["queries/user", "target"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let mut sources = Sources::of(root.path()).unwrap();
        fs::write(root.path().join("target/output"), "x").unwrap();
        assert!(timeout(QUIET * 3, sources.changed()).await.is_err());
        for name in ["one.sql", "two.sql"] {
            fs::write(root.path().join("queries/user").join(name), "x").unwrap();
            timeout(Duration::from_secs(10), sources.changed()).await.unwrap();
        }
        fs::create_dir(root.path().join("queries/data")).unwrap();
        timeout(Duration::from_secs(10), sources.changed()).await.unwrap();
    }
}
