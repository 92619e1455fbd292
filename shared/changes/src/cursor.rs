//! Places in the log, and the cursors that clients carry them in.

use call::Call;
use database::{Pool, Result};
use ticket::Signer;
use uuid::Uuid;

const VERSION: u8 = 1;
const EPOCH_BYTES: usize = 16;
const NUMBER_BYTES: usize = 8;

/// A place in the log: behind the entry with these numbers. Those of a transaction count from one,
/// so that zero is before all of them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    pub(crate) xid: i64,
    pub(crate) sequence: i64,
}

/// Where the log stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stand {
    /// Which log it is.
    pub(crate) epoch: Uuid,
    /// The oldest transaction that may still append.
    pub(crate) horizon: i64,
    /// Where on the log begins what is yet to come: behind its newest entry or at the horizon,
    /// whichever is first. Of the horizon alone a crash may forget, and the same xids come again.
    pub(crate) settled: i64,
    /// The last place that was dropped for its age.
    pub(crate) swept: Place,
}

impl Place {
    /// Before everything.
    pub(crate) const START: Self = Self { xid: 0, sequence: 0 };
}

impl Stand {
    /// The place up to which nothing can appear any more.
    pub(crate) fn settled(&self) -> Place {
        Place { xid: self.settled, sequence: 0 }
    }

    /// Whether everything after `place` of the log `epoch` is there to be read. Up to the horizon
    /// that is so although it is not settled: binaries of before wrote it into their cursors.
    pub(crate) fn keeps(&self, epoch: Uuid, place: Place) -> bool {
        let horizon = Place { xid: self.horizon, sequence: 0 };
        epoch == self.epoch && place >= self.swept && place <= horizon
    }
}

/// Writes and reads the cursors of one watch.
#[derive(Clone, Debug)]
pub(crate) struct Cursors(Signer);

impl Cursors {
    /// Those of the caller, the RPC and what it watches.
    pub(crate) async fn of(pool: &Pool, call: &Call, topics: &[String]) -> Result<Self> {
        let watched: Vec<_> = topics.iter().map(String::as_bytes).collect();
        Ok(Self(Signer::of(pool, "cursor", call, &watched).await?))
    }

    #[cfg(fuzzing)]
    pub(crate) fn new(signer: Signer) -> Self {
        Self(signer)
    }

    pub(crate) fn write(&self, epoch: Uuid, place: Place) -> String {
        let (xid, sequence) = (place.xid.to_be_bytes(), place.sequence.to_be_bytes());
        self.0.seal(&[&[VERSION], &epoch.as_bytes()[..], &xid, &sequence].concat())
    }

    pub(crate) fn read(&self, cursor: &str) -> Option<(Uuid, Place)> {
        let content = self.0.open(cursor)?;
        let (version, rest) = content.split_first()?;
        let (epoch, rest) = rest.split_first_chunk::<EPOCH_BYTES>()?;
        let (xid, rest) = rest.split_first_chunk::<NUMBER_BYTES>()?;
        let sequence = rest.try_into().ok()?;
        let place = Place { xid: i64::from_be_bytes(*xid), sequence: i64::from_be_bytes(sequence) };
        (*version == VERSION).then(|| (Uuid::from_bytes(*epoch), place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(xid: i64, sequence: i64) -> Place {
        Place { xid, sequence }
    }

    #[test]
    fn a_cursor_tells_the_place_it_was_written_at() {
        let cursors = Cursors(Signer::new(b"key", &[b"ada"]));
        let (epoch, at) = (Uuid::max(), place(i64::MAX, 7));
        assert_eq!(cursors.read(&cursors.write(epoch, at)), Some((epoch, at)));

        let others = Cursors(Signer::new(b"key", &[b"bob"]));
        assert_eq!(others.read(&cursors.write(epoch, at)), None);
        assert_eq!(cursors.read(&cursors.0.seal(b"")), None);
        assert_eq!(cursors.read(&cursors.0.seal(&[VERSION; 40])), None);
    }

    #[test]
    fn the_log_keeps_what_is_between_the_sweep_and_the_horizon() {
        let epoch = Uuid::max();
        let stand = Stand { epoch, horizon: 20, settled: 16, swept: place(10, 5) };
        assert_eq!(stand.settled(), place(16, 0));
        for kept in [place(10, 5), place(10, 6), place(19, 1), place(20, 0)] {
            assert!(stand.keeps(epoch, kept), "{kept:?}");
        }
        for lost in [place(10, 4), place(9, 9), place(20, 1), place(21, 0)] {
            assert!(!stand.keeps(epoch, lost), "{lost:?}");
        }
        assert!(!stand.keeps(Uuid::nil(), place(15, 0)));
    }
}
