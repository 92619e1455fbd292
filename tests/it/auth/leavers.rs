//! Whoever leaves before the answer is there: what they have begun is not left half done.

use std::time::Duration;

use proto::auth::v1::RegisterRequest;
use tests::{App, until};

use super::{PASSWORD, account, accounts::mail, address, front::Front};

/// What something takes at most on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(20);

/// How many calls of Register have been given up by their callers.
async fn left(app: &App) -> usize {
    let (_status, metrics) = app.internal("/metrics").await;
    let left = metrics.lines().find(|line| {
        let of = ["grpc_server_handled_total{", "\"Register\"", "\"Canceled\""];
        of.iter().all(|part| line.contains(part))
    });
    left.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn whoever_leaves_while_an_account_is_made_keeps_nobody_from_being_told() {
    let front = Front::open().await;
    let app = App::builder().with("IDENTITY_TOOLKIT_URL", front.url()).start().await;
    let begun = "select count(*) from mayfly_auth.audit where event = 'register_begun'";
    for (n, (email, event, message)) in [
        (address(), "registered", "VERIFY_EMAIL"),
        (account(), "registered_again", "PASSWORD_RESET"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut held = front.holds("accounts:signUp");
        let stranger = app.stranger(None);
        let mut auth = stranger.auth();
        let request = RegisterRequest { email: email.clone(), password: PASSWORD.to_owned() };
        tokio::select! {
            answer = auth.register(request) => panic!("{answer:?}"),
            () = held.came() => {}
        }
        drop((auth, stranger));
        until("the call is over", SOON, async || left(&app).await == n + 1).await;
        held.goes();

        let row = format!("select count(*) from mayfly_auth.audit where event = '{event}'");
        until("it is written down", SOON, async || app.sql_count(&row).await == 1).await;
        assert_eq!(mail(&email).await, [message]);
        assert_eq!(app.sql_count(begun).await, i64::try_from(n).unwrap() + 1);
    }
}
