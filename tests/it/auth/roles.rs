//! Roles that are given while something else happens: whoever gives them is disabled, somebody else
//! gives others, nobody waits any more, or Firebase says no.

use std::time::Duration;

use proto::auth::v1::{
    GetRolesRequest, ListSessionsRequest, RefreshTokenRequest, SetDisabledRequest, Tokens,
};
use tests::{App, Person, until};
use tokio::{join, time::sleep};
use tonic::{Code, Status};

use super::{
    account,
    front::{Front, Held},
    refusal, signed_in,
    standing::{behind, gives, user},
    unauthenticated, with_role,
};

/// What a machine may take that has other things to do.
const SOON: Duration = Duration::from_secs(30);

async fn roles(admin: &Person, user_id: &str) -> Vec<String> {
    let request = GetRolesRequest { user_id: user_id.to_owned() };
    admin.auth().get_roles(request).await.unwrap().into_inner().roles
}

async fn disables(admin: &Person, user_id: &str) {
    let request = SetDisabledRequest { user_id: user_id.to_owned(), disabled: true };
    admin.auth().set_disabled(request).await.unwrap();
}

/// How many rows of the audit say this of the roles of a person.
async fn noted(app: &App, event: &str, user_id: &str, role: &str) -> i64 {
    let rows = format!(
        "select count(*) from mayfly_auth.audit
         where event = '{event}' and person_id = '{user_id}' and roles = array['{role}']"
    );
    app.sql_count(&rows).await
}

/// What a token is told that was made just now for whoever has signed in.
async fn refreshed(app: &App, tokens: &Tokens) -> Result<(), Status> {
    let request = RefreshTokenRequest { refresh_token: tokens.refresh_token.clone() };
    let answer = app.stranger(None).auth().refresh_token(request).await.unwrap().into_inner();
    let person = app.stranger(Some(&answer.tokens.unwrap().id_token));
    person.auth().list_sessions(ListSessionsRequest::default()).await.map(drop)
}

#[tokio::test]
async fn whoever_is_disabled_while_firebase_gives_their_roles_has_given_none() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let root = with_role(&app, "root-admin", "admin");
    let bob_id = user();
    let bob = with_role(&app, &bob_id, "admin");
    let (_, tokens) = signed_in(&app, &account()).await;
    let carol = &tokens.user_id;
    gives(&root, carol, "editor").await.unwrap();

    let mut held = front.holds("accounts:update");
    let bans = async {
        held.came().await;
        disables(&root, &bob_id).await;
        held.goes();
    };
    let (given, ()) = join!(gives(&bob, carol, "admin"), bans);

    assert_eq!(refusal(given), unauthenticated("TOKEN_REVOKED"));
    assert_eq!(roles(&root, carol).await, ["editor"]);
    for (event, role, times) in [
        ("roles_begun", "admin", 1),
        ("roles_withdrawn", "admin", 1),
        ("roles_restored", "editor", 1),
        ("roles_set", "admin", 0),
    ] {
        assert_eq!(noted(&app, event, carol, role).await, times, "{event}");
    }
    // A token of the second in which it was put back may say either.
    sleep(Duration::from_millis(1100)).await;
    refreshed(&app, &tokens).await.unwrap();
    gives(&root, carol, "author").await.expect("nothing is under way any more");
}

#[tokio::test]
async fn while_somebody_gives_a_person_roles_nobody_else_does() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let (root, bob) = (with_role(&app, "root-admin", "admin"), with_role(&app, "bob", "admin"));
    let (carol, dave) = (user(), user());

    let mut held = front.holds("accounts:update");
    let meets = async {
        held.came().await;
        let refused = refusal(gives(&bob, &carol, "editor").await);
        assert_eq!(refused, (Code::Aborted, "CONFLICT".to_owned()));
        gives(&bob, &dave, "editor").await.expect("that is somebody else");
        // Of whom the same is under way, until the same time.
        app.sql(&format!(
            "update mayfly.revocation set issued_from =
                (select issued_from from mayfly.revocation where user_id = '{carol}')
             where user_id = '{dave}'"
        ))
        .await;
        held.goes();
    };
    let (given, ()) = join!(gives(&root, &carol, "author"), meets);
    given.unwrap();
    let refused = refusal(gives(&root, &dave, "author").await);
    assert_eq!(refused, (Code::Aborted, "CONFLICT".to_owned()));

    assert_eq!(roles(&root, &carol).await, ["author"]);
    assert_eq!(noted(&app, "roles_begun", &carol, "editor").await, 0);
    gives(&bob, &carol, "editor").await.unwrap();
    assert_eq!(roles(&root, &carol).await, ["editor"]);
}

#[tokio::test]
async fn roles_of_which_something_was_said_while_they_were_read_are_not_set() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let (root, bob) = (with_role(&app, "root-admin", "admin"), with_role(&app, "bob", "admin"));
    let carol = user();

    let mut held = front.holds("accounts:lookup");
    let gives_others = async {
        held.came().await;
        gives(&bob, &carol, "editor").await.unwrap();
        held.goes();
    };
    let (given, ()) = join!(gives(&root, &carol, "author"), gives_others);
    assert_eq!(refusal(given), (Code::Aborted, "CONFLICT".to_owned()));
    assert_eq!(roles(&root, &carol).await, ["editor"]);
}

/// Gives a role, and waits no longer once Firebase is asked.
async fn is_cut(root: &Person, user_id: &str, held: &mut Held) {
    tokio::select! {
        given = gives(root, user_id, "editor") => panic!("{given:?}"),
        () = held.came() => {}
    }
}

#[tokio::test]
async fn a_call_that_is_cut_leaves_no_token_of_before_and_gives_its_roles_whole() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let root = with_role(&app, "root-admin", "admin");
    let (_, tokens) = signed_in(&app, &account()).await;

    let mut held = front.holds("accounts:update");
    is_cut(&root, &tokens.user_id, &mut held).await;
    // However late it is made, it says what was before.
    sleep(Duration::from_millis(1100)).await;
    let refused = refusal(refreshed(&app, &tokens).await);
    assert_eq!(refused, unauthenticated("TOKEN_EXPIRED"));
    assert_eq!(noted(&app, "roles_set", &tokens.user_id, "editor").await, 0);
    held.goes();

    until("it is set all the same", SOON, async || {
        noted(&app, "roles_set", &tokens.user_id, "editor").await == 1
    })
    .await;
    sleep(Duration::from_millis(1100)).await;
    refreshed(&app, &tokens).await.unwrap();
}

#[tokio::test]
async fn a_drain_waits_for_what_a_call_that_was_cut_has_begun() {
    let front = Front::open().await;
    let app = behind(&front).with("DRAIN_SECS", "30").start().await;
    let later = App::builder().database(&app.database).start().await;
    let root = with_role(&app, "root-admin", "admin");
    let carol = user();
    let mut held = front.holds("accounts:update");
    is_cut(&root, &carol, &mut held).await;
    let lets_go = async {
        // The calls are over by now, and the connections closed.
        sleep(Duration::from_secs(3)).await;
        held.goes();
    };
    let ((), ()) = join!(app.stopped(), lets_go);
    assert_eq!(noted(&later, "roles_set", &carol, "editor").await, 1);
}

#[tokio::test]
async fn what_firebase_refuses_is_over_at_once() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let root = with_role(&app, "root-admin", "admin");
    let carol = user();
    front.refuses("accounts:update", "CLAIMS_TOO_LARGE");
    assert_eq!(refusal(gives(&root, &carol, "editor").await).0, Code::InvalidArgument);
    gives(&root, &carol, "editor").await.unwrap();
}

/// Firebase says no, and nobody else gives the person roles for as long as they may have these.
async fn is_under_way(root: &Person, user_id: &str) {
    assert_eq!(refusal(gives(root, user_id, "editor").await).0, Code::Unavailable);
    let refused = refusal(gives(root, user_id, "editor").await);
    assert_eq!(refused, (Code::Aborted, "CONFLICT".to_owned()));
}

#[tokio::test]
async fn what_may_be_the_answer_to_a_second_attempt_alone_ends_nothing_at_once() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let root = with_role(&app, "root-admin", "admin");
    front.answers("accounts:update", 401, 1);
    is_under_way(&root, &user()).await;
    front.refuses("accounts:update", "TOO_MANY_ATTEMPTS_TRY_LATER");
    is_under_way(&root, &user()).await;
}
