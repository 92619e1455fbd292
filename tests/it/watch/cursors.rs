//! Cursors: whose they are, what they are of, and when they are too old.

use proto::user::v1::ListProfilesRequest;
use tests::{App, until};
use tonic::{Code, Status};

use super::{LIMIT, Told, Watching, create, delete, gone, say, settles, told};

fn refused(watching: Result<Watching, Status>) -> (Code, String, Vec<String>) {
    let status = watching.map(|_watching| ()).unwrap_err();
    let tests::Told { code, reason, fields, .. } = tests::told(&status);
    (code, reason, fields)
}

fn expired() -> (Code, String, Vec<String>) {
    (Code::OutOfRange, "CURSOR_EXPIRED".to_owned(), vec![])
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_watch_and_no_other() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    let mut watching = Watching::begin(&ada, &["ada-uid", "eve-uid"]).await;
    watching.until_caught_up().await;
    let cursor = watching.cursor;
    // The order in which people are named makes no other watch of it.
    assert!(Watching::resume(&ada, &["eve-uid", "ada-uid"], &cursor).await.is_ok());

    let invalid = (Code::InvalidArgument, "INVALID_ARGUMENT".to_owned(), vec!["cursor".to_owned()]);
    let theirs = Watching::resume(&bob, &["ada-uid", "eve-uid"], &cursor).await;
    assert_eq!(refused(theirs), invalid);
    for others in [&["ada-uid"][..], &["ada-uid", "bob-uid"], &["ada-uid", "eve-uid", "bob-uid"]] {
        assert_eq!(refused(Watching::resume(&ada, others, &cursor).await), invalid, "{others:?}");
    }
    for place in [0, 1, 20, 40, 70, cursor.len() - 1] {
        let mut tampered = cursor.clone().into_bytes();
        tampered[place] = if tampered[place] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(tampered).unwrap();
        let outcome = Watching::resume(&ada, &["ada-uid", "eve-uid"], &tampered).await;
        assert_eq!(refused(outcome), invalid, "{place}");
    }
    for handle in ["aaa", "bbb"] {
        app.person(handle).creates_public_profile(handle).await;
    }
    let page = ListProfilesRequest { page_size: 1, ..Default::default() };
    let page = ada.user().list_profiles(page).await.unwrap().into_inner();
    let outcome = Watching::resume(&ada, &["ada-uid", "eve-uid"], &page.next_page_token).await;
    assert_eq!(refused(outcome), invalid);
    let as_page = ListProfilesRequest { page_token: cursor, ..Default::default() };
    let status = ada.user().list_profiles(as_page).await.unwrap_err();
    assert_eq!(tests::told(&status).fields, ["page_token"]);
}

#[tokio::test]
async fn a_cursor_is_told_when_it_is_older_than_the_log() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    create(&ada, "ada").await;
    let mut watching = Watching::begin(&ada, &[]).await;
    watching.until_caught_up().await;
    let old = watching.cursor.clone();
    let said = say(&ada, "a day ago").await;
    assert_eq!(watching.next().await, told(&said));
    let newer = watching.cursor.clone();
    drop(watching);

    // A day passes. The log is swept when something is appended, by a process that has not yet.
    app.sql("update mayfly.change set create_time = create_time - interval '25 hours'").await;
    // Nor are entries dropped that a transaction of before may not see yet.
    settles(&app).await;
    let app = App::builder().database(&app.database).with("DB_WAIT_MS_MAX", "10000").start().await;
    let ada = app.person("ada-uid");
    let said = say(&ada, "today").await;
    let left = "select count(*) from mayfly.change";
    until("the log is swept", LIMIT, || async { app.sql_count(left).await == 1 }).await;

    assert_eq!(refused(Watching::resume(&ada, &[], &old).await), expired());
    // Everything after this one is there.
    let mut resumed = Watching::resume(&ada, &[], &newer).await.unwrap();
    assert_eq!(resumed.next_change().await, told(&said));
    let mut anew = Watching::begin(&ada, &[]).await;
    assert_eq!(anew.until_caught_up().await, [told(&said)]);
}

/// Drops what is a day old: a process does so with its first append.
async fn is_swept(database: &str, left: i64) {
    let app = App::builder().database(database).with("DB_WAIT_MS_MAX", "10000").start().await;
    settles(&app).await;
    create(&app.person("bob-uid"), "bob").await;
    delete(&app.person("bob-uid")).await;
    let of_ada = "select count(*) from mayfly.change where key = 'ada-uid'";
    until("the log is swept", LIMIT, || async { app.sql_count(of_ada).await == left }).await;
    app.stopped().await;
}

/// Transactions are as old as their beginning, and not in the order of their places.
#[tokio::test]
async fn a_cursor_that_is_older_than_the_log_stays_so() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    let mut watching = Watching::begin(&ada, &[]).await;
    watching.until_caught_up().await;
    create(&ada, "ada").await;
    watching.next().await;
    let old = watching.cursor.clone();
    say(&ada, "older than what is before it").await;
    drop(watching);

    for (place, left) in [("max", 1), ("min", 0)] {
        app.sql(&format!(
            "update mayfly.change set create_time = create_time - interval '25 hours'
             where sequence = (select {place}(sequence) from mayfly.change where key = 'ada-uid')"
        ))
        .await;
        is_swept(&app.database, left).await;
        assert_eq!(refused(Watching::resume(&ada, &[], &old).await), expired());
    }
}

#[tokio::test]
async fn a_cursor_of_another_log_is_as_good_as_too_old() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    create(&ada, "ada").await;
    let mut watching = Watching::begin(&ada, &[]).await;
    watching.until_caught_up().await;
    app.sql("update mayfly.change_log set id = gen_random_uuid()").await;
    assert_eq!(refused(Watching::resume(&ada, &[], &watching.cursor).await), expired());

    // One who was watching all the while is told without a change to wait for.
    let status = watching.try_next().await.unwrap_err();
    assert_eq!(tests::told(&status).reason, "CURSOR_EXPIRED");
    let mut anew = Watching::begin(&ada, &[]).await;
    assert_eq!(anew.until_caught_up().await.len(), 1);
}

/// A dump of a cluster that has counted further brings xids that are yet to come.
#[tokio::test]
async fn a_log_that_was_restored_into_a_younger_cluster_is_watched_and_cleared() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    app.sql("update mayfly.change_log set swept_xid = '5000000000000', swept_sequence = 7").await;
    app.sql(
        "insert into mayfly.change (xid, topic, key)
         select '5000000000001', 'user.profile/ada-uid', 'ada-uid' from generate_series(1, 3)",
    )
    .await;
    let mut watching = Watching::begin(&ada, &[]).await;
    assert_eq!(watching.until_caught_up().await, [gone("ada-uid")]);
    let created = create(&ada, "ada").await;
    assert_eq!(watching.next().await, told(&created));

    let left = "select count(*) from mayfly.change where xid > '5000000000000'";
    until("what was restored is dropped", LIMIT, || async { app.sql_count(left).await == 0 }).await;
    let as_new = "select count(*) from mayfly.change_log where swept_xid = '0'";
    assert_eq!(app.sql_count(as_new).await, 1);
    let mut resumed = Watching::resume(&ada, &[], &watching.cursor).await.unwrap();
    assert_eq!(resumed.until_caught_up().await, []);
}

/// Transactions that write nothing commit without a word to the disk: a crash forgets them.
#[tokio::test]
async fn an_xid_that_is_given_out_again_after_a_crash_is_not_overlooked() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    ada.creates_public_profile("ada").await;
    for _ in 0..3 {
        app.sql("select pg_current_xact_id()").await;
    }
    settles(&app).await;
    let mut watching = Watching::begin(&ada, &[]).await;
    assert_eq!(watching.until_caught_up().await.len(), 1);

    let etag = "00000000-0000-4000-8000-00000000000d";
    app.sql(&format!(
        "with changed as (
             update mayfly_user.profile set etag = '{etag}' where user_id = 'ada-uid'
         )
         insert into mayfly.change (xid, topic, key, payload)
         select (1 + xid::text::bigint)::text::xid8, topic, key, uuid_send('{etag}')
         from mayfly.change
         where key = 'ada-uid'"
    ))
    .await;
    let mut resumed = Watching::resume(&ada, &[], &watching.cursor).await.unwrap();
    for watching in [&mut resumed, &mut watching] {
        assert_eq!(watching.next_change().await, Told::Profile("ada-uid".into(), etag.into()));
    }
}
