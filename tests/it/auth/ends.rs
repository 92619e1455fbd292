//! Ends of sign-ins that meet others: one that is being kept, and one that is still to be told.

use std::time::Duration;

use proto::auth::v1::{
    RevokeAllSessionsRequest, SetDisabledRequest, SignInResponse, WhoAmIRequest,
};
use sqlx::{Connection, raw_sql};
use tests::{App, until};
use tokio::join;

use super::{PASSWORD, account, refusal, signed_in, tries, unauthenticated, with_role};

/// What a machine may take that has other things to do.
const SOON: Duration = Duration::from_secs(8);

/// Holds a sign-in that nothing was found against, before it is there for others to see.
const HOLDS: &str = "
    create function mayfly_auth.wait() returns trigger language plpgsql as
    $$ begin perform pg_advisory_xact_lock(7); return new; end $$;
    create trigger wait before insert on mayfly_auth.session
    for each row execute function mayfly_auth.wait()";

/// Who waits for a lock of either of them.
const WAITING: &str = "select count(*) from pg_locks
    where locktype = 'advisory' and not granted
    and database = (select oid from pg_database where datname = current_database())";

/// Signs in, and is held until whoever ends that has to wait for it.
async fn met(app: &App, email: &str, ends: impl Future<Output = ()>) -> SignInResponse {
    let mut gate = app.owner().await;
    raw_sql("select pg_advisory_lock(7)").execute(&mut gate).await.unwrap();
    let wait = async |count| {
        let what = format!("{count} wait");
        until(&what, SOON, async || app.sql_count(WAITING).await == count).await;
    };
    let meets = async {
        wait(1).await;
        let opens = async {
            wait(2).await;
            gate.close().await.unwrap();
        };
        join!(ends, opens);
    };
    let (signed_in, ()) = join!(tries(app, email, PASSWORD), meets);
    signed_in.unwrap()
}

async fn is_over(app: &App, answer: SignInResponse) {
    let person = app.stranger(Some(&answer.tokens.unwrap().id_token));
    let told = refusal(person.auth().who_am_i(WhoAmIRequest {}).await);
    assert_eq!(told, unauthenticated("TOKEN_REVOKED"));
}

#[tokio::test]
async fn whoever_ends_sign_ins_comes_before_one_that_is_kept_or_ends_it_as_well() {
    let app = App::start().await;
    app.sql(HOLDS).await;
    let email = account();
    let (ada, _) = signed_in(&app, &email).await;
    let all = async {
        ada.auth().revoke_all_sessions(RevokeAllSessionsRequest {}).await.unwrap();
    };
    is_over(&app, met(&app, &email, all).await).await;
    let open = "select count(*) from mayfly_auth.session where revoke_time is null";
    assert_eq!(app.sql_count(open).await, 0);

    let email = account();
    let (_, tokens) = signed_in(&app, &email).await;
    let root = with_role(&app, "root-admin", "admin");
    let disables = async {
        let request = SetDisabledRequest { user_id: tokens.user_id.clone(), disabled: true };
        root.auth().set_disabled(request).await.unwrap();
    };
    is_over(&app, met(&app, &email, disables).await).await;
}

#[tokio::test]
async fn what_firebase_was_told_of_one_person_it_is_still_to_be_told_of_another() {
    let app = App::start().await;
    app.sql(
        "insert into mayfly_auth.untold (person_id, valid_from, try_time) values ('bob', 1, now())",
    )
    .await;
    let (ada, _) = signed_in(&app, &account()).await;
    let answer = ada.auth().revoke_all_sessions(RevokeAllSessionsRequest {}).await.unwrap();
    assert!(answer.into_inner().revoked_at_issuer);
    let untold = "select count(*) filter (where person_id = 'bob') * 10 + count(*)
        from mayfly_auth.untold";
    assert_eq!(app.sql_count(untold).await, 11, "his, and nobody else's");
}
