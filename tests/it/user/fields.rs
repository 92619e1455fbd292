//! Every text a person can send: refused with its field's path, or kept to the byte. Nothing else.

use std::collections::BTreeSet;

use proptest::{
    strategy::Strategy,
    test_runner::{Config, TestRunner},
};
use proto::user::v1::{GetProfileRequest, ListProfilesRequest, Profile};
use tests::{App, Person, told};
use tokio::runtime::Runtime;
use tonic::{Code, Status};

use super::{create, get, invalid, named, refused, table, update};

const CONTRACT: &str = include_str!("../../../proto/mayfly/user/v1/user.proto");

/// A text of a profile: its name, the most characters of it, and where it is.
struct Text {
    name: &'static str,
    chars_max: usize,
    of: fn(&mut Profile) -> &mut String,
}

/// What a profile says of a person.
const TEXTS: [Text; 5] = [
    Text { name: "handle", chars_max: 30, of: |profile| &mut profile.handle },
    Text { name: "display_name", chars_max: 80, of: |profile| &mut profile.display_name },
    Text { name: "bio", chars_max: 500, of: |profile| &mut profile.bio },
    Text { name: "locale", chars_max: 35, of: |profile| &mut profile.locale },
    Text { name: "avatar_file_id", chars_max: 36, of: |profile| &mut profile.avatar_file_id },
];

/// Every other text of a request, and of an answer.
const OTHERS: [&str; 7] =
    ["user_id", "etag", "page_token", "handle_prefix", "next_page_token", "cursor", "gone_user_id"];

/// Texts that have broken something somewhere, around a length of `chars_max`.
fn texts(chars_max: usize) -> Vec<String> {
    let of = |c: &str, count: usize| c.repeat(count);
    let mut texts = Vec::new();
    for c in ["a", "é", "漢", "\u{1F600}"] {
        texts.extend([0, 1, chars_max - 1, chars_max, chars_max + 1].map(|count| of(c, count)));
    }
    // Composed, and as a letter with a mark: two texts, whatever they look like.
    texts.extend([of("\u{e9}", 3), of("e\u{301}", 3), of("e\u{301}", chars_max / 2)]);
    let odd = [
        "a\0b",
        "\0",
        "abc\0",
        "a\rb",
        "a\nb",
        "a\r\nb",
        "abc\n",
        "\nabc",
        "a\tb",
        "a\u{7f}b",
        "a\u{85}b",
        "a\u{2028}b",
        "\u{202e}abc",
        "abc\u{2066}def\u{2069}",
        "a\u{200b}b",
        "\u{feff}abc",
        "\u{fffd}",
        "\u{fffe}",
        "\u{10ffff}",
        " abc",
        "abc ",
        "   ",
        "\u{3000}",
        "a'b\"c",
        "\\x41",
        "\\0",
        "%00",
        "${x}",
        "{{x}}",
        "<b>a</b>",
        "; drop table profile; --",
        "null",
        "NaN",
        "0",
        "-1",
        "\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}",
        "İstanbul",
        "ǅ",
    ];
    texts.extend(odd.map(str::to_owned));
    texts.push(of("a", 100_000));
    texts
}

/// Refused with the field's path, and nothing has changed; or kept, and read back as it was sent.
async fn check(app: &App, ada: &Person, text: &Text, sent: &str) {
    let mut to = Profile::default();
    sent.clone_into((text.of)(&mut to));
    let before = table(app).await;
    match update(ada, to, &[text.name]).await {
        Ok(mut answered) => {
            assert_eq!(*(text.of)(&mut answered), sent, "{}", text.name);
            let mut read = get(ada, "").await.unwrap();
            assert_eq!(*(text.of)(&mut read), sent, "{}", text.name);
        }
        Err(status) => {
            refuses(&status, &format!("profile.{}", text.name), sent);
            assert_eq!(table(app).await, before, "{}: {sent:?}", text.name);
        }
    }
}

#[track_caller]
fn refuses(status: &Status, path: &str, sent: &str) {
    let (code, reason, mut fields) = refused(status);
    fields.dedup();
    assert_eq!((code, reason, fields), invalid(&[path]), "{sent:?}");
}

#[test]
fn every_text_of_the_contract_is_in_these_tables() {
    let declared = CONTRACT.lines().filter_map(|line| line.trim().strip_prefix("string "));
    let declared: BTreeSet<_> =
        declared.filter_map(|rest| Some(rest.split_once(" =")?.0)).collect();
    let ours = TEXTS.iter().map(|text| text.name).chain(OTHERS);
    assert_eq!(declared, ours.collect());
}

#[tokio::test]
async fn every_text_of_a_profile_is_kept_exactly_or_refused_by_its_name() {
    let app = App::start().await;
    for text in &TEXTS {
        for (n, sent) in texts(text.chars_max).iter().enumerate() {
            // Nobody writes so often that it would be too often.
            let person = app.person(&format!("{}-{n}", text.name));
            create(&person, named(&format!("u{n}_{}", text.name))).await.unwrap();
            check(&app, &person, text, sent).await;
        }
    }
}

#[tokio::test]
async fn a_new_profile_keeps_every_text_exactly_or_is_refused_by_its_name() {
    let app = App::start().await;
    for text in &TEXTS {
        for (n, sent) in texts(text.chars_max).iter().enumerate() {
            let person = app.person(&format!("{}-{n}", text.name));
            let mut profile = named(&format!("u{n}_{}", text.name));
            *(text.of)(&mut profile) = sent.clone();
            let before = table(&app).await;
            match create(&person, profile).await {
                Ok(_) => {
                    let mut read = get(&person, "").await.unwrap();
                    assert_eq!(*(text.of)(&mut read), *sent, "{}", text.name);
                    app.sql("delete from mayfly_user.profile").await;
                }
                Err(status) => {
                    refuses(&status, &format!("profile.{}", text.name), sent);
                    assert_eq!(table(&app).await, before, "{}: {sent:?}", text.name);
                }
            }
        }
    }
}

#[tokio::test]
async fn the_bounds_are_where_the_contract_says() {
    let app = App::start().await;
    let longest_locale = "abcdefgh-abcdefgh-abcdefgh-abcdefgh";
    assert_eq!(longest_locale.len(), 35);
    let good = [
        ("handle", "a".repeat(30)),
        ("handle", "a_1".to_owned()),
        ("display_name", "\u{1F600}".repeat(80)),
        ("display_name", "\u{202e}Ada".to_owned()),
        ("bio", "\u{1F600}".repeat(500)),
        ("bio", "a\r\nb\u{202e}".to_owned()),
        ("bio", String::new()),
        ("locale", longest_locale.to_owned()),
        ("avatar_file_id", "018f4e9e-6c1a-7d3e-8a55-0242ac120002".to_owned()),
        ("avatar_file_id", "9b2e4c1f-3d5a-4b6c-8d7e-1f2a3b4c5d6e".to_owned()),
        ("avatar_file_id", String::new()),
    ];
    let bad = [
        ("handle", "a".repeat(31)),
        ("display_name", "a".repeat(81)),
        ("display_name", "a\nb".to_owned()),
        ("display_name", " \u{3000}".to_owned()),
        ("bio", "a".repeat(501)),
        ("bio", "a\0b".to_owned()),
        ("locale", format!("{longest_locale}a")),
        ("locale", "en_US".to_owned()),
        ("avatar_file_id", "x".to_owned()),
        ("avatar_file_id", "{18f4e9e-6c1a-7d3e-8a55-0242ac120002}".to_owned()),
        ("avatar_file_id", "018f4e9e-6c1a-7d3e-8a55-0242ac1200022".to_owned()),
        ("avatar_file_id", "018f4e9e6c1a7d3e8a550242ac120002".to_owned()),
        // Another spelling of an id would not be read back as it was sent.
        ("avatar_file_id", "018F4E9E-6C1A-7D3E-8A55-0242AC120002".to_owned()),
        // No file has either: its id would name the machine that made it, or nothing.
        ("avatar_file_id", "6ba7b810-9dad-11d1-80b4-00c04fd430c8".to_owned()),
        ("avatar_file_id", "00000000-0000-0000-0000-000000000000".to_owned()),
    ];
    let text = |name| TEXTS.iter().find(|text| text.name == name).unwrap();
    let people = (0..good.len() + bad.len()).map(|n| app.person(&format!("uid-{n}")));
    let people: Vec<_> = people.collect();
    for (n, person) in people.iter().enumerate() {
        create(person, named(&format!("user_{n}"))).await.unwrap();
    }
    for ((name, sent), ada) in good.into_iter().zip(&people) {
        let mut to = Profile::default();
        *(text(name).of)(&mut to) = sent.clone();
        let mut answered = update(ada, to, &[name]).await.unwrap();
        assert_eq!(*(text(name).of)(&mut answered), sent, "{name}");
    }
    let before = table(&app).await;
    for ((name, sent), ada) in bad.into_iter().zip(people.iter().rev()) {
        let mut to = Profile::default();
        *(text(name).of)(&mut to) = sent.clone();
        let status = update(ada, to, &[name]).await.unwrap_err();
        refuses(&status, &format!("profile.{name}"), &sent);
    }
    assert_eq!(table(&app).await, before);
}

#[tokio::test]
async fn an_id_of_any_text_names_somebody_or_is_refused() {
    let app = App::start().await;
    let ada = app.person("ada");
    create(&ada, named("ada")).await.unwrap();
    for sent in texts(128) {
        let request = GetProfileRequest { user_id: sent.clone() };
        match ada.user().get_profile(request).await {
            Ok(own) => assert_eq!((&*own.into_inner().user_id, &*sent), ("ada", "")),
            Err(status) if status.code() == Code::NotFound => {
                assert_eq!(told(&status).reason, "NOT_FOUND");
            }
            Err(status) => refuses(&status, "user_id", &sent),
        }
    }
}

#[tokio::test]
async fn an_etag_of_any_text_is_of_another_version_or_is_refused() {
    let app = App::start().await;
    for (n, sent) in texts(64).into_iter().enumerate() {
        let person = app.person(&format!("uid-{n}"));
        create(&person, named(&format!("user_{n}"))).await.unwrap();
        let before = table(&app).await;
        let to = Profile { etag: sent.clone(), bio: "b".into(), ..Default::default() };
        match update(&person, to, &["bio"]).await {
            Ok(_) => {
                assert_eq!(sent, "");
                continue;
            }
            Err(status) if status.code() == Code::FailedPrecondition => {
                assert_eq!(told(&status).reason, "ETAG_MISMATCH");
            }
            Err(status) => refuses(&status, "profile.etag", &sent),
        }
        assert_eq!(table(&app).await, before, "{sent:?}");
    }
}

#[tokio::test]
async fn a_list_of_any_text_is_empty_or_is_refused() {
    let app = App::start().await;
    for (n, sent) in texts(30).into_iter().enumerate() {
        let person = app.person(&format!("uid-{n}"));
        let request = ListProfilesRequest { handle_prefix: sent.clone(), ..Default::default() };
        match person.user().list_profiles(request).await {
            Ok(page) => assert_eq!(page.into_inner().profiles, []),
            Err(status) => refuses(&status, "handle_prefix", &sent),
        }
        let request = ListProfilesRequest { page_token: sent.clone(), ..Default::default() };
        match person.user().list_profiles(request).await {
            Ok(_) => assert_eq!(sent, ""),
            Err(status) => refuses(&status, "page_token", &sent),
        }
    }
}

#[test]
fn any_text_at_all_is_kept_exactly_or_refused_by_its_name() {
    let runtime = Runtime::new().unwrap();
    let app = runtime.block_on(App::start());
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let any = (0..TEXTS.len(), proptest::collection::vec(proptest::char::any(), 0..90));
    let any = any.prop_map(|(place, text)| (place, text.into_iter().collect::<String>()));
    let people = std::cell::Cell::new(0);
    TestRunner::new(config)
        .run(&any, |(place, sent)| {
            runtime.block_on(async {
                people.set(people.get() + 1);
                let person = app.person(&format!("uid-{}", people.get()));
                create(&person, named(&format!("user_{}", people.get()))).await.unwrap();
                check(&app, &person, &TEXTS[place], &sent).await;
            });
            Ok(())
        })
        .unwrap();
}
