//! Finds out whether a connection speaks HTTP/2 or HTTP/1.1.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What an HTTP/2 client with prior knowledge sends first.
const HTTP2: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// Reads until the version is clear, for as long as the caller waits, and gives the bytes back with
/// the stream.
pub(crate) async fn detect<T>(mut stream: T) -> io::Result<(Version, Rewound<T>)>
where
    T: AsyncRead + Unpin,
{
    let mut read = [0; HTTP2.len()];
    let mut length = 0;
    let version = loop {
        if read[..length] != HTTP2[..length] {
            break Version::Http1;
        }
        if length == HTTP2.len() {
            break Version::Http2;
        }
        match stream.read(&mut read[length..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => length += more,
        }
    };
    Ok((version, Rewound { first: read[..length].to_vec(), given: 0, stream }))
}

/// A stream some bytes of which have been read and put back.
#[derive(Debug)]
pub(crate) struct Rewound<T> {
    first: Vec<u8>,
    given: usize,
    stream: T,
}

impl<T: AsyncRead + Unpin> AsyncRead for Rewound<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = &self.first[self.given..];
        if left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..length]);
        self.given += length;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Rewound<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn detected(sent: &[u8]) -> (Version, Vec<u8>) {
        let (mut client, server) = tokio::io::duplex(1024);
        client.write_all(sent).await.unwrap();
        drop(client);
        let (version, mut stream) = detect(server).await.unwrap();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        (version, read)
    }

    #[tokio::test]
    async fn nothing_of_what_was_read_is_lost() {
        for (sent, version) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes"[..], Version::Http2),
            (b"GET /healthz HTTP/1.1\r\n\r\n", Version::Http1),
            (b"POST / HTTP/1.1\r\n\r\n", Version::Http1),
            (b"PRI * HTTP/1.1\r\n\r\n", Version::Http1),
        ] {
            assert_eq!(detected(sent).await, (version, sent.to_vec()));
        }
    }
}
