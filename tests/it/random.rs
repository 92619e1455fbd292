//! A few thousand random calls; `random_calls` makes a million.

use tests::{
    random::{Options, Server, run},
    world,
};

use crate::process::program::ALL;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_sent_breaks_any_function() {
    let server = Server::start(ALL.as_ref(), &world().new_database().await);

    let report = run(&server, Options { seed: 2026, first: 0, calls: 3000 }, |_| ()).await;

    #[expect(clippy::print_stderr, reason = "what the suite found, for whoever reads its log")]
    {
        eprintln!("{report}");
    }
    assert!(report.problems.is_empty(), "{report}");
    // They are not all refused at the door.
    for code in ["0", "3", "4", "5", "12", "16"] {
        assert!(report.ended(code) > 20, "{code} in\n{report}");
    }
    assert!(report.growth_mib().is_none_or(|growth| growth < 16.0), "{report}");
}
