//! HTTP/2's frames, written by hand: also those that no client would send.

/// What opens a connection.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags: the first means an acknowledgement of SETTINGS and PING.
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 32;

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames are short");
    let [_, long, middle, short] = length.to_be_bytes();
    let mut frame = vec![long, middle, short, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// SETTINGS of one value.
pub(crate) fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// A block of headers, each written out in full.
pub(crate) fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

/// A block of headers that fills the table of headers which the server keeps.
pub(crate) fn churning_block(headers: impl Iterator<Item = (String, String)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0x40);
        text(&mut block, &name);
        text(&mut block, &value);
    }
    block
}

fn text(block: &mut Vec<u8>, text: &str) {
    let length = text.len();
    if let Ok(short @ 0..127) = u8::try_from(length) {
        block.push(short);
    } else {
        block.push(127);
        let mut left = length - 127;
        while left >= 128 {
            block.push(u8::try_from(left % 128).expect("it is a remainder") | 128);
            left /= 128;
        }
        block.push(u8::try_from(left).expect("it is less than 128"));
    }
    block.extend(text.as_bytes());
}

/// The headers of a gRPC call.
pub(crate) fn call(path: &str, token: Option<&str>) -> Vec<u8> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    block(&headers)
}
