//! What goes over the wire, seen by clients with nothing of ours in them.

pub(crate) mod raw;
