//! Who calls: no token, a bad one, another's, and one of the wrong kind.

use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use prost_reflect::DynamicMessage;
use proto::{Access, Method};
use serde_json::json;
use tonic::Code;

use super::{
    Table,
    ask::{self, Filling},
    guarded, methods,
    scene::{Scene, allowed, person, service, with_roles},
    shapes::shapes,
    tokens::{NOW, claims, header, sign_as, with_claim},
};
use crate::wire::raw::{Answer, Call};

/// Headers by which somebody else's proxy might say who calls.
const SPOOFED: [&str; 14] = [
    "x-user-id",
    "x-uid",
    "x-tenant",
    "x-mayfly-user-id",
    "x-forwarded-user",
    "x-forwarded-for",
    "x-forwarded-email",
    "x-forwarded-host",
    "x-real-ip",
    "forwarded",
    "fly-client-ip",
    "fly-forwarded-port",
    "fly-region",
    "x-remote-user",
];

/// A longer header is refused by the connection, or as one of too many bytes.
const HEADER_BYTES_SENT: usize = 12 * 1024;

/// A call that the contract has nothing against.
fn plain(method: &Method) -> Call {
    let filling = Filling { ids: &[ask::OF_NOTHING.to_owned()], text: "x", name: "eve" };
    ask::call(method, &ask::filled(&ask::request(method), &filling, 4))
}

/// Insists on what is told, and notes it.
async fn told(
    scene: &Scene,
    table: &mut Table,
    (method, attack): (&'static Method, &'static str),
    call: Call,
    expected: (Code, &str),
) {
    let told = call.send(scene.app.address).await.told();
    let about = format!("{} {attack}", method.path);
    assert_eq!((told.code, &*told.reason), expected, "{about}");
    table.note(method, attack, told.reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_call_is_told_so_by_every_rpc() {
    let scene = Scene::empty().await;
    let mut table = Table::default();
    let forged = sign_as(1, &RSA_PKCS1_SHA256, &header().to_string(), &claims().to_string());
    let unauthenticated = [
        ("expired", with_claim("exp", json!(NOW - 31)), "TOKEN_EXPIRED"),
        ("another project's", with_claim("aud", json!("demo-tesu")), "TOKEN_INVALID"),
        ("another issuer's", with_claim("iss", json!("https://example.com")), "TOKEN_INVALID"),
        ("forged", forged, "TOKEN_INVALID"),
        ("revoked", person("revoked"), "TOKEN_REVOKED"),
    ];
    scene
        .app
        .sql("insert into mayfly.revocation (user_id, is_disabled) values ('revoked', true)")
        .await;
    let refused = |reason| (Code::Unauthenticated, reason);
    for method in guarded() {
        let missing = (method, "no token");
        told(&scene, &mut table, missing, plain(method), refused("TOKEN_MISSING")).await;
        for (attack, token, reason) in &unauthenticated {
            let call = plain(method).token(Some(token));
            told(&scene, &mut table, (method, attack), call, refused(reason)).await;
        }
        // With the keys, the clock and the callee of a person's, nothing but the kind is wrong.
        let call = plain(method).token(Some(&service("user", method.function())));
        let kind = (method, "a service's token as a person's");
        told(&scene, &mut table, kind, call, refused("TOKEN_INVALID")).await;

        let is_service = matches!(method.rule.access, Access::Service { .. });
        let call = plain(method).header("x-mayfly-service", person("eve"));
        let reason = if is_service { "TOKEN_INVALID" } else { "TOKEN_MISSING" };
        let kind = (method, "a person's token as a service's");
        told(&scene, &mut table, kind, call, refused(reason)).await;
        if !is_service {
            let call = plain(method).header("x-mayfly-service", service("user", method.function()));
            let kind = (method, "a service's token without a person's");
            told(&scene, &mut table, kind, call, refused("TOKEN_MISSING")).await;
        }
    }
    table.print("who calls, by RPC");
    assert_eq!(table.rows.len(), guarded().count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_known_and_not_named_by_the_rule_is_told_so_by_every_rpc() {
    let scene = Scene::empty().await;
    let mut table = Table::default();
    for method in guarded() {
        let may_not = |reason| (Code::PermissionDenied, reason);
        match method.rule.access {
            Access::Role { any_of } => {
                let almost: Vec<_> = any_of.iter().map(|role| format!("{role} ")).collect();
                let almost: Vec<_> = almost.iter().map(String::as_str).collect();
                for (attack, roles) in [("no role", &[][..]), ("another role", &almost[..])] {
                    let call = plain(method).token(Some(&with_roles("eve", roles)));
                    let expected = may_not("ROLE_REQUIRED");
                    told(&scene, &mut table, (method, attack), call, expected).await;
                }
            }
            Access::Service { callers } => {
                assert!(!callers.contains(&"nobody"));
                let call = plain(method).token(Some(&person("eve")));
                let expected = may_not("SERVICE_REQUIRED");
                told(&scene, &mut table, (method, "a person"), call, expected).await;
                let token = service("nobody", method.function());
                let call = plain(method).header("x-mayfly-service", token);
                told(&scene, &mut table, (method, "another service"), call, expected).await;
                let token = service(callers[0], "nobody");
                let call = plain(method).header("x-mayfly-service", token);
                let expected = (Code::Unauthenticated, "TOKEN_INVALID");
                told(&scene, &mut table, (method, "for another service"), call, expected).await;
            }
            Access::SignedIn | Access::Public => {
                table.note(method, "no role", "whoever is signed in may");
            }
        }
    }
    table.print("who may, by RPC");
}

/// Says in every way but that of a token who else it might be.
fn spoofed(call: Call) -> Call {
    let victims = person("victim");
    SPOOFED
        .iter()
        .fold(call, |call, name| call.header(name, "victim"))
        .header("x-authorization", format!("Bearer {victims}"))
        .header("proxy-authorization", format!("Bearer {victims}"))
        .header("cookie", format!("authorization={victims}; session={victims}"))
}

/// An RPC that is asked of this id, by somebody who may and whose calls are dressed like this.
async fn asks(
    scene: &Scene,
    (method, id): (&Method, &str),
    name: &str,
    dressed: fn(Call) -> Call,
) -> (DynamicMessage, Answer) {
    let filling = Filling { ids: &[id.to_owned()], text: "x", name };
    let mut message = ask::filled(&ask::request(method), &filling, 4);
    let by = |call| dressed(allowed(call, method, name));
    let answer = ask::ask_by(scene, method, &mut message, by).await;
    (message, answer)
}

/// How a call ended, and why.
fn outcome(answer: &Answer) -> (Code, String) {
    match answer.grpc_status().code() {
        Code::Ok => (Code::Ok, String::new()),
        code => (code, answer.told().reason),
    }
}

/// What an RPC is asked for: nothing that there is, and what is the victim's. Whoever has a role may
/// change that.
fn asked_of<'a>(scene: &'a Scene, method: &Method) -> impl Iterator<Item = &'a str> + use<'a> {
    let is_anybodys = matches!(method.rule.access, Access::Public | Access::SignedIn);
    let has_ids = ask::has_ids(&ask::request(method), 4).is_some();
    let victims = scene.ids.iter().filter(move |_id| is_anybodys && has_ids).map(String::as_str);
    std::iter::once(ask::OF_NOTHING).chain(victims)
}

/// Insists that eve has nothing of the victim by her headers; what she is told, and of which message.
async fn is_herself(
    scene: &Scene,
    (method, id): (&Method, &str),
    eve: &str,
) -> (DynamicMessage, (Code, String)) {
    let about = format!("{} of {id}", method.path);
    let before = scene.of_the_victim().await;
    let (message, answer) = asks(scene, (method, id), eve, spoofed).await;
    assert_eq!(scene.of_the_victim().await, before, "{about} changed something");
    let text = String::from_utf8_lossy(&answer.body);
    assert!(!text.contains(ask::CANARY), "{about}: {text}");
    // Who is not there is named to whoever asks for them.
    assert!(id == "victim" || !text.contains("victim"), "{about}: {text}");
    (message, outcome(&answer))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_header_makes_another_of_a_caller_for_any_rpc() {
    let scene = Scene::with_victim().await;
    let mut table = Table::default();
    // Everybody calls one RPC: some end all sessions of their caller.
    let calls = methods().flat_map(|method| asked_of(&scene, method).map(move |id| (method, id)));
    for (number, (method, id)) in calls.enumerate() {
        let (message, outcome) = is_herself(&scene, (method, id), &format!("eve{number}")).await;
        if method.rule.access == Access::Public {
            continue;
        }
        let (_message, plain) =
            asks(&scene, (method, id), &format!("bob{number}"), |call| call).await;
        let about = format!("{} of {message:?}", method.path);
        assert_eq!(outcome, self::outcome(&plain), "{about}: with the headers, and without");
        if id == ask::OF_NOTHING {
            let kept_out = [Code::Unauthenticated, Code::PermissionDenied, Code::InvalidArgument];
            assert!(!kept_out.contains(&outcome.0), "{about}: {outcome:?}");
            table.note(method, "spoofed headers", format!("{:?} {}", outcome.0, outcome.1));
            let expected = (Code::Unauthenticated, "TOKEN_MISSING");
            let attack = (method, "spoofed headers, no token");
            told(&scene, &mut table, attack, spoofed(ask::call(method, &message)), expected).await;
        }
    }
    table.print("spoofed headers, by RPC");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_token_is_refused_by_each_function_for_its_reason() {
    let scene = Scene::empty().await;
    let canary = "http://127.0.0.1:1/";
    let mut table = Table::default();
    let mut functions = Vec::new();
    for method in guarded() {
        if functions.contains(&method.function()) {
            continue;
        }
        functions.push(method.function());
        // Not every shape can be a header at all; that is refused before anybody reads it.
        let fits = |text: &str| {
            http::HeaderValue::from_str(text).is_ok() && text.len() <= HEADER_BYTES_SENT
        };
        let shapes: Vec<_> = shapes(canary).into_iter().filter(|it| fits(&it.token)).collect();
        assert!(shapes.len() >= 200, "{}", shapes.len());
        for shape in &shapes {
            let call = plain(method).token(Some(&shape.token));
            let told = call.send(scene.app.address).await.told();
            let expected = (Code::Unauthenticated, shape.reason);
            assert_eq!((told.code, &*told.reason), expected, "{} {}", method.path, shape.name);
        }
        table.note(method, "hostile tokens", format!("{} refused", shapes.len()));
    }
    table.print("hostile tokens, by function");
}
