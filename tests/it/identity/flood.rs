//! Forged tokens in a flood: the short form of `cargo run --release -p tests --bin forged_flood`.

use std::{path::Path, time::Duration};

use tests::{
    Server,
    flood::{forged, good},
    world,
};

use crate::process::program::USER;

const RATE: u64 = 500;

/// The same beside good callers, whose tokens this process has to sign meanwhile.
const RATE_BESIDE: u64 = 100;

/// The most that a machine busy with other tests may leave unserved.
const SERVED_MIN: f64 = 0.8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_forged_tokens_is_refused_without_the_database_and_others_are_served() {
    let database = world().new_database().await;
    let server = Server::start(Path::new(USER), &database);

    let alone = forged(&server, RATE, Duration::from_secs(1)).await;
    assert!(alone.refused > 0, "{alone:?}");
    assert_eq!(alone.otherwise, 0, "{alone:?}");
    let connections = format!(
        "select count(*) from pg_stat_activity
         where datname = '{database}' and usename = 'mayfly_runtime'"
    );
    assert_eq!(world().count_as_admin(&connections).await, 0, "a forged token asks no database");

    let long = Duration::from_secs(5);
    let (seen, forged) = tokio::join!(good(&server, long), forged(&server, RATE_BESIDE, long));
    assert!(forged.refused > 0, "{forged:?}");
    assert_eq!(forged.otherwise, 0, "{forged:?}");
    assert!(seen.goodput() >= SERVED_MIN, "{seen}");
    assert!(world().count_as_admin(&connections).await > 0, "a good one does");
}
