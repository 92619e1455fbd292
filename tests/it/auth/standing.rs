//! Who may say who may call: not whoever may not call any more, and nobody of themselves.

use std::{
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use proto::auth::v1::{
    CreateApiClientRequest, DeleteApiClientRequest, GetRolesRequest, RotateApiClientSecretRequest,
    SetDisabledRequest, SetRolesRequest, WhoAmIRequest,
};
use sqlx::{AssertSqlSafe, Connection, raw_sql};
use tests::{App, AppBuilder, Person, keyed, told, until, world};
use tokio::join;
use tonic::{Code, Status};

use super::{
    PASSWORD, account, address, call, front::Front, refusal, signed_in, unauthenticated, with_role,
};

/// An app whose administrator asks by way of `front`.
pub(super) fn behind(front: &Front) -> AppBuilder {
    App::builder()
        .with("IDENTITY_TOOLKIT_URL", front.url())
        .with("FIREBASE_SERVICE_ACCOUNT", front.service_account())
}

/// Somebody with an account.
pub(super) fn user() -> String {
    world().issuer.sign_up(&address(), PASSWORD).unwrap().user_id
}

async fn disables(admin: &Person, user_id: &str) -> Result<(), Status> {
    let request = SetDisabledRequest { user_id: user_id.to_owned(), disabled: true };
    admin.auth().set_disabled(request).await.map(drop)
}

async fn enables(admin: &Person, user_id: &str) -> Result<(), Status> {
    let request = SetDisabledRequest { user_id: user_id.to_owned(), disabled: false };
    admin.auth().set_disabled(request).await.map(drop)
}

pub(super) async fn gives(admin: &Person, user_id: &str, role: &str) -> Result<(), Status> {
    let request = SetRolesRequest { user_id: user_id.to_owned(), roles: vec![role.to_owned()] };
    admin.auth().set_roles(request).await.map(drop)
}

async fn is_disabled_here(app: &App, user_id: &str) -> bool {
    let row = format!(
        "select count(*) from mayfly.revocation where user_id = '{user_id}' and is_disabled"
    );
    app.sql_count(&row).await == 1
}

#[tokio::test]
async fn whoever_was_disabled_on_one_machine_changes_nothing_on_another_that_does_not_know() {
    let app = App::start().await;
    let other = App::builder().database(&app.database).with("REVOCATION_SECS_MAX", "30");
    let other = other.start().await;
    let root = with_role(&app, "root-admin", "admin");
    let (bob_id, carol) = (user(), user());
    let bob = with_role(&other, &bob_id, "admin");
    let reads = async || {
        let request = GetRolesRequest { user_id: carol.clone() };
        bob.auth().get_roles(request).await.map(drop)
    };
    reads().await.unwrap();
    let request = || {
        let (display_name, scopes) = ("Billing".to_owned(), Vec::new());
        keyed(CreateApiClientRequest { display_name, scopes })
    };
    let made = root.auth().create_api_client(request()).await.unwrap().into_inner();
    let api_client_id = made.api_client.unwrap().api_client_id;
    disables(&root, &bob_id).await.unwrap();

    let own = told(&enables(&bob, &bob_id).await.unwrap_err());
    assert_eq!((own.code, own.fields), (Code::InvalidArgument, vec!["user_id".to_owned()]));
    let revoked = unauthenticated("TOKEN_REVOKED");
    assert_eq!(refusal(disables(&bob, &carol).await), revoked);
    assert_eq!(refusal(enables(&bob, &carol).await), revoked);
    assert_eq!(refusal(gives(&bob, &bob_id, "admin").await), revoked);
    assert_eq!(refusal(bob.auth().create_api_client(request()).await), revoked);
    let rotate =
        RotateApiClientSecretRequest { api_client_id: api_client_id.clone(), grace_period: None };
    assert_eq!(refusal(bob.auth().rotate_api_client_secret(keyed(rotate)).await), revoked);
    let delete = DeleteApiClientRequest { api_client_id };
    assert_eq!(refusal(bob.auth().delete_api_client(keyed(delete)).await), revoked);
    assert!(is_disabled_here(&app, &bob_id).await && !is_disabled_here(&app, &carol).await);
    let by_bob = format!("select count(*) from mayfly_auth.audit where actor = 'person:{bob_id}'");
    assert_eq!(app.sql_count(&by_bob).await, 0);
    reads().await.expect("it does not know yet");
}

#[tokio::test]
async fn whoever_lost_the_role_on_one_machine_does_not_take_it_back_on_another() {
    let app = App::start().await;
    let other = App::builder().database(&app.database).with("REVOCATION_SECS_MAX", "30");
    let other = other.start().await;
    let root = with_role(&app, "root-admin", "admin");
    let bob_id = user();
    let bob = with_role(&other, &bob_id, "admin");
    let request = || GetRolesRequest { user_id: bob_id.clone() };
    bob.auth().get_roles(request()).await.unwrap();
    gives(&root, &bob_id, "editor").await.unwrap();
    bob.auth().get_roles(request()).await.expect("it does not know yet");
    let outdated = unauthenticated("TOKEN_EXPIRED");
    assert_eq!(refusal(gives(&bob, &bob_id, "admin").await), outdated);
}

#[tokio::test]
async fn a_call_that_waits_for_firebase_while_its_caller_is_disabled_changes_nothing() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let root = with_role(&app, "root-admin", "admin");
    let (bob_id, carol) = (user(), user());
    let bob = with_role(&app, &bob_id, "admin");
    disables(&root, &carol).await.unwrap();
    let revoked = unauthenticated("TOKEN_REVOKED");

    let mut held = front.holds("accounts:update");
    let bans = async {
        held.came().await;
        disables(&root, &bob_id).await.unwrap();
        held.goes();
    };
    let (enabled, ()) = join!(enables(&bob, &carol), bans);
    assert_eq!(refusal(enabled), revoked);
    assert!(is_disabled_here(&app, &carol).await);

    enables(&root, &bob_id).await.unwrap();
    let updates = front.asked("accounts:update");
    let mut held = front.holds("accounts:lookup");
    let bans = async {
        held.came().await;
        disables(&root, &bob_id).await.unwrap();
        held.goes();
    };
    let (given, ()) = join!(gives(&bob, &carol, "admin"), bans);
    assert_eq!(refusal(given), revoked);
    assert_eq!(front.asked("accounts:update"), updates + 1, "the one that disables him");

    enables(&root, &bob_id).await.unwrap();
    let (updates, dave) = (front.asked("accounts:update"), user());
    let (mut held, mut owner) = (front.holds("accounts:lookup"), app.owner().await);
    let bans = async {
        held.came().await;
        // At once: nobody waits for long to hear that there is such an account.
        let disable = "update mayfly.revocation set is_disabled = true where user_id =";
        let disable = AssertSqlSafe(format!("{disable} '{bob_id}'"));
        raw_sql(disable).execute(&mut owner).await.unwrap();
        held.goes();
    };
    let (disabled, ()) = join!(disables(&bob, &dave), bans);
    assert_eq!(refusal(disabled), revoked);
    assert!(!is_disabled_here(&app, &dave).await);
    assert_eq!(front.asked("accounts:update"), updates);
}

#[tokio::test]
async fn of_two_who_disable_each_other_at_once_one_is_left() {
    let app = App::start().await;
    let (ada_id, bob_id) = (user(), user());
    let (ada, bob) = (with_role(&app, &ada_id, "admin"), with_role(&app, &bob_id, "admin"));
    // Each is held when it has asked and written, and before it is there for others to see.
    app.sql(
        "create function mayfly_auth.wait() returns trigger language plpgsql as
         $$ begin perform pg_advisory_xact_lock(7); return new; end $$;
         create trigger wait before insert on mayfly_auth.audit
         for each row when (new.event = 'user_disabled') execute function mayfly_auth.wait()",
    )
    .await;
    let mut gate = app.owner().await;
    raw_sql("select pg_advisory_lock(7)").execute(&mut gate).await.unwrap();
    let opens = async {
        let waiting = "select count(*) from pg_locks
            where locktype = 'advisory' and not granted
            and database = (select oid from pg_database where datname = current_database())";
        let limit = Duration::from_secs(8);
        until("both have begun", limit, async || app.sql_count(waiting).await == 2).await;
        gate.close().await.unwrap();
    };
    let (by_ada, by_bob, ()) = join!(disables(&ada, &bob_id), disables(&bob, &ada_id), opens);

    let (refused, left) = if by_ada.is_ok() { (by_bob, &ada_id) } else { (by_ada, &bob_id) };
    assert_eq!(refusal(refused), unauthenticated("TOKEN_REVOKED"));
    assert!(!is_disabled_here(&app, left).await);
    let disabled = "select count(*) from mayfly.revocation where is_disabled";
    assert_eq!(app.sql_count(disabled).await, 1);
}

#[tokio::test]
async fn nobody_is_enabled_at_firebase_of_whom_the_audit_does_not_say_so() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let root = with_role(&app, "root-admin", "admin");
    let carol = user();
    disables(&root, &carol).await.unwrap();
    let begun = format!(
        "select count(*) from mayfly_auth.audit
         where event = 'user_enable_begun' and person_id = '{carol}'"
    );

    let mut held = front.holds("accounts:update");
    let looks = async {
        held.came().await;
        assert_eq!(app.sql_count(&begun).await, 1);
        held.goes();
    };
    let (enabled, ()) = join!(enables(&root, &carol), looks);
    enabled.unwrap();

    app.sql("alter table mayfly_auth.audit add constraint full_up check (false) not valid").await;
    let updates = front.asked("accounts:update");
    enables(&root, &carol).await.unwrap_err();
    assert_eq!(front.asked("accounts:update"), updates);
}

#[tokio::test]
async fn of_two_who_say_the_contrary_at_once_one_is_told_to_ask_again() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let (root, bob) = (with_role(&app, "root-admin", "admin"), with_role(&app, "bob", "admin"));
    let conflict = (Code::Aborted, "CONFLICT".to_owned());
    // Of the second nothing was ever written here.
    for is_known in [true, false] {
        let carol = user();
        if is_known {
            disables(&root, &carol).await.unwrap();
        }
        let mut held = front.holds("accounts:update");
        let contradicts = async {
            held.came().await;
            disables(&root, &carol).await.unwrap();
            held.goes();
        };
        let (enabled, ()) = join!(enables(&bob, &carol), contradicts);
        assert_eq!(refusal(enabled), conflict);
        assert!(is_disabled_here(&app, &carol).await);
        enables(&bob, &carol).await.unwrap();
        assert!(!is_disabled_here(&app, &carol).await);

        let mut held = front.holds("accounts:update");
        let contradicts = async {
            held.came().await;
            enables(&root, &carol).await.unwrap();
            held.goes();
        };
        let (disabled, ()) = join!(disables(&bob, &carol), contradicts);
        assert_eq!(refusal(disabled), conflict);
        disables(&bob, &carol).await.unwrap();
        assert!(is_disabled_here(&app, &carol).await);
    }
}

#[tokio::test]
async fn what_is_said_of_one_person_contradicts_nothing_that_is_said_of_another() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let (root, bob) = (with_role(&app, "root-admin", "admin"), with_role(&app, "bob", "admin"));
    let (carol, dave) = (user(), user());
    for of in [&carol, &dave] {
        disables(&root, of).await.unwrap();
    }
    let mut held = front.holds("accounts:update");
    let of_another = async {
        held.came().await;
        enables(&root, &dave).await.unwrap();
        held.goes();
    };
    let (enabled, ()) = join!(enables(&bob, &carol), of_another);
    enabled.unwrap();
    assert!(!is_disabled_here(&app, &carol).await && !is_disabled_here(&app, &dave).await);
}

/// Whoever disables is told that Firebase was not, and the person is out here all the same.
async fn is_out_here(app: &App, root: &Person, user_id: &str, code: Code) {
    assert_eq!(refusal(disables(root, user_id).await).0, code);
    assert!(is_disabled_here(app, user_id).await);
    let noted = format!(
        "select count(*) from mayfly_auth.audit
         where event = 'user_disabled' and person_id = '{user_id}'"
    );
    assert_eq!(app.sql_count(&noted).await, 1);
}

#[tokio::test]
async fn whoever_is_disabled_is_out_though_firebase_does_not_answer() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let root = with_role(&app, "root-admin", "admin");
    let (ada, tokens) = signed_in(&app, &account()).await;
    front.answers("accounts:update", 503, 9);
    is_out_here(&app, &root, &tokens.user_id, Code::Unavailable).await;
    let outcome = ada.auth().who_am_i(WhoAmIRequest {}).await;
    assert_eq!(refusal(outcome), unauthenticated("TOKEN_REVOKED"));
    assert_eq!(front.asked("accounts:lookup"), 0, "she is known here");
    // Asked again it is so there as well.
    front.answers("accounts:update", 503, 0);
    disables(&root, &tokens.user_id).await.unwrap();

    // It takes connections, and answers nothing: not even whether there is such an account.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let app = App::builder().with("IDENTITY_TOOLKIT_URL", url).start().await;
    let root = with_role(&app, "root-admin", "admin");
    let message = SetDisabledRequest { user_id: user(), disabled: true };
    let call = call("SetDisabled", &message, "5S").token(root.token.as_deref());
    let told = call.send(app.address).await.told();
    assert_eq!((told.code, &*told.reason), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert!(is_disabled_here(&app, &message.user_id).await);
}

#[tokio::test]
async fn without_a_service_account_people_are_disabled_and_enabled_here_alone() {
    let app = App::builder().without("FIREBASE_SERVICE_ACCOUNT").start().await;
    let root = with_role(&app, "root-admin", "admin");
    let carol = user();
    is_out_here(&app, &root, &carol, Code::FailedPrecondition).await;
    let enabled = refusal(enables(&root, &carol).await);
    assert_eq!(enabled, (Code::FailedPrecondition, "FAILED_PRECONDITION".to_owned()));
    assert!(!is_disabled_here(&app, &carol).await);
}

#[tokio::test]
async fn whoever_is_known_here_and_deleted_at_firebase_is_disabled() {
    let app = App::start().await;
    let root = with_role(&app, "root-admin", "admin");
    app.sql("insert into mayfly.revocation (user_id) values ('deleted-long-ago')").await;
    disables(&root, "deleted-long-ago").await.unwrap();
    assert!(is_disabled_here(&app, "deleted-long-ago").await);

    let nobody = disables(&root, "nobody-at-all").await;
    assert_eq!(refusal(nobody), (Code::NotFound, "NOT_FOUND".to_owned()));
    let rows = "select count(*) from mayfly.revocation where user_id = 'nobody-at-all'";
    assert_eq!(app.sql_count(rows).await, 0);
}
