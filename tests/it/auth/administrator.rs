//! What is asked of Firebase as its administrator: with a service account, without one, and while
//! Firebase fails.

use std::{
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use clock::Clock;
use futures_util::future::join_all;
use issuer::Issuer;
use proto::{
    auth::v1::{
        GetRolesRequest, ListSessionsRequest, RefreshTokenRequest, RevokeAllSessionsRequest,
        RevokeAllSessionsResponse, SetDisabledRequest, SetRolesRequest,
    },
    user::v1::WatchProfilesRequest,
};
use tests::{App, AppBuilder, PROJECT, Person, told, until, world};
use tokio::{
    join,
    time::{Instant, sleep, timeout},
};
use tonic::{Code, Status};

use super::{
    account, call, front::Front, refusal, sessions::refresh, signed_in, tries, unauthenticated,
    with_role,
};

/// An app whose administrator asks by way of `front`.
fn behind(front: &Front) -> AppBuilder {
    App::builder()
        .with("IDENTITY_TOOLKIT_URL", front.url())
        .with("FIREBASE_SERVICE_ACCOUNT", front.service_account())
}

async fn roles(admin: &Person, user_id: &str) -> Result<Vec<String>, Status> {
    let request = GetRolesRequest { user_id: user_id.to_owned() };
    Ok(admin.auth().get_roles(request).await?.into_inner().roles)
}

async fn sets(admin: &Person, user_id: &str, roles: &[&str]) -> Result<(), Status> {
    let roles = roles.iter().map(ToString::to_string).collect();
    let request = SetRolesRequest { user_id: user_id.to_owned(), roles };
    admin.auth().set_roles(request).await.map(drop)
}

async fn disables(admin: &Person, user_id: &str) -> Result<(), Status> {
    let request = SetDisabledRequest { user_id: user_id.to_owned(), disabled: true };
    admin.auth().set_disabled(request).await.map(drop)
}

/// Ends all sign-ins; whether Firebase was told.
async fn ends_all(person: &Person) -> bool {
    let answer = person.auth().revoke_all_sessions(RevokeAllSessionsRequest {}).await.unwrap();
    answer.into_inner().revoked_at_issuer
}

async fn events(app: &App, event: &str) -> i64 {
    let events = format!("select count(*) from mayfly_auth.audit where event = '{event}'");
    app.sql_count(&events).await
}

/// Somebody with an account.
fn user() -> String {
    world().issuer.sign_up(&super::address(), super::PASSWORD).unwrap().user_id
}

/// Leaves a revocation that Firebase is to be told of.
async fn untold(app: &App, user_id: &str, valid_from: &str) {
    let values = format!("('{user_id}', {valid_from}, now() - interval '1 hour')");
    app.sql(&format!("insert into mayfly_auth.untold values {values}")).await;
}

/// Within which a role that was taken is one nowhere.
const MINUTE: Duration = Duration::from_mins(1);

const UNTOLD: &str = "select count(*) from mayfly_auth.untold";

#[tokio::test]
async fn many_who_ask_at_once_share_one_token_until_it_is_refused() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let admin = with_role(&app, "root-admin", "admin");
    let user_id = world().issuer.sign_up(&super::address(), "correct horse").unwrap().user_id;

    let asked = join_all((0..20).map(|_| roles(&admin, &user_id))).await;
    assert!(asked.iter().all(|roles| roles.as_ref().unwrap().is_empty()));
    assert_eq!((front.asked("/token"), front.asked("accounts:lookup")), (1, 20));
    let path = format!("/v1/projects/{PROJECT}/accounts:lookup");
    assert_eq!(front.asked(&path), 20, "the project is the one whose people sign in");

    front.answers("accounts:lookup", 401, 1);
    let refused = refusal(roles(&admin, &user_id).await);
    assert_eq!(refused, (Code::Unavailable, "DEPENDENCY_UNAVAILABLE".to_owned()));
    roles(&admin, &user_id).await.unwrap();
    assert_eq!(front.asked("/token"), 2, "what was refused is not shown again");
}

#[tokio::test]
async fn without_a_service_account_roles_are_not_set_and_sign_ins_end_here_alone() {
    let app = App::builder().without("FIREBASE_SERVICE_ACCOUNT").start().await;
    let admin = with_role(&app, "root-admin", "admin");
    let refused = refusal(sets(&admin, "ada", &[]).await);
    assert_eq!(refused, (Code::FailedPrecondition, "FAILED_PRECONDITION".to_owned()));

    let (ada, tokens) = signed_in(&app, &account()).await;
    assert!(!ends_all(&ada).await);
    let refused = refusal(refresh(&app, &tokens.refresh_token).await);
    assert_eq!(refused, unauthenticated("TOKEN_REVOKED"));
    for event in ["sessions_revoked", "sessions_revoked_here", "refresh_refused"] {
        assert_eq!(events(&app, event).await, 1, "{event}");
    }
    // There is nobody to tell it as, later either.
    assert_eq!(app.sql_count(UNTOLD).await, 0);
}

#[tokio::test]
async fn an_account_that_google_refuses_is_an_outage_and_told_as_one() {
    let other = Issuer::in_memory(PROJECT, Clock::system()).unwrap();
    let file = other.service_account(&format!("http://{}", world().issuer_address)).unwrap();
    let app = App::builder().with("FIREBASE_SERVICE_ACCOUNT", file).start().await;
    let admin = with_role(&app, "root-admin", "admin");
    let told = told(&sets(&admin, "ada", &[]).await.unwrap_err());
    assert_eq!((told.code, &*told.reason), (Code::Unavailable, "DEPENDENCY_UNAVAILABLE"));
    assert!(told.retry_delay.is_some());
}

#[tokio::test]
async fn what_firebase_could_not_be_told_ends_here_at_once_and_there_later() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let email = account();
    let (ada, tokens) = signed_in(&app, &email).await;

    // More often than it is asked again.
    front.answers("accounts:update", 503, 100);
    assert!(!ends_all(&ada).await);
    assert!(front.asked("accounts:update") > 1, "it is asked again at once");
    let request = ListSessionsRequest::default();
    let outcome = ada.auth().list_sessions(request).await;
    assert_eq!(refusal(outcome), unauthenticated("TOKEN_REVOKED"));
    let refused = refusal(refresh(&app, &tokens.refresh_token).await);
    assert_eq!(refused, unauthenticated("TOKEN_REVOKED"));
    world().issuer.refresh(&tokens.refresh_token).expect("Firebase does not know");
    assert_eq!((app.sql_count(UNTOLD).await, events(&app, "sessions_revoked_here").await), (1, 1));

    // It was tried a moment ago, so the next sign-in leaves it alone, and one after a minute does not.
    front.answers("accounts:update", 503, 0);
    signed_in(&app, &account()).await;
    assert_eq!(app.sql_count(UNTOLD).await, 1);
    app.sql("update mayfly_auth.untold set try_time = now() - interval '61 seconds'").await;
    signed_in(&app, &account()).await;
    assert_eq!((app.sql_count(UNTOLD).await, events(&app, "sessions_revoked_later").await), (0, 1));
    world().issuer.refresh(&tokens.refresh_token).expect_err("Firebase was told");
}

#[tokio::test]
async fn all_sessions_end_in_time_though_firebase_or_google_hangs() {
    // It takes connections, and answers nothing.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let file = world().issuer.service_account(&url).unwrap();
    for (name, value) in [("IDENTITY_TOOLKIT_URL", url), ("FIREBASE_SERVICE_ACCOUNT", file)] {
        let app = App::builder().with(name, value).start().await;
        let session = world().issuer.sign_up(&super::address(), super::PASSWORD).unwrap();
        let call = call("RevokeAllSessions", &RevokeAllSessionsRequest {}, "4S");
        let answer = call.token(Some(&session.id_token)).send(app.address).await;
        assert!(!answer.message::<RevokeAllSessionsResponse>().revoked_at_issuer, "{name}");
        assert_eq!(app.sql_count(UNTOLD).await, 1, "{name}");
        assert_eq!(events(&app, "sessions_revoked_here").await, 1, "{name}");
    }
}

#[tokio::test]
async fn a_sign_in_goes_well_though_firebase_cannot_be_told_of_another() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    untold(&app, &user(), "extract(epoch from now())::bigint + 1").await;
    front.answers("accounts:update", 400, 1);
    tries(&app, &account(), super::PASSWORD).await.unwrap();
    assert_eq!((front.asked("accounts:update"), app.sql_count(UNTOLD).await), (1, 1));
}

#[tokio::test]
async fn what_is_told_later_is_nobodys_doing_and_ends_with_the_account() {
    let app = App::start().await;
    untold(&app, "deleted-long-ago", "1").await;
    tries(&app, &account(), super::PASSWORD).await.unwrap();
    assert_eq!((app.sql_count(UNTOLD).await, events(&app, "sessions_revoked_later").await), (0, 1));
    let from_somewhere = "select count(*) from mayfly_auth.audit
        where event = 'sessions_revoked_later' and address is not null";
    assert_eq!(app.sql_count(from_somewhere).await, 0);
}

#[tokio::test]
async fn what_was_revoked_since_stays_revoked_when_it_is_told() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let user_id = user();
    world().issuer.revoke(&user_id).unwrap();
    untold(&app, &user_id, "1").await;
    tries(&app, &account(), super::PASSWORD).await.unwrap();
    assert_eq!((front.asked("accounts:update"), app.sql_count(UNTOLD).await), (0, 0));
}

#[tokio::test]
async fn nobody_who_signs_in_waits_long_for_what_is_told_of_another() {
    // It takes connections, and answers nothing.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let file = world().issuer.service_account(&url).unwrap();
    let app = App::builder().with("FIREBASE_SERVICE_ACCOUNT", file).start().await;
    untold(&app, &user(), "1").await;
    let began = Instant::now();
    tries(&app, &account(), super::PASSWORD).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(app.sql_count(UNTOLD).await, 1);
}

#[tokio::test]
async fn a_firebase_that_fails_once_is_asked_again() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let (ada, tokens) = signed_in(&app, &account()).await;
    front.answers("accounts:update", 503, 1);
    assert!(ends_all(&ada).await);
    assert_eq!(app.sql_count(UNTOLD).await, 0);
    world().issuer.refresh(&tokens.refresh_token).expect_err("Firebase was told");
}

#[tokio::test]
async fn what_ends_more_at_firebase_meanwhile_is_not_undone_by_another_attempt() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let (ada, tokens) = signed_in(&app, &account()).await;
    front.answers("accounts:update", 503, 1);
    let mut held = front.holds("accounts:update");
    let ends_more = async {
        held.came().await;
        // A later second than that of what Firebase is told.
        sleep(Duration::from_millis(1100)).await;
        world().issuer.revoke(&tokens.user_id).unwrap();
        held.goes();
    };
    let (is_told, ()) = join!(ends_all(&ada), ends_more);
    assert!(is_told);
    assert_eq!((front.asked("accounts:lookup"), front.asked("accounts:update")), (2, 1));
}

#[tokio::test]
async fn nobody_takes_the_role_that_gives_roles_from_themselves() {
    let app = App::start().await;
    let user_id = world().issuer.sign_up(&super::address(), "correct horse").unwrap().user_id;
    let (root, ada) = (with_role(&app, "root-admin", "admin"), with_role(&app, &user_id, "admin"));
    for roles in [&[][..], &["editor"], &["admins"]] {
        let told = told(&sets(&ada, &user_id, roles).await.unwrap_err());
        assert_eq!((told.code, told.fields), (Code::InvalidArgument, vec!["roles".to_owned()]));
    }
    sets(&ada, &user_id, &["editor", "admin"]).await.unwrap();
    assert_eq!(roles(&root, &user_id).await.unwrap(), ["editor", "admin"]);
    sets(&root, &user_id, &["editor"]).await.unwrap();
    assert_eq!(roles(&root, &user_id).await.unwrap(), ["editor"]);
}

#[tokio::test]
async fn a_role_that_is_taken_opens_nothing_more_and_ends_the_streams_it_has_opened() {
    // A stream looks again a second and five after what is known may be old: well within a minute.
    let app = App::builder().with("REVOCATION_SECS_MAX", "1").start().await;
    let root = with_role(&app, "root-admin", "admin");
    let (_, tokens) = signed_in(&app, &account()).await;
    sets(&root, &tokens.user_id, &["admin"]).await.unwrap();
    // A sign-in of the second in which roles were set may still say what was before.
    sleep(Duration::from_millis(1100)).await;
    let request = RefreshTokenRequest { refresh_token: tokens.refresh_token.clone() };
    let answer = app.stranger(None).auth().refresh_token(request).await.unwrap().into_inner();
    let ada = app.stranger(Some(&answer.tokens.unwrap().id_token));
    roles(&ada, &tokens.user_id).await.unwrap();
    let request = WatchProfilesRequest::default();
    let mut watching = ada.user().watch_profiles(request).await.unwrap().into_inner();

    sets(&root, &tokens.user_id, &[]).await.unwrap();

    let outdated = unauthenticated("TOKEN_EXPIRED");
    until("the role opens nothing more", MINUTE, async || {
        let outcome = roles(&ada, &tokens.user_id).await;
        outcome.is_err_and(|status| refusal::<()>(Err(status)) == outdated)
    })
    .await;
    let ended = timeout(MINUTE, async {
        loop {
            match watching.message().await {
                Ok(Some(_message)) => {}
                other => return other,
            }
        }
    });
    assert_eq!(refusal(ended.await.expect("the stream ends")), outdated);
}

#[tokio::test]
async fn roles_that_were_set_by_half_are_set_whole_by_asking_again() {
    let app = App::start().await;
    let root = with_role(&app, "root-admin", "admin");
    let user_id = user();
    let outdated = format!(
        "select count(*) from mayfly.revocation
         where user_id = '{user_id}' and issued_from > extract(epoch from now()) + 5"
    );
    // As if the process had ended once Firebase has them.
    app.sql(
        "create function mayfly_auth.refuse() returns trigger language plpgsql as
         $$ begin raise 'no' using errcode = '57P03'; end $$;
         create trigger refuse before insert on mayfly_auth.audit
         for each row when (new.event = 'roles_set') execute function mayfly_auth.refuse()",
    )
    .await;
    let cut = sets(&root, &user_id, &["editor"]).await.unwrap_err();
    assert_eq!(cut.code(), Code::Unavailable, "{cut:?}");
    assert_eq!((events(&app, "roles_begun").await, events(&app, "roles_set").await), (1, 0));
    assert_eq!(roles(&root, &user_id).await.unwrap(), ["editor"]);
    assert_eq!(app.sql_count(&outdated).await, 1, "nor do tokens count that are made meanwhile");

    app.sql("drop trigger refuse on mayfly_auth.audit").await;
    let refused = refusal(sets(&root, &user_id, &["editor"]).await);
    assert_eq!(refused, (Code::Aborted, "CONFLICT".to_owned()), "it may be under way still");
    // As half a minute later.
    app.sql(&format!(
        "update mayfly.revocation set issued_from = issued_from - 30 where user_id = '{user_id}'"
    ))
    .await;
    sets(&root, &user_id, &["editor"]).await.unwrap();
    assert_eq!((events(&app, "roles_begun").await, events(&app, "roles_set").await), (2, 1));
}

#[tokio::test]
async fn whoever_is_disabled_is_out_at_once_when_their_roles_are_set() {
    let app = App::start().await;
    let root = with_role(&app, "root-admin", "admin");
    let email = account();
    let (ada, tokens) = signed_in(&app, &email).await;
    world().issuer.disable(&tokens.user_id).unwrap();
    let outcome = tries(&app, &email, super::PASSWORD).await;
    assert_eq!(refusal(outcome), unauthenticated("CREDENTIALS_INVALID"));
    let refused = refusal(refresh(&app, &tokens.refresh_token).await);
    assert_eq!(refused, unauthenticated("TOKEN_REVOKED"));

    sets(&root, &tokens.user_id, &[]).await.unwrap();
    let outcome = ada.auth().list_sessions(ListSessionsRequest::default()).await;
    assert_eq!(refusal(outcome), unauthenticated("TOKEN_EXPIRED"));
}

#[tokio::test]
async fn whoever_is_disabled_is_out_everywhere_until_they_are_enabled() {
    let app = App::start().await;
    let root = with_role(&app, "root-admin", "admin");
    let email = account();
    let (ada, tokens) = signed_in(&app, &email).await;
    let user_id = tokens.user_id;
    let lists = async || ada.auth().list_sessions(ListSessionsRequest::default()).await;

    disables(&root, &user_id).await.unwrap();
    assert_eq!(refusal(lists().await), unauthenticated("TOKEN_REVOKED"));
    let outcome = tries(&app, &email, super::PASSWORD).await;
    assert_eq!(refusal(outcome), unauthenticated("CREDENTIALS_INVALID"));
    let refused = refusal(refresh(&app, &tokens.refresh_token).await);
    assert_eq!(refused, unauthenticated("TOKEN_REVOKED"));
    // Asked again it is so already.
    disables(&root, &user_id).await.unwrap();

    let request = SetDisabledRequest { user_id, disabled: false };
    root.auth().set_disabled(request).await.unwrap();
    lists().await.unwrap();
    tries(&app, &email, super::PASSWORD).await.unwrap();

    let nobody = disables(&root, "nobody").await.unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound, "{nobody:?}");
    let own = told(&disables(&root, "root-admin").await.unwrap_err());
    assert_eq!((own.code, own.fields), (Code::InvalidArgument, vec!["user_id".to_owned()]));
}

#[tokio::test]
async fn whoever_cannot_be_disabled_at_firebase_is_out_here() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let root = with_role(&app, "root-admin", "admin");
    let (ada, tokens) = signed_in(&app, &account()).await;
    front.refuses("accounts:update", "INTERNAL");
    disables(&root, &tokens.user_id).await.unwrap_err();
    let outcome = ada.auth().list_sessions(ListSessionsRequest::default()).await;
    assert_eq!(refusal(outcome), unauthenticated("TOKEN_REVOKED"));
}

#[tokio::test]
async fn no_role_is_asked_for_that_is_not_in_the_audit() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let root = with_role(&app, "root-admin", "admin");
    app.sql(
        "create function mayfly_auth.refuse() returns trigger language plpgsql as
         $$ begin raise 'no' using errcode = '57P03'; end $$;
         create trigger refuse before insert on mayfly_auth.audit
         for each row execute function mayfly_auth.refuse()",
    )
    .await;
    sets(&root, &user(), &["editor"]).await.unwrap_err();
    assert_eq!((front.asked("accounts:lookup"), front.asked("accounts:update")), (1, 0));
}

#[tokio::test]
async fn a_clock_that_is_ahead_of_firebases_has_nobody_refresh_again_and_again() {
    let clock = Clock::at(Clock::system().unix_secs() + 20);
    let app = App::builder().clock(clock).with("REVOCATION_SECS_MAX", "1").start().await;
    let root = with_role(&app, "root-admin", "admin");
    let (_, tokens) = signed_in(&app, &account()).await;
    sets(&root, &tokens.user_id, &["editor"]).await.unwrap();
    sleep(Duration::from_millis(1100)).await;
    let request = RefreshTokenRequest { refresh_token: tokens.refresh_token };
    let answer = app.stranger(None).auth().refresh_token(request).await.unwrap().into_inner();
    let ada = app.stranger(Some(&answer.tokens.unwrap().id_token));
    ada.auth().list_sessions(ListSessionsRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_behind_firebases_leaves_nobody_a_role_or_a_sign_in() {
    let clock = Clock::at(Clock::system().unix_secs() - 10);
    let app = App::builder().clock(clock).with("REVOCATION_SECS_MAX", "1").start().await;
    let root = with_role(&app, "root-admin", "admin");
    let (ada, tokens) = signed_in(&app, &account()).await;
    sets(&root, &tokens.user_id, &["editor"]).await.unwrap();
    let request = ListSessionsRequest::default();
    let outcome = ada.auth().list_sessions(request.clone()).await;
    assert_eq!(refusal(outcome), unauthenticated("TOKEN_EXPIRED"));

    let (bob, tokens) = signed_in(&app, &account()).await;
    ends_all(&bob).await;
    assert_eq!(refusal(bob.auth().list_sessions(request).await), unauthenticated("TOKEN_REVOKED"));
    let refused = refusal(refresh(&app, &tokens.refresh_token).await);
    assert_eq!(refused, unauthenticated("TOKEN_REVOKED"));
}
