//! Transactions that commit in another order than they begin.

use sqlx::{AssertSqlSafe, PgConnection, raw_sql};
use tests::App;

use super::{Told, Watching, create, delete, gone, say, settles, told};

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
    watching.tells_nothing().await;
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
    watching.tells_nothing().await;
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

/// Insists that whoever goes on from where `watching` has come is told nothing again.
async fn goes_on_without_repeats(app: &App, watching: &mut Watching) {
    settles(app).await;
    // The word that moves the cursor behind what was told already, if there is one.
    watching.tells_nothing().await;
    let ada = app.person("ada-uid");
    let mut resumed = Watching::resume(&ada, &[], &watching.cursor).await.unwrap();
    assert_eq!(resumed.until_caught_up().await, []);
}

#[tokio::test]
async fn who_has_changed_and_gone_is_told_once_over_a_resume() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    create(&ada, "ada").await;
    let mut watching = Watching::begin(&ada, &[]).await;
    watching.until_caught_up().await;

    // Both are read at once, when this ends.
    let mut slow = app.owner().await;
    run(&mut slow, "begin; select pg_current_xact_id()").await;
    say(&ada, "the last words").await;
    delete(&ada).await;
    run(&mut slow, "commit").await;
    assert_eq!(watching.next().await, gone("ada-uid"));
    goes_on_without_repeats(&app, &mut watching).await;
}

#[tokio::test]
async fn what_was_told_before_its_entry_could_be_read_is_told_once_over_a_resume() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    create(&ada, "ada").await;
    let mut watching = Watching::begin(&ada, &[]).await;
    watching.until_caught_up().await;

    // The first entry is read when the person is gone, and the second, which says so, later.
    let (mut first, mut second) = (app.owner().await, app.owner().await);
    run(&mut first, "begin; select pg_current_xact_id()").await;
    say(&ada, "the last words").await;
    run(&mut second, "begin; select pg_current_xact_id()").await;
    delete(&ada).await;
    run(&mut first, "commit").await;
    assert_eq!(watching.next().await, gone("ada-uid"));
    run(&mut second, "commit").await;
    goes_on_without_repeats(&app, &mut watching).await;

    // So is what a snapshot has told.
    let mut slow = app.owner().await;
    run(&mut slow, "begin; select pg_current_xact_id()").await;
    let created = create(&ada, "ada").await;
    let mut watching = Watching::begin(&ada, &[]).await;
    assert_eq!(watching.until_caught_up().await, [told(&created)]);
    run(&mut slow, "commit").await;
    goes_on_without_repeats(&app, &mut watching).await;
}
