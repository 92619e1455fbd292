//! The whole platform on one machine.
