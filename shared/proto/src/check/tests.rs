use prost_types::{Duration, FieldMask, Timestamp};

use super::{Check, Violation, check, format};
use crate::{
    VIOLATIONS_MAX,
    probe::v1::{
        Color, RulesRequest,
        rules_request::{Choice, Item},
    },
    user::v1::{
        CreateProfileRequest, GetProfileRequest, ListProfilesRequest, Profile, UpdateProfileRequest,
    },
};

/// Asserts that a message breaks exactly these rules.
#[track_caller]
fn breaks(message: &impl Check, expected: &[(&str, &str)]) {
    let violations = check(message).map_or_else(|invalid| invalid.0, |()| Vec::new());
    let text = |violation: &Violation| (violation.field.clone(), violation.description.to_string());
    let found: Vec<_> = violations.iter().map(text).collect();
    let found: Vec<_> = found.iter().map(|(f, d)| (f.as_str(), d.as_str())).collect();

    assert_eq!(found, expected);
}

/// Asserts what a request of rules breaks, that breaks nothing until a field is set.
#[track_caller]
fn probe(set: impl FnOnce(&mut RulesRequest), expected: &[(&str, &str)]) {
    let mut request = RulesRequest {
        needed: "x".to_owned(),
        item: Some(Item::default()),
        choice: Some(Choice::Left(String::new())),
        ..RulesRequest::default()
    };
    set(&mut request);
    breaks(&request, expected);
}

fn text(chars: usize) -> String {
    "ä".repeat(chars)
}

#[test]
fn a_profile_is_required_and_checked() {
    breaks(&CreateProfileRequest::default(), &[("profile", "is required")]);
    breaks(&UpdateProfileRequest::default(), &[("profile", "is required")]);

    let create = |profile| CreateProfileRequest { profile: Some(profile) };
    breaks(&create(Profile::default()), &[]);
    breaks(
        &create(Profile { handle: "ab".to_owned(), etag: text(65), ..Profile::default() }),
        &[
            ("profile.handle", "must be at least 3 characters"),
            ("profile.etag", "must be at most 64 characters"),
        ],
    );
    breaks(
        &create(Profile { avatar_file_id: "no".to_owned(), visibility: 3, ..Profile::default() }),
        &[
            ("profile.avatar_file_id", "must be a UUID of version 4 or 7, in lower case"),
            (
                "profile.visibility",
                "must be one of VISIBILITY_UNSPECIFIED, VISIBILITY_PRIVATE, VISIBILITY_PUBLIC",
            ),
        ],
    );
}

#[test]
fn every_bound_of_a_profile_holds_at_its_last_value() {
    let full = |more: usize| Profile {
        handle: text(30 + more),
        display_name: text(80 + more),
        bio: text(500 + more),
        locale: text(35 + more),
        avatar_file_id: "00000000-0000-4000-8000-00000000000f".to_owned(),
        visibility: 2,
        etag: text(64 + more),
        ..Profile::default()
    };
    breaks(&CreateProfileRequest { profile: Some(full(0)) }, &[]);
    breaks(
        &CreateProfileRequest { profile: Some(full(1)) },
        &[
            ("profile.handle", "must be at most 30 characters"),
            ("profile.display_name", "must be at most 80 characters"),
            ("profile.bio", "must be at most 500 characters"),
            ("profile.locale", "must be at most 35 characters"),
            ("profile.etag", "must be at most 64 characters"),
        ],
    );
}

#[test]
fn output_only_fields_are_not_looked_at() {
    let profile = Profile {
        user_id: "\0".repeat(9999),
        create_time: Some(Timestamp { seconds: i64::MAX, nanos: -1 }),
        ..Profile::default()
    };
    breaks(&CreateProfileRequest { profile: Some(profile) }, &[]);
}

#[test]
fn an_answer_has_no_rules() {
    breaks(&Profile { handle: "\0".to_owned(), visibility: 99, ..Profile::default() }, &[]);
}

#[test]
fn a_page_has_bounds() {
    breaks(
        &ListProfilesRequest { page_size: -1, page_token: text(257), handle_prefix: text(31) },
        &[
            ("page_size", "must be at least 0"),
            ("page_token", "must be at most 512 bytes"),
            ("handle_prefix", "must be at most 30 characters"),
        ],
    );
    breaks(&GetProfileRequest { user_id: text(128) }, &[]);
    breaks(
        &GetProfileRequest { user_id: text(129) },
        &[("user_id", "must be at most 128 characters")],
    );
}

#[test]
fn no_string_holds_nul() {
    let nul = || "a\0b".to_owned();
    breaks(&GetProfileRequest { user_id: nul() }, &[("user_id", "must not contain NUL")]);
    probe(|r| r.words = vec![nul()], &[("words[0]", "must not contain NUL")]);
    probe(|r| r.choice = Some(Choice::Left(nul())), &[("left", "must not contain NUL")]);
    probe(
        |r| drop(r.labels.insert(nul(), nul())),
        &[
            ("labels[\"a\\0b\"]", "must not contain NUL"),
            ("labels[\"a\\0b\"]", "must not contain NUL"),
        ],
    );
    let mask = FieldMask { paths: vec![nul()] };
    probe(|r| r.mask = Some(mask), &[("mask", "must not contain NUL")]);
}

#[test]
fn a_mask_has_a_bound_of_its_own() {
    let mask =
        |paths: usize, bytes: usize| Some(FieldMask { paths: vec!["a".repeat(bytes); paths] });
    probe(|r| r.mask = mask(64, 128), &[]);
    probe(|r| r.mask = mask(65, 1), &[("mask", "must have at most 64 paths")]);
    probe(|r| r.mask = mask(1, 129), &[("mask", "must have paths of at most 128 bytes")]);
}

#[test]
fn the_probe_is_fine_as_it_stands() {
    probe(|_| {}, &[]);
}

#[test]
fn lengths_count_characters_or_bytes() {
    probe(|r| r.chars = text(3), &[]);
    probe(|r| r.chars = text(4), &[("chars", "must be at most 3 characters")]);
    probe(|r| r.chars = text(1), &[("chars", "must be at least 2 characters")]);
    probe(|r| r.exact = text(2), &[]);
    probe(|r| r.exact = text(3), &[("exact", "must be exactly 2 characters")]);
    probe(|r| r.exact = text(1), &[("exact", "must be exactly 2 characters")]);
    probe(|r| r.in_bytes = text(2), &[]);
    probe(|r| r.in_bytes = text(3), &[("in_bytes", "must be at most 4 bytes")]);
    probe(|r| r.raw = vec![0; 2].into(), &[]);
    probe(|r| r.raw = vec![0; 3].into(), &[("raw", "must be at most 2 bytes")]);
}

#[test]
fn strings_keep_to_what_they_may_be() {
    probe(|r| r.chosen = "b".to_owned(), &[]);
    probe(|r| r.chosen = "c".to_owned(), &[("chosen", "must be one of \"a\", \"b\"")]);
    probe(|r| r.prefixed = "x/z".to_owned(), &[]);
    probe(
        |r| r.prefixed = "y//".to_owned(),
        &[("prefixed", "must begin with \"x/\""), ("prefixed", "must not contain \"//\"")],
    );
    probe(|r| r.prefixed = "x/y".to_owned(), &[("prefixed", "must be none of \"x/y\"")]);
    probe(|r| r.mail = "a@b".to_owned(), &[]);
    probe(|r| r.mail = "a".to_owned(), &[("mail", "must be an e-mail address")]);
}

#[test]
fn what_is_unset_is_not_checked_and_what_is_empty_is() {
    probe(|r| r.maybe = Some(text(2)), &[]);
    probe(|r| r.maybe = Some(String::new()), &[("maybe", "must be at least 2 characters")]);
    probe(|r| r.needed = String::new(), &[("needed", "is required")]);
    probe(|r| r.item = None, &[("item", "is required")]);
    probe(|r| r.choice = None, &[("choice", "is required")]);
}

#[test]
fn numbers_keep_to_their_ranges() {
    probe(|r| r.page = 9, &[]);
    probe(|r| r.page = 10, &[("page", "must be less than 10")]);
    probe(|r| r.page = -1, &[("page", "must be at least 0")]);
    probe(|r| r.big = 5, &[]);
    probe(|r| r.big = u64::MAX, &[("big", "must be at most 5")]);
    probe(|r| r.ratio = 1.0, &[]);
    probe(|r| r.ratio = 1.5, &[("ratio", "must be at most 1")]);
    probe(
        |r| r.ratio = f64::NAN,
        &[("ratio", "must be at least 0"), ("ratio", "must be at most 1")],
    );
    probe(|r| r.color = Color::Blue.into(), &[]);
    probe(|r| r.color = 2, &[("color", "must be one of COLOR_UNSPECIFIED, COLOR_RED, COLOR_BLUE")]);
}

#[test]
fn lists_and_maps_have_sizes() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    probe(|r| r.words = words(&["a", "b"]), &[]);
    probe(|r| r.words = words(&["a", "a"]), &[("words", "must not hold an item twice")]);
    probe(|r| r.words = words(&["a", "b", "toolong"]), &[("words", "must have at most 2 items")]);
    probe(|r| r.words = words(&["a", "long"]), &[("words[1]", "must be at most 3 characters")]);
    probe(|r| r.picked = vec![1, 2], &[]);
    probe(|r| r.picked = vec![1], &[("picked", "must have at least 2 items")]);
    probe(|r| r.picked = vec![1, 4], &[("picked[1]", "must be one of 1, 2, 3")]);

    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    probe(|r| r.labels = [pair("k", "v")].into(), &[]);
    probe(
        |r| r.labels = [pair("k", "v"), pair("l", "v")].into(),
        &[("labels", "must have at most 1 pair")],
    );
    probe(
        |r| r.labels = [pair("k", "long")].into(),
        &[("labels[\"k\"]", "must be at most 3 characters")],
    );
    probe(
        |r| r.by_id = [(0, Item { name: text(4), ..Item::default() })].into(),
        &[("by_id[0]", "must be more than 0"), ("by_id[0].name", "must be at most 3 characters")],
    );
}

#[test]
fn times_and_durations_are_ones_that_json_can_spell() {
    let time = |seconds, nanos| Some(Timestamp { seconds, nanos });
    let says = "must be a time of the years 1 to 9999";
    probe(|r| r.time = time(253_402_300_799, 999_999_999), &[]);
    probe(|r| r.time = time(253_402_300_800, 0), &[("time", says)]);
    probe(|r| r.time = time(0, -1), &[("time", says)]);

    let span = |seconds, nanos| Some(Duration { seconds, nanos });
    probe(|r| r.span = span(10, 0), &[]);
    probe(|r| r.span = span(10, 1), &[("span", "must be at most 10 s")]);
    probe(|r| r.span = span(0, 0), &[("span", "must be more than 0 s")]);
    probe(|r| r.span = span(1, -1), &[("span", "must be a duration")]);
}

#[test]
fn what_stands_in_each_other_is_named_from_the_top() {
    let leaf = Item { name: "long".to_owned(), ..Item::default() };
    let tree = Item { items: vec![Item::default(), leaf], ..Item::default() };
    let says = "must be at most 3 characters";
    probe(|r| r.item = Some(tree.clone()), &[("item.items[1].name", says)]);
    probe(|r| r.choice = Some(Choice::Right(tree)), &[("right.items[1].name", says)]);
}

#[test]
fn violations_are_collected_up_to_a_limit() {
    let bad = || Item { name: text(9), ..Item::default() };
    let pair = || Item { items: vec![bad(), bad()], ..bad() };
    let four = || Item { items: vec![pair(), pair()], ..bad() };
    let eight = || Item { items: vec![four(), four()], ..bad() };
    let request = RulesRequest { item: Some(eight()), ..RulesRequest::default() };
    let more = RulesRequest { choice: Some(Choice::Right(eight())), ..request };

    assert_eq!(check(&more).unwrap_err().0.len(), VIOLATIONS_MAX);
}

#[test]
fn a_long_key_is_cut() {
    let long = "k".repeat(9999);
    let invalid = {
        let mut request = RulesRequest::default();
        request.labels.insert(long, String::new());
        check(&request).unwrap_err()
    };
    assert!(invalid.0.iter().all(|violation| violation.field.len() < 100));
}

#[test]
fn formats_know_their_own() {
    let long = |length: usize| format!("{}@b.c", "a".repeat(length - 4));
    for good in ["a@b.c", "a.b+c@example.org", &long(254)] {
        assert!(format::email(good), "{good}");
    }
    for bad in ["", "@b", "a@", "a b@c", "a@b..c", "a@-b", "a@b@c", &long(255)] {
        assert!(!format::email(bad), "{bad}");
    }
    for good in ["a", "a-b.c", "example.org."] {
        assert!(format::hostname(good), "{good}");
    }
    for bad in ["", ".", "a..b", "-a", "1.2.3.4", &format!("{}.a", "a".repeat(64))] {
        assert!(!format::hostname(bad), "{bad}");
    }
    assert!(format::ip("::1") && format::ip("127.0.0.1") && !format::ip("127.1"));
    assert!(format::ipv4("127.0.0.1") && !format::ipv4("::1"));
    assert!(format::ipv6("::1") && !format::ipv6("fe80::1%eth0"));
    assert!(format::tuuid(&"a".repeat(32)) && !format::tuuid(&"g".repeat(32)));
    for good in ["9b2e4c1f-3d5a-4b6c-8d7e-1f2a3b4c5d6e", "018f4e9e-6c1a-7d3e-ba55-0242ac120002"] {
        assert!(format::uuid(good), "{good}");
    }
    for bad in [
        "9B2E4C1F-3D5A-4B6C-8D7E-1F2A3B4C5D6E",
        "9b2e4c1f3d5a4b6c8d7e1f2a3b4c5d6e",
        "9b2e4c1f-3d5a-4b6c-8d7e-1f2a3b4c5d6g",
        "9b2e4c1f-3d5a-4b6c-8d7e-1f2a3b4c5d6e7",
        "{9b2e4c1f-3d5a-4b6c-8d7e-1f2a3b4c5d6}",
        "9b2e4c1f3d5a4b6c-8d7e-1f2a3b4c5d6e-00",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "9b2e4c1f-3d5a-4b6c-cd7e-1f2a3b4c5d6e",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ] {
        assert!(!format::uuid(bad), "{bad}");
    }
}
