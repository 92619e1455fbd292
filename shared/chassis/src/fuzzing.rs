//! What the fuzzers call. It is in no other build.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use settings::{Declared, Env, Reader};
use tokio::{
    io::{AsyncRead, AsyncReadExt, ReadBuf},
    time::Instant,
};

use crate::{
    Settings,
    guard::{Guard, Times},
    owed::Owed,
    preface::{Version, detect},
};

/// Nothing waits: what is sent is there.
const MAX: Duration = Duration::from_secs(60);

/// What hyper reads of a connection over which these pieces came, and whether it takes them for
/// HTTP/2. Nothing if it ended before that was clear. To be called within a runtime.
pub async fn read(pieces: Vec<Vec<u8>>) -> Option<(bool, Vec<u8>)> {
    let (version, stream) = detect(Pieces(pieces.into())).await.ok()?;
    let mut read = Vec::new();
    let times = Times { greeted_by: Instant::now() + MAX, headers_max: MAX, idle_max: MAX };
    let mut guard = Guard::new(stream, version, times, Owed::default());
    guard.read_to_end(&mut read).await.ok()?;
    Some((version == Version::Http2, read))
}

/// What is told of these settings, where they cannot be used, and what is declared.
pub fn settings(env: &Env) -> (Result<(), String>, Vec<Declared>) {
    let told = Reader::new(env).finish(Settings::read).map(drop);
    (told.map_err(|problems| problems.to_string()), Reader::declared(Settings::read))
}

/// What comes over a connection, piece by piece.
struct Pieces(VecDeque<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let rest = piece.split_off(piece.len().min(buffer.remaining()));
            buffer.put_slice(&piece);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}
