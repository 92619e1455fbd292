//! Neither an answer nor its time tells whether there is an account, or an API client: the short form
//! of `cargo run --release -p tests --bin oracles`.

use std::time::Duration;

use tests::{
    App,
    oracles::{ORACLES, app},
};

use super::front::Front;

/// How often each question is asked in each way.
const CALLS: usize = 50;

/// What Firebase does for one of the two ways alone, or once more: it makes an account, and it sends a
/// message.
const DONE_FOR_ONE: &[&str] = &["accounts:signUp", "accounts:sendOobCode"];

/// How much longer that takes it.
const LONGER: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_and_no_time_tells_whether_there_is_somebody() {
    let front = Front::open().await;
    front.lingers(DONE_FOR_ONE, LONGER);
    let app = app(App::builder().with("IDENTITY_TOOLKIT_URL", front.url())).await;
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
