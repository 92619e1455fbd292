//! What the fuzzers call. It is in no other build.

use ticket::Signer;
use uuid::Uuid;

use crate::cursor::{Cursors, Place, Stand};

/// What a cursor whose content is this names, as if we had sealed it: its log, its numbers, whether
/// a log that stands at `horizon` and was swept up to `swept` still has what follows, and whether a
/// cursor of that place is read as the same.
pub fn cursor(
    content: &[u8],
    swept: i64,
    horizon: i64,
) -> Option<([u8; 16], [i64; 2], bool, bool)> {
    let signer = Signer::new(b"key", &[b"query"]);
    let sealed = signer.seal(content);
    let cursors = Cursors::new(signer);
    let (epoch, place) = cursors.read(&sealed)?;
    let stand = Stand {
        epoch: Uuid::from_bytes([7; 16]),
        horizon,
        settled: horizon,
        swept: Place { xid: swept, sequence: 0 },
    };
    let is_same = cursors.read(&cursors.write(epoch, place)) == Some((epoch, place));
    let keeps = stand.keeps(epoch, place);
    Some((epoch.into_bytes(), [place.xid, place.sequence], keeps, is_same))
}
