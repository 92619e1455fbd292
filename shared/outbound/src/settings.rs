//! How long a call that leaves may take, where nobody has less time.

use std::time::Duration;

use settings::Reader;

/// The settings of every dependency.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `OUTBOUND_ATTEMPT_MS_MAX`: how long one attempt may take.
    pub attempt_max: Duration,
    /// `OUTBOUND_CONNECT_MS_MAX`: how long making a connection may take.
    pub connect_max: Duration,
}

impl Settings {
    /// Reads them.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let attempt_max = reader.millis(
            "OUTBOUND_ATTEMPT_MS_MAX",
            "5000",
            // Less than the breaker waits for a probe, so that there is never a second one.
            1..=30_000,
            "how long one attempt of a call to somebody else may take, in ms",
        );
        let connect_max = reader.millis(
            "OUTBOUND_CONNECT_MS_MAX",
            "2000",
            1..=60_000,
            "how long connecting to somebody else may take, in ms",
        );
        Some(Self { attempt_max: attempt_max?, connect_max: connect_max? })
    }
}
