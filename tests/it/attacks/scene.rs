//! Where attacks happen: every function, keys of our own, a victim who has something, and somebody
//! who wants it.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::{Json, Router, routing::get};
use clock::Clock;
use prost_reflect::{DynamicMessage, Value};
use proto::{Access, Method, Mutation};
use serde_json::json;
use tests::{App, AppBuilder, Proxy, world};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tonic::Code;

use super::{
    ask::{self, CANARY, Filling},
    methods,
    tokens::{ISSUER, NOW, PROJECT, header, jwk, sign, token},
};
use crate::wire::raw::Call;

pub(super) const SERVICES: &str = "https://services.example.com";

/// Where attacks happen.
pub(super) struct Scene {
    pub(super) app: App,
    /// The victim, and what is theirs.
    pub(super) ids: Vec<String>,
}

impl Scene {
    /// Every function at a time when our tokens are good. Services are known by the same keys as
    /// persons, so that nothing but what a token says tells them apart.
    pub(super) async fn empty() -> Self {
        Self::of(App::builder()).await
    }

    /// The same with the database behind a proxy. Whoever is known may call for as long as that can be
    /// had, so that it is the handlers that find out how the database is.
    pub(super) async fn behind(proxy: &Proxy) -> Self {
        let database = world().new_database().await;
        let builder = App::builder()
            .database(&database)
            .with("DATABASE_URL", proxy.url(&database))
            .with("REVOCATION_SECS_MAX", "30");
        Self::of(builder).await
    }

    async fn of(builder: AppBuilder) -> Self {
        let keys = json!({ "keys": [jwk(0, "k1")] });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let router = Router::new().route("/keys", get(|| async { Json(keys) }));
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
        let app = builder
            .clock(Clock::at(NOW))
            .with("FIREBASE_PROJECT_ID", PROJECT)
            .with("TOKEN_ISSUER", ISSUER)
            .with("JWKS_URL", url.clone())
            .with("SERVICE_ISSUER", SERVICES)
            .with("SERVICE_JWKS_URL", url);
        Self { app: app.start().await, ids: vec!["victim".to_owned()] }
    }

    /// The same with a victim who has called whatever leaves something behind.
    pub(super) async fn with_victim() -> Self {
        let mut scene = Self::empty().await;
        scene.ids.push(scene.session_of_the_victim().await);
        for method in methods() {
            let leaves = method.rule.mutation != Mutation::NoSideEffects;
            if !leaves
                || ["Delete", "Revoke", "SignOut"].iter().any(|end| method.name.starts_with(end))
            {
                continue;
            }
            let filling = Filling { ids: &scene.ids.clone(), text: CANARY, name: "victim" };
            let mut message = ask::filled(&ask::request(method), &filling, 4);
            let answer = ask::ask(&scene, method, &person("victim"), &mut message).await;
            if answer.grpc_status().code() == Code::Ok {
                scene.ids.extend(uuids(&answer.body));
            }
        }
        let ids: BTreeSet<_> = scene.ids.drain(..).collect();
        scene.ids = ids.into_iter().collect();
        scene
    }

    /// A sign-in of the victim's, which by itself needs Firebase.
    async fn session_of_the_victim(&self) -> String {
        let id = uuid::Uuid::now_v7().to_string();
        let insert = format!(
            "insert into mayfly_auth.session
                 (session_id, user_id, auth_time, device_name, create_time, refresh_time)
             values ('{id}', 'victim', {NOW} - 600, '{CANARY}', now(), now())"
        );
        self.app.sql(&insert).await;
        id
    }

    pub(super) fn fresh_key() -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        format!("attack-{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// A hash of every row, of any function, that says anything of the victim.
    pub(super) async fn of_the_victim(&self) -> String {
        let tables = "select string_agg(
                          format('select %L || t::text as row from %I.%I as t',
                              table_name, table_schema, table_name),
                          ' union all ')
                      from information_schema.tables
                      where table_schema like 'mayfly%' and table_type = 'BASE TABLE'";
        let mut owner = self.app.owner().await;
        #[expect(clippy::disallowed_methods, reason = "a test looks at the tables from outside")]
        let rows: String = sqlx::query_scalar(tables).fetch_one(&mut owner).await.unwrap();
        let found = format!(
            "select coalesce(md5(string_agg(row, '' order by row)), 'nothing') || count(*)
             from ({rows}) as rows where position('victim' in row) > 0"
        );
        #[expect(clippy::disallowed_methods, reason = "a test looks at the tables from outside")]
        let hash = sqlx::query_scalar(sqlx::AssertSqlSafe(found)).fetch_one(&mut owner).await;
        hash.unwrap()
    }
}

/// A good token of a person.
pub(super) fn person(name: &str) -> String {
    with_roles(name, &[])
}

/// A good token of a person with these roles.
pub(super) fn with_roles(name: &str, roles: &[&str]) -> String {
    token(|_header, claims| {
        claims.insert("sub".to_owned(), json!(name));
        claims.insert("user_id".to_owned(), json!(name));
        claims.insert("roles".to_owned(), json!(roles));
    })
}

/// A call made by whoever the rule wants, by this name if it is a person.
pub(super) fn allowed(call: Call, method: &Method, name: &str) -> Call {
    match method.rule.access {
        Access::Public => call,
        Access::SignedIn => call.token(Some(&person(name))),
        Access::Role { any_of } => call.token(Some(&with_roles(name, any_of))),
        Access::Service { callers } => {
            call.header("x-mayfly-service", service(callers[0], method.function()))
        }
    }
}

/// A good token of a function that calls another.
pub(super) fn service(caller: &str, audience: &str) -> String {
    let claims =
        json!({ "iss": SERVICES, "aud": audience, "sub": caller, "iat": NOW, "exp": NOW + 600 });
    sign(&header().to_string(), &claims.to_string())
}

/// The ids that our functions made and that stand in an answer.
fn uuids(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    let words = text.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    words.filter_map(|word| uuid::Uuid::parse_str(word).ok()).map(|id| id.to_string()).collect()
}

/// Whether an id is still in a message, once what its contract refuses was left out.
pub(super) fn holds(message: &DynamicMessage, id: &str) -> bool {
    message.fields().any(|(_field, value)| value_holds(value, id))
}

fn value_holds(value: &Value, id: &str) -> bool {
    match value {
        Value::String(text) => text == id,
        Value::List(values) => values.iter().any(|value| value_holds(value, id)),
        Value::Message(inner) => holds(inner, id),
        _ => false,
    }
}
