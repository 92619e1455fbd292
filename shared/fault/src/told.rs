//! What a stream of answers fails with. On its way to the trailers it becomes headers, which have no
//! cause; whoever polls the stream can still be told, on the thread that it is polled on.

use std::{cell::RefCell, sync::Arc};

use crate::Fault;

thread_local! {
    /// The last fault that became a status, while somebody listens.
    static TOLD: RefCell<Heard> = const { RefCell::new(Heard::NobodyListens) };
}

enum Heard {
    NobodyListens,
    Nothing,
    Fault(Arc<Fault>),
}

/// Does `work`, and tells the last fault that became a status meanwhile.
pub fn told_by<T>(work: impl FnOnce() -> T) -> (T, Option<Arc<Fault>>) {
    // One within another has its own, as layers may be within layers.
    let outer = TOLD.replace(Heard::Nothing);
    let done = work();
    let heard = TOLD.replace(outer);
    (done, if let Heard::Fault(fault) = heard { Some(fault) } else { None })
}

/// Notes a fault that has become a status.
pub(crate) fn note(fault: &Arc<Fault>) {
    TOLD.with_borrow_mut(|told| {
        if !matches!(told, Heard::NobodyListens) {
            *told = Heard::Fault(Arc::clone(fault));
        }
    });
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;
    use crate::Reason;

    #[test]
    fn the_last_fault_is_told_to_whoever_listens() {
        let fail = |reason: Reason| drop(Status::from(reason));
        let reason = |fault: Option<Arc<Fault>>| fault.map(|fault| fault.reason());
        fail(Reason::Internal);
        let ((), nothing) = told_by(|| ());
        assert_eq!(reason(nothing), None);
        let (inner, outer) = told_by(|| {
            fail(Reason::NotFound);
            let ((), inner) = told_by(|| fail(Reason::Conflict));
            inner
        });
        assert_eq!(
            (reason(inner), reason(outer)),
            (Some(Reason::Conflict), Some(Reason::NotFound))
        );
    }
}
