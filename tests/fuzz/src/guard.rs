//! A connection's first bytes and all that follow: what hyper is given to read of them is the same
//! however they came, and is what was sent, up to where it is refused.

use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

/// What hyper reads for a refusal is short.
const INSTEAD_BYTES_MAX: usize = 128;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

pub(crate) fn run(data: &[u8]) {
    let Some((&cut, sent)) = data.split_first() else { return };
    let read = |pieces| RUNTIME.block_on(chassis::fuzzing::read(pieces));
    let whole = read(vec![sent.to_vec()]);
    let Some((is_http2, seen)) = &whole else { return };
    let same = seen.iter().zip(sent).take_while(|(seen, sent)| seen == sent).count();
    assert!(seen.len() - same <= INSTEAD_BYTES_MAX, "{same} of {}", seen.len());
    assert_eq!(*is_http2, sent.starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    let pieces = sent.chunks(usize::from(cut % 64) + 1).map(<[u8]>::to_vec).collect();
    // Resets are allowed by the time that has passed, which is another the second time.
    let cut = read(pieces);
    if *is_http2 {
        assert_eq!(cut.map(|(is_http2, _seen)| is_http2), Some(true));
    } else {
        assert_eq!(cut, whole, "in pieces it is read otherwise");
    }
}
