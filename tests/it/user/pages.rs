//! The list: who is on a page, in which order, and what a token is good for.

use std::time::Duration;

use clock::Clock;
use proto::user::v1::{ListProfilesRequest, ListProfilesResponse, Profile};
use serde_json::json;
use tests::{App, Person, world};
use tonic::{Code, Status};

use super::{invalid, refused};

/// Makes people `<prefix>000`, `<prefix>001` and so on, all public or all private.
async fn people(app: &App, prefix: &str, count: u32, visibility: u8) {
    app.sql(&format!(
        "insert into mayfly_user.profile
             (user_id, handle, display_name, bio, locale, visibility)
         select '{prefix}-uid-' || n, '{prefix}' || lpad(n::text, 3, '0'), 'P', '', '', {visibility}
         from generate_series(0, {count} - 1) n"
    ))
    .await;
}

async fn list(
    person: &Person,
    page_size: i32,
    page_token: &str,
    handle_prefix: &str,
) -> Result<ListProfilesResponse, Status> {
    let (page_token, handle_prefix) = (page_token.into(), handle_prefix.into());
    let request = ListProfilesRequest { page_size, page_token, handle_prefix };
    Ok(person.user().list_profiles(request).await?.into_inner())
}

fn handles(profiles: &[Profile]) -> Vec<&str> {
    profiles.iter().map(|profile| profile.handle.as_str()).collect()
}

/// All handles, page by page; each page is as long as the next of `sizes` says.
async fn walk(person: &Person, sizes: &[i32], prefix: &str) -> Vec<String> {
    let (mut all, mut token) = (Vec::new(), String::new());
    for size in sizes.iter().cycle() {
        let page = list(person, *size, &token, prefix).await.unwrap();
        all.extend(page.profiles.into_iter().map(|profile| profile.handle));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    all
}

#[tokio::test]
async fn a_page_has_50_rows_unless_asked_and_never_more_than_200() {
    let app = App::start().await;
    people(&app, "p", 250, 2).await;
    let ada = app.person("ada");
    for (asked, got) in
        [(0, 50), (1, 1), (50, 50), (199, 199), (200, 200), (201, 200), (i32::MAX, 200)]
    {
        let page = list(&ada, asked, "", "").await.unwrap();
        assert_eq!(page.profiles.len(), got, "{asked}");
        assert!(!page.next_page_token.is_empty());
    }
    for negative in [-1, i32::MIN] {
        let told = refused(&list(&ada, negative, "", "").await.unwrap_err());
        assert_eq!(told, invalid(&["page_size"]), "{negative}");
    }
}

#[tokio::test]
async fn the_pages_hold_every_public_profile_once_in_the_order_of_handles() {
    let app = App::start().await;
    people(&app, "p", 120, 2).await;
    people(&app, "Q", 3, 2).await;
    people(&app, "hidden", 60, 1).await;
    let ada = app.person("ada");
    let p = (0..120).map(|n| format!("p{n:03}"));
    let expected: Vec<_> = p.chain((0..3).map(|n| format!("Q{n:03}"))).collect();
    for sizes in [&[0][..], &[200], &[7, 1, 30], &[123], &[41]] {
        assert_eq!(walk(&ada, sizes, "").await, expected, "{sizes:?}");
    }
    // The last page says that it is the last, also when it is full.
    assert_eq!(list(&ada, 123, "", "").await.unwrap().next_page_token, "");
    assert_eq!(list(&app.person("p-uid-1"), 3, "", "hid").await.unwrap().profiles, []);
    // Not even its owner sees a private profile in the list.
    assert_eq!(list(&app.person("hidden-uid-1"), 3, "", "hid").await.unwrap().profiles, []);
}

#[tokio::test]
async fn an_empty_list_is_one_empty_page() {
    let app = App::start().await;
    let page = list(&app.person("ada"), 0, "", "").await.unwrap();
    assert_eq!(page, ListProfilesResponse::default());
    let (status, body) = app.person("ada").json("ListProfiles", &json!({})).await;
    assert_eq!((status, body), (200, json!({})));
}

#[tokio::test]
async fn a_token_is_its_callers_and_its_querys() {
    let app = App::start().await;
    people(&app, "p", 20, 2).await;
    let (ada, bob) = (app.person("ada"), app.person("bob"));
    let plain = list(&ada, 5, "", "").await.unwrap().next_page_token;
    let narrow = list(&ada, 5, "", "p").await.unwrap().next_page_token;
    let others = list(&bob, 5, "", "").await.unwrap().next_page_token;

    // The size is no part of the query, and a token can be used again.
    assert_eq!(list(&ada, 2, &plain, "").await.unwrap().profiles.len(), 2);
    assert_eq!(list(&ada, 9, &plain, "").await.unwrap().profiles.len(), 9);
    let foreign = [
        (&ada, &others, ""),
        (&bob, &plain, ""),
        (&ada, &narrow, ""),
        (&ada, &plain, "p"),
        (&ada, &narrow, "P"),
    ];
    for (person, token, prefix) in foreign {
        let told = refused(&list(person, 5, token, prefix).await.unwrap_err());
        assert_eq!(told, invalid(&["page_token"]), "{} {prefix}", person.name);
    }
}

/// A token in which one character is another.
fn changed(token: &str, place: usize) -> String {
    let other = if token.as_bytes()[place] == b'A' { "B" } else { "A" };
    [token.get(..place).unwrap(), other, token.get(place + 1..).unwrap()].concat()
}

#[tokio::test]
async fn a_token_that_was_tampered_with_is_refused() {
    let app = App::start().await;
    people(&app, "p", 20, 2).await;
    let length = list(&app.person("ada"), 5, "", "").await.unwrap().next_page_token.len();
    for place in 0..length {
        // Everybody has a token of their own to tamper with.
        let person = app.person(&format!("uid-{place}"));
        let good = list(&person, 5, "", "").await.unwrap().next_page_token;
        let shortened = good.get(..place.max(1)).unwrap().to_owned();
        for token in [changed(&good, place), shortened] {
            let told = refused(&list(&person, 5, &token, "").await.unwrap_err());
            assert_eq!(told, invalid(&["page_token"]), "{token:?}");
        }
        assert_eq!(handles(&list(&person, 1, &good, "").await.unwrap().profiles), ["p005"]);
    }
    let ada = app.person("eve");
    let good = list(&ada, 5, "", "").await.unwrap().next_page_token;
    for token in [
        format!("{good}A"),
        format!("{good}="),
        format!(" {good}"),
        format!("{good}{good}"),
        "AQ".to_owned(),
        "p004".to_owned(),
        "' or 1=1 --".to_owned(),
        "\u{202e}".to_owned(),
        "A\0".to_owned(),
        "A".repeat(512),
        "A".repeat(513),
    ] {
        let mut told = refused(&list(&ada, 5, &token, "").await.unwrap_err());
        told.2.dedup();
        assert_eq!(told, invalid(&["page_token"]), "{token:?}");
    }
}

#[tokio::test]
async fn a_token_is_good_for_a_day() {
    let now = Clock::system().unix_secs();
    let clock = Clock::at(now);
    let app = App::builder().clock(clock.clone()).start().await;
    people(&app, "p", 5, 2).await;
    let issuer = &world().issuer;
    let header = jsonwebtoken::Header {
        kid: Some(issuer.kid()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256)
    };
    let id_token = issuer.sign(
        &header,
        &json!({
            "iss": issuer.issuer_url(), "aud": issuer.project(), "sub": "ada", "iat": now,
            "auth_time": now, "exp": now + 3 * 86_400,
        }),
    );
    let ada = app.stranger(Some(&id_token));
    let token = list(&ada, 1, "", "").await.unwrap().next_page_token;

    clock.advance(Duration::from_hours(24) - Duration::from_secs(1));
    let page = list(&ada, 1, &token, "").await.unwrap();
    assert_eq!(handles(&page.profiles), ["p001"]);
    clock.advance(Duration::from_secs(1));
    let told = refused(&list(&ada, 1, &token, "").await.unwrap_err());
    assert_eq!(told, invalid(&["page_token"]));
    // Each page's token has a day of its own.
    assert_eq!(list(&ada, 1, &page.next_page_token, "").await.unwrap().profiles.len(), 1);
}

#[tokio::test]
async fn rows_that_come_and_go_between_pages_make_none_repeat_or_go_missing() {
    let app = App::start().await;
    people(&app, "m", 30, 2).await;
    let ada = app.person("ada");
    let first = list(&ada, 10, "", "").await.unwrap();

    // Before the place, at the place and after it.
    people(&app, "a", 20, 2).await;
    people(&app, "z", 1, 2).await;
    app.sql("delete from mayfly_user.profile where handle in ('m000', 'm009', 'm011')").await;
    let second = list(&ada, 10, &first.next_page_token, "").await.unwrap();
    assert_eq!(
        handles(&second.profiles),
        ["m010", "m012", "m013", "m014", "m015", "m016", "m017", "m018", "m019", "m020"]
    );
    app.sql("update mayfly_user.profile set visibility = 1 where handle = 'm021'").await;
    app.sql("delete from mayfly_user.profile where handle < 'm' or handle = 'm020'").await;
    let third = list(&ada, 200, &second.next_page_token, "").await.unwrap();
    assert_eq!(
        handles(&third.profiles),
        ["m022", "m023", "m024", "m025", "m026", "m027", "m028", "m029", "z000"]
    );
    assert_eq!(third.next_page_token, "");
}

#[tokio::test]
async fn a_prefix_means_itself_without_regard_to_case() {
    let app = App::start().await;
    for (prefix, visibility) in [("Ada", 2), ("ad_", 2), ("adb", 2), ("bob", 2), ("adhidden", 1)] {
        people(&app, prefix, 2, visibility).await;
    }
    let ada: &[&str] = &["Ada000", "Ada001"];
    let ad: &[&str] = &["ad_000", "ad_001", "Ada000", "Ada001", "adb000", "adb001"];
    let expected = [
        ("ada", ada),
        ("ADA", ada),
        ("aDa00", ada),
        ("ada000", &ada[..1]),
        ("ada000x", &[]),
        ("ad", ad),
        ("ad_", &ad[..2]),
        ("AD_", &ad[..2]),
        ("_", &[]),
        ("%", &[]),
        ("ad%", &[]),
        ("%da", &[]),
        ("a_a", &[]),
        ("ad\\_", &[]),
        ("\\", &[]),
        ("ada~", &[]),
        ("~", &[]),
        ("' or ''='", &[]),
        ("ada ", &[]),
        (" ada", &[]),
        ("ad[ab]", &[]),
        ("ad.*", &[]),
        ("ä", &[]),
        ("\u{1F600}", &[]),
        ("ada\n", &[]),
        ("adhidden", &[]),
    ];
    for (n, (prefix, found)) in expected.into_iter().enumerate() {
        let person = app.person(&format!("uid-{n}"));
        let page = list(&person, 0, "", prefix).await.unwrap();
        assert_eq!(handles(&page.profiles), found, "{prefix:?}");
        assert_eq!(walk(&person, &[1], prefix).await, found, "{prefix:?}");
    }
    let told = refused(&list(&app.person("ada"), 0, "", &"a".repeat(31)).await.unwrap_err());
    assert_eq!(told, invalid(&["handle_prefix"]));
}

#[tokio::test]
async fn nobody_without_a_token_sees_a_list() {
    let app = App::start().await;
    let status = list(&app.stranger(None), 0, "", "").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}
