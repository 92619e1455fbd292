//! The change log, as one function writes to it.

use database::{Pool, Result, Tx};

use crate::{Hub, store};

/// The change log, as one function sees it. Clones share everything.
#[derive(Clone, Debug)]
pub struct Log {
    pub(crate) pool: Pool,
    pub(crate) hub: Hub,
}

impl Log {
    /// The log, read and written over `pool`.
    pub fn new(pool: Pool, hub: Hub) -> Self {
        Self { pool, hub }
    }

    /// The same log, read and written over another pool.
    #[must_use]
    pub fn over(&self, pool: Pool) -> Self {
        Self { pool, hub: self.hub.clone() }
    }

    /// Says in `tx` that `key` of a topic has changed. Who watches hears of it once that is
    /// committed. The payload is at most 1 KB and nothing a person would want erased.
    pub async fn append(
        &self,
        tx: &Tx,
        (topic, key): (&str, &str),
        payload: Option<&[u8]>,
    ) -> Result<()> {
        store::append(tx, (topic, key), payload).await?;
        let Self { pool, hub } = self.clone();
        tx.after_commit(move || hub.appended(&pool));
        Ok(())
    }

    /// Erases the payloads of everything that was said of `topics`. That there was a change stays,
    /// for as long as the log keeps it: those who watch have yet to be told what became of it.
    pub async fn erase(&self, tx: &Tx, topics: &[String]) -> Result<()> {
        store::erase(tx, topics).await
    }
}
