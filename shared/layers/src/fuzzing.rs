//! What the fuzzers call. It is in no other build.

use std::{convert::Infallible, net::IpAddr};

use tower::{ServiceExt, service_fn};

use crate::{Proxy, Request, Response, protocols::Protocols};

/// What becomes of a request whose body is sent back as its answer, in its client's shape.
pub async fn through_protocols(request: Request, message_bytes_max: usize) -> Response {
    let echo = service_fn(|request: Request| async {
        let mut response = Response::new(request.into_body());
        let content_type = http::HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
        Ok::<_, Infallible>(response)
    });
    match Protocols::new(echo, message_bytes_max).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Where a request comes from, by the word of Fly's proxy.
pub fn address(request: &Request) -> Option<IpAddr> {
    Proxy::Fly.address(request)
}
