//! Finds out who calls, and refuses whoever the rule does not name.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use call::Call;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, ready},
};
use http::HeaderMap;
use http_body::Body as _;
use identity::{Caller, Person, ServiceName, Verifier, bearer, service_token};
use proto::{Access, Kind, Method};
use revocation::Revocations;
use tonic::body::Body;
use tower::Service;

use crate::{Raised, Request, Response, body::Ending, tenure::Tenure};

/// A known caller that may not call this.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Forbidden {
    #[error("the caller has none of the roles")]
    Role,
    #[error("the caller is not one of the services")]
    Service,
}

/// Puts the caller of every call of `S` into its [`Call`].
#[derive(Clone, Debug)]
pub(crate) struct Authenticate<S> {
    inner: S,
    gate: Arc<Gate>,
}

/// Who knows whom a token belongs to, and whether it still counts.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) verifier: Verifier,
    pub(crate) revocations: Revocations,
}

impl<S> Authenticate<S> {
    pub(crate) fn new(inner: S, gate: Arc<Gate>) -> Self {
        Self { inner, gate }
    }
}

/// Who calls, if the rule lets them in. The identity is the token's and nothing else's.
async fn admit(
    gate: &Gate,
    method: Option<&Method>,
    headers: &HeaderMap,
) -> Result<Caller, Raised> {
    let Some(method) = method else {
        // A path in no contract has no handler either; whoever looks for one says so.
        return Ok(Caller::Nobody);
    };
    let person = match method.rule.access {
        // A public RPC looks at no token: an expired one must not stand in the way of a new one.
        Access::Public => return Ok(Caller::Nobody),
        Access::Service { callers } => {
            return Ok(Caller::Service(gate.service(method, callers, headers).await?));
        }
        Access::SignedIn => gate.person(headers).await?,
        Access::Role { any_of } => {
            let person = gate.person(headers).await?;
            has_one(&person, any_of)?;
            person
        }
    };
    Ok(Caller::Person(person))
}

impl Gate {
    /// The person whose token it is, if it still counts.
    async fn person(&self, headers: &HeaderMap) -> Result<Arc<Person>, Raised> {
        let person = self.verifier.verify(bearer(headers)?).await?;
        self.revocations.check(&person).await?;
        Ok(person)
    }

    /// The function that calls, if it is one of `callers`.
    async fn service(
        &self,
        method: &Method,
        callers: &[&str],
        headers: &HeaderMap,
    ) -> Result<ServiceName, Raised> {
        let Some(token) = service_token(headers)? else {
            // A person is known and may not call this; a stranger is told that they are one.
            let _person = self.person(headers).await?;
            return Err(Forbidden::Service.into());
        };
        visitor(&self.verifier, token, method.function(), callers).await
    }
}

/// The function whose token it is, if it calls `callee` and is one of `callers`.
async fn visitor(
    verifier: &Verifier,
    token: &str,
    callee: &str,
    callers: &[&str],
) -> Result<ServiceName, Raised> {
    let name = verifier.verify_service(token, callee).await?;
    is_one(&name, callers)?;
    Ok(name)
}

/// Insists on one of some roles.
fn has_one(person: &Person, any_of: &[&str]) -> Result<(), Forbidden> {
    if any_of.iter().any(|role| person.has_role(role)) { Ok(()) } else { Err(Forbidden::Role) }
}

/// Insists on one of some functions.
fn is_one(name: &ServiceName, callers: &[&str]) -> Result<(), Forbidden> {
    if callers.contains(&name.as_str()) { Ok(()) } else { Err(Forbidden::Service) }
}

fn method(request: &Request) -> Option<&'static Method> {
    request.extensions().get::<Call>().and_then(|call| call.method)
}

/// An answer that comes at once from below, or what has to be waited for before or beside it.
type Answer<F> = Either<F, BoxFuture<'static, Result<Response, Raised>>>;

/// Has `inner` answer somebody who may call.
fn answer<S>(
    inner: &mut S,
    gate: &Arc<Gate>,
    mut request: Request,
    (method, caller): (Option<&'static Method>, Caller),
) -> Answer<S::Future>
where
    S: Service<Request, Response = Response, Error = Raised>,
    S::Future: Send + 'static,
{
    // No function has a stream: a contract that says so is refused.
    let is_stream = method.is_some_and(|method| method.kind != Kind::Unary);
    let tenure = match &caller {
        Caller::Person(person) if is_stream => {
            Some(Tenure::new(Arc::clone(gate), Arc::clone(person)))
        }
        _ => None,
    };
    if let Some(call) = request.extensions_mut().get_mut::<Call>() {
        call.outcome.set_caller(caller.clone());
        call.caller = caller;
    }
    let answer = inner.call(request);
    match tenure {
        Some(tenure) => Either::Right(Box::pin(for_as_long_as(tenure, answer))),
        None => Either::Left(answer),
    }
}

/// A stream's answer, for as long as its caller may have it.
async fn for_as_long_as(
    mut tenure: Tenure,
    answer: impl Future<Output = Result<Response, Raised>> + Send,
) -> Result<Response, Raised> {
    let response = tokio::select! {
        response = answer => response?,
        over = poll_fn(|cx| tenure.poll_over(cx)) => return Err(over),
    };
    if response.body().is_end_stream() {
        return Ok(response);
    }
    Ok(response.map(|body| Body::new(Ending::new(body, tenure))))
}

// === impl Authenticate ===

impl<S> Service<Request> for Authenticate<S>
where
    S: Service<Request, Response = Response, Error = Raised> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Raised;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Raised>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let method = method(&request);
        // Most callers are known, whose calls need no room for a wait. For the others it costs little
        // to ask anew: whatever is waited for is under way for all who wait.
        match admit(&self.gate, method, request.headers()).now_or_never() {
            Some(Ok(caller)) => answer(&mut self.inner, &self.gate, request, (method, caller)),
            Some(Err(error)) => Either::Right(Box::pin(ready(Err(error)))),
            None => {
                let gate = Arc::clone(&self.gate);
                // The clone is the one that was not polled ready: it takes the other's place.
                let clone = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, clone);
                Either::Right(Box::pin(async move {
                    let caller = admit(&gate, method, request.headers()).await?;
                    answer(&mut inner, &gate, request, (method, caller)).await
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        rsa::{KeyPair, KeySize},
        signature::{KeyPair as _, RSA_PKCS1_SHA256},
    };
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use clock::Clock;
    use identity::{Settings, UserId};
    use serde_json::{Value, json};
    use settings::{Env, Reader};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    use tokio_util::task::TaskTracker;

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const SERVICES: &str = "https://services.example.com";

    fn encode(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// A function's own token.
    fn token_of(pair: &KeyPair, caller: &str, audience: &str) -> String {
        let header = json!({"alg": "RS256", "kid": "k1"});
        let claims = json!({
            "iss": SERVICES, "aud": audience, "sub": caller, "iat": NOW, "exp": NOW + 600,
        });
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = SystemRandom::new();
        pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", encode(signature))
    }

    /// A verifier that knows the key, from whoever is asked for keys.
    async fn knows(pair: &KeyPair) -> Verifier {
        let public = pair.public_key();
        let key = json!({
            "kty": "RSA",
            "kid": "k1",
            "n": encode(public.modulus().big_endian_without_leading_zero()),
            "e": encode(public.exponent().big_endian_without_leading_zero()),
        });
        let keys = json!({ "keys": [key] }).to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        TaskTracker::new().spawn(async move {
            while let Ok((mut peer, _address)) = listener.accept().await {
                let _asked = peer.read(&mut [0; 4096]).await;
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
                let answer = format!("{head}content-length: {}\r\n\r\n{keys}", keys.len());
                let _taken = peer.write_all(answer.as_bytes()).await;
            }
        });
        let env = Env::of([("FIREBASE_PROJECT_ID", "demo-test"), ("SERVICE_ISSUER", SERVICES)])
            .with("JWKS_URL", url.clone())
            .with("SERVICE_JWKS_URL", url);
        let settings = Reader::new(&env).finish(Settings::read).unwrap();
        Verifier::new(&settings, Clock::at(NOW), TaskTracker::new())
    }

    /// No RPC names a service yet, so that no call tries this through the whole stack.
    #[tokio::test]
    async fn a_good_token_of_a_function_that_is_not_named_is_refused() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let verifier = knows(&pair).await;
        let told = async |caller: &str, callee: &str| -> Value {
            let token = token_of(&pair, caller, callee);
            match visitor(&verifier, &token, "user", &["auth", "data"]).await {
                Ok(name) => json!(name.as_str()),
                Err(error) => json!([error.to_string()]),
            }
        };
        assert_eq!(told("data", "user").await, "data");
        let forbidden = json!(["the caller is not one of the services"]);
        assert_eq!(told("nobody", "user").await, forbidden);
        // Its own function is not one of its callers either.
        assert_eq!(told("user", "user").await, forbidden);
        assert!(told("data", "auth").await.is_array());
    }

    #[test]
    fn one_of_the_roles_is_enough_and_none_is_not() {
        let may = |roles: &[&str], any_of: &[&str]| {
            let person = Person {
                user_id: UserId::parse("ada").unwrap(),
                roles: roles.iter().map(ToString::to_string).collect(),
                expire_time: 0,
                auth_time: 0,
                email: None,
                email_verified: false,
                sign_in_provider: None,
                issue_time: 0,
            };
            has_one(&person, any_of).is_ok()
        };
        assert!(may(&["admin"], &["admin"]) && may(&["a", "admin"], &["owner", "admin"]));
        for roles in [&[][..], &["Admin"], &["admin "], &["administrator"], &["", "admi"]] {
            assert!(!may(roles, &["admin"]), "{roles:?}");
        }
        assert!(!may(&["admin"], &[]));
    }

    #[test]
    fn a_function_may_be_called_by_those_it_names() {
        let may =
            |name, callers: &[&str]| is_one(&ServiceName::parse(name).unwrap(), callers).is_ok();
        assert!(may("user", &["auth", "user"]));
        assert!(!may("user", &["auth", "user-2", "use"]) && !may("user", &[]));
    }
}
