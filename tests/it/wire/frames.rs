//! gRPC's frames as nobody should send them: told in a status, never by a reset.

use std::time::Duration;

use prost::Message;
use proto::user::v1::{GetProfileRequest, Profile};
use tests::Told;
use tokio::time::{Instant, timeout};
use tonic::Code;

use super::{
    app_and_ada, app_and_ada_with, frame, get, get_own,
    raw::{Call, Version, framed, user},
};

fn own() -> Vec<u8> {
    frame(&GetProfileRequest::default())
}

#[tokio::test]
async fn a_unary_call_has_exactly_one_message() {
    let (app, ada) = app_and_ada().await;
    let two = [own(), own()].concat();
    let calls = [
        ("none", get(&ada, Vec::new())),
        ("two at once", get(&ada, two.clone())),
        ("two, apart", get(&ada, own()).and(own())),
        ("two, cut within", get(&ada, two[..7].to_vec()).and(two[7..].to_vec())),
        ("a hundred", get(&ada, own().repeat(100))),
        ("one and a broken one", get(&ada, own()).and(framed(7, b"\xff"))),
    ];
    for (about, call) in calls {
        let Told { code, reason, .. } = call.send(app.address).await.told();
        assert_eq!((code, &*reason), (Code::Unimplemented, "UNIMPLEMENTED"), "{about}");
    }
    // Wherever its bytes are cut, one message is one.
    let request = frame(&GetProfileRequest { user_id: "ada-uid".into() });
    for cut in 1..request.len() {
        let call = get(&ada, request[..cut].to_vec()).and(request[cut..].to_vec());
        assert_eq!(call.send(app.address).await.message::<Profile>().handle, "Ada", "{cut}");
    }
}

#[tokio::test]
async fn a_frame_that_cannot_be_read_is_told_in_a_status() {
    let (app, ada) = app_and_ada().await;
    let nested = (0..200).fold(Vec::new(), |inner, _| {
        // A group within a group, deeper than any message.
        [&[0x1b][..], &inner, &[0x1c]].concat()
    });
    let long = b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".to_vec();
    let bodies = [
        ("a header cut short", vec![0, 0, 0]),
        ("a flag alone", vec![0]),
        ("a message cut short", vec![0, 0, 0, 0, 9, 1, 2]),
        ("a message that never begins", vec![0, 0, 0, 0, 9]),
        ("flag 7", framed(7, b"")),
        ("flag 255", framed(255, b"")),
        ("compressed without an encoding", framed(1, b"\x1f\x8b")),
        ("a varint without an end", framed(0, b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")),
        ("a key without an end", framed(0, b"\xff")),
        ("field 0", framed(0, b"\x02\x00")),
        ("an unknown wire type", framed(0, b"\x0f")),
        ("a group that never ends", framed(0, b"\x0b")),
        ("the end of no group", framed(0, b"\x0c")),
        ("a length past the end", framed(0, b"\x0a\x05a")),
        ("a length past all ends", framed(0, &long)),
        ("a wrong wire type", framed(0, b"\x08\x01")),
        ("invalid UTF-8", framed(0, b"\x0a\x01\xff")),
        ("a surrogate", framed(0, b"\x0a\x03\xed\xa0\x80")),
        ("deep groups", framed(0, &nested)),
        ("JSON", framed(0, b"{}")),
        ("JSON without a frame", b"{\"userId\":\"\"}".to_vec()),
    ];
    for (about, body) in bodies {
        let answer = get(&ada, body).send(app.address).await;
        let told = answer.told();
        let readable = [Code::InvalidArgument, Code::Internal, Code::ResourceExhausted];
        assert!(readable.contains(&told.code), "{about}: {told:?}");
        assert_eq!(answer.status, 200, "{about}");
    }
    assert_eq!(get_own(&ada).send(app.address).await.message::<Profile>().handle, "Ada");
}

#[tokio::test]
async fn bytes_that_are_not_the_message_are_the_clients_fault() {
    let (app, ada) = app_and_ada().await;
    for bytes in [&b"\xff"[..], b"\x0a\x01\xff", b"\x0a\x05a", b"\x08\x01", b"\x0b"] {
        let told = get(&ada, framed(0, bytes)).send(app.address).await.told();
        assert_eq!((told.code, &*told.reason), (Code::InvalidArgument, "INVALID_ARGUMENT"));
    }
}

#[tokio::test]
async fn a_field_from_the_future_is_no_fault() {
    let (app, ada) = app_and_ada().await;
    let mut newer = GetProfileRequest { user_id: "ada-uid".into() }.encode_to_vec();
    // Field 1000, as text.
    newer.extend(b"\xc2\x3e\x03new");
    let answer = get(&ada, framed(0, &newer)).send(app.address).await;
    assert_eq!(answer.message::<Profile>().handle, "Ada");
}

#[tokio::test]
async fn a_message_that_says_it_is_too_large_is_not_waited_for() {
    let (app, ada) = app_and_ada_with(&[("MAX_MESSAGE_BYTES", "65536")]).await;
    for length in [65_537_u32, 1 << 24, u32::MAX] {
        let header = [&[0][..], &length.to_be_bytes()].concat();
        let call = get(&ada, header).endless().send(app.address);
        // Far within the deadline, at which the call would end anyway.
        let answer = timeout(Duration::from_secs(1), call).await.expect("an answer at once");
        let told = answer.told();
        assert_eq!((told.code, &*told.reason), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    }
}

#[tokio::test]
async fn an_encoding_nobody_speaks_is_unimplemented_and_the_spoken_ones_are_named() {
    let (app, ada) = app_and_ada().await;
    for encoding in ["deflate", "br", "snappy", "x"] {
        let call = get(&ada, framed(1, b"x")).header("grpc-encoding", encoding);
        let answer = call.send(app.address).await;
        assert_eq!(answer.told().code, Code::Unimplemented, "{encoding}");
        let failure = answer.failure();
        assert!(failure.metadata().contains_key("grpc-accept-encoding"), "{encoding}: {failure:?}");
    }
    let plain = get_own(&ada).header("grpc-encoding", "identity").send(app.address).await;
    assert_eq!(plain.message::<Profile>().handle, "Ada");
}

/// Bytes as one frame of zstd, uncompressed.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap();
    // One last block of raw bytes, in a single segment that says how long it is.
    let block = (u32::from(length) << 3 | 1).to_le_bytes();
    [&b"\x28\xb5\x2f\xfd\x20"[..], &[length], &block[..3], bytes].concat()
}

/// 512 MiB of zeros in 16 KiB, as zstd.
fn zstd_bomb() -> Vec<u8> {
    // Each block is one zero, 131,072 times.
    let block = (131_072_u32 << 3 | 0b010).to_le_bytes();
    let blocks = [&block[..3], &[0]].concat().repeat(4096);
    [&b"\x28\xb5\x2f\xfd\x00\x58"[..], &blocks].concat()
}

/// 512 MiB of zeros in 3.2 MiB, as gzip: one zero, and then 258 more again and again.
fn gzip_bomb() -> Vec<u8> {
    let header = b"\x1f\x8b\x08\0\0\0\0\0\0\xff";
    // A last block with the fixed codes, and one literal.
    let first = "11000110000".to_owned();
    // As long a repetition as there is, of the byte before.
    let again = "1100010100000".repeat(2_080_000);
    let bits = first + &again;
    let bytes = bits
        .as_bytes()
        .chunks(8)
        .map(|bits| bits.iter().enumerate().map(|(place, bit)| (bit - b'0') << place).sum::<u8>());
    header.iter().copied().chain(bytes).collect()
}

#[tokio::test]
async fn a_compressed_message_is_read_and_a_bomb_is_too_large() {
    let (app, ada) = app_and_ada().await;
    let compressed = |encoding: &str, bytes: &[u8]| {
        get(&ada, framed(1, bytes)).header("grpc-encoding", encoding).send(app.address)
    };
    let message = GetProfileRequest { user_id: "ada-uid".into() }.encode_to_vec();
    let answer = compressed("zstd", &zstd(&message)).await;
    assert_eq!(answer.message::<Profile>().handle, "Ada");

    for (encoding, bomb) in [("zstd", zstd_bomb()), ("gzip", gzip_bomb())] {
        let told = compressed(encoding, &bomb).await.told();
        let told = (told.code, &*told.reason);
        assert_eq!(told, (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"), "{encoding}");
    }
    for encoding in ["gzip", "zstd"] {
        for garbage in
            [&b""[..], b"x", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\x20\x09"]
        {
            let told = compressed(encoding, garbage).await.told();
            let readable = [Code::InvalidArgument, Code::Internal];
            assert!(readable.contains(&told.code), "{encoding} {garbage:?}: {told:?}");
        }
    }
}

#[tokio::test]
async fn a_deadline_is_eight_digits_and_a_unit() {
    let (app, ada) = app_and_ada().await;
    let within = |timeout: &str| get_own(&ada).header("grpc-timeout", timeout).send(app.address);
    for malformed in
        ["100x", "", "S", "1", "123456789S", "-1S", "1.5S", "+1S", "1 S", "1s", "0x1S", "S1", "1SS"]
    {
        let told = within(malformed).await.told();
        let told = (told.code, &*told.reason);
        assert_eq!(told, (Code::InvalidArgument, "INVALID_ARGUMENT"), "{malformed:?}");
    }
    for good in ["99999999H", "1M", "10S", "60000m", "99999999u", "00000010S"] {
        assert_eq!(within(good).await.message::<Profile>().handle, "Ada", "{good}");
    }
    for over in ["0m", "0H", "0n", "00000000S"] {
        let told = within(over).await.told();
        let told = (told.code, &*told.reason);
        assert_eq!(told, (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"), "{over}");
    }
}

#[tokio::test]
async fn a_body_that_never_ends_ends_with_its_deadline() {
    let (app, ada) = app_and_ada().await;
    for (call, about) in [
        (get(&ada, Vec::new()), "nothing"),
        (get(&ada, vec![0, 0, 0]), "half a header"),
        (get(&ada, vec![0, 0, 0, 0, 9, 1]), "half a message"),
        (get(&ada, own()), "a message and no end"),
    ] {
        let start = Instant::now();
        let call = call.header("grpc-timeout", "200m").endless();
        let told = call.send(app.address).await.told();
        let told = (told.code, &*told.reason);
        assert_eq!(told, (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"), "{about}");
        assert!(start.elapsed() >= Duration::from_millis(200), "{about}");
    }
    for version in [Version::Http1, Version::Http2] {
        let call = Call::post(&user("GetProfile"), "{").token(ada.token.as_deref());
        let call = call.header("connect-timeout-ms", "200").over(version);
        for (call, about) in [(call.clone().endless(), "stops"), (call.trickling(), "trickles")] {
            let start = Instant::now();
            let told = call.send(app.address).await.told();
            assert_eq!(told.code, Code::DeadlineExceeded, "{version:?} {about}");
            // Nobody waits for the rest: that would take a second, or ten where it trickles.
            assert!(start.elapsed() < Duration::from_secs(1), "{version:?} {about}");
        }
    }
}
