//! End-to-end tests and the harness they share.
