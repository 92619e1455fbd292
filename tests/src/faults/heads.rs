//! Heads of requests: too large, odd, or such that two servers would read them differently.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    Case, Field, Seen,
    field::token,
    floods::{GET, connect},
    frame::{DATA, END_HEADERS, END_STREAM, HEADERS, block, frame},
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "headers of 15 KB, 17 KB, 70 KB and a thousand tiny ones",
        expected: "answered, refused with 8, 431 or GOAWAY; the connection lives or ends in words",
        run: |field| Box::pin(sizes(field)),
    },
    Case {
        name: "odd paths and authorities",
        expected: "an error or a reset, never another method",
        run: |field| Box::pin(paths(field)),
    },
    Case {
        name: "HTTP/1.1 that can be read in two ways",
        expected: "400 and closed; what follows reaches no handler",
        run: |field| Box::pin(smuggling(field)),
    },
    Case {
        name: "Upgrade: h2c",
        expected: "400 and closed",
        run: |field| Box::pin(upgrade(field)),
    },
];

const ANSWER_MAX: Duration = Duration::from_secs(5);

fn pseudo(path: &str) -> Vec<(&str, &str)> {
    vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
}

async fn sizes(field: &Field) -> Seen {
    let watched = field.watched(&[]).await;
    let mut seen = Seen::default();
    let tiny: Vec<_> = (0..1000).map(|number| (format!("x-{number}"), String::new())).collect();
    let of = |bytes: usize| vec![("x-filler".to_owned(), "f".repeat(bytes))];
    let bearer = format!("Bearer {}", token("neighbour"));
    for (what, extra, is_served) in [
        ("15 KB", of(14 << 10), true),
        ("17 KB", of(17 << 10), false),
        ("70 KB", of(70 << 10), false),
        ("1,000 tiny", tiny, false),
    ] {
        let mut peer = connect(&watched).await;
        let mut headers = pseudo(GET);
        headers.push(("authorization", &bearer));
        headers.extend(extra.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let block = block(&headers);
        let mut parts: Vec<_> = block.chunks(16 << 10).collect();
        let last = parts.pop().unwrap_or_default();
        let mut sent = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            sent.extend(frame(if number == 0 { HEADERS } else { 9 }, 0, 1, part));
        }
        sent.extend(frame(if parts.is_empty() { HEADERS } else { 9 }, END_HEADERS, 1, last));
        sent.extend(frame(DATA, END_STREAM, 1, &[0; 5]));
        // A server that refuses early takes no more of it.
        let _outcome = peer.send(&sent).await;
        peer.sees(ANSWER_MAX, |seen| seen.headers > 0 || seen.goaway.is_some()).await;
        let end = peer.seen();
        // Two frames of headers with a body between them are an answer, one alone a refusal.
        let was_served = end.body_bytes > 0;
        let is_told = end.headers > 0 || end.goaway.is_some();
        let told = if was_served { "served" } else { "refused" };
        seen.note(was_served == is_served && is_told, format!("{what}: {told}"));
    }
    watched.end(&mut seen, 8.0).await;
    seen
}

async fn paths(field: &Field) -> Seen {
    let watched = field.watched(&[]).await;
    let mut seen = Seen::default();
    let bearer = format!("Bearer {}", token("neighbour"));
    let absolute = format!("http://x{GET}");
    let dotted = "/mayfly.user.v1.UserService/x/%2e%2e/GetProfile";
    let doubled = GET.replacen('/', "//", 1);
    let trailing = format!("{GET}/");
    for (what, path, extra) in [
        ("absolute form", absolute.as_str(), None),
        ("%2e%2e", dotted, None),
        ("two slashes", &doubled, None),
        ("a slash at the end", &trailing, None),
        ("no path", "", None),
        ("*", "*", None),
        ("two paths", GET, Some((":path", "/mayfly.user.v1.UserService/DeleteProfile"))),
        ("two authorities", GET, Some((":authority", "y"))),
        ("a pseudo-header behind the others", GET, Some((":status", "200"))),
    ] {
        let mut peer = connect(&watched).await;
        let mut headers = pseudo(path);
        headers.extend(extra);
        headers.push(("authorization", &bearer));
        let sent =
            [frame(HEADERS, END_HEADERS, 1, &block(&headers)), frame(DATA, END_STREAM, 1, &[0; 5])];
        // A server that refuses early takes no more of it.
        let _outcome = peer.send(&sent.concat()).await;
        let is_ended = peer
            .sees(ANSWER_MAX, |seen| {
                seen.headers > 0 || seen.goaway.is_some() || !seen.resets.is_empty()
            })
            .await;
        let end = peer.seen();
        seen.note(
            is_ended && end.body_bytes == 0,
            format!("{what}: {}", if end.resets.is_empty() { "refused" } else { "reset" }),
        );
    }
    watched.end(&mut seen, 8.0).await;
    seen
}

/// What the server says to these bytes until it closes; nothing if it does not.
async fn told(address: SocketAddr, sent: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(sent.as_bytes()).await.ok()?;
    let mut told = Vec::new();
    let reading = stream.read_to_end(&mut told);
    // It may be reset once it has spoken.
    let _outcome = timeout(ANSWER_MAX, reading).await.ok()?;
    Some(String::from_utf8_lossy(&told).into_owned())
}

/// What somebody would like to have answered to the next in line.
const SECOND: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

async fn smuggling(field: &Field) -> Seen {
    let watched = field.watched(&[]).await;
    let mut seen = Seen::default();
    let start = format!("POST {GET} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
    for (what, rest) in [
        ("length and chunks", "content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("chunks and length", "transfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n0\r\n\r\n"),
        ("two lengths", "content-length: 2\r\ncontent-length: 2\r\n\r\n{}"),
        ("a list of lengths", "content-length: 2, 2\r\n\r\n{}"),
        ("a signed length", "content-length: +2\r\n\r\n{}"),
        ("chunks twice", "transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        ("chunks of another kind", "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("a folded line", "a: b\r\n content-length: 2\r\n\r\n{}"),
        ("a bare line feed", "a: b\ncontent-length: 2\r\n\r\n{}"),
        ("a bare carriage return", "a: b\rcontent-length: 2\r\n\r\n{}"),
        ("a space before the colon", "content-length : 2\r\n\r\n{}"),
        ("a line without a name", ": 2\r\n\r\n{}"),
        ("a NUL", "a: \0\r\n\r\n{}"),
    ] {
        let answer = told(watched.server.address, &format!("{start}{rest}{SECOND}")).await;
        let is_refused = answer.as_deref().is_some_and(|told| {
            told.starts_with("HTTP/1.1 400 ") && told.matches("HTTP/1.1").count() == 1
        });
        let line = answer.as_deref().and_then(|told| told.lines().next());
        seen.note(
            is_refused,
            format!("{what}: {}", line.unwrap_or("still open").replace("HTTP/1.1 ", "")),
        );
    }
    // Chunks alone are read by everybody alike, and end the connection all the same.
    let chunked = "transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let answer = told(watched.server.address, &format!("{start}{chunked}{SECOND}")).await;
    let is_alone = answer.is_some_and(|told| told.matches("HTTP/1.1").count() == 1);
    seen.note(is_alone, "chunks alone: answered, and closed");
    watched.end(&mut seen, 8.0).await;
    seen
}

async fn upgrade(field: &Field) -> Seen {
    let watched = field.watched(&[]).await;
    let mut seen = Seen::default();
    for path in ["/healthz", GET] {
        let asked = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\n\
             upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        );
        let answer = told(watched.server.address, &asked).await.unwrap_or_default();
        let line = answer.lines().next().unwrap_or("nothing");
        seen.note(line.starts_with("HTTP/1.1 400 "), format!("{path}: {line}"));
    }
    watched.end(&mut seen, 8.0).await;
    seen
}
