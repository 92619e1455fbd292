//! What is wrong with a file, all of it at once.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The key, such as `http_service.http_options.h2_backend`.
    pub place: String,
    /// What is wrong with it, as the rest of a sentence.
    pub told: String,
}

/// Everything that is wrong, one per line.
#[derive(Clone, Debug, Default, Eq, PartialEq, thiserror::Error)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn of(fault: Fault) -> Self {
        Self(vec![fault])
    }

    pub(crate) fn add(&mut self, place: &str, told: impl Into<String>) {
        self.0.push(Fault { place: place.to_owned(), told: told.into() });
    }

    /// Adds a fault unless `holds`.
    #[expect(clippy::fn_params_excessive_bools, reason = "what is demanded is true or false")]
    pub(crate) fn demand(&mut self, holds: bool, place: &str, told: &str) {
        if !holds {
            self.add(place, told);
        }
    }

    /// Whether there are none.
    pub(crate) fn none(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Fault { place, told }) in self.0.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{place} {told}")?;
        }
        Ok(())
    }
}
