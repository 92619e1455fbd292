//! The faults of `cargo run --release -p tests --bin faults`, small, against the debug binary.
//!
//! What is skipped for want of a program is a failure under `CI=true`; for want of root's rights, which
//! control groups and network namespaces need, it is none anywhere.

use tests::{
    faults::{Field, Size, Verdict, cases},
    leave_out,
};

use crate::process::program::USER;

/// Tries every case whose name holds one of these.
async fn hold(parts: &[&str]) {
    let field = Field::new(USER.into(), Size::Short).await;
    for part in parts {
        let cases: Vec<_> = cases().into_iter().filter(|case| case.name.contains(part)).collect();
        assert!(!cases.is_empty(), "no case is called {part:?}");
        for case in cases {
            let seen = case.run(&field).await;
            let (wrong, line) = (&seen.wrong, seen.line());
            assert!(
                wrong.is_empty(),
                "{}: {}; wrong: {wrong:#?}; {line}",
                case.name,
                case.expected
            );
            if seen.verdict() == Verdict::Skipped {
                leave_out(&format!("{}: {line}", case.name));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_back_every_call_is_sent_away() {
    hold(&["rapid reset", "calls that have begun", "streams over the limit"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_without_end_come_to_one() {
    hold(&["without end", "churned"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_control_frames_costs_little() {
    hold(&["flood"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_begins_and_does_not_go_on_is_closed() {
    hold(&["byte by byte", "no SETTINGS", "held", "acknowledges no PING"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_given_up() {
    hold(&["windows of", "nobody reads"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_heads_are_refused_and_nothing_follows_them() {
    hold(&["headers of", "odd paths", "read in two ways", "Upgrade"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_delays_nobody_else() {
    hold(&["say nothing", "MAX_CONNS", "ten times", "address space", "pids.max", "no descriptors"])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_large_once_unpacked_is_not_unpacked() {
    hold(&["on 50 streams at once"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_sent_to_its_end_is_not_kept_without_bounds() {
    hold(&["last byte does not come"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_in_time_beside_a_database_that_does_not_answer() {
    hold(&["a drain beside"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_vanishes_without_a_word_leaves_nothing_behind() {
    hold(&["cable"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_end_it_in_time_and_sleep_does_not() {
    hold(&["SIGTERM", "maximum age", "signal", "SIGSTOP"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_slept_serves_at_once_and_believes_nothing_old() {
    hold(&["suspended for two hours", "a clock that is slow"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_and_kills_lose_and_double_nothing() {
    hold(&["two instances", "kill -9"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restarts_fail_no_call_of_other_peoples_clients() {
    hold(&["rolling restarts"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_over_drains() {
    hold(&["drained again"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_time_left_is_told_and_gives_back_what_it_had() {
    hold(&["expire while", "reach their deadline", "cancelled at random"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_dropped_leaves_nothing_behind() {
    hold(&["writes dropped"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_happens_once_and_beside_calls() {
    hold(&["migrat"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_machine_is_enough_for_large_messages() {
    hold(&["MiB of memory"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_trouble_is_told_of_left_alone_and_found_again() {
    hold(&["down at start", "terminated every", "500 callers"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_slow_is_left_alone() {
    hold(&["2 s slower"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_silent_is_left_alone() {
    hold(&["swallows"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_loses_no_write() {
    hold(&["postmasters killed"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_happens_once() {
    hold(&["a commit whose answer"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_another_replaces_loses_no_write() {
    hold(&["failover"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_in_each_others_way_get_through_or_are_told() {
    hold(&["serialization", "deadlocks"]).await;
}
