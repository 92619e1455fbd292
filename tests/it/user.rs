//! The `user` function, as people see it.

mod fields;
mod pages;
mod times;

use proto::user::v1::{
    CreateProfileRequest, GetProfileRequest, ListProfilesRequest, Profile, UpdateProfileRequest,
    Visibility,
};
use serde_json::json;
use tests::{App, Person, Told, keyed, told, with_key};
use tonic::{Code, Response, Status};

/// The names of a refused request's fields, beside its code and reason.
fn refused(status: &Status) -> (Code, String, Vec<String>) {
    let Told { code, reason, fields, .. } = told(status);
    (code, reason, fields)
}

fn invalid(fields: &[&str]) -> (Code, String, Vec<String>) {
    let fields = fields.iter().map(ToString::to_string).collect();
    (Code::InvalidArgument, "INVALID_ARGUMENT".to_owned(), fields)
}

fn named(handle: &str) -> Profile {
    Profile { handle: handle.into(), display_name: handle.into(), ..Default::default() }
}

async fn create(person: &Person, profile: Profile) -> Result<Profile, Status> {
    let request = keyed(CreateProfileRequest { profile: Some(profile) });
    Ok(person.user().create_profile(request).await?.into_inner())
}

async fn get(person: &Person, user_id: &str) -> Result<Profile, Status> {
    let request = GetProfileRequest { user_id: user_id.into() };
    Ok(person.user().get_profile(request).await?.into_inner())
}

async fn update(person: &Person, profile: Profile, mask: &[&str]) -> Result<Profile, Status> {
    let request = keyed(change(profile, mask));
    Ok(person.user().update_profile(request).await?.into_inner())
}

fn change(profile: Profile, mask: &[&str]) -> UpdateProfileRequest {
    let paths = mask.iter().map(ToString::to_string).collect();
    let update_mask = (!mask.is_empty()).then_some(prost_types::FieldMask { paths });
    UpdateProfileRequest { profile: Some(profile), update_mask }
}

/// One number for all that the table holds: the same as long as nothing has changed.
async fn table(app: &App) -> i64 {
    let rows = "select hashtextextended(coalesce(string_agg(p::text, ',' order by user_id), ''), 0)
                from mayfly_user.profile p";
    app.sql_count(rows).await
}

#[tokio::test]
async fn a_private_profile_is_its_owners_alone() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    create(&ada, named("ada")).await.unwrap();

    let own = get(&ada, "ada-uid").await.unwrap();
    assert_eq!(own.handle, "ada");

    let hidden = get(&bob, "ada-uid").await.unwrap_err();
    let missing = get(&bob, "nobody").await.unwrap_err();
    assert_eq!(told(&hidden), told(&missing));
    assert_eq!(hidden.code(), Code::NotFound);

    let listed = bob.user().list_profiles(ListProfilesRequest::default()).await.unwrap();
    assert_eq!(listed.into_inner().profiles, []);
}

#[tokio::test]
async fn a_hidden_profile_and_a_missing_one_answer_alike_to_the_byte() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    create(&ada, named("ada")).await.unwrap();

    let hidden = get(&bob, "ada-uid").await.unwrap_err();
    let of_json = async |user_id: &str| {
        let answer = bob.json_with("GetProfile", &json!({ "userId": user_id }), &[]).await;
        let mut headers = answer.headers.clone();
        assert!(headers.remove("x-request-id").is_some());
        headers.remove("date");
        (answer.status, headers, answer.body)
    };
    for missing_id in ["nobody", "ada-ui", "ADA-UID", "ada-uid ", "a\nb", "%", &"x".repeat(128)] {
        let missing = get(&bob, missing_id).await.unwrap_err();
        assert_eq!(hidden.code(), missing.code(), "{missing_id:?}");
        assert_eq!(hidden.message(), missing.message(), "{missing_id:?}");
        assert_eq!(hidden.details(), missing.details(), "{missing_id:?}");
        assert_eq!(of_json("ada-uid").await, of_json(missing_id).await, "{missing_id:?}");
    }
}

#[tokio::test]
async fn an_empty_user_id_is_ones_own() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    let (code, reason, _fields) = refused(&get(&ada, "").await.unwrap_err());
    assert_eq!((code, &*reason), (Code::NotFound, "NOT_FOUND"));

    let created = create(&ada, named("ada")).await.unwrap();
    create(&bob, named("bob")).await.unwrap();
    assert_eq!(get(&ada, "").await.unwrap(), created);
    assert_eq!(get(&bob, "").await.unwrap().user_id, "bob-uid");
}

#[tokio::test]
async fn a_new_profile_has_what_was_asked_and_what_the_server_adds() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    let asked = Profile {
        bio: "Counts.".into(),
        locale: "en-GB".into(),
        avatar_file_id: "018f4e9e-6c1a-7d3e-8a55-0242ac120002".into(),
        ..named("Ada_1")
    };
    let created = create(&ada, asked.clone()).await.unwrap();
    let expected = Profile {
        user_id: "ada-uid".into(),
        visibility: Visibility::Private.into(),
        etag: created.etag.clone(),
        create_time: created.create_time,
        update_time: created.update_time,
        ..asked
    };
    assert_eq!(created, expected);
    assert!(!created.etag.is_empty());
    assert_eq!(created.create_time, created.update_time);
    let age = clock::Clock::system().unix_secs() - created.create_time.unwrap().seconds;
    assert!((-5..60).contains(&age), "{age}");
    assert_eq!(get(&ada, "").await.unwrap(), created);
}

#[tokio::test]
async fn a_handle_is_unique_without_regard_to_case_and_keeps_its_case() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    assert_eq!(create(&ada, named("Ada_L")).await.unwrap().handle, "Ada_L");

    let taken = (Code::AlreadyExists, "HANDLE_TAKEN".to_owned(), vec![]);
    for handle in ["Ada_L", "ada_l", "ADA_L", "aDA_l"] {
        assert_eq!(refused(&create(&bob, named(handle)).await.unwrap_err()), taken, "{handle}");
    }
    create(&bob, named("bob")).await.unwrap();
    let before = table(&app).await;
    let to = Profile { handle: "ADA_l".into(), ..Default::default() };
    assert_eq!(refused(&update(&bob, to, &[]).await.unwrap_err()), taken);
    assert_eq!(table(&app).await, before);

    // One's own handle is free to oneself, and a freed one to everybody at once.
    let to = Profile { handle: "ADA_L".into(), ..Default::default() };
    assert_eq!(update(&ada, to, &["handle"]).await.unwrap().handle, "ADA_L");
    let to = Profile { handle: "countess".into(), ..Default::default() };
    update(&ada, to, &["handle"]).await.unwrap();
    let to = Profile { handle: "ada_l".into(), ..Default::default() };
    assert_eq!(update(&bob, to, &["handle"]).await.unwrap().handle, "ada_l");
}

#[tokio::test]
async fn of_many_people_who_want_a_handle_at_once_one_gets_it() {
    let app = App::start().await;
    let people: Vec<_> = (0..8).map(|n| app.person(&format!("uid-{n}"))).collect();
    let attempts = people.iter().map(|person| create(person, named("wanted")));
    let outcomes = futures_util::future::join_all(attempts).await;
    let refusals: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(refusals.len(), 7);
    for refusal in refusals {
        let taken = (Code::AlreadyExists, "HANDLE_TAKEN".to_owned(), vec![]);
        assert_eq!(refused(refusal), taken);
    }
    assert_eq!(app.sql_count("select count(*) from mayfly_user.profile").await, 1);
}

#[tokio::test]
async fn a_handle_speaks_for_nobody_else_and_is_a_word() {
    let app = App::start().await;
    let reserved = ["admin", "support", "root", "mayfly", "Admin", "MAYFLY", "rOOt"];
    // "me" is too short in any case.
    let malformed = ["me", "ME", "ab", "1ada", "_ada", "ada-l", "ada l", "ada.l", "äda", "ada\n"];
    let long = "a".repeat(31);
    let bad = reserved.into_iter().chain(malformed).chain([long.as_str()]);
    for (n, handle) in bad.enumerate() {
        let (ada, bob) = (app.person(&format!("new-{n}")), app.person(&format!("old-{n}")));
        create(&bob, named(&format!("bob_{n}"))).await.unwrap();
        let before = table(&app).await;
        let to = Profile { handle: handle.into(), ..Default::default() };
        let asked = Profile { display_name: "Ada".into(), ..to.clone() };
        let told = refused(&create(&ada, asked).await.unwrap_err());
        assert_eq!(told, invalid(&["profile.handle"]), "{handle:?}");
        for mask in [&[][..], &["handle"]] {
            let told = refused(&update(&bob, to.clone(), mask).await.unwrap_err());
            assert_eq!(told, invalid(&["profile.handle"]), "{handle:?}");
        }
        assert_eq!(table(&app).await, before, "{handle:?}");
    }
    for (uid, handle) in [("a", "adm"), ("b", "admins"), ("c", "my_root"), ("d", "Me_")] {
        create(&app.person(uid), named(handle)).await.unwrap();
    }
}

#[tokio::test]
async fn a_second_profile_is_refused() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    create(&ada, named("ada")).await.unwrap();
    let before = table(&app).await;
    for handle in ["ada", "another"] {
        let told = refused(&create(&ada, named(handle)).await.unwrap_err());
        assert_eq!(told, (Code::AlreadyExists, "PROFILE_EXISTS".to_owned(), vec![]), "{handle}");
    }
    assert_eq!(table(&app).await, before);
}

#[tokio::test]
async fn what_is_required_must_be_there() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    let nothing = keyed(CreateProfileRequest { profile: None });
    let told = refused(&ada.user().create_profile(nothing).await.unwrap_err());
    assert_eq!(told, invalid(&["profile"]));
    let nothing = keyed(UpdateProfileRequest { profile: None, update_mask: None });
    let told = refused(&ada.user().update_profile(nothing).await.unwrap_err());
    assert_eq!(told, invalid(&["profile"]));
    let told = refused(&create(&ada, Profile::default()).await.unwrap_err());
    assert_eq!(told, invalid(&["profile.handle", "profile.display_name"]));
    assert_eq!(app.sql_count("select count(*) from mayfly_user.profile").await, 0);
}

#[tokio::test]
async fn an_update_without_a_mask_changes_the_fields_that_are_set() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    let first = create(&ada, Profile { bio: "Counts.".into(), ..named("ada") }).await.unwrap();

    let to = Profile { locale: "de".into(), ..Default::default() };
    let changed = update(&ada, to, &[]).await.unwrap();
    let expected = Profile {
        locale: "de".into(),
        etag: changed.etag.clone(),
        update_time: changed.update_time,
        ..first.clone()
    };
    assert_eq!(changed, expected);
    assert_ne!(changed.etag, first.etag);
    let micros = |profile: &Profile| {
        let time = profile.update_time.unwrap();
        (time.seconds, time.nanos)
    };
    assert!(micros(&changed) > micros(&first));
    assert_eq!(get(&ada, "").await.unwrap(), changed);
}

#[tokio::test]
async fn an_update_with_a_mask_changes_what_it_names_and_nothing_else() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    let avatar_file_id = "018f4e9e-6c1a-7d3e-8a55-0242ac120002".to_owned();
    let first = Profile { bio: "Counts.".into(), avatar_file_id, ..named("ada") };
    create(&ada, first).await.unwrap();

    let to = Profile { locale: "de".into(), display_name: "Countess".into(), ..named("other") };
    let mask = ["bio", "display_name", "avatar_file_id", "bio"];
    let changed = update(&ada, to, &mask).await.unwrap();
    assert_eq!(changed.display_name, "Countess");
    assert_eq!((&*changed.bio, &*changed.avatar_file_id), ("", ""));
    assert_eq!((&*changed.handle, &*changed.locale), ("ada", ""));

    for field in ["handle", "display_name", "visibility"] {
        let told = refused(&update(&ada, Profile::default(), &[field]).await.unwrap_err());
        assert_eq!(told, invalid(&[&format!("profile.{field}")]), "{field}");
    }
}

#[tokio::test]
async fn a_mask_that_names_what_is_nobodys_to_change_changes_nothing() {
    let app = App::start().await;
    let to = Profile { bio: "changed".into(), ..named("changed") };
    let paths = [
        "*",
        "user_id",
        "etag",
        "create_time",
        "update_time",
        "nope",
        "Bio",
        "",
        " bio",
        "bio ",
        "profile.bio",
        "bio.x",
        "handle_key",
        "role",
        "bio,handle",
        "displayName",
        "b\0io",
    ];
    for (n, path) in paths.into_iter().enumerate() {
        let person = app.person(&format!("uid-{n}"));
        create(&person, named(&format!("user_{n}"))).await.unwrap();
        let before = table(&app).await;
        for mask in [vec![path], vec!["bio", path], vec![path, "bio"]] {
            let told = refused(&update(&person, to.clone(), &mask).await.unwrap_err());
            assert_eq!(told, invalid(&["update_mask"]), "{mask:?}");
        }
        assert_eq!(table(&app).await, before, "{path:?}");
    }
    let ada = app.person("ada-uid");
    create(&ada, named("ada")).await.unwrap();
    let before = table(&app).await;
    let many: Vec<_> = (0..10_001).map(|n| if n == 9_000 { "user_id" } else { "bio" }).collect();
    let told = refused(&update(&ada, to, &many).await.unwrap_err());
    assert_eq!(told, invalid(&["update_mask"]));
    for mask in ["*", "userId", "bio,createTime", "nope"] {
        let message = json!({ "profile": { "bio": "changed" }, "updateMask": mask });
        let (status, error) = ada.json("UpdateProfile", &message).await;
        assert_eq!((status, &error["code"]), (400, &json!("invalid_argument")), "{mask}");
    }
    assert_eq!(table(&app).await, before);
}

#[tokio::test]
async fn an_etag_must_be_that_of_the_version_that_is_changed() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    let first = create(&ada, named("ada")).await.unwrap();
    let to = |etag: &str| Profile { bio: "b".into(), etag: etag.into(), ..Default::default() };

    let second = update(&ada, to(&first.etag), &["bio"]).await.unwrap();
    let before = table(&app).await;
    let mismatch = (Code::FailedPrecondition, "ETAG_MISMATCH".to_owned(), vec![]);
    let upper = second.etag.to_uppercase();
    for etag in [&first.etag, "x", " ", "*", &upper, "00000000-0000-0000-0000-000000000000"] {
        for mask in [&[][..], &["bio"]] {
            assert_eq!(refused(&update(&ada, to(etag), mask).await.unwrap_err()), mismatch);
        }
    }
    assert_eq!(table(&app).await, before);
    update(&ada, to(&second.etag), &[]).await.unwrap();
    update(&ada, to(""), &[]).await.unwrap();
}

fn is_to_be_repeated(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
}

#[tokio::test]
async fn of_thirty_updates_of_one_version_one_happens() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    let etag = create(&ada, named("ada")).await.unwrap().etag;
    let to = |n: u8| Profile { bio: n.to_string(), etag: etag.clone(), ..Default::default() };
    // They want more connections than there are, and a busy machine lets some wait too long.
    let attempt = async |n: u8| loop {
        let request = with_key(change(to(n), &["bio"]), &format!("attempt-{n}"));
        match ada.user().update_profile(request).await {
            Err(status) if is_to_be_repeated(&status) => {}
            outcome => return outcome.map(Response::into_inner),
        }
    };
    let outcomes = futures_util::future::join_all((0..30).map(attempt)).await;

    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    let won: Vec<_> = won.into_iter().flatten().collect();
    assert_eq!((won.len(), lost.len()), (1, 29));
    for refusal in lost.into_iter().filter_map(Result::err) {
        let mismatch = (Code::FailedPrecondition, "ETAG_MISMATCH".to_owned(), vec![]);
        assert_eq!(refused(&refusal), mismatch);
    }
    assert_eq!(get(&ada, "").await.unwrap(), won[0]);
}

#[tokio::test]
async fn what_only_answers_carry_is_ignored_in_a_request() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    let bobs = create(&bob, named("bob")).await.unwrap();
    let long_ago = prost_types::Timestamp { seconds: i64::MIN, nanos: -1 };
    let claimed = |user_id: &str, profile: Profile| Profile {
        user_id: user_id.into(),
        create_time: Some(long_ago),
        update_time: Some(long_ago),
        ..profile
    };

    let etag = "not-mine-to-choose".to_owned();
    let created = create(&ada, claimed("bob-uid", Profile { etag, ..named("ada") })).await.unwrap();
    assert_eq!(created.user_id, "ada-uid");
    assert!(created.create_time.unwrap().seconds > 0);
    assert_ne!(created.etag, "not-mine-to-choose");

    let absurd = format!("{}\0", "x".repeat(1000));
    for user_id in ["bob-uid", "nobody", &absurd] {
        let to = claimed(user_id, Profile { bio: user_id.len().to_string(), ..Default::default() });
        let changed = update(&ada, to, &[]).await.unwrap();
        assert_eq!((&*changed.user_id, changed.create_time), ("ada-uid", created.create_time));
        assert!(changed.update_time.unwrap().seconds > 0);
    }
    assert_eq!(get(&bob, "").await.unwrap(), bobs);
}

#[tokio::test]
async fn a_public_profile_is_everybodys_to_see_until_it_is_private() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    let made = ada.creates_public_profile("ada").await;
    assert_eq!(get(&bob, "ada-uid").await.unwrap(), made);

    let to = |visibility: i32| Profile { visibility, ..Default::default() };
    update(&ada, to(Visibility::Private.into()), &["visibility"]).await.unwrap();
    assert_eq!(get(&bob, "ada-uid").await.unwrap_err().code(), Code::NotFound);
    update(&ada, to(Visibility::Public.into()), &[]).await.unwrap();
    assert_eq!(get(&bob, "ada-uid").await.unwrap().handle, "ada");

    // Its owner alone changes it: nobody else's update has a profile to change.
    let (code, reason, _) = refused(&update(&bob, named("mine"), &[]).await.unwrap_err());
    assert_eq!((code, &*reason), (Code::NotFound, "NOT_FOUND"));
    for unknown in [-1, 3, 99, i32::MAX, i32::MIN] {
        let told = refused(&update(&ada, to(unknown), &[]).await.unwrap_err());
        assert_eq!(told, invalid(&["profile.visibility"]), "{unknown}");
        let profile = Profile { visibility: unknown, ..named("bob") };
        let told = refused(&create(&bob, profile).await.unwrap_err());
        assert_eq!(told, invalid(&["profile.visibility"]), "{unknown}");
    }
}
