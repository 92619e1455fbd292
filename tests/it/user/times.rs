//! Times that other programs stumble over: past 2038, the last of year 9999, the first of year 1.

use proto::user::v1::GetProfileRequest;
use serde_json::json;
use tests::App;

#[tokio::test]
async fn a_time_comes_back_as_it_was_kept_whichever_century_it_is_of() {
    let app = App::start().await;
    let ada = app.person("ada");
    ada.creates_public_profile("ada").await;
    for (kept, told, seconds, nanos) in [
        ("2038-01-19 03:14:08+00", "2038-01-19T03:14:08Z", 2_147_483_648, 0),
        ("1969-12-31 23:59:59.999999+00", "1969-12-31T23:59:59.999999Z", -1, 999_999_000),
        ("2106-02-07 06:28:16.5+00", "2106-02-07T06:28:16.500Z", 4_294_967_296, 500_000_000),
        // Postgres reads a leap second as the first of the next minute, as Unix does.
        ("2016-12-31 23:59:60+00", "2017-01-01T00:00:00Z", 1_483_228_800, 0),
        (
            "9999-12-31 23:59:59.999999+00",
            "9999-12-31T23:59:59.999999Z",
            253_402_300_799,
            999_999_000,
        ),
        ("0001-01-01 00:00:00+00", "0001-01-01T00:00:00Z", -62_135_596_800, 0),
        // In a zone that has this hour twice.
        ("2026-10-25 01:30:00 Europe/Berlin", "2026-10-24T23:30:00Z", 1_792_884_600, 0),
    ] {
        app.sql(&format!("update mayfly_user.profile set create_time = '{kept}'")).await;
        let request = GetProfileRequest::default();
        let profile = ada.user().get_profile(request).await.unwrap().into_inner();
        let time = profile.create_time.unwrap();
        assert_eq!((time.seconds, time.nanos), (seconds, nanos), "{kept}");
        let (_status, profile) = ada.json("GetProfile", &json!({})).await;
        assert_eq!(profile["createTime"], told, "{kept}");
    }
}
