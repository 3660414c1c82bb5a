//! A connection that can be told to end with a reset.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::call::CutOff;

/// Says how a connection is to end.
#[derive(Debug, Default)]
pub(super) struct Fuse {
    blown: AtomicBool,
}

/// A TCP connection that ends as its [`Fuse`] says: with a reset when blown, else in the ordinary way.
pub(super) struct Wire {
    stream: TcpStream,
    fuse: Arc<Fuse>,
}

// === impl Fuse ===

impl Fuse {
    /// The connection is to end with a reset, and the error makes the server end it now. Over HTTP/2 the error alone resets
    /// the one stream, and the others go on.
    pub(super) fn blow(&self, version: Version) -> CutOff {
        if version < Version::HTTP_2 {
            self.blown.store(true, Ordering::Relaxed);
        }
        CutOff
    }
}

// === impl Wire ===

impl Wire {
    pub(super) fn new(stream: TcpStream, fuse: Arc<Fuse>) -> Self {
        Self { stream, fuse }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.fuse.blown.load(Ordering::Relaxed) {
            // Without linger time the kernel sends a reset on close. If it cannot be set, the client has left already.
            if let Err(error) = self.stream.set_zero_linger() {
                tracing::debug!(%error, "connection not reset");
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
