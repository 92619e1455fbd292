//! A request as it can be sent again: in memory, whole, and with its word on whether it may be.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// What is asked of an HTTP service.
#[derive(Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) is_repeatable: bool,
}

impl Request {
    /// Asks for what is at `path`, which starts with a slash.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Has `path` do something. It is sent once, unless [`Request::repeatable`].
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// A request by any method. Those that HTTP calls idempotent may be sent again.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        let is_repeatable = method.is_idempotent();
        let (path, body) = (path.into(), Bytes::new());
        Self { method, path, query: Vec::new(), headers: HeaderMap::new(), body, is_repeatable }
    }

    /// Adds `name=value` to the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sends `value` along as JSON.
    #[must_use]
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.body("application/json", value.to_string())
    }

    /// Sends `body` along, which is of this kind.
    #[must_use]
    pub fn body(mut self, kind: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header(header::CONTENT_TYPE, HeaderValue::from_static(kind))
    }

    /// Says that it may be sent again, though its method does not say so: it only reads, or names
    /// what it does by a key that makes it happen once.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.is_repeatable = true;
        self
    }
}

/// Paths, queries, headers and bodies hold tokens and keys: they stay out.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}
