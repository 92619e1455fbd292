//! Requests (RFC 9113, 8).

use super::{
    Answer, Away, CHECK, Case, Closed, GET, HEALTHZ, MALFORMED, Outcome, PROTOCOL, QUESTION, Reset,
    SERVED, block_with, case, data, get, headers, joined, open,
};
use crate::faults::frame::{END_HEADERS, END_STREAM, block};

/// What need not be refused, and may be.
const ODD: &[Outcome] = &[Answer(2), Answer(4), Reset(PROTOCOL), Away(PROTOCOL), Closed];

type Fields<'f> = &'f [(&'f str, &'f str)];

pub(super) const CASES: &[Case] = &[
    // Whole requests.
    case("8.1", "GET", SERVED, || get(1)),
    case("8.1", "HEAD", SERVED, || {
        whole(&[(":method", "HEAD"), (":scheme", "http"), (":path", HEALTHZ), (":authority", "x")])
    }),
    case("8.1", "POST with a body", SERVED, || joined(&[open(1), data(END_STREAM, 1, QUESTION)])),
    case("8.1", "POST with a body and trailers", SERVED, || trailed(&[("x-sum", "1")])),
    case("8.1", "POST with a body and empty trailers", SERVED, || trailed(&[])),
    case("8.1", "trailers that do not end the stream", MALFORMED, || {
        joined(&[open(1), data(0, 1, QUESTION), headers(END_HEADERS, 1, &block(&[("x-sum", "1")]))])
    }),
    case("8.1", "the same of a request that nobody reads", MALFORMED, || {
        let end = headers(END_HEADERS, 1, &block(&[("x-sum", "1")]));
        joined(&[headers(END_HEADERS, 1, &block(&GET)), data(0, 1, b"x"), end])
    }),
    case("8.1", "a hundred requests at once", SERVED, || {
        (0..100).flat_map(|number| get(number * 2 + 1)).collect()
    }),
    // Lengths.
    case("8.1.1", "a length that is kept", SERVED, || with_length("5", &[QUESTION])),
    case("8.1.1", "a length that is kept in three frames", SERVED, || {
        with_length("5", &[&QUESTION[..2], &[], &QUESTION[2..]])
    }),
    case("8.1.1", "a length that is not reached", MALFORMED, || with_length("6", &[QUESTION])),
    case("8.1.1", "a length that is passed", MALFORMED, || with_length("4", &[QUESTION])),
    case("8.1.1", "a length that is passed by the second frame", MALFORMED, || {
        with_length("9", &[QUESTION, QUESTION])
    }),
    case("8.1.1", "a length, and no body", MALFORMED, || more(&[("content-length", "5")])),
    case("8.1.1", "a length, and trailers instead of a body", MALFORMED, || {
        let fields = [(":method", "POST"), (":scheme", "http"), (":path", CHECK)];
        let fields = [&fields[..], &[("content-length", "5")]].concat();
        let end = block(&[("x-sum", "1")]);
        joined(&[
            headers(END_HEADERS, 1, &block(&fields)),
            headers(END_HEADERS | END_STREAM, 1, &end),
        ])
    }),
    case("8.1.1", "a length that is no number", MALFORMED, || with_length("five", &[QUESTION])),
    case("8.1.1", "a negative length", MALFORMED, || with_length("-5", &[QUESTION])),
    // Names and values of fields.
    case("8.2.1", "a name in capitals", MALFORMED, || more(&[("X-Field", "1")])),
    case("8.2.1", "trailers with a name in capitals", MALFORMED, || trailed(&[("X-Sum", "1")])),
    case("8.2.1", "a name of no octets", MALFORMED, || more(&[("", "1")])),
    case("8.2.1", "a name with a space", MALFORMED, || more(&[("x field", "1")])),
    case("8.2.1", "a name with a colon within", MALFORMED, || more(&[("x:field", "1")])),
    case("8.2.1", "a name with a NUL", MALFORMED, || more(&[("x\0field", "1")])),
    case("8.2.1", "a name with DEL", MALFORMED, || more(&[("x\x7ffield", "1")])),
    case("8.2.1", "a name that is not ASCII", MALFORMED, || more(&[("x-fiéld", "1")])),
    case("8.2.1", "a value with a NUL", MALFORMED, || more(&[("x-field", "1\x002")])),
    case("8.2.1", "a value with a line feed", MALFORMED, || more(&[("x-field", "1\n2")])),
    case("8.2.1", "a value with a carriage return", MALFORMED, || more(&[("x-field", "1\r2")])),
    case("8.2.1", "a value that is empty", SERVED, || more(&[("x-field", "")])),
    case("8.2.1", "a value that is not ASCII", SERVED, || more(&[("x-field", "é")])),
    // Fields of a connection.
    case("8.2.2", "connection", MALFORMED, || more(&[("connection", "keep-alive")])),
    case("8.2.2", "keep-alive", MALFORMED, || more(&[("keep-alive", "timeout=5")])),
    case("8.2.2", "proxy-connection", MALFORMED, || more(&[("proxy-connection", "keep-alive")])),
    case("8.2.2", "transfer-encoding", MALFORMED, || more(&[("transfer-encoding", "chunked")])),
    case("8.2.2", "upgrade", MALFORMED, || more(&[("upgrade", "h2c")])),
    case("8.2.2", "te: trailers", SERVED, || more(&[("te", "trailers")])),
    case("8.2.2", "te: gzip", MALFORMED, || more(&[("te", "gzip")])),
    case("8.2.2", "te: trailers, deflate", MALFORMED, || more(&[("te", "trailers, deflate")])),
    case("8.2.3", "a cookie in crumbs", SERVED, || more(&[("cookie", "a=b"), ("cookie", "c=d")])),
    // Pseudo-header fields.
    case("8.3", "a pseudo-header that there is not", MALFORMED, || more(&[(":x", "1")])),
    case("8.3", ":status in a request", MALFORMED, || more(&[(":status", "200")])),
    case("8.3", ":protocol without having been allowed", MALFORMED, || {
        more(&[(":protocol", "websocket")])
    }),
    case("8.3", "a pseudo-header behind a field", MALFORMED, || {
        whole(&[&GET[..3], &[("x-field", "1"), GET[3]]].concat())
    }),
    case("8.3", "trailers with :path", MALFORMED, || trailed(&[(":path", HEALTHZ)])),
    case("8.3", "trailers with :status", MALFORMED, || trailed(&[(":status", "200")])),
    case("8.3.1", "no :method", MALFORMED, || whole(&GET[1..])),
    case("8.3.1", "no :scheme", MALFORMED, || whole(&[GET[0], GET[2], GET[3]])),
    case("8.3.1", "no :path", MALFORMED, || whole(&[GET[0], GET[1], GET[3]])),
    case("8.3.1", "no :authority, and none is needed", SERVED, || whole(&GET[..3])),
    case("8.3.1", "host instead of :authority", SERVED, || {
        whole(&[&GET[..3], &[("host", "x")]].concat())
    }),
    case("8.3.1", ":method twice", MALFORMED, || more(&[(":method", "GET")])),
    case("8.3.1", ":scheme twice", MALFORMED, || more(&[(":scheme", "http")])),
    case("8.3.1", ":path twice", MALFORMED, || more(&[(":path", HEALTHZ)])),
    case("8.3.1", ":authority twice", MALFORMED, || more(&[(":authority", "x")])),
    case("8.3.1", "an empty :path", MALFORMED, || whole(&[GET[0], GET[1], (":path", ""), GET[3]])),
    case("8.3.1", "a :path without a slash", MALFORMED, || {
        whole(&[GET[0], GET[1], (":path", "healthz"), GET[3]])
    }),
    case("8.3.1", "a :path with a space", MALFORMED, || {
        whole(&[GET[0], GET[1], (":path", "/a b"), GET[3]])
    }),
    case("8.3.1", "an empty :method", MALFORMED, || {
        whole(&[(":method", ""), GET[1], GET[2], GET[3]])
    }),
    case("8.3.1", "a :method with a space", MALFORMED, || {
        whole(&[(":method", "GET /"), GET[1], GET[2], GET[3]])
    }),
    case("8.3.1", "an :authority with a slash", MALFORMED, || {
        whole(&[GET[0], GET[1], GET[2], (":authority", "x/y")])
    }),
    case("8.3.1", ":authority and another host", ODD, || more(&[("host", "y")])),
    // CONNECT.
    case("8.5", "CONNECT with a :path", MALFORMED, || {
        whole(&[(":method", "CONNECT"), GET[2], GET[3]])
    }),
    case("8.5", "CONNECT without an :authority", MALFORMED, || whole(&[(":method", "CONNECT")])),
];

/// A request of these fields alone.
fn whole(fields: Fields<'_>) -> Vec<u8> {
    headers(END_HEADERS | END_STREAM, 1, &block(fields))
}

/// A request with these fields behind the usual ones.
fn more(fields: Fields<'_>) -> Vec<u8> {
    headers(END_HEADERS | END_STREAM, 1, &block_with(fields))
}

/// A call with a body and these trailers.
fn trailed(fields: Fields<'_>) -> Vec<u8> {
    let end = headers(END_HEADERS | END_STREAM, 1, &block(fields));
    joined(&[open(1), data(0, 1, QUESTION), end])
}

/// A call that tells the length of its body, which comes in these parts.
fn with_length(length: &str, parts: &[&[u8]]) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", CHECK),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("content-length", length),
    ];
    let mut sent = headers(END_HEADERS, 1, &block(&fields));
    for (number, part) in parts.iter().enumerate() {
        let flags = if number + 1 == parts.len() { END_STREAM } else { 0 };
        sent.extend(data(flags, 1, part));
    }
    sent
}
