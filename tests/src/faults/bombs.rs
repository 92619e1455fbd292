//! Messages that are small until somebody unpacks them, or that do not come to their end.

use std::{convert::Infallible, io::Write};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::Request;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    body::{Body, Frame},
    client::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_stream::{self as stream, StreamExt};

use super::{Case, Field, Seen, field::token, floods::GET};
use crate::Server;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "512 MiB as 0.5 MiB of gzip, on 50 streams at once",
        expected: "8 on each, memory +64 MiB",
        run: |field| Box::pin(bombs(field, "gzip", gzip_bomb(field.pick(64, 512)))),
    },
    Case {
        name: "512 MiB as 16 KiB of zstd with the largest window, on 50 streams at once",
        expected: "8 on each, memory +64 MiB",
        run: |field| Box::pin(bombs(field, "zstd", zstd_bomb())),
    },
    Case {
        name: "4 MiB whose last byte does not come, on 100 streams of 4 connections",
        expected: "64 MiB are held at most, the rest is told 14; memory +96 MiB",
        run: |field| Box::pin(unfinished(field)),
    },
];

/// What is held of requests that are not whole, and what that costs.
const UNFINISHED_MIB_MAX: f64 = 96.0;

/// What unpacking may cost at its worst, of all calls together.
const UNPACKED_MIB_MAX: f64 = 64.0;

const MIB: usize = 1 << 20;

/// One MiB of zeros after the other, each of which stands for itself.
fn gzip_bomb(mib: usize) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&vec![0; MIB]).expect("memory takes it");
    packed.flush().expect("memory takes it");
    let one = packed.get_ref().len();
    packed.write_all(&vec![0; MIB]).expect("memory takes it");
    packed.flush().expect("memory takes it");
    let (first, again) = packed.get_ref().split_at(one);
    [first, &again.repeat(mib - 1)].concat()
}

/// 4,096 blocks of one zero, 131,072 times.
fn zstd_bomb() -> Vec<u8> {
    let block = (131_072_u32 << 3 | 0b010).to_le_bytes();
    let blocks = [&block[..3], &[0]].concat().repeat(4096);
    // A window of 128 MiB, which is the most that decoders take unless they are asked to.
    [&b"\x28\xb5\x2f\xfd\x00\x88"[..], &blocks].concat()
}

async fn bombs(field: &Field, encoding: &'static str, bomb: Vec<u8>) -> Seen {
    let watched = field.watched(&[]).await;
    let mut seen = Seen::default();
    let length = u32::try_from(bomb.len()).expect("it is small").to_be_bytes();
    let message = Bytes::from([&[1], &length[..], &bomb].concat());
    seen.say(format!("{} KiB each", message.len() >> 10));
    let codes = calls(&watched.server, encoding, || Full::new(message.clone()), 50).await;
    let too_large = codes.iter().filter(|code| code.as_deref() == Some("8")).count();
    let other = codes.iter().find(|code| code.as_deref() != Some("8"));
    let told = other.map_or(String::new(), |code| format!(", another {code:?}"));
    seen.note(other.is_none(), format!("{too_large} of {} answered 8{told}", codes.len()));
    watched.end_grown(&mut seen, UNPACKED_MIB_MAX, UNPACKED_MIB_MAX).await;
    seen
}

async fn unfinished(field: &Field) -> Seen {
    let watched = field.watched(&[]).await;
    let mut seen = Seen::default();
    let length = u32::try_from(4 * MIB).expect("it is small").to_be_bytes();
    let message = Bytes::from([&[0], &length[..], &vec![0; 4 * MIB - 1]].concat());
    let body = || {
        let sent = stream::iter([Ok::<_, Infallible>(Frame::data(message.clone()))]);
        StreamBody::new(sent.chain(stream::pending()))
    };
    let ask = || calls(&watched.server, "identity", body, 25);
    let (one, two, three, four) = tokio::join!(ask(), ask(), ask(), ask());
    let codes = [one, two, three, four].concat();
    let told = |code: &str| codes.iter().filter(|told| told.as_deref() == Some(code)).count();
    let (shed, expired) = (told("14"), told("4"));
    seen.note(
        shed > 0 && shed + expired == codes.len(),
        format!("{shed} told 14, {expired} told 4 at their deadline, of {}", codes.len()),
    );
    watched.end_grown(&mut seen, UNFINISHED_MIB_MAX, UNPACKED_MIB_MAX).await;
    seen
}

/// The codes with which so many calls at once are answered, over one connection.
async fn calls<B>(
    server: &Server,
    encoding: &'static str,
    body: impl Fn() -> B,
    count: usize,
) -> Vec<Option<String>>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(server.address).await.expect("the server listens");
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    let mut connected = JoinSet::new();
    connected.spawn(async move { drop(connection.await) });
    let bearer = format!("Bearer {}", token("neighbour"));
    let request = |_number| {
        let request = Request::post(format!("http://{}{GET}", server.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-encoding", encoding)
            .header("authorization", &bearer)
            .body(body())
            .expect("a request");
        let mut sender = sender.clone();
        async move {
            let answer = sender.send_request(request).await.ok()?;
            let (head, body) = answer.into_parts();
            let trailers = body.collect().await.ok()?.trailers().cloned().unwrap_or_default();
            let code = head.headers.get("grpc-status").or_else(|| trailers.get("grpc-status"))?;
            Some(code.to_str().ok()?.to_owned())
        }
    };
    (0..count).map(request).collect::<JoinSet<_>>().join_all().await
}
