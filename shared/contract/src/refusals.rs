//! What is wrong with the contracts, collected so that one build names it all.

use std::fmt::Display;

use anyhow::{Result, bail};

/// The reasons not to build, in the order of the contracts.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Vec<String>);

impl Refusals {
    /// Adds a reason: who is at fault, what is wrong, and what to write.
    pub(crate) fn add(&mut self, name: &str, fault: impl Display, remedy: impl Display) {
        self.0.push(format!("{name}: {fault}; {remedy}"));
    }

    /// Fails with all the reasons, if there are any.
    pub(crate) fn into_result(self) -> Result<()> {
        if !self.0.is_empty() {
            bail!("the contracts are refused\n  {}", self.0.join("\n  "));
        }
        Ok(())
    }
}
