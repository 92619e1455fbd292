//! Transactions that commit in another order than they begin.

use sqlx::{AssertSqlSafe, PgConnection, raw_sql};
use tests::App;

use super::{Told, Watching, create, gone, say, told};

async fn run(connection: &mut PgConnection, statements: &str) {
    raw_sql(AssertSqlSafe(statements.to_owned())).execute(connection).await.unwrap();
}

/// A change as the function writes it, with this etag.
fn change(user_id: &str, etag: &str) -> String {
    format!(
        "update mayfly_user.profile set etag = '{etag}' where user_id = '{user_id}';
         insert into mayfly.change (topic, key, payload)
         values ('user.profile/{user_id}', '{user_id}', uuid_send('{etag}'))"
    )
}

#[tokio::test]
async fn the_first_to_begin_and_last_to_commit_is_not_overlooked() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    ada.creates_public_profile("ada").await;
    bob.creates_public_profile("bob").await;
    let both = ["ada-uid", "bob-uid"];
    let mut watching = Watching::begin(&bob, &both).await;
    assert_eq!(watching.until_caught_up().await.len(), 2);

    let etag = "00000000-0000-4000-8000-000000000001";
    let mut slow = app.owner().await;
    run(&mut slow, &format!("begin; {}", change("ada-uid", etag))).await;
    let bobs = say(&bob, "committed first").await;

    // What has begun earlier may still come, and would be overlooked by whoever went past it.
    watching.is_silent().await;
    let mut resumed = Watching::resume(&bob, &both, &watching.cursor).await.unwrap();
    assert_eq!(resumed.next().await, Told::CaughtUp);
    let mut from_there = Watching::resume(&bob, &both, &resumed.cursor).await.unwrap();
    assert_eq!(from_there.next().await, Told::CaughtUp);

    run(&mut slow, "commit").await;
    let adas = Told::Profile("ada-uid".into(), etag.into());
    for mut watching in [watching, resumed, from_there] {
        assert_eq!(watching.next().await, adas);
        assert_eq!(watching.next().await, told(&bobs));
    }
}

#[tokio::test]
async fn of_two_changes_to_one_profile_the_last_to_commit_is_the_last_told() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    ada.creates_public_profile("ada").await;
    let mut watching = Watching::begin(&ada, &[]).await;
    watching.until_caught_up().await;

    // The second transaction gets the row before the first.
    let (last, before) =
        ("00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b");
    let (mut first, mut second) = (app.owner().await, app.owner().await);
    run(&mut first, "begin; select pg_current_xact_id()").await;
    run(&mut second, &format!("begin; {}; commit", change("ada-uid", before))).await;
    run(&mut first, &format!("{}; commit", change("ada-uid", last))).await;

    assert_eq!(watching.next().await, Told::Profile("ada-uid".into(), last.into()));
    watching.is_silent().await;
    let after = say(&ada, "after both").await;
    assert_eq!(watching.next().await, told(&after));
}

#[tokio::test]
async fn what_is_rolled_back_is_not_told() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    let mut watching = Watching::begin(&ada, &[]).await;
    assert_eq!(watching.until_caught_up().await, [gone("ada-uid")]);
    let mut owner = app.owner().await;
    let etag = "00000000-0000-4000-8000-00000000000c";
    run(&mut owner, &format!("begin; {}; rollback", change("ada-uid", etag))).await;
    let created = create(&ada, "ada").await;
    assert_eq!(watching.next().await, told(&created));
    watching.is_silent().await;
}
