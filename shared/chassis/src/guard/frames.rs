//! HTTP/2's frames, as a client sends them: what has begun and not ended, and how often a call that
//! has begun is reset.
//!
//! h2 counts the resets of streams that nobody has accepted yet. A stream is accepted at once, so
//! that a client which resets every call it makes would never be counted; and each cost us a call.

use tokio::time::Instant;

const HEAD_BYTES: usize = 9;

/// What comes before the first frame is taken for a frame of its own, of a kind there is not.
const PREFACE_BYTES: usize = 24;
const PREFACE: u8 = u8::MAX;

/// A kind of frame, and the flag that ends a block of headers.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Resets at once, and further ones in a second: a proxy brings those of many people together.
const RESETS_MAX: u64 = 400;
const RESETS_PER_SEC: u64 = 100;

/// What h2 takes for too much (11, `ENHANCE_YOUR_CALM`): a block of headers in many empty frames.
pub(super) const CALM: &[u8] = &{
    let mut frames = [0; 10 * HEAD_BYTES];
    let mut frame = 0;
    while frame < 10 {
        frames[frame * HEAD_BYTES + 3] = if frame == 0 { HEADERS } else { CONTINUATION };
        frames[frame * HEAD_BYTES + 8] = 1;
        frame += 1;
    }
    frames
};

/// What h2 takes for a protocol's breach (1, `PROTOCOL_ERROR`): SETTINGS on a stream.
pub(super) const BREACH: &[u8] = &[0, 0, 0, SETTINGS, 0, 0, 0, 0, 1];

/// How far a client has come with what it sends.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    payload_left: usize,
    is_in_headers: bool,
    /// Frames that are complete, the preface among them.
    complete: u64,
    resets_left: u64,
    resets_since: Instant,
}

impl Frames {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            head: [PREFACE; HEAD_BYTES],
            head_bytes: HEAD_BYTES,
            payload_left: PREFACE_BYTES,
            is_in_headers: false,
            complete: 0,
            resets_left: RESETS_MAX,
            resets_since: now,
        }
    }

    /// Follows what was sent. Tells after how many bytes h2 is to read something else, and what.
    pub(super) fn scan(&mut self, chunk: &[u8]) -> Option<(usize, &'static [u8])> {
        let mut left = chunk;
        while !left.is_empty() {
            if self.head_bytes < HEAD_BYTES {
                let taken = left.len().min(HEAD_BYTES - self.head_bytes);
                self.head[self.head_bytes..][..taken].copy_from_slice(&left[..taken]);
                self.head_bytes += taken;
                left = &left[taken..];
                if self.head_bytes < HEAD_BYTES {
                    break;
                }
                let [long, middle, short, ..] = self.head;
                self.payload_left =
                    usize::from(long) << 16 | usize::from(middle) << 8 | usize::from(short);
            }
            let skipped = left.len().min(self.payload_left);
            left = &left[skipped..];
            self.payload_left -= skipped;
            if self.payload_left == 0
                && let Some(instead) = self.end_frame()
            {
                return Some((chunk.len() - left.len(), instead));
            }
        }
        None
    }

    /// A frame is complete. Tells what is to be read from there on, if it is not in order.
    fn end_frame(&mut self) -> Option<&'static [u8]> {
        self.head_bytes = 0;
        self.complete += 1;
        let [_, _, _, kind, flags, ..] = self.head;
        // h2 does not mind what follows the preface (RFC 9113, 3.4).
        if self.complete == 2 && kind != SETTINGS {
            return Some(BREACH);
        }
        match kind {
            HEADERS | CONTINUATION => self.is_in_headers = flags & END_HEADERS == 0,
            RST_STREAM if !self.allow_reset() => return Some(CALM),
            _ => {}
        }
        None
    }

    fn allow_reset(&mut self) -> bool {
        let earned = u64::try_from(self.resets_since.elapsed().as_millis()).unwrap_or(u64::MAX)
            / (1000 / RESETS_PER_SEC);
        if earned > 0 {
            self.resets_left = self.resets_left.saturating_add(earned).min(RESETS_MAX);
            self.resets_since = Instant::now();
        }
        self.resets_left = self.resets_left.saturating_sub(1);
        self.resets_left > 0
    }

    /// Whether the first frame is still to come.
    pub(super) fn is_greeting(&self) -> bool {
        self.complete < 2
    }

    /// What the client has begun and must end soon, by a number that differs from one to the next:
    /// its first frame, any frame's head, a block of headers. A body is not among them.
    pub(super) fn owed(&self) -> Option<u64> {
        let is_within = self.head_bytes > 0;
        let is_body = self.head_bytes == HEAD_BYTES && self.head[3] == 0;
        // In a block of headers, each further frame would be progress of a kind.
        let number = if self.is_in_headers { u64::MAX } else { self.complete };
        (self.is_greeting() || self.is_in_headers || (is_within && !is_body)).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// Frames of a client that has said what it speaks.
    fn greeted() -> Frames {
        let mut frames = Frames::new(Instant::now());
        assert_eq!(frames.scan(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), None);
        assert_eq!(frames.head_bytes, 0);
        frames
    }

    #[tokio::test]
    async fn settings_come_first() {
        for (kind, is_good) in [(SETTINGS, true), (6, false), (HEADERS, false)] {
            let first = frame(kind, 0, &[0; 8]);
            let refused = (!is_good).then_some((first.len(), BREACH));
            assert_eq!(greeted().scan(&[&first[..], &[0; 20]].concat()), refused, "{kind}");
        }
    }

    fn after(sent: &[Vec<u8>]) -> Option<u64> {
        let mut frames = greeted();
        assert_eq!(frames.scan(&sent.concat()), None);
        frames.owed()
    }

    #[tokio::test]
    async fn what_has_begun_is_owed_until_it_has_ended() {
        let settings = || frame(4, 0, &[]);
        assert!(after(&[]).is_some());
        assert!(after(&[settings()]).is_none());
        assert!(after(&[settings(), frame(HEADERS, END_HEADERS, &[0x82])]).is_none());
        let held = after(&[settings(), frame(HEADERS, 0, &[0x82])]);
        assert!(held.is_some());
        let more = [settings(), frame(HEADERS, 0, &[0x82]), frame(CONTINUATION, 0, &[])];
        assert_eq!(after(&more), held);
        assert!(after(&[settings(), frame(6, 0, &[0; 8])[..12].to_vec()]).is_some());
        assert!(after(&[settings(), frame(0, 0, &[0; 8])[..12].to_vec()]).is_none());
    }

    #[tokio::test]
    async fn frames_are_seen_wherever_the_chunks_are_cut() {
        let sent =
            [frame(4, 0, &[0; 6]), frame(HEADERS, END_HEADERS, &[0x82]), frame(3, 0, &[0; 4])];
        let sent = sent.concat();
        for cut in 0..sent.len() {
            let mut frames = greeted();
            assert_eq!(frames.scan(&sent[..cut]), None);
            assert_eq!(frames.scan(&sent[cut..]), None);
            assert_eq!((frames.complete, frames.resets_left), (4, RESETS_MAX - 1), "cut at {cut}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn resets_come_back_with_time() {
        let mut frames = greeted();
        assert_eq!(frames.scan(&frame(SETTINGS, 0, &[])), None);
        let reset = frame(RST_STREAM, 0, &[0; 4]);
        for _second in 0..20 {
            for _reset in 0..RESETS_PER_SEC {
                assert_eq!(frames.scan(&reset), None);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let many = reset.repeat(1000);
        let (at, instead) = frames.scan(&many).unwrap();
        assert_eq!(at / reset.len(), usize::try_from(RESETS_MAX).unwrap());
        assert_eq!(instead, CALM);
    }
}
