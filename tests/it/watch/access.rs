//! Who is told what.

use proto::user::v1::{Visibility, WatchProfilesRequest};
use tests::App;
use tonic::Code;

use super::{Told, Watching, create, delete, gone, say, settles, show, told};

#[tokio::test]
async fn a_private_profile_and_a_missing_one_are_told_alike() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    create(&ada, "ada").await;
    let mut watching = Watching::begin(&bob, &["ada-uid", "nobody", "a\nb", "ada-uid"]).await;
    let snapshot = [gone("ada-uid"), gone("nobody"), gone("a\nb")];
    assert_eq!(watching.until_caught_up().await, snapshot);

    // Whatever happens to it, it makes no sound: a missing one makes none either.
    say(&ada, "to myself").await;
    delete(&ada).await;
    create(&ada, "ada").await;
    say(&ada, "to myself again").await;
    watching.is_silent().await;
    let mut resumed =
        Watching::resume(&bob, &["ada-uid", "nobody", "a\nb"], &watching.cursor).await.unwrap();
    assert_eq!(resumed.next().await, Told::CaughtUp);
}

#[tokio::test]
async fn strangers_are_told_while_a_profile_is_public_and_that_it_went() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    create(&ada, "ada").await;
    let mut strangers = Watching::begin(&bob, &["ada-uid"]).await;
    let mut own = Watching::begin(&ada, &["ada-uid"]).await;
    assert_eq!(strangers.until_caught_up().await, [gone("ada-uid")]);
    own.until_caught_up().await;

    for round in 0..2 {
        let shown = show(&ada, Visibility::Public).await;
        assert_eq!(strangers.next().await, told(&shown));
        assert_eq!(own.next().await, told(&shown));
        let said = say(&ada, &format!("to all, {round}")).await;
        assert_eq!(strangers.next().await, told(&said));
        assert_eq!(own.next().await, told(&said));
        let hidden = show(&ada, Visibility::Private).await;
        assert_eq!(strangers.next().await, gone("ada-uid"));
        assert_eq!(own.next().await, told(&hidden));
        let secret = say(&ada, &format!("to myself, {round}")).await;
        assert_eq!(own.next().await, told(&secret));
        strangers.is_silent().await;
    }
    delete(&ada).await;
    assert_eq!(own.next().await, gone("ada-uid"));
    strangers.is_silent().await;

    let public = ada.creates_public_profile("ada").await;
    assert_eq!(strangers.next().await, told(&public));
    delete(&ada).await;
    assert_eq!(strangers.next().await, gone("ada-uid"));
}

/// The right to see is asked for when something is told, not when it was written.
#[tokio::test]
async fn what_was_public_is_not_told_once_it_is_private() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    let public = ada.creates_public_profile("ada").await;
    let mut watching = Watching::begin(&bob, &["ada-uid"]).await;
    assert_eq!(watching.until_caught_up().await, [told(&public)]);
    let cursor = watching.cursor.clone();
    drop(watching);

    say(&ada, "seen by nobody").await;
    show(&ada, Visibility::Private).await;
    say(&ada, "to myself").await;
    settles(&app).await;
    let mut resumed = Watching::resume(&bob, &["ada-uid"], &cursor).await.unwrap();
    assert_eq!(resumed.until_caught_up().await, [gone("ada-uid")]);

    // Deleted while private, it is gone for those as well who saw it public last.
    delete(&ada).await;
    settles(&app).await;
    let mut resumed = Watching::resume(&bob, &["ada-uid"], &cursor).await.unwrap();
    assert_eq!(resumed.until_caught_up().await, [gone("ada-uid")]);
}

#[tokio::test]
async fn a_watch_is_for_people_and_of_a_hundred_at_most() {
    let app = App::start().await;
    let watch = async |person: tests::Person, user_ids: Vec<String>| {
        let request = WatchProfilesRequest { user_ids, cursor: String::new() };
        person.user().watch_profiles(request).await.map(|_stream| ()).map_err(|s| s.code())
    };
    let of = |n: usize| (0..n).map(|n| format!("person-{n}")).collect::<Vec<_>>();
    assert_eq!(watch(app.stranger(None), of(1)).await, Err(Code::Unauthenticated));
    assert_eq!(watch(app.person("ada-uid"), of(101)).await, Err(Code::InvalidArgument));
    let empty = vec![String::new()];
    assert_eq!(watch(app.person("ada-uid"), empty).await, Err(Code::InvalidArgument));

    let hundred = of(100);
    let names: Vec<_> = hundred.iter().map(String::as_str).collect();
    let mut watching = Watching::begin(&app.person("ada-uid"), &names).await;
    assert_eq!(watching.until_caught_up().await.len(), 100);
    let public = app.person("person-99").creates_public_profile("last").await;
    assert_eq!(watching.next().await, told(&public));
}
