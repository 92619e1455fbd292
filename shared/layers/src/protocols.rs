//! Gives everything below gRPC, whatever the client speaks, and the client its own shape back.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use call::{Call, RequestId};
use futures_util::future::{BoxFuture, Either};
use http::{HeaderValue, Method, StatusCode, Version, header};
use tonic::{Code, body::Body};
use tower::Service;

use crate::{
    Request, Response,
    connect::{Codec, Exchange, Form},
    grpc_web::Encoding,
};

/// What a POST may carry.
const ACCEPTED: &str = "application/grpc, application/grpc+proto, application/grpc-web, \
                        application/grpc-web+proto, application/grpc-web-text, \
                        application/grpc-web-text+proto, application/json, application/proto";

/// What the client speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Protocol {
    Grpc,
    GrpcWeb(Encoding),
    Connect(Form, Codec),
}

/// What content types say, beside those of gRPC-Web.
const PROTOCOLS: [(&str, Protocol); 6] = [
    ("application/grpc", Protocol::Grpc),
    ("application/grpc+proto", Protocol::Grpc),
    ("application/json", Protocol::Connect(Form::Unary, Codec::Json)),
    ("application/proto", Protocol::Connect(Form::Unary, Codec::Proto)),
    ("application/connect+json", Protocol::Connect(Form::Stream, Codec::Json)),
    ("application/connect+proto", Protocol::Connect(Form::Stream, Codec::Proto)),
];

/// Translates for `S`.
#[derive(Clone, Debug)]
pub(crate) struct Protocols<S> {
    inner: S,
    message_bytes_max: usize,
}

impl<S> Protocols<S> {
    pub(crate) fn new(inner: S, message_bytes_max: usize) -> Self {
        Self { inner, message_bytes_max }
    }
}

/// What the request's content type says; its parameters and its case make no difference.
fn protocol(request: &Request) -> Option<Protocol> {
    let content_type = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = essence(content_type);
    let known = PROTOCOLS.iter().find(|(name, _)| essence.eq_ignore_ascii_case(name));
    match known {
        Some((_name, protocol)) => Some(*protocol),
        None => Encoding::of(essence).map(Protocol::GrpcWeb),
    }
}

/// A content type without its parameters, in whatever case it came.
pub(crate) fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// An answer to what is no call at all.
fn refuse(request: &Request, status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            headers.insert("accept-post", HeaderValue::from_static(ACCEPTED));
        }
        _ => {}
    }
    if let Some(call) = request.extensions().get::<Call>() {
        call.outcome.set_ended(Code::Unimplemented, None);
        headers.insert(RequestId::HEADER, call.id.to_value());
    }
    response
}

// === impl Protocols ===

type Answer = Result<Response, Infallible>;

impl<S> Service<Request> for Protocols<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Either<BoxFuture<'static, Answer>, Ready<Answer>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let is_known = request.extensions().get::<Call>().is_some_and(|call| call.method.is_some());
        let refusal = match (request.method(), protocol(&request)) {
            // Its client would never see how the call ended, which trailers say.
            (&Method::POST, Some(Protocol::Grpc)) if request.version() < Version::HTTP_2 => {
                StatusCode::HTTP_VERSION_NOT_SUPPORTED
            }
            (&Method::POST, Some(Protocol::Grpc)) => {
                return Either::Left(self.inner.call(request));
            }
            (&Method::POST, Some(Protocol::GrpcWeb(encoding))) => {
                let of_answer = encoding.of_answer(&request);
                let answer = self.inner.call(encoding.translate(request));
                return Either::Right(Either::Left(Box::pin(async move {
                    let Ok(response) = answer.await;
                    Ok(of_answer.answer(response))
                })));
            }
            (&Method::POST, Some(Protocol::Connect(form, codec))) => {
                let exchange = Exchange::of(&request, form, codec);
                let request = exchange.translate(request, self.message_bytes_max);
                let answer = self.inner.call(request);
                return Either::Right(Either::Left(Box::pin(async move {
                    let Ok(response) = answer.await;
                    Ok(exchange.answer(response).await)
                })));
            }
            _ if !is_known => StatusCode::NOT_FOUND,
            (&Method::POST, None) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        Either::Right(Either::Right(ready(Ok(refuse(&request, refusal)))))
    }
}
