//! Keys that all machines of a function agree on, read once.

use std::{collections::HashMap, sync::Arc};

use sqlx::query_file_scalar;
use tokio::sync::Mutex;

use crate::{Pool, Result};

/// The keys read so far. There are as many as the migrations make.
#[derive(Default)]
pub(crate) struct Secrets(Mutex<HashMap<&'static str, Arc<[u8]>>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Pool {
    /// The key called `name`, which a migration made.
    pub async fn secret(&self, name: &'static str) -> Result<Arc<[u8]>> {
        let mut known = self.secrets().0.lock().await;
        if let Some(value) = known.get(name) {
            return Ok(Arc::clone(value));
        }
        let value = self.read_secret(name).await?;
        known.insert(name, Arc::clone(&value));
        Ok(value)
    }

    async fn read_secret(&self, name: &str) -> Result<Arc<[u8]>> {
        let value = query_file_scalar!("../../queries/database/read_secret.sql", name)
            .fetch_one(self)
            .await?;
        Ok(value.into())
    }
}
