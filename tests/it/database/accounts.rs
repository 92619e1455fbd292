//! Writes of `auth` whose callers leave at any moment: each is done whole or not at all, and whoever
//! asks again comes to its end.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::BoxFuture;
use proto::{
    Access, METHODS, Method, Mutation,
    auth::v1::{
        CreateApiClientRequest, DeleteApiClientRequest, GetRolesRequest, RevokeAllSessionsRequest,
        RevokeSessionRequest, RotateApiClientSecretRequest, SetDisabledRequest, SetRolesRequest,
        SignOutRequest,
    },
};
use serde_json::{Map, Value, json};
use tests::{App, Person, keyed, until, with_key, world};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::{Code, Status};

use super::{
    Database, Dice, SOON,
    cancels::{all_given_back, nothing_is_left},
};

/// How often each is begun.
const ROUNDS: u64 = 12;

/// One write, and how it is seen from outside; the queries find one number.
struct Write {
    call: Box<dyn Fn() -> BoxFuture<'static, Result<(), Status>> + Send + Sync>,
    /// How much of it is there without the rest: at all times nothing.
    halves: String,
    /// How often it is there: once in the end.
    whole: String,
}

impl Write {
    fn new<F>(call: impl Fn() -> F + Send + Sync + 'static, halves: String, whole: String) -> Self
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        Self { call: Box::new(move || Box::pin(call())), halves, whole }
    }

    /// What a call of this RPC does to somebody or something of its own.
    async fn of(app: &App, method: &Method, round: u64) -> Self {
        match method.name {
            "CreateApiClient" => creates_api_client(app, round),
            "RotateApiClientSecret" => rotates_secret(app, round).await,
            "DeleteApiClient" => deletes_api_client(app, round).await,
            "SetRoles" => sets_roles(app, round),
            "SetDisabled" => sets_disabled(app, round),
            "RevokeSession" => revokes_session(app, round).await,
            "RevokeAllSessions" => revokes_all_sessions(app, round).await,
            "SignOut" => signs_out(app, round).await,
            other => panic!("what is there of {other}, once its caller has left?"),
        }
    }
}

/// What changes something for somebody who is known.
fn writes() -> impl Iterator<Item = &'static Method> {
    METHODS.iter().copied().filter(|method| {
        method.service == "mayfly.auth.v1.AuthService"
            && method.rule.mutation != Mutation::NoSideEffects
            && method.rule.access != Access::Public
    })
}

fn root(app: &App) -> Person {
    let claims = Map::from_iter([("roles".to_owned(), json!(["admin"]))]);
    app.stranger(Some(&world().issuer.id_token("root-admin", &claims)))
}

/// Somebody with an account.
fn user(what: &str, round: u64) -> String {
    let email = format!("{what}-{round}@dropped.example.com");
    world().issuer.sign_up(&email, "correct horse").unwrap().user_id
}

/// How often the audit tells of an event.
fn audited(event: &str, of: &str, id: &str) -> String {
    format!("(select count(*) from mayfly_auth.audit where event = '{event}' and {of} = '{id}')")
}

/// A query of one when the two are not as often there.
fn differ(one: &str, other: &str) -> String {
    format!("select (({one}) <> ({other}))::int::bigint")
}

/// Makes an API client whose caller waits for it; its id.
async fn api_client(app: &App, name: String) -> String {
    let request = keyed(CreateApiClientRequest { display_name: name, scopes: Vec::new() });
    let made = root(app).auth().create_api_client(request).await.unwrap().into_inner();
    made.api_client.unwrap().api_client_id
}

fn creates_api_client(app: &App, round: u64) -> Write {
    let (root, name) = (root(app), format!("made-{round}"));
    let clients = format!("from mayfly_auth.api_client where display_name = '{name}'");
    let told = format!(
        "select count(*) from mayfly_auth.audit where event = 'api_client_created'
         and api_client_id in (select api_client_id {clients})"
    );
    let whole = format!("select count(*) {clients}");
    let call = move || {
        let (root, name) = (root.clone(), name.clone());
        async move {
            let message = CreateApiClientRequest { display_name: name.clone(), scopes: Vec::new() };
            root.auth().create_api_client(with_key(message, &name)).await.map(drop)
        }
    };
    Write::new(call, differ(&whole, &told), whole)
}

async fn rotates_secret(app: &App, round: u64) -> Write {
    let (root, id) = (root(app), api_client(app, format!("rotated-{round}")).await);
    let rotated = format!(
        "select count(*) from mayfly_auth.api_client
         where api_client_id = '{id}' and rotate_time <> create_time"
    );
    let told = format!("select {}", audited("api_client_rotated", "api_client_id", &id));
    let call = move || {
        let (root, id) = (root.clone(), id.clone());
        async move {
            let key = format!("rotate-{id}");
            let message = RotateApiClientSecretRequest { api_client_id: id, grace_period: None };
            root.auth().rotate_api_client_secret(with_key(message, &key)).await.map(drop)
        }
    };
    Write::new(call, differ(&rotated, &told), told)
}

async fn deletes_api_client(app: &App, round: u64) -> Write {
    let (root, id) = (root(app), api_client(app, format!("deleted-{round}")).await);
    let gone =
        format!("select 1 - count(*) from mayfly_auth.api_client where api_client_id = '{id}'");
    let told = format!("select {}", audited("api_client_deleted", "api_client_id", &id));
    let call = move || {
        let (root, id) = (root.clone(), id.clone());
        async move {
            let key = format!("delete-{id}");
            let message = DeleteApiClientRequest { api_client_id: id };
            root.auth().delete_api_client(with_key(message, &key)).await.map(drop)
        }
    };
    Write::new(call, differ(&gone, &told), told)
}

/// Asked again it is done again, and told again. It is at Firebase only if it is told that it was begun.
fn sets_roles(app: &App, round: u64) -> Write {
    let (root, id) = (root(app), user("roles", round));
    let outdated = format!(
        "select count(*) from mayfly.revocation where user_id = '{id}' and issued_from > 0"
    );
    let begun = format!("select least(1, {})", audited("roles_begun", "person_id", &id));
    let set = format!("select least(1, {})", audited("roles_set", "person_id", &id));
    let call = move || {
        let (root, user_id) = (root.clone(), id.clone());
        async move {
            let roles = vec!["editor".to_owned()];
            let message = SetRolesRequest { user_id: user_id.clone(), roles: roles.clone() };
            root.auth().set_roles(message).await?;
            let message = GetRolesRequest { user_id };
            assert_eq!(root.auth().get_roles(message).await?.into_inner().roles, roles);
            Ok(())
        }
    };
    Write::new(call, differ(&outdated, &begun), set)
}

fn sets_disabled(app: &App, round: u64) -> Write {
    let (root, id) = (root(app), user("disabled", round));
    let disabled =
        format!("select count(*) from mayfly.revocation where user_id = '{id}' and is_disabled");
    let told = format!("select least(1, {})", audited("user_disabled", "person_id", &id));
    let call = move || {
        let (root, user_id) = (root.clone(), id.clone());
        async move {
            let message = SetDisabledRequest { user_id, disabled: true };
            root.auth().set_disabled(message).await.map(drop)
        }
    };
    Write::new(call, differ(&disabled, &told), disabled)
}

/// Somebody who is signed in, and when that was; the sign-in is one that was made here.
async fn signed_in(app: &App, name: &str, before_secs: i64) -> (Person, String) {
    let person = app.person(name);
    let claims = person.token.as_deref().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let auth_time = claims["auth_time"].as_i64().unwrap() - before_secs;
    let id = uuid::Uuid::now_v7().to_string();
    app.sql(&format!(
        "insert into mayfly_auth.session
             (session_id, user_id, auth_time, device_name, create_time, refresh_time)
         values ('{id}', '{name}', {auth_time}, '', now(), now())"
    ))
    .await;
    (person, id)
}

/// Whether a sign-in is over, by its own row.
fn over(session_id: &str) -> String {
    format!(
        "select count(*) from mayfly_auth.session
         where session_id = '{session_id}' and revoke_time is not null"
    )
}

/// A query of one when a sign-in's own row, what all functions go by and the audit do not say the same.
fn half_over(session_id: &str, event: &str) -> String {
    let everywhere = format!(
        "select count(*) from mayfly.revocation join mayfly_auth.session using (user_id)
         where session_id = '{session_id}'
             and (auth_time = any(sessions) or auth_time < valid_from)"
    );
    let told = format!(
        "select least(1, count(*)) from mayfly_auth.audit join mayfly_auth.session
         on person_id = user_id where session_id = '{session_id}' and event = '{event}'"
    );
    let over = over(session_id);
    format!("select (({over}) <> ({everywhere}) or ({over}) <> ({told}))::int::bigint")
}

async fn revokes_session(app: &App, round: u64) -> Write {
    // Not the one that they call by.
    let (person, id) = signed_in(app, &format!("revokes-{round}"), 3600).await;
    let (halves, whole) = (half_over(&id, "session_revoked"), over(&id));
    let call = move || {
        let (person, session_id) = (person.clone(), id.clone());
        async move {
            let message = RevokeSessionRequest { session_id };
            match person.auth().revoke_session(message).await {
                Err(status) if status.code() == Code::NotFound => Ok(()),
                outcome => outcome.map(drop),
            }
        }
    };
    Write::new(call, halves, whole)
}

/// The outcome of a call that ends what its caller is signed in by.
fn ended<T>(outcome: Result<T, Status>) -> Result<(), Status> {
    match outcome {
        Err(status) if status.code() == Code::Unauthenticated => Ok(()),
        outcome => outcome.map(drop),
    }
}

async fn revokes_all_sessions(app: &App, round: u64) -> Write {
    let (person, id) = signed_in(app, &format!("revokes-all-{round}"), 0).await;
    let (halves, whole) = (half_over(&id, "sessions_revoked"), over(&id));
    let call = move || {
        let person = person.clone();
        async move { ended(person.auth().revoke_all_sessions(RevokeAllSessionsRequest {}).await) }
    };
    Write::new(call, halves, whole)
}

async fn signs_out(app: &App, round: u64) -> Write {
    let (person, id) = signed_in(app, &format!("signs-out-{round}"), 0).await;
    let (halves, whole) = (half_over(&id, "signed_out"), over(&id));
    let call = move || {
        let person = person.clone();
        async move { ended(person.auth().sign_out(SignOutRequest {}).await) }
    };
    Write::new(call, halves, whole)
}

/// Begins every write of one RPC, leaves, and asks again until it is done; how many were done before.
async fn drop_and_repeat(app: &App, method: &'static Method, seed: u64) -> u64 {
    let (mut dice, mut whole, mut done) = (Dice::new(seed), Duration::from_millis(20), 0);
    for round in 0..ROUNDS {
        let write = Write::of(app, method, round).await;
        let below = u64::try_from(whole.as_micros()).unwrap() * 3 / 2;
        let about = format!("{} {round}", method.name);
        let _left = timeout(dice.micros(below), (write.call)()).await;
        assert_eq!(app.sql_count(&write.halves).await, 0, "{about}: {}", write.halves);
        done += u64::from(app.sql_count(&write.whole).await == 1);
        let start = Instant::now();
        // What was begun may be in the way, until it is seen that nobody waits for it.
        until(&about, SOON, async || match (write.call)().await {
            Ok(()) => true,
            Err(status) if matches!(status.code(), Code::Aborted | Code::Unavailable) => false,
            Err(status) => panic!("{about}: {status:?}"),
        })
        .await;
        whole = start.elapsed();
        (write.call)().await.unwrap();
        assert_eq!(app.sql_count(&write.whole).await, 1, "{about}: {}", write.whole);
        assert_eq!(app.sql_count(&write.halves).await, 0, "{about}: {}", write.halves);
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_of_auth_that_is_dropped_at_any_point_is_never_half_and_is_done_when_it_is_repeated()
 {
    let app = App::builder().with("DB_WAIT_MS_MAX", "30000").start().await;
    let database = Database(app.database.clone());
    let names: BTreeSet<_> = writes().map(|method| method.name).collect();
    assert!(names.len() >= 8, "{names:?}");
    let app = std::sync::Arc::new(app);
    let mut writing = JoinSet::new();
    for (seed, method) in (0..).zip(writes()) {
        let app = std::sync::Arc::clone(&app);
        writing.spawn(async move { drop_and_repeat(&app, method, seed).await });
    }
    let done: u64 = writing.join_all().await.into_iter().sum();
    let all = ROUNDS * u64::try_from(names.len()).unwrap();
    assert!((all / 20..all).contains(&done), "{done} of {all} were done before they were repeated");
    all_given_back(&app).await;
    nothing_is_left(&database).await;
}
