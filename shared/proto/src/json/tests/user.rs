use prost_types::{FieldMask, Timestamp};

use super::{answer, method, request};
use crate::user::v1::{
    CreateProfileRequest, GetProfileRequest, ListProfilesRequest, ListProfilesResponse, Profile,
    UpdateProfileRequest, Visibility,
};

#[track_caller]
fn update(json: &str) -> Result<UpdateProfileRequest, String> {
    request("UpdateProfile", json)
}

#[track_caller]
fn profile(json: &str) -> Result<Profile, String> {
    let json = format!("{{\"profile\":{json}}}");
    let request: CreateProfileRequest = request("CreateProfile", &json)?;
    Ok(request.profile.unwrap_or_default())
}

#[test]
fn a_profile_is_written_canonically() {
    let profile = Profile {
        user_id: "u\"1".to_owned(),
        handle: "Alice".to_owned(),
        visibility: Visibility::Public.into(),
        create_time: Some(Timestamp { seconds: 1_700_000_000, nanos: 120_000 }),
        update_time: Some(Timestamp::default()),
        ..Profile::default()
    };
    assert_eq!(
        answer("GetProfile", &profile).unwrap(),
        "{\"userId\":\"u\\\"1\",\"handle\":\"Alice\",\"visibility\":\"VISIBILITY_PUBLIC\",\
         \"createTime\":\"2023-11-14T22:13:20.000120Z\",\"updateTime\":\"1970-01-01T00:00:00Z\"}"
    );
    assert_eq!(answer("GetProfile", &Profile::default()).unwrap(), "{}");

    let page = ListProfilesResponse {
        profiles: vec![Profile::default(), Profile { visibility: 9, ..Profile::default() }],
        next_page_token: String::new(),
    };
    let text = answer("ListProfiles", &page).unwrap();
    assert_eq!(text, "{\"profiles\":[{},{\"visibility\":9}]}");
}

#[test]
fn both_names_of_a_field_are_read() {
    let camel = profile("{\"displayName\":\"A\",\"avatarFileId\":\"f\"}").unwrap();
    let snake = profile("{\"display_name\":\"A\",\"avatar_file_id\":\"f\"}").unwrap();

    assert_eq!(camel, snake);
    assert_eq!(camel.display_name, "A");
}

#[test]
fn a_field_that_is_given_twice_is_refused() {
    for twice in [
        "{\"handle\":\"a\",\"handle\":\"b\"}",
        "{\"displayName\":\"a\",\"display_name\":\"b\"}",
        "{\"handle\":\"a\",\"handle\":null}",
    ] {
        assert!(profile(twice).unwrap_err().starts_with("a field is given twice"), "{twice}");
    }
}

#[test]
fn null_is_absent_and_unknown_is_ignored() {
    let nulls = update("{\"profile\":null,\"updateMask\":null}").unwrap();
    assert_eq!(nulls, UpdateProfileRequest::default());

    let unknown = "{\"new\":{\"a\":[1,null,true,\"x\",-1.5]},\"userId\":\"u\",\"\":{}}";
    let request: GetProfileRequest = request("GetProfile", unknown).unwrap();
    assert_eq!(request.user_id, "u");

    let nulls = profile("{\"handle\":null,\"visibility\":null,\"createTime\":null}").unwrap();
    assert_eq!(nulls, Profile::default());
}

#[test]
fn a_mask_is_a_list_in_camel_case() {
    let paths = |json: &str| update(json).map(|request| request.update_mask.unwrap().paths);

    assert_eq!(paths("{\"updateMask\":\"displayName,bio\"}").unwrap(), ["display_name", "bio"]);
    assert_eq!(
        paths("{\"updateMask\":\"profile.displayName\"}").unwrap(),
        ["profile.display_name"]
    );
    assert_eq!(paths("{\"updateMask\":\"*\"}").unwrap(), ["*"]);
    assert_eq!(paths("{\"updateMask\":\"\"}").unwrap(), Vec::<String>::new());
    for bad in ["\"display_name\"", "{\"paths\":[\"bio\"]}", "[\"bio\"]", "1"] {
        assert!(update(&format!("{{\"updateMask\":{bad}}}")).is_err(), "{bad}");
    }
    assert_eq!(update("{\"update_mask\":\"\"}").unwrap().update_mask, Some(FieldMask::default()));
}

#[test]
fn an_enum_is_a_name_or_a_number() {
    let visibility = |json: &str| profile(&format!("{{\"visibility\":{json}}}"));

    assert_eq!(visibility("\"VISIBILITY_PUBLIC\"").unwrap().visibility, 2);
    assert_eq!(visibility("1").unwrap().visibility, 1);
    assert_eq!(visibility("1.0").unwrap().visibility, 1);
    assert_eq!(visibility("-7").unwrap().visibility, -7);
    assert_eq!(visibility("0").unwrap(), Profile::default());
    for bad in ["\"PUBLIC\"", "\"1\"", "true", "1.5", "2147483648", "[]", "{}"] {
        assert!(visibility(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_time_is_rfc_3339() {
    let time = |text: &str| {
        let profile = profile(&format!("{{\"createTime\":\"{text}\"}}"));
        profile.map(|profile| profile.create_time.unwrap())
    };
    let at = |seconds, nanos| Timestamp { seconds, nanos };

    assert_eq!(time("1970-01-01T00:00:00Z").unwrap(), at(0, 0));
    assert_eq!(time("1970-01-01T00:00:00.5Z").unwrap(), at(0, 500_000_000));
    assert_eq!(time("1969-12-31T23:59:59.000000001Z").unwrap(), at(-1, 1));
    assert_eq!(time("2024-02-29T12:00:00+01:30").unwrap(), at(1_709_202_600, 0));
    assert_eq!(time("2038-01-19T03:14:08Z").unwrap(), at(2_147_483_648, 0));
    assert_eq!(time("0001-01-01T00:00:00Z").unwrap(), at(-62_135_596_800, 0));
    assert_eq!(time("9999-12-31T23:59:59.999999999Z").unwrap(), at(253_402_300_799, 999_999_999));
    for bad in [
        "",
        "1970-01-01",
        "1970-01-01 00:00:00Z",
        "1970-01-01t00:00:00Z",
        "1970-01-01T00:00:00z",
        "1970-01-01T00:00:00",
        "1970-01-01T00:00:60Z",
        "2016-12-31T23:59:60Z",
        "1970-01-01T24:00:00Z",
        "2023-02-29T00:00:00Z",
        "1970-13-01T00:00:00Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00.0000000001Z",
        "1970-01-01T00:00:00.5",
        "1970-01-01T00:00:00+1:30",
        "1970-01-01T00:00:00+24:00",
        "0000-12-31T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "10000-01-01T00:00:00Z",
        "+970-01-01T00:00:00Z",
        "é970-01-01T00:00:00Z",
    ] {
        assert!(time(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_not_json_or_not_the_message_is_refused() {
    for bad in [
        "",
        "null",
        "[]",
        "\"\"",
        "1",
        "{",
        "{}}",
        "{} {}",
        "{\"userId\":1}",
        "{\"userId\":NaN}",
        "{\"userId\":{}}",
        "{\"userId\":[\"a\"]}",
        "{userId:\"a\"}",
        "{\"userId\":\"\\ud800\"}",
        "\u{feff}{}",
    ] {
        assert!(request::<GetProfileRequest>("GetProfile", bad).is_err(), "{bad}");
    }
    let read = method("GetProfile").json.as_ref().unwrap().request;
    assert!(read(b"{\"userId\":\"\xff\"}").is_err());
}

#[test]
fn numbers_keep_to_their_type() {
    let size = |json: &str| {
        let json = format!("{{\"pageSize\":{json}}}");
        request::<ListProfilesRequest>("ListProfiles", &json).map(|request| request.page_size)
    };
    for (good, expected) in [
        ("1", 1),
        ("\"1\"", 1),
        ("-0", 0),
        ("1e2", 100),
        ("100.0", 100),
        ("\"1e2\"", 100),
        ("2147483647", i32::MAX),
        ("-2147483648", i32::MIN),
    ] {
        assert_eq!(size(good).unwrap(), expected, "{good}");
    }
    for bad in [
        "2147483648",
        "-2147483649",
        "1e10",
        "1e400",
        "-1e400",
        "1.5",
        "NaN",
        "Infinity",
        "\"NaN\"",
        "\"\"",
        "\" 1\"",
        "\"+1\"",
        "\"1_0\"",
        "\"0x1\"",
        "\"inf\"",
        "01",
        "true",
        "{}",
        "[1]",
        "99999999999999999999999999999999999999999999999999999999",
    ] {
        assert!(size(bad).is_err(), "{bad}");
    }
}

#[test]
fn depth_is_refused_and_does_not_crash() {
    for known in ["profile", "unknown"] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(1000), close.repeat(1000));
            let json = format!("{{\"{known}\":{deep}}}");
            assert!(request::<CreateProfileRequest>("CreateProfile", &json).is_err(), "{known}");
        }
    }
}

#[test]
fn an_error_quotes_nothing_of_the_text() {
    for json in ["{\"userId\":{\"secret\":1}}", "{\"userId\":[\"secret\"]}", "{\"userId\":secret}"]
    {
        let error = request::<GetProfileRequest>("GetProfile", json).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
    let error = profile("{\"visibility\":\"secret\"}").unwrap_err();
    assert_eq!(error, "a name is none of its enum at line 1 column 33");
}
