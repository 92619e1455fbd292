//! A stream goes on for no longer than its caller may have it.

use std::time::Duration;

use clock::Clock;
use identity::UserId;
use proto::user::v1::{WatchProfilesRequest, WatchProfilesResponse};
use tests::{App, told};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status, Streaming};

use super::{Revoker, SLACK, now, token, token_until};

/// With a second for what is known of revocations, a stream looks every six.
const LOOK: Duration = Duration::from_secs(6);

async fn watch(app: &App, token: &str) -> Streaming<WatchProfilesResponse> {
    let person = app.stranger(Some(token));
    let mut watching =
        person.user().watch_profiles(WatchProfilesRequest::default()).await.unwrap().into_inner();
    // That there is no profile, and that this is all.
    for _message in 0..2 {
        assert!(watching.message().await.unwrap().is_some());
    }
    watching
}

/// How a stream ends that has nothing more to tell.
async fn end(mut watching: Streaming<WatchProfilesResponse>) -> (Status, Duration) {
    let start = Instant::now();
    let ended = timeout(LOOK + SLACK, watching.message()).await.expect("it ends in time");
    (ended.unwrap_err(), start.elapsed())
}

fn unauthenticated(status: &Status, reason: &str) {
    let told = told(status);
    assert_eq!((told.code, &*told.reason), (Code::Unauthenticated, reason));
}

#[tokio::test]
async fn a_stream_ends_with_the_time_of_its_token() {
    let app = App::builder().with("TOKEN_SKEW_SECS", "0").start().await;
    // By now there are keys and connections, so that the time of the next is its own.
    drop(watch(&app, &token("bob", now())).await);
    let expires = now() + 5;
    let watching = watch(&app, &token_until("ada", expires)).await;
    let (status, _took) = end(watching).await;
    unauthenticated(&status, "TOKEN_EXPIRED");
    assert!(Clock::system().unix_secs() >= expires);
}

#[tokio::test]
async fn a_stream_ends_when_its_person_is_revoked_or_what_its_token_says_is_over() {
    let app = App::builder().with("REVOCATION_SECS_MAX", "1").start().await;
    let office = Revoker::of(&app.database).await;
    let revoked = watch(&app, &token("ada", now() - 60)).await;
    let demoted = watch(&app, &token("bob", now() - 60)).await;
    let other = watch(&app, &token("eve", now() - 60)).await;

    office.revoke("ada", now() - 30).await;
    let (bob, later) = (&UserId::parse("bob").unwrap(), now() + 30);
    let Revoker { pool, revocations } = &office;
    let times = (now(), later);
    let work = |tx| async move { Ok(revocations.begin_change(&tx, bob, times).await?) };
    assert!(pool.transaction(work).await.unwrap());

    let ((revoked, first), (demoted, second)) = tokio::join!(end(revoked), end(demoted));
    unauthenticated(&revoked, "TOKEN_REVOKED");
    unauthenticated(&demoted, "TOKEN_EXPIRED");
    assert!(first.max(second) < LOOK + SLACK);
    let mut other = other;
    let goes_on = timeout(Duration::from_millis(300), other.message()).await;
    assert!(goes_on.is_err(), "{goes_on:?}");
}
