//! What has happened: it is added to whoever else adds, and what is old goes.

use std::time::Duration;

use proto::auth::v1::SignOutRequest;
use sqlx::{AssertSqlSafe, Connection, raw_sql};
use tests::App;
use tokio::time::timeout;

use super::{account, signed_in};

const OLD: &str =
    "select count(*) from mayfly_auth.audit where create_time < now() - interval '1 year'";

#[tokio::test]
async fn what_is_old_goes_and_nobody_waits_for_whoever_drops_it() {
    let app = App::start().await;
    let (ada, _) = signed_in(&app, &account()).await;
    app.sql(
        "insert into mayfly_auth.audit (event, actor, request_id, create_time)
         select 'signed_in', 'nobody', gen_random_uuid(), now() - interval '401 days'
         from generate_series(1, 40)",
    )
    .await;
    let mut other = app.owner().await;
    let statement = include_str!("../../../queries/auth/append_audit.sql");
    raw_sql("begin").execute(&mut other).await.unwrap();
    let adds = format!(
        "prepare adds as {statement}; execute adds('signed_in', 'nobody', null, null, null,
         '018f4e9e-6c1a-7d3e-8a55-0242ac120002', null, now(), null)"
    );
    raw_sql(AssertSqlSafe(adds)).execute(&mut other).await.unwrap();

    // Ten rows are gone for the other, who is not done.
    let out = async { ada.auth().sign_out(SignOutRequest {}).await };
    timeout(Duration::from_secs(3), out).await.expect("it does not wait").unwrap();
    assert_eq!(app.sql_count(OLD).await, 40);
    raw_sql("commit").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    assert_eq!(app.sql_count(OLD).await, 30);
    // It is written down that it begins, and again that it went well: ten go with each.
    signed_in(&app, &account()).await;
    assert_eq!(app.sql_count(OLD).await, 10);
}
