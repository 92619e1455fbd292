//! A number of places, each of which is somebody's until they leave it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// So many places. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    max: usize,
    taken: AtomicUsize,
}

/// One of them, which is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Counted>);

impl Places {
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Counted { max, taken: AtomicUsize::new(0) }))
    }

    /// Takes a place, if one is free. Nobody waits for one.
    pub(crate) fn take(self) -> Option<Place> {
        let Counted { max, taken } = &*self.0;
        let more = |taken| (taken < *max).then_some(taken + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Place(self.0))
    }

    /// Whether none is free at the moment.
    pub(crate) fn are_taken(&self) -> bool {
        self.0.taken.load(Ordering::Relaxed) >= self.0.max
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let places = Places::new(2);
        let take = || places.clone().take();
        let (first, _second) = (take().unwrap(), take().unwrap());
        assert!(take().is_none());
        drop(first);
        let _third = take().unwrap();
        assert!(take().is_none());
    }
}
