//! Random calls: what clients send, and what no client would.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{BufMut, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use issuer::Issuer;
use prost_reflect::{DescriptorPool, MessageDescriptor, prost::Message};
use serde_json::{Map, json};

use super::{
    Chance,
    message::{self, PEOPLE},
};

/// What a call is made of.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Kind {
    /// A message of the contract over gRPC.
    Grpc,
    /// The same in gRPC-Web, binary or text.
    GrpcWeb,
    /// The same as Connect's bare protobuf.
    Proto,
    /// The same in JSON.
    Json,
    /// Bytes where the message should be.
    Bytes,
    /// Frames that are none.
    Frames,
    /// JSON of no message, or no JSON.
    Text,
    /// Headers that mean nothing, or too much.
    Headers,
    /// What is no call: other content types, methods and paths.
    Strange,
}

const KINDS: [Kind; 12] = [
    Kind::Grpc,
    Kind::Grpc,
    Kind::Grpc,
    Kind::GrpcWeb,
    Kind::Proto,
    Kind::Json,
    Kind::Json,
    Kind::Bytes,
    Kind::Frames,
    Kind::Text,
    Kind::Headers,
    Kind::Strange,
];

/// One call, whole.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) is_http2: bool,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What calls are made from.
#[derive(Debug)]
pub(super) struct World {
    targets: Vec<Target>,
    good: Vec<String>,
    bad: Vec<String>,
}

#[derive(Debug)]
struct Target {
    path: &'static str,
    input: MessageDescriptor,
    is_stream: bool,
}

impl World {
    /// Knows every RPC, and people whose tokens the issuer signs.
    pub(super) fn new(issuer: &Issuer) -> Self {
        let pool = DescriptorPool::decode(proto::descriptors::SET).expect("the build wrote it");
        let targets = proto::METHODS.iter().map(|method| {
            let service = pool.get_service_by_name(method.service).expect("it is described");
            let described = service.methods().find(|one| one.name() == method.name);
            let input = described.expect("its RPCs, too").input();
            Target { path: method.path, input, is_stream: method.kind != proto::Kind::Unary }
        });
        let token = |person: usize| issuer.id_token(&format!("person-{person}"), &Map::new());
        let good: Vec<_> = (0..PEOPLE).map(token).collect();
        let tampered = good[0].replace('.', ".x");
        let expired = [("exp".to_owned(), json!(1))].into_iter().collect();
        let bad = vec![
            String::new(),
            "x".to_owned(),
            "a.b.c".to_owned(),
            "\u{e4}".to_owned(),
            tampered,
            issuer.id_token("person-0", &expired),
            "x".repeat(5000),
        ];
        Self { targets: targets.collect(), good, bad }
    }

    /// Makes a call; the same for the same chance.
    pub(super) fn call(&self, chance: &mut Chance) -> Call {
        let target = chance.pick(&self.targets);
        let message = message::message(&target.input, chance);
        let bytes = message.encode_to_vec();
        let kind = *chance.pick(&KINDS);
        let mut call = match kind {
            Kind::Grpc | Kind::Headers => grpc(target.path, framed(0, &bytes)),
            Kind::GrpcWeb => grpc_web(target.path, framed(0, &bytes), chance),
            Kind::Proto => plain(target.path, "application/proto", bytes),
            Kind::Json => {
                let text = message::json(&message, chance).to_string();
                plain(target.path, "application/json", text.into_bytes())
            }
            Kind::Bytes => broken(target.path, bytes, chance),
            Kind::Frames => grpc(target.path, frames(&bytes, chance)),
            Kind::Text => plain(target.path, "application/json", text(chance)),
            Kind::Strange => strange(target.path, bytes, chance),
        };
        call.kind = kind;
        self.add_token(&mut call, chance);
        call.add("idempotency-key", format!("key-{:x}", chance.bits() % 4096).as_bytes());
        if kind == Kind::Headers {
            add_headers(&mut call, chance);
        }
        if target.is_stream {
            // Or it would not end.
            call.add("grpc-timeout", b"20m");
            call.headers.remove("connect-timeout-ms");
        }
        call
    }

    fn add_token(&self, call: &mut Call, chance: &mut Chance) {
        let token = match chance.below(12) {
            0 => return,
            1 => chance.pick(&self.bad),
            _ => chance.pick(&self.good),
        };
        let scheme = if chance.is_one_in(40) { "basic" } else { "Bearer" };
        call.add("authorization", format!("{scheme} {token}").as_bytes());
    }
}

impl Call {
    /// Sets a header, if it is one.
    fn add(&mut self, name: &'static str, value: &[u8]) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
    }
}

fn plain(path: &str, content_type: &'static str, body: Vec<u8>) -> Call {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static(content_type));
    Call {
        kind: Kind::Proto,
        method: Method::POST,
        path: path.to_owned(),
        is_http2: false,
        headers,
        body: body.into(),
    }
}

fn grpc(path: &str, body: Vec<u8>) -> Call {
    let mut call = plain(path, "application/grpc", body);
    call.add("te", b"trailers");
    call.is_http2 = true;
    call
}

fn grpc_web(path: &str, body: Vec<u8>, chance: &mut Chance) -> Call {
    let mut call = if chance.is_one_in(2) {
        plain(path, "application/grpc-web+proto", body)
    } else {
        let text = BASE64_STANDARD.encode(body).into_bytes();
        plain(path, "application/grpc-web-text", text)
    };
    call.is_http2 = chance.is_one_in(2);
    call
}

fn framed(flag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    frame.put(bytes);
    frame
}

/// Puts bytes where the message should be: any, or nearly the right ones.
fn broken(path: &str, mut bytes: Vec<u8>, chance: &mut Chance) -> Call {
    if bytes.is_empty() || chance.is_one_in(3) {
        bytes = chance.bytes(200);
    } else {
        for _ in 0..=chance.below(4) {
            let at = chance.below(bytes.len());
            match chance.below(3) {
                0 => bytes[at] = chance.bits().to_le_bytes()[0],
                1 => bytes.truncate(at + 1),
                _ => bytes.insert(at, chance.bits().to_le_bytes()[0]),
            }
        }
    }
    match chance.below(3) {
        0 => grpc(path, framed(0, &bytes)),
        1 => grpc_web(path, framed(0, &bytes), chance),
        _ => plain(path, "application/proto", bytes),
    }
}

/// Returns frames that are none, or too many.
fn frames(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    let whole = framed(0, bytes);
    match chance.below(9) {
        0 => Vec::new(),
        1 => framed(1, bytes),
        2 => framed(*chance.pick(&[2, 7, 0x80, 0xff]), bytes),
        3 => [whole.clone(), whole].concat(),
        4 => [&[0, 0xff, 0xff, 0xff, 0xff], bytes].concat(),
        5 => [&[0, 0, 0x7f, 0, 0], bytes].concat(),
        6 => whole[..chance.below(whole.len())].to_vec(),
        7 => [whole, vec![0]].concat(),
        _ => chance.bytes(64),
    }
}

fn text(chance: &mut Chance) -> Vec<u8> {
    let mut text = message::any_json(chance, 6).to_string().into_bytes();
    match chance.below(5) {
        0 => "[".repeat(chance.below(5000)).into_bytes(),
        1 => "{\"profile\":".repeat(chance.below(500)).into_bytes(),
        2 => chance.bytes(200),
        3 => {
            let at = chance.below(text.len() + 1);
            text.insert(at, chance.bits().to_le_bytes()[0]);
            text
        }
        _ => text,
    }
}

/// Makes what is no call.
fn strange(path: &str, bytes: Vec<u8>, chance: &mut Chance) -> Call {
    const TYPES: [&str; 12] = [
        "text/plain",
        "application/grpc+json",
        "application/grpc+thrift",
        "application/connect+json",
        "application/json; charset=utf-16",
        "APPLICATION/JSON",
        "application/grpc;x=y",
        "",
        "*/*",
        "application/x-www-form-urlencoded",
        "application/grpc-web-text+proto",
        "application/grpcx",
    ];
    const PATHS: [&str; 10] = [
        "/",
        "/x",
        "//",
        "/mayfly.user.v1.UserService",
        "/mayfly.user.v1.UserService/",
        "/mayfly.user.v1.UserService/getProfile",
        "/mayfly.user.v1.UserService/GetProfile/x",
        "/mayfly.user.v1.UserService/GetProfile?x=y",
        "/%2e%2e/x",
        "/mayfly.user.v2.UserService/Get",
    ];
    let content_type = *chance.pick(&TYPES);
    let mut call = plain(path, content_type, bytes);
    if chance.is_one_in(2) {
        let path = *chance.pick(&PATHS);
        call = match chance.below(3) {
            0 => grpc(path, framed(0, &call.body)),
            1 => plain(path, "application/json", b"{}".to_vec()),
            _ => Call { path: path.to_owned(), ..call },
        };
    }
    if chance.is_one_in(3) {
        let others = [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH];
        call.method = chance.pick(&others).clone();
    }
    call.is_http2 |= chance.is_one_in(2);
    call
}

/// Adds headers that mean nothing, or too much.
fn add_headers(call: &mut Call, chance: &mut Chance) {
    const VALUES: [(&str, &[&str]); 15] = [
        ("grpc-timeout", &["0n", "1n", "99999999H", "abc", "-1S", "1x", "", "999999999S", "1S"]),
        ("connect-timeout-ms", &["0", "-1", "x", "99999999999", "1000"]),
        ("connect-protocol-version", &["1", "2", ""]),
        ("idempotency-key", &["", "a b", "\u{e4}", "-", "a,b", "_"]),
        ("x-request-id", &["x", "018f4e9e-6c1a-7d3e-8a55-0242ac120002", "", "0"]),
        (
            "traceparent",
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x", "00-0-0-0"],
        ),
        ("grpc-encoding", &["gzip", "zstd", "identity", "br", ""]),
        ("grpc-accept-encoding", &["gzip", "zstd,gzip", "identity", "x", ""]),
        ("content-encoding", &["gzip", "identity", "br"]),
        ("accept", &["application/grpc-web-text", "*/*", "text/html"]),
        ("origin", &["https://evil.example", "null", ""]),
        ("x-mayfly-service", &["x", "", "a.b.c"]),
        ("x-forwarded-for", &["1.2.3.4", "x"]),
        ("some-bin", &["AAE", "!!!", ""]),
        ("cookie", &["a=b; c=d", ";;;;"]),
    ];
    for _ in 0..=chance.below(4) {
        let (name, values) = *chance.pick(&VALUES);
        call.add(name, chance.pick(values).as_bytes());
    }
    if chance.is_one_in(10) {
        call.add("idempotency-key", &vec![b'k'; *chance.pick(&[63, 64, 65, 4000])]);
    }
    if chance.is_one_in(10) {
        call.add("x-long", &vec![b'v'; chance.below(8000)]);
    }
    if chance.is_one_in(20) {
        call.add("grpc-timeout", &chance.bytes(12));
    }
}
