//! What holds of a breaker whatever happens to it.
