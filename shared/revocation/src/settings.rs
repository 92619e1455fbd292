//! How old may be what is known of the revocations.

use std::{ops::RangeInclusive, time::Duration};

use settings::Reader;

/// How old may be what is known of the revocations.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `REVOCATION_SECS_MAX`: how old what is known of them may be.
    pub known_max: Duration,
}

impl Settings {
    /// The ages that can be set, in seconds.
    pub const KNOWN_SECS: RangeInclusive<u32> = 1..=30;

    /// Reads it.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let known_max = reader.secs(
            "REVOCATION_SECS_MAX",
            "5",
            Self::KNOWN_SECS,
            "how late a revocation may be noticed; without the database for longer, signed-in calls \
             answer 14",
        );
        Some(Self { known_max: known_max? })
    }
}
