//! Watches what a peer sends and takes, for what hyper and h2 do not bound by themselves: headers
//! that never end, resets of calls that have begun, heads that two servers would read differently,
//! answers that nobody takes, and a first frame that is not SETTINGS.
//!
//! Whatever is too much is answered in the protocol's own words: what hyper is given to read then
//! is what it refuses so.

mod frames;
mod heads;

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::{owed::Owed, preface::Version};
use frames::Frames;
use heads::Heads;

/// A stream that is watched.
#[derive(Debug)]
pub(crate) struct Guard<T> {
    stream: T,
    watched: Watched,
    /// What hyper reads instead of the rest.
    instead: Option<&'static [u8]>,
    greeted_by: Instant,
    headers: Patience,
    answers: Patience,
    written: u64,
    blocked: Blocked,
    owed: Owed,
}

/// What a peer has time for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// When its first frame, or its first head, has to be there.
    pub(crate) greeted_by: Instant,
    /// How long headers may take.
    pub(crate) headers_max: Duration,
    /// How long it may leave an answer where it is.
    pub(crate) idle_max: Duration,
}

/// Whether something waits to be written that nobody takes at the moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocked(Arc<AtomicBool>);

impl Blocked {
    /// Whether it is so.
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Notes how a write went.
    pub(crate) fn note<O>(&self, outcome: &Poll<O>) {
        let is_blocked = outcome.is_pending();
        // Almost always it is as it was, which another thread may be about to read.
        if self.get() != is_blocked {
            self.0.store(is_blocked, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
enum Watched {
    Http1(Heads),
    Http2(Frames),
}

/// Waits for one thing after the other, for each no longer than it may take.
#[derive(Debug)]
struct Patience {
    max: Duration,
    waits_for: Option<u64>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<T> Guard<T> {
    /// Watches a stream that speaks `version`; what is `owed` may leave its peer less time.
    pub(crate) fn new(stream: T, version: Version, times: Times, owed: Owed) -> Self {
        let watched = match version {
            Version::Http1 => Watched::Http1(Heads::default()),
            Version::Http2 => Watched::Http2(Frames::new(Instant::now())),
        };
        Self {
            stream,
            watched,
            instead: None,
            greeted_by: times.greeted_by,
            headers: Patience::new(times.headers_max),
            answers: Patience::new(times.idle_max),
            written: 0,
            blocked: Blocked::default(),
            owed,
        }
    }

    /// Tells whether the peer takes what is written.
    pub(crate) fn blocked(&self) -> Blocked {
        self.blocked.clone()
    }

    /// Looks at what was read, and takes back what must not be.
    fn look(&mut self, buffer: &mut ReadBuf<'_>, start: usize) {
        let read = &buffer.filled()[start..];
        let refused = match &mut self.watched {
            Watched::Http1(heads) => heads.scan(read).map(|at| (at, heads::MALFORMED)),
            Watched::Http2(frames) => frames.scan(read),
        };
        if let Some((at, instead)) = refused {
            buffer.set_filled(start + at);
            self.instead = Some(instead);
            if at == 0 {
                self.give_instead(buffer);
            }
        }
    }

    fn give_instead(&mut self, buffer: &mut ReadBuf<'_>) {
        if let Some(left) = &mut self.instead {
            let (now, later) = left.split_at(left.len().min(buffer.remaining()));
            buffer.put_slice(now);
            *left = later;
        }
    }

    /// Whether the peer has begun something that it should have ended by now.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (owed, is_greeting) = match &self.watched {
            // hyper has a time-out for the others.
            Watched::Http1(heads) => (heads.is_first().then_some(0), true),
            Watched::Http2(frames) => (frames.owed(), frames.is_greeting()),
        };
        let (greeted_by, max) = (self.greeted_by, self.headers.max);
        let by = || if is_greeting { greeted_by } else { Instant::now() + max };
        self.headers.poll_over(cx, owed, by).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Passes on how a write went, or a flush, or the last word; one that makes no progress ends
    /// with the patience. Behind TLS a write is taken at once, and it is the flush that waits.
    fn taken<O>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<O>>,
        bytes: impl FnOnce(&O) -> usize,
    ) -> Poll<io::Result<O>> {
        self.blocked.note(&outcome);
        match &outcome {
            Poll::Ready(Ok(done)) => self.written += u64::try_from(bytes(done)).unwrap_or(0),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let (owed, max) = (&self.owed, self.answers.max);
                let by = || Instant::now() + owed.patience(max);
                let over = self.answers.poll_over(cx, Some(self.written), by);
                return over.map(|()| Err(io::ErrorKind::TimedOut.into()));
            }
        }
        // Whatever waits next has all of the patience.
        self.answers.waits_for = None;
        outcome
    }
}

impl Patience {
    fn new(max: Duration) -> Self {
        Self { max, waits_for: None, sleep: None }
    }

    /// Ready when the same thing has been waited for too long: until `by`, asked when it begins.
    fn poll_over(
        &mut self,
        cx: &mut Context<'_>,
        number: Option<u64>,
        by: impl FnOnce() -> Instant,
    ) -> Poll<()> {
        if number.is_none() {
            self.waits_for = None;
            return Poll::Pending;
        }
        if self.waits_for != number {
            self.waits_for = number;
            let end = by();
            self.sleep.get_or_insert_with(|| Box::pin(sleep_until(end))).as_mut().reset(end);
        }
        self.sleep.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx))
    }
}

// === impl Guard ===

impl<T: AsyncRead + Unpin> AsyncRead for Guard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.instead.is_some() {
            self.give_instead(buffer);
            return Poll::Ready(Ok(()));
        }
        let start = buffer.filled().len();
        if Pin::new(&mut self.stream).poll_read(cx, buffer)?.is_pending() {
            return self.poll_overdue(cx);
        }
        self.look(buffer, start);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guard<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.taken(cx, outcome, |bytes| *bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.taken(cx, outcome, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.taken(cx, outcome, |()| 0)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.taken(cx, outcome, |bytes| *bytes)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::{sleep, timeout},
    };

    use super::*;

    const MAX: Duration = Duration::from_secs(10);
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn guard<T>(stream: T, version: Version) -> Guard<T> {
        let times = Times { greeted_by: Instant::now() + MAX, headers_max: MAX, idle_max: MAX };
        Guard::new(stream, version, times, Owed::default())
    }

    /// What hyper reads of what was sent, and how the stream then ends.
    async fn read(version: Version, sent: &[u8]) -> (Vec<u8>, io::Result<usize>) {
        // Open to the end: it does not go on, and does not leave either.
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(sent).await.unwrap();
        let mut guard = guard(server, version);
        let mut read = Vec::new();
        let ended = guard.read_to_end(&mut read).await;
        (read, ended)
    }

    #[tokio::test(start_paused = true)]
    async fn headers_that_do_not_end_are_given_up() {
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let headers = [0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82];
        for sent in [&[][..], &[&settings[..5]], &[&settings, &headers]] {
            let sent = [&[PREFACE], sent].concat().concat();
            let start = Instant::now();
            let (seen, ended) = read(Version::Http2, &sent).await;
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert_eq!((seen, start.elapsed().as_secs()), (sent, 10));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_in_pieces_after_the_greeting_has_a_time_of_its_own() {
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let headers = [0, 0, 1, 1, 4, 0, 0, 0, 1, 0x82];
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut guard = guard(server, Version::Http2);
        let mut read = vec![0; PREFACE.len() + settings.len() + headers.len()];
        let sending = async {
            client.write_all(&[PREFACE, &settings[..]].concat()).await.unwrap();
            sleep(MAX * 6).await;
            client.write_all(&headers[..5]).await.unwrap();
            sleep(MAX / 2).await;
            client.write_all(&headers[5..]).await.unwrap();
        };
        let (_sent, outcome) = tokio::join!(sending, guard.read_exact(&mut read));
        outcome.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_head_is_part_of_the_greeting_and_no_other_is() {
        let head = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
        for (sent, ends_after) in [(&head[..20], MAX), (&head[..], 4 * MAX)] {
            let (mut client, server) = tokio::io::duplex(1 << 20);
            client.write_all(sent).await.unwrap();
            let mut guard = guard(server, Version::Http1);
            let start = Instant::now();
            let mut read = Vec::new();
            let _ended = timeout(4 * MAX, guard.read_to_end(&mut read)).await;
            assert_eq!(start.elapsed().as_secs(), ends_after.as_secs());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_resets_are_read_as_what_h2_calls_too_much() {
        let mut sent = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        sent.extend([0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8].repeat(2000));
        let (seen, ended) = read(Version::Http2, &sent).await;
        assert_eq!(ended.unwrap(), seen.len());
        let resets = (seen.len() - PREFACE.len() - 9 - frames::CALM.len()) / 13;
        assert!((100..450).contains(&resets), "{resets}");
        assert!(seen.ends_with(frames::CALM));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_can_be_read_in_two_ways_is_read_as_none() {
        let head = b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n";
        let sent = [&head[..], b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"].concat();
        let (seen, ended) = read(Version::Http1, &sent).await;
        assert_eq!(ended.unwrap(), seen.len());
        let end = [&head[..], b"transfer-encoding: chunked\r\n\r", heads::MALFORMED].concat();
        assert_eq!(seen, end);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_given_up() {
        let (_client, server) = tokio::io::duplex(16);
        let mut guard = guard(server, Version::Http1);
        let start = Instant::now();
        let ended = guard.write_all(&[0; 64]).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    /// Takes what is written and never gets it out, as TLS does behind a peer that does not read.
    struct Unflushed;

    impl AsyncWrite for Unflushed {
        fn poll_write(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_and_does_not_get_out_is_given_up() {
        let mut guard = guard(Unflushed, Version::Http2);
        let blocked = guard.blocked();
        guard.write_all(&[0; 64]).await.unwrap();
        assert!(!blocked.get());
        let start = Instant::now();
        assert_eq!(guard.flush().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // Nothing has moved since, and nothing is waited for once more.
        assert_eq!(guard.shutdown().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 10);
        assert!(blocked.get());
    }
}
