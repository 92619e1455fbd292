//! Counts the bytes that are held for clients who may take their time, of all connections together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What is no longer than this goes on at once, mostly, and is not counted.
const SHORT_BYTES_MAX: usize = 16 * 1024;

/// How many bytes are held, by all who hold some.
#[derive(Debug, Default)]
pub struct Total(AtomicUsize);

/// One holder's share.
#[derive(Debug)]
pub struct Held {
    total: &'static Total,
    bytes: usize,
}

impl Total {
    /// None so far.
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// All shares together.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Held {
    /// A share of `total` that holds nothing.
    pub fn of(total: &'static Total) -> Self {
        Self { total, bytes: 0 }
    }

    /// Holds so many from now on, where they are not few.
    pub fn set(&mut self, bytes: usize) {
        let bytes = if bytes > SHORT_BYTES_MAX { bytes } else { 0 };
        // Almost every share is never anything else, and the total is everybody's.
        if bytes != self.bytes {
            self.total.0.fetch_add(bytes, Ordering::Relaxed);
            self.total.0.fetch_sub(self.bytes, Ordering::Relaxed);
            self.bytes = bytes;
        }
    }

    /// Whether there is anything in it.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_held_is_given_back_however_it_ends() {
        static TOTAL: Total = Total::new();
        let (mut one, mut other) = (Held::of(&TOTAL), Held::of(&TOTAL));
        one.set(100_000);
        other.set(50_000);
        one.set(SHORT_BYTES_MAX);
        assert_eq!((TOTAL.bytes(), one.is_empty(), other.is_empty()), (50_000, true, false));
        other.set(60_000);
        drop(other);
        assert_eq!(TOTAL.bytes(), 0);
    }
}
