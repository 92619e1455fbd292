//! People, as the clients they hold: gRPC by our own client, JSON by a plain HTTP client.

use std::{
    net::SocketAddr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::HeaderMap;
use proto::{
    auth::v1::auth_service_client::AuthServiceClient,
    user::v1::{self, user_service_client::UserServiceClient},
};
use serde_json::{Value, json};
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// Somebody who calls.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their uid.
    pub name: String,
    /// Their ID token, if they have one.
    pub token: Option<String>,
    address: SocketAddr,
    channel: Channel,
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Value,
}

/// Puts a person's token on every call.
#[derive(Clone, Debug)]
pub struct SignedIn(Option<AsciiMetadataValue>);

impl Interceptor for SignedIn {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Person {
    /// Somebody who calls whatever serves at `address`.
    pub fn new(address: SocketAddr, name: &str, token: Option<String>) -> Self {
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .expect("an address is a URL's host")
            .connect_lazy();
        Self { name: name.to_owned(), token, address, channel }
    }

    /// Somebody else at the same device: over the same connection.
    #[must_use]
    pub fn signed_in_as(&self, name: &str, token: String) -> Self {
        Self { name: name.to_owned(), token: Some(token), ..self.clone() }
    }

    /// The `user` function over gRPC.
    pub fn user(&self) -> UserServiceClient<InterceptedService<Channel, SignedIn>> {
        UserServiceClient::with_interceptor(self.channel.clone(), self.signed_in())
    }

    /// The `auth` function over gRPC.
    pub fn auth(&self) -> AuthServiceClient<InterceptedService<Channel, SignedIn>> {
        AuthServiceClient::with_interceptor(self.channel.clone(), self.signed_in())
    }

    fn signed_in(&self) -> SignedIn {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        SignedIn(bearer.map(|text| text.parse().expect("a token is ASCII")))
    }

    /// Makes a profile with this handle; public, so that others find it.
    pub async fn creates_public_profile(&self, handle: &str) -> v1::Profile {
        let profile = v1::Profile {
            handle: handle.to_owned(),
            display_name: handle.to_owned(),
            visibility: v1::Visibility::Public.into(),
            ..Default::default()
        };
        let request = keyed(v1::CreateProfileRequest { profile: Some(profile) });
        self.user().create_profile(request).await.expect("a profile").into_inner()
    }

    /// Calls a method of the `user` function in JSON, with a fresh idempotency key.
    pub async fn json(&self, method: &str, message: &Value) -> (u16, Value) {
        let answer = self.json_with(method, message, &[("idempotency-key", &fresh_key())]).await;
        (answer.status, answer.body)
    }

    /// The same with exactly these headers, beside the token and the content type.
    pub async fn json_with(
        &self,
        method: &str,
        message: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let path = format!("/mayfly.user.v1.UserService/{method}");
        let content_type = ("content-type", "application/json");
        let headers: Vec<_> = headers.iter().copied().chain([content_type]).collect();
        self.post(&path, message.to_string(), &headers).await
    }

    /// Posts any bytes to any path.
    pub async fn post(
        &self,
        path: &str,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = http().post(format!("http://{}{path}", self.address)).body(body);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("a body");
        let body = serde_json::from_slice(&body)
            .unwrap_or_else(|_not_json| json!(String::from_utf8_lossy(&body)));
        Answer { status, headers, body }
    }
}

/// A request under a fresh idempotency key.
pub fn keyed<T>(message: T) -> Request<T> {
    with_key(message, &fresh_key())
}

/// A request under this idempotency key.
pub fn with_key<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("idempotency-key", key.parse().expect("a key is ASCII"));
    request
}

fn fresh_key() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("key-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A plain HTTP client, without anything of ours in it.
pub(crate) fn http() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        // Every call of its own connection: the runtimes of the tests end, this client does not.
        let builder = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy();
        builder.tls_certs_only([]).build().expect("a client")
    })
}
