//! Neither an answer nor its time tells whether there is an account, or an API client: the short form
//! of `cargo run --release -p tests --bin oracles`.

use tests::oracles::{ORACLES, app};

/// How often each question is asked in each way.
const CALLS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_and_no_time_tells_whether_there_is_somebody() {
    let app = app().await;
    for oracle in &ORACLES {
        let first = oracle.compare(app, CALLS).await;
        if first.is_even() {
            continue;
        }
        // What tells, tells every time.
        let second = oracle.compare(app, CALLS).await;
        assert!(second.is_even(), "{}: {first:?}, {second:?}", oracle.name);
    }
}
