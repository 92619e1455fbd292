//! The contract as it was, as it is and as it may become: whoever was built against another version
//! can go on calling.

mod contract;
mod replay;
mod mixed;
mod breaking;

pub(crate) use breaking::buf;
pub(crate) use contract::Contract;
