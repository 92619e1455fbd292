//! Sessions, and how they end everywhere.

use std::time::Duration;

use clock::Clock;
use proto::{
    auth::v1::{
        ListSessionsRequest, RefreshTokenRequest, RevokeAllSessionsRequest, RevokeSessionRequest,
        Session, SignOutRequest,
    },
    user::v1::GetProfileRequest,
};
use tests::{App, Person, told, until, world};
use tokio::time::sleep;
use tonic::Code;

use super::{PASSWORD, account, address, refusal, signed_in, tries, unauthenticated};

/// `REVOCATION_SECS_MAX`, and what a machine may take that has other things to do.
const SOON: Duration = Duration::from_secs(5 + 15);

async fn sessions(person: &Person) -> Vec<Session> {
    let request = ListSessionsRequest::default();
    person.auth().list_sessions(request).await.unwrap().into_inner().sessions
}

/// Signs in twice, in two different seconds: of one second, sign-ins end together.
async fn twice(app: &App, email: &str) -> [(Person, String); 2] {
    let (phone, of_phone) = signed_in(app, email).await;
    sleep(Duration::from_millis(1100)).await;
    let (laptop, of_laptop) = signed_in(app, email).await;
    [(phone, of_phone.refresh_token), (laptop, of_laptop.refresh_token)]
}

/// What the `user` function of another process says.
async fn asks(other: &App, person: &Person) -> (Code, String) {
    let person = other.stranger(person.token.as_deref());
    refusal(person.user().get_profile(GetProfileRequest::default()).await)
}

pub(super) async fn refresh(app: &App, token: &str) -> Result<(), tonic::Status> {
    let request = RefreshTokenRequest { refresh_token: token.to_owned() };
    app.stranger(None).auth().refresh_token(request).await.map(drop)
}

#[tokio::test]
async fn a_revoked_session_is_refused_by_another_function() {
    let app = App::start().await;
    let other = App::builder().database(&app.database).start().await;
    let [(phone, of_phone), (laptop, of_laptop)] = twice(&app, &account()).await;
    assert_eq!(asks(&other, &phone).await.0, Code::NotFound);

    let kept = sessions(&laptop).await;
    assert_eq!(kept.iter().map(|session| session.current).collect::<Vec<_>>(), [true, false]);
    assert_eq!(kept[1].device_name, "Ada's phone");
    let session_id = kept[1].session_id.clone();
    let stranger = app.person("eve");
    let request = || RevokeSessionRequest { session_id: session_id.clone() };
    let outcome = stranger.auth().revoke_session(request()).await;
    assert_eq!(refusal(outcome).0, Code::NotFound);
    laptop.auth().revoke_session(request()).await.unwrap();

    let revoked = unauthenticated("TOKEN_REVOKED");
    until("it is refused there", SOON, async || asks(&other, &phone).await == revoked).await;
    assert_eq!(refusal(refresh(&app, &of_phone).await), revoked);
    assert_eq!(asks(&other, &laptop).await.0, Code::NotFound);
    refresh(&app, &of_laptop).await.unwrap();
    assert_eq!(sessions(&laptop).await.len(), 1);
    let again = laptop.auth().revoke_session(request()).await;
    assert_eq!(refusal(again).0, Code::NotFound);
}

#[tokio::test]
async fn whoever_signs_out_is_out_and_nobody_else() {
    let app = App::start().await;
    let [(phone, of_phone), (laptop, _)] = twice(&app, &account()).await;
    phone.auth().sign_out(SignOutRequest {}).await.unwrap();
    let outcome = phone.auth().sign_out(SignOutRequest {}).await;
    assert_eq!(refusal(outcome), unauthenticated("TOKEN_REVOKED"));
    assert_eq!(refusal(refresh(&app, &of_phone).await).1, "TOKEN_REVOKED");
    assert_eq!(sessions(&laptop).await.len(), 1);
}

#[tokio::test]
async fn a_token_that_was_revoked_on_one_machine_ends_no_sign_in_on_another_that_does_not_know() {
    let app = App::start().await;
    let other = App::builder().database(&app.database).with("REVOCATION_SECS_MAX", "30");
    let other = other.start().await;
    let [(stolen, _), (own, _)] = twice(&app, &account()).await;
    let thief = other.stranger(stolen.token.as_deref());
    let [current, old] = <[Session; 2]>::try_from(sessions(&thief).await).unwrap();
    let request =
        |session: &Session| RevokeSessionRequest { session_id: session.session_id.clone() };
    own.auth().revoke_session(request(&old)).await.unwrap();

    let revoked = unauthenticated("TOKEN_REVOKED");
    assert_eq!(refusal(thief.auth().sign_out(SignOutRequest {}).await), revoked);
    assert_eq!(refusal(thief.auth().revoke_session(request(&current)).await), revoked);
    let all = thief.auth().revoke_all_sessions(RevokeAllSessionsRequest {}).await;
    assert_eq!(refusal(all), revoked);
    assert_eq!(sessions(&thief).await.len(), 1, "it does not know yet");
    assert_eq!(sessions(&own).await, [Session { current: true, ..current }]);
}

#[tokio::test]
async fn all_sessions_end_here_and_at_the_issuer() {
    let app = App::start().await;
    let email = account();
    let [(phone, of_phone), (laptop, _)] = twice(&app, &email).await;
    let answer = phone.auth().revoke_all_sessions(RevokeAllSessionsRequest {}).await.unwrap();
    assert!(answer.into_inner().revoked_at_issuer);
    for person in [&phone, &laptop] {
        let outcome = person.auth().list_sessions(ListSessionsRequest::default()).await;
        assert_eq!(refusal(outcome), unauthenticated("TOKEN_REVOKED"));
    }
    assert_eq!(refusal(refresh(&app, &of_phone).await), unauthenticated("TOKEN_REVOKED"));
    until("a new sign-in is taken", SOON, async || tries(&app, &email, PASSWORD).await.is_ok())
        .await;
    let (ada, _) = signed_in(&app, &email).await;
    ada.auth().list_sessions(ListSessionsRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_sign_in_that_is_over_before_it_began_is_told_to_come_back_and_is_not_kept() {
    // By such a clock all sign-ins are over until a while from now.
    let clock = Clock::at(Clock::system().unix_secs() + 20);
    let app = App::builder().clock(clock).start().await;
    let email = account();
    let (ada, _) = signed_in(&app, &email).await;
    ada.auth().revoke_all_sessions(RevokeAllSessionsRequest {}).await.unwrap();

    let told = told(&tries(&app, &email, PASSWORD).await.unwrap_err());
    assert_eq!((told.code, &*told.reason), (Code::Unavailable, "DEPENDENCY_UNAVAILABLE"));
    assert_eq!(told.retry_delay, Some(Duration::from_secs(1)));
    let live = "select count(*) from mayfly_auth.session where revoke_time is null";
    assert_eq!(app.sql_count(live).await, 0);
    let failed = "select coalesce(sum(count), 0)::bigint from mayfly_auth.attempt";
    assert_eq!(app.sql_count(failed).await, 0, "the password was right");
    let begun = "select count(*) from mayfly_auth.audit where event = 'sign_in_begun'";
    assert_eq!(app.sql_count(begun).await, 2, "and that it was tried is written down");
    // Nobody else's are.
    signed_in(&app, &account()).await;
}

/// Has somebody signed in so often from a second on, once in each.
async fn signed_in_often(app: &App, user_id: &str, times: usize, from: i64) {
    let sessions = format!(
        "insert into mayfly_auth.session
         select gen_random_uuid(), '{user_id}', {from} + n, '', now(), now(), null
         from generate_series(1, {times}) as n"
    );
    app.sql(&sessions).await;
}

#[tokio::test]
async fn whoever_signs_in_again_and_again_ends_the_oldest_and_leaves_no_rows() {
    let app = App::start().await;
    let email = account();
    let (phone, of_phone) = signed_in(&app, &email).await;
    let user_id = of_phone.user_id.clone();
    // Others of hers that are over, and one of somebody else's.
    app.sql(&format!(
        "insert into mayfly_auth.session
         select gen_random_uuid(), user_id, 7, '', now(), now(), now()
         from unnest(array['{user_id}', '{user_id}', 'eve']) as user_id"
    ))
    .await;
    let later = Clock::system().unix_secs() + 1000;
    signed_in_often(&app, &user_id, 198, later).await;
    let rows =
        |of: &str| format!("select count(*) from mayfly_auth.session where user_id = '{of}'");
    sleep(Duration::from_millis(1100)).await;
    // The two hundredth ends nobody's.
    let (laptop, of_laptop) = signed_in(&app, &email).await;
    assert_eq!(app.sql_count(&rows(&user_id)).await, 200);
    refresh(&app, &of_phone.refresh_token).await.unwrap();
    sleep(Duration::from_millis(1100)).await;
    signed_in(&app, &email).await;

    assert_eq!(app.sql_count(&rows(&user_id)).await, 200);
    assert_eq!(app.sql_count(&rows("eve")).await, 1);
    let revoked = unauthenticated("TOKEN_REVOKED");
    assert_eq!(refusal(refresh(&app, &of_phone.refresh_token).await), revoked);
    assert_eq!(asks(&app, &phone).await, revoked);
    refresh(&app, &of_laptop.refresh_token).await.unwrap();
    assert_eq!(asks(&app, &laptop).await.0, Code::NotFound);
    let noted = "select count(*) from mayfly_auth.audit where event = 'session_revoked'";
    assert_eq!(app.sql_count(noted).await, 1);
}

#[tokio::test]
async fn a_sign_in_that_would_be_the_oldest_of_too_many_is_told_to_come_back() {
    let app = App::start().await;
    let email = account();
    let (_phone, of_phone) = signed_in(&app, &email).await;
    let later = Clock::system().unix_secs() + 1000;
    signed_in_often(&app, &of_phone.user_id, 200, later).await;
    let told = told(&tries(&app, &email, PASSWORD).await.unwrap_err());
    assert_eq!((told.code, told.retry_delay), (Code::Unavailable, Some(Duration::from_secs(1))));
    refresh(&app, &of_phone.refresh_token).await.expect("nothing has ended");
    // Nobody else is held up by them.
    let (bob, _of_bob) = signed_in(&app, &account()).await;
    assert_eq!(sessions(&bob).await.len(), 1);
}

#[tokio::test]
async fn sessions_come_in_pages_and_are_their_owners_alone() {
    let app = App::start().await;
    let [_, (laptop, _)] = twice(&app, &account()).await;
    let first = ListSessionsRequest { page_size: 1, ..Default::default() };
    let page = laptop.auth().list_sessions(first).await.unwrap().into_inner();
    assert!(page.sessions[0].current);
    let rest = ListSessionsRequest { page_size: 1, page_token: page.next_page_token };
    let page = laptop.auth().list_sessions(rest.clone()).await.unwrap().into_inner();
    assert!(!page.sessions[0].current && page.next_page_token.is_empty());
    let eve = app.person("eve");
    assert_eq!(refusal(eve.auth().list_sessions(rest).await).0, Code::InvalidArgument);
    assert_eq!(sessions(&eve).await, []);
}

#[tokio::test]
async fn what_one_person_ends_is_nobody_elses_though_it_is_of_the_same_second() {
    let app = App::start().await;
    let (ada, of_ada) = signed_in(&app, &account()).await;
    let (bob, of_bob) = signed_in(&app, &account()).await;
    // Eve has ended sign-ins of the very seconds of everybody's.
    app.sql(
        "insert into mayfly_auth.session
         select gen_random_uuid(), 'eve', auth_time, '', now(), now(), now()
         from mayfly_auth.session",
    )
    .await;
    refresh(&app, &of_ada.refresh_token).await.unwrap();

    ada.auth().revoke_all_sessions(RevokeAllSessionsRequest {}).await.unwrap();
    assert_eq!(sessions(&bob).await.len(), 1);
    refresh(&app, &of_bob.refresh_token).await.unwrap();
    assert_eq!(refusal(refresh(&app, &of_ada.refresh_token).await).1, "TOKEN_REVOKED");
}

#[tokio::test]
async fn a_sign_in_that_was_not_made_here_is_refreshed_no_more_at_once() {
    let app = App::builder().without("FIREBASE_SERVICE_ACCOUNT").start().await;
    let other = App::builder().database(&app.database).with("REVOCATION_SECS_MAX", "30");
    let other = other.start().await;
    // As by one of Firebase's SDKs.
    let session = world().issuer.sign_up(&address(), PASSWORD).unwrap();
    refresh(&other, &session.refresh_token).await.unwrap();
    let ada = other.stranger(Some(&session.id_token));
    assert_eq!(sessions(&ada).await, []);

    let ends = app.stranger(Some(&session.id_token));
    ends.auth().revoke_all_sessions(RevokeAllSessionsRequest {}).await.unwrap();
    let refused = refusal(refresh(&other, &session.refresh_token).await);
    assert_eq!(refused, unauthenticated("TOKEN_REVOKED"));
    assert_eq!(sessions(&ada).await, [], "it does not know yet");
}
