//! Keys that all machines of a function agree on, read once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sqlx::query_file_scalar;

use crate::{Pool, Result};

/// The keys read so far. There are as many as the migrations make.
#[derive(Default)]
pub(crate) struct Secrets(Mutex<Known>);

type Known = HashMap<&'static str, Arc<[u8]>>;

impl Secrets {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Pool {
    /// The key called `name`, which a migration made.
    pub async fn secret(&self, name: &'static str) -> Result<Arc<[u8]>> {
        if let Some(value) = self.secrets().known().get(name) {
            return Ok(Arc::clone(value));
        }
        // The first calls may read it side by side: waiting for one another, they would add up
        // what each may wait for a connection.
        let value = self.read_secret(name).await?;
        self.secrets().known().insert(name, Arc::clone(&value));
        Ok(value)
    }

    async fn read_secret(&self, name: &str) -> Result<Arc<[u8]>> {
        let value = query_file_scalar!("../../queries/database/read_secret.sql", name)
            .fetch_one(self)
            .await?;
        Ok(value.into())
    }
}
