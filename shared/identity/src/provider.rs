//! Gets a function's own tokens, by which the functions that it calls know it.
//!
//! On Fly the machine's API signs them, over a socket that only the machine has; on one machine the
//! local issuer does. Both take `POST /v1/tokens/oidc` with the `aud` that is asked for. What the
//! machine is, Fly knows; the local issuer is told, as `sub`.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clock::{Clock, Moment};
use http::{StatusCode, header};
use reqwest::{Client, Url, redirect};
use serde_json::{Value, json};

use crate::{ServiceName, TOKEN_BYTES_MAX, json as strict, token};

/// How long it may take to get one.
const TIME_MAX: Duration = Duration::from_secs(3);

/// Where tokens are asked for, below whatever signs them.
const PATH: &str = "/v1/tokens/oidc";

/// Whatever signs this function's tokens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TokenSource {
    /// A socket of this machine, on Fly `/.fly/api`.
    Socket(PathBuf),
    /// An issuer on this machine.
    Issuer(Url),
}

/// Why there is no token to call with.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It does not answer, or breaks off.
    #[error("whatever signs our tokens does not answer")]
    Unreachable(#[source] reqwest::Error),
    /// It takes too long.
    #[error("whatever signs our tokens took too long")]
    TimedOut,
    /// It answers with another status than 200.
    #[error("whatever signs our tokens answered with status {0}")]
    Status(u16),
    /// What it answers is no token.
    #[error("what was signed is no token")]
    NoToken,
}

/// Gets tokens of one function, and keeps each for half of its life.
#[derive(Debug)]
pub struct Provider {
    function: ServiceName,
    source: TokenSource,
    clock: Clock,
    /// By whom they are for: as many as there are functions.
    kept: Mutex<HashMap<ServiceName, Arc<tokio::sync::Mutex<Option<Kept>>>>>,
}

#[derive(Debug)]
struct Kept {
    token: Arc<str>,
    got: Moment,
    keep_for: Duration,
}

impl Provider {
    /// Gets the tokens of `function` from `source`.
    pub fn new(function: ServiceName, source: TokenSource, clock: Clock) -> Self {
        Self { function, source, clock, kept: Mutex::default() }
    }

    /// A token to call `callee` with. One asks for it, and whoever needs the same waits.
    pub async fn token(&self, callee: &ServiceName) -> Result<Arc<str>, ProviderError> {
        let place = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(kept.entry(callee.clone()).or_default())
        };
        let mut kept = place.lock().await;
        if let Some(kept) = kept.as_ref()
            && kept.got.age(self.clock.now()) < kept.keep_for
        {
            return Ok(Arc::clone(&kept.token));
        }
        let asked = tokio::time::timeout(TIME_MAX, self.ask(callee));
        let text = asked.await.map_err(|_elapsed| ProviderError::TimedOut)??;
        let fresh = self.kept(&text).ok_or(ProviderError::NoToken)?;
        let token = Arc::clone(&fresh.token);
        *kept = Some(fresh);
        Ok(token)
    }

    async fn ask(&self, callee: &ServiceName) -> Result<String, ProviderError> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            // Neither leaves the machine, so there is nobody to have a certificate.
            .tls_certs_only([])
            .pool_max_idle_per_host(0);
        let mut wanted = json!({ "aud": callee.as_str() });
        let (client, url) = match &self.source {
            TokenSource::Socket(path) => {
                (client.unix_socket(path.as_path()), format!("http://localhost{PATH}"))
            }
            TokenSource::Issuer(url) => {
                wanted["sub"] = self.function.as_str().into();
                (client, format!("{}{PATH}", url.as_str().trim_end_matches('/')))
            }
        };
        let client = client.build().map_err(ProviderError::Unreachable)?;
        let request = client.post(url).header(header::CONTENT_TYPE, "application/json");
        let answer = request.body(wanted.to_string()).send().await;
        let mut answer = answer.map_err(ProviderError::Unreachable)?;
        if answer.status() != StatusCode::OK {
            return Err(ProviderError::Status(answer.status().as_u16()));
        }
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(ProviderError::Unreachable)? {
            if text.len() + chunk.len() > TOKEN_BYTES_MAX {
                return Err(ProviderError::NoToken);
            }
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text).map_err(|_not_text| ProviderError::NoToken)
    }

    /// What was answered, if it is a token that is still good for a while.
    fn kept(&self, text: &str) -> Option<Kept> {
        let text = text.trim();
        let parts = token::parse(text).ok()?;
        let expire_time = strict::object(&parts.claims)?.get("exp").and_then(Value::as_i64)?;
        let left = expire_time.checked_sub(self.clock.unix_secs()).filter(|left| *left > 0)?;
        let keep_for = Duration::from_secs(left.unsigned_abs() / 2);
        Some(Kept { token: text.into(), got: self.clock.now(), keep_for })
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use tokio::{
        io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
        net::{TcpListener, UnixListener},
    };
    use tokio_util::task::TaskTracker;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn name(text: &str) -> ServiceName {
        ServiceName::parse(text).unwrap()
    }

    fn token(expire_time: i64) -> String {
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = encode(json!({ "alg": "RS256", "kid": "k1" }));
        format!("{header}.{}.AAAA", encode(json!({ "exp": expire_time })))
    }

    /// Answers one request, and tells what it asked.
    async fn answer(mut peer: impl AsyncRead + AsyncWrite + Unpin, with: String) -> Value {
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            assert!(peer.read_buf(&mut request).await.unwrap() > 0);
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", with.len());
        peer.write_all((head + &with).as_bytes()).await.unwrap();
        let text = String::from_utf8(request).unwrap();
        assert!(text.starts_with("POST /v1/tokens/oidc HTTP/1.1\r\n"), "{text}");
        serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_machines_socket_signs_and_a_token_is_kept_for_half_its_life() {
        let path = std::env::temp_dir().join(format!("mayfly-api-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let asked = TaskTracker::new().spawn(async move {
            let mut asked = Vec::new();
            for life in [600, 900] {
                let (peer, _address) = listener.accept().await.unwrap();
                asked.push(answer(peer, token(NOW + life)).await);
            }
            asked
        });
        let clock = Clock::at(NOW);
        let source = TokenSource::Socket(path.clone());
        let provider = Provider::new(name("data"), source, clock.clone());
        let first = provider.token(&name("user")).await.unwrap();
        clock.advance(Duration::from_secs(299));
        assert_eq!(provider.token(&name("user")).await.unwrap(), first);
        clock.advance(Duration::from_secs(1));
        assert_ne!(provider.token(&name("user")).await.unwrap(), first);
        assert_eq!(asked.await.unwrap(), [json!({ "aud": "user" }), json!({ "aud": "user" })]);
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn an_issuer_on_this_machine_is_told_who_asks() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let asked = TaskTracker::new().spawn(async move {
            let (peer, _address) = listener.accept().await.unwrap();
            let asked = answer(peer, token(NOW + 600)).await;
            // One that is over, and one that is none.
            for bad in [token(NOW), "{}".to_owned()] {
                let (peer, _address) = listener.accept().await.unwrap();
                answer(peer, bad).await;
            }
            asked
        });
        let provider = Provider::new(name("data"), TokenSource::Issuer(url), Clock::at(NOW));
        provider.token(&name("user")).await.unwrap();
        for _bad in 0..2 {
            let told = provider.token(&name("file")).await;
            assert!(matches!(told, Err(ProviderError::NoToken)), "{told:?}");
        }
        assert_eq!(asked.await.unwrap(), json!({ "aud": "user", "sub": "data" }));
        let told = provider.token(&name("file")).await;
        assert!(matches!(told, Err(ProviderError::Unreachable(_))), "{told:?}");
    }
}
