//! While a transaction is open no call leaves: it would keep rows locked and a connection taken for
//! as long as somebody else likes, and could not be rolled back.
//!
//! The floors that open transactions and the one that calls do not know each other; both know this.

use tokio::task_local;

task_local! {
    static TRANSACTION: ();
}

/// Does `work`, during which no call may leave.
pub async fn hold_calls<F: Future>(work: F) -> F::Output {
    TRANSACTION.scope((), work).await
}

/// Whether this is work during which no call may leave.
pub fn are_calls_held() -> bool {
    TRANSACTION.try_with(|()| ()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_are_held_during_the_work_and_not_after() {
        assert!(!are_calls_held());
        assert!(hold_calls(async { are_calls_held() }).await);
        assert!(hold_calls(hold_calls(async { are_calls_held() })).await);
        assert!(!are_calls_held());
    }
}
