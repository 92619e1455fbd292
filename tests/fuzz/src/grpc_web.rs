//! A request in gRPC-Web or in a shape that is none: it is translated or refused, and always answered.

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt, StreamBody};
use tonic::{Status, body::Body};

const TYPES: [&str; 8] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto; charset=utf-8",
    "application/grpc",
    "application/json",
    "application/proto",
    "text/plain",
];

const MESSAGE_BYTES_MAX: usize = 64 * 1024;

pub(crate) fn run(data: &[u8]) {
    let [kind, cut, rest @ ..] = data else { return };
    // The body comes in pieces, cut anywhere.
    let pieces = rest.chunks(usize::from(*cut) + 1).map(Bytes::copy_from_slice);
    let frames = pieces.map(|piece| Ok::<_, Status>(http_body::Frame::data(piece)));
    let body = StreamBody::new(futures_util::stream::iter(frames.collect::<Vec<_>>()));
    let request = Request::post("/mayfly.user.v1.UserService/GetProfile")
        .header(CONTENT_TYPE, TYPES[usize::from(*kind) % TYPES.len()])
        .body(Body::new(body))
        .expect("a request");
    let answered = async {
        let response = layers::fuzzing::through_protocols(request, MESSAGE_BYTES_MAX).await;
        response.into_body().collect().await
    };
    let answered = answered.now_or_never().expect("everything is there: nothing waits");
    if let Ok(body) = answered {
        // base64 is a third longer, and the trailers come on top.
        assert!(body.to_bytes().len() <= rest.len() * 2 + 4096);
    }
}
