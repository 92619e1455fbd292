//! gRPC's length-prefixed messages: how one begins, and where they are in chunks that are cut anywhere.

use bytes::{BufMut, Bytes, BytesMut};

/// A message's flag and length.
pub(crate) const HEADER_BYTES: usize = 5;

/// Writes a message behind its flag and length.
pub(crate) fn put(out: &mut BytesMut, flag: u8, message: &[u8]) {
    out.put_u8(flag);
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.put_slice(message);
}

/// One message alone, with its flag and length.
pub(crate) fn framed(flag: u8, message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_BYTES + message.len());
    put(&mut out, flag, message);
    out.freeze()
}

/// Follows gRPC's length-prefixed messages through chunks that are cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// Of the message that began last.
    bytes: usize,
    bytes_left: usize,
}

/// What a chunk held.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    /// Messages that began.
    pub(crate) messages: u64,
    /// The length of the longest of them.
    pub(crate) bytes_max: usize,
}

impl Scanner {
    pub(crate) fn scan(&mut self, mut chunk: &[u8]) -> Seen {
        let mut seen = Seen::default();
        while !chunk.is_empty() {
            if self.bytes_left > 0 {
                let skipped = self.bytes_left.min(chunk.len());
                self.bytes_left -= skipped;
                chunk = &chunk[skipped..];
                continue;
            }
            self.header[self.header_bytes] = chunk[0];
            self.header_bytes += 1;
            chunk = &chunk[1..];
            if self.header_bytes == HEADER_BYTES {
                let [_flag, length @ ..] = self.header;
                self.header_bytes = 0;
                self.bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.bytes_left = self.bytes;
                seen.messages += 1;
                seen.bytes_max = seen.bytes_max.max(self.bytes);
            }
        }
        seen
    }

    /// Whether the bytes so far end within a message.
    pub(crate) fn is_within(&self) -> bool {
        self.header_bytes > 0 || self.bytes_left > 0
    }

    /// How much is there of a message that is not whole.
    pub(crate) fn unfinished(&self) -> usize {
        if self.bytes_left > 0 { self.bytes - self.bytes_left } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_seen_wherever_the_chunks_are_cut() {
        let stream = [&[0, 0, 0, 0, 3, 1, 2, 3][..], &[0, 0, 0, 0, 0], &[0, 0, 0, 1, 0]].concat();
        for cut in 0..stream.len() {
            let mut scanner = Scanner::default();
            let (first, second) = (scanner.scan(&stream[..cut]), scanner.scan(&stream[cut..]));
            assert_eq!(first.messages + second.messages, 3, "cut at {cut}");
            assert_eq!(first.bytes_max.max(second.bytes_max), 256, "cut at {cut}");
        }
    }
}
