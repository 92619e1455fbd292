//! Several profiles at once, and none any more: `BatchGetProfiles` and `DeleteProfile`.

use proto::user::v1::{
    BatchGetProfilesRequest, CreateProfileRequest, DeleteProfileRequest, GetProfileRequest,
    Profile, UpdateProfileRequest, Visibility,
};
use tests::{App, Person, Told, keyed, told, with_key};
use tonic::{Code, Status};

fn named(handle: &str) -> Profile {
    Profile { handle: handle.into(), display_name: handle.into(), ..Default::default() }
}

async fn create(person: &Person, handle: &str, key: &str) -> Result<Profile, Status> {
    let request = with_key(CreateProfileRequest { profile: Some(named(handle)) }, key);
    Ok(person.user().create_profile(request).await?.into_inner())
}

async fn delete(person: &Person, etag: &str) -> Result<(), Status> {
    let request = keyed(DeleteProfileRequest { etag: etag.into() });
    person.user().delete_profile(request).await.map(tonic::Response::into_inner)
}

async fn batch(person: &Person, user_ids: &[&str]) -> Result<Vec<Profile>, Status> {
    let user_ids = user_ids.iter().map(ToString::to_string).collect();
    let request = BatchGetProfilesRequest { user_ids };
    Ok(person.user().batch_get_profiles(request).await?.into_inner().profiles)
}

fn refused(outcome: Result<impl std::fmt::Debug, Status>) -> (Code, String) {
    let Told { code, reason, .. } = told(&outcome.unwrap_err());
    (code, reason)
}

fn not_found() -> (Code, String) {
    (Code::NotFound, "NOT_FOUND".to_owned())
}

/// Where a text stands in clear in the tables that the function sees: in a column of text, or in
/// one of bytes.
async fn places_of(app: &App, text: &str) -> i64 {
    let tables = "select string_agg(
                      format('select %L as place, t::text as row from %I.%I as t',
                          table_name, table_schema, table_name),
                      ' union all ')
                  from information_schema.tables
                  where table_schema in ('mayfly', 'mayfly_user') and table_name <> 'migrations'";
    let mut owner = app.owner().await;
    #[expect(clippy::disallowed_methods, reason = "a test looks at the tables from outside")]
    let rows: String = sqlx::query_scalar(tables).fetch_one(&mut owner).await.unwrap();
    let lower = text.to_lowercase();
    let found = format!(
        "select count(*) from ({rows}) as rows
         where position('{lower}' in lower(row)) > 0
             or position(encode('{text}', 'hex') in lower(row)) > 0
             or position(encode('{lower}', 'hex') in lower(row)) > 0"
    );
    app.sql_count(&found).await
}

#[tokio::test]
async fn a_batch_has_those_who_can_be_seen_once_each_as_they_were_asked_for() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    let own = create(&ada, "ada", "key").await.unwrap();
    create(&app.person("hidden-uid"), "hidden", "key").await.unwrap();
    let bob = app.person("bob-uid").creates_public_profile("bob").await;
    let eve = app.person("eve-uid").creates_public_profile("eve").await;

    let asked =
        ["eve-uid", "nobody", "hidden-uid", "bob-uid", "eve-uid", "a\nb", "ada-uid", "bob-uid"];
    assert_eq!(batch(&ada, &asked).await.unwrap(), [eve.clone(), bob.clone(), own]);
    assert_eq!(batch(&app.person("carl-uid"), &asked).await.unwrap(), [eve, bob]);
    assert_eq!(batch(&ada, &["nobody", "hidden-uid"]).await.unwrap(), []);

    let many: Vec<_> = (0..101).map(|n| format!("person-{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(batch(&ada, &many[..100]).await.unwrap(), []);
    let long = "x".repeat(129);
    for bad in [&many[..], &[], &[""], &["ada-uid", &long]] {
        assert_eq!(refused(batch(&ada, bad).await).0, Code::InvalidArgument, "{}", bad.len());
    }
}

#[tokio::test]
async fn a_profile_is_deleted_once_and_in_the_version_that_was_seen() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    assert_eq!(refused(delete(&ada, "").await), not_found());
    let first = create(&ada, "ada", "first").await.unwrap();
    let to = Profile { bio: "newer".into(), ..Default::default() };
    let request = keyed(UpdateProfileRequest { profile: Some(to), update_mask: None });
    let newer = ada.user().update_profile(request).await.unwrap().into_inner();

    let mismatch = (Code::FailedPrecondition, "ETAG_MISMATCH".to_owned());
    assert_eq!(refused(delete(&ada, &first.etag).await), mismatch);
    assert_eq!(refused(delete(&bob, &newer.etag).await), not_found());
    delete(&ada, &newer.etag).await.unwrap();
    assert_eq!(refused(delete(&ada, "").await), not_found());
    let request = GetProfileRequest::default();
    assert_eq!(refused(ada.user().get_profile(request).await), not_found());

    // The handle is free, for anybody.
    create(&bob, "ADA", "bobs").await.unwrap();
    let taken = (Code::AlreadyExists, "HANDLE_TAKEN".to_owned());
    assert_eq!(refused(create(&ada, "ada", "second").await), taken);
    delete(&bob, "").await.unwrap();
    let again = create(&ada, "ada", "third").await.unwrap();
    assert_ne!(again.etag, first.etag);
}

#[tokio::test]
async fn a_deletion_that_is_repeated_is_answered_and_deletes_nothing_more() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    create(&ada, "ada", "first").await.unwrap();
    let request = || with_key(DeleteProfileRequest::default(), "delete");
    ada.user().delete_profile(request()).await.unwrap();
    create(&ada, "ada", "second").await.unwrap();
    let repeated = ada.user().delete_profile(request()).await.unwrap();
    assert_eq!(repeated.metadata().get("idempotency-replayed").unwrap(), "true");
    assert_eq!(batch(&ada, &["ada-uid"]).await.unwrap().len(), 1);
    assert_eq!(
        ada.json("DeleteProfile", &serde_json::json!({})).await,
        (200, serde_json::json!({}))
    );
}

#[tokio::test]
async fn a_late_repeat_does_not_bring_an_erased_profile_back() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    create(&ada, "ada", "create").await.unwrap();
    delete(&ada, "").await.unwrap();
    assert_eq!(refused(create(&ada, "ada", "create").await), not_found());
    assert_eq!(refused(create(&ada, "other", "create").await), not_found());
    assert_eq!(app.sql_count("select count(*) from mayfly_user.profile").await, 0);
    create(&ada, "ada", "create anew".replace(' ', "-").as_str()).await.unwrap();
}

#[tokio::test]
async fn nothing_of_a_deleted_profile_is_left_in_clear() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    create(&ada, "Lovelace", "create").await.unwrap();
    create(&bob, "Babbage", "create").await.unwrap();
    let to = Profile {
        display_name: "Countess".into(),
        bio: "Engines".into(),
        visibility: Visibility::Public.into(),
        ..Default::default()
    };
    let request = keyed(UpdateProfileRequest { profile: Some(to), update_mask: None });
    ada.user().update_profile(request).await.unwrap();
    // What another function, or a later version of this one, may keep there.
    app.sql(
        "insert into mayfly.change (topic, key, payload) values
             ('user.profile/ada-uid', 'ada-uid', 'Lovelace'),
             ('user.private_profile/ada-uid', 'ada-uid', 'Countess'),
             ('user.profile/bob-uid', 'bob-uid', 'Babbage');
         insert into mayfly.exactly_once (caller, rpc, key_hash, request_hash, answer, expire_time)
         values ('person:ada-uid', '/mayfly.data.v1.DataService/Create', 'a', 'b', 'c',
                 now() + interval '1 day')",
    )
    .await;
    for text in ["Lovelace", "Countess"] {
        assert_eq!(places_of(&app, text).await, 2, "{text}");
    }

    let answers = |caller: &str| {
        format!(
            "select count(*) from mayfly.exactly_once where caller = 'person:{caller}'
             and (answer is not null or request_hash <> '') and rpc not like '%/DeleteProfile'"
        )
    };
    assert_eq!(app.sql_count(&answers("ada-uid")).await, 3);
    delete(&ada, "").await.unwrap();

    for text in ["Lovelace", "Countess", "Engines"] {
        assert_eq!(places_of(&app, text).await, 0, "{text}");
    }
    // What she was answered by others is theirs to erase; of hers only the keys are left.
    assert_eq!(app.sql_count(&answers("ada-uid")).await, 1);
    let keys = "select count(*) from mayfly.exactly_once where caller = 'person:ada-uid'";
    assert_eq!(app.sql_count(keys).await, 4);
    let said = "select count(*) from mayfly.change where key = 'ada-uid' and payload is not null";
    assert_eq!(app.sql_count(said).await, 0);
    // Bob is not touched.
    assert_eq!(places_of(&app, "Babbage").await, 2);
    assert_eq!(app.sql_count(&answers("bob-uid")).await, 1);
}
