//! The socket, below TLS.
//!
//! A server that refuses a request by its head answers at once and closes, while the body is still being written: the next write fails, and
//! hyper gives the connection up without looking at what has arrived (seen with 1.12: two in five refusals of a 9 MB request were lost).
//! So a failed write is not reported: writing blocks from then on, reading goes on, and the answer, or the end of the connection, is found.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// For so long an answer is waited for after a write has failed. The kernel has what arrived before, and says at once when there is no more:
/// the limit is for a peer that has stopped to read and goes on to write.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is known of the bytes that were to be written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Bytes were refused by the kernel, or are waiting for room in it.
    short: AtomicBool,
}

impl Written {
    /// True while not all that was to be written has left this process, which then includes the end of the last request.
    pub(super) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }
}

/// A TCP connection whose failed writes do not hide what can be read.
pub(super) struct Wire {
    socket: TcpStream,
    written: Arc<Written>,
    failed: Option<(io::Error, Pin<Box<Sleep>>)>,
    /// What is written now is TLS's own, and no part of a request.
    aside: bool,
}

impl Wire {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket, written: Arc::default(), failed: None, aside: false }
    }

    /// While this is set, what is written is TLS's own: the alert about bytes that it cannot read, its farewell. Whether that gets through says nothing
    /// about a request.
    pub(super) fn writes_aside(&mut self, aside: bool) {
        self.aside = aside;
    }

    pub(super) fn written(&self) -> Arc<Written> {
        self.written.clone()
    }

    /// After a failed write: nothing more is written, and after a while the failure is reported.
    fn poll_failed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some((error, limit)) = &mut self.failed else { return Poll::Pending };
        match limit.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(error.kind(), error.to_string()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.failed.is_some() {
            return self.poll_failed(cx);
        }
        let result = write(Pin::new(&mut self.socket), cx);
        if self.aside {
            return result;
        }
        self.written.short.store(!matches!(result, Poll::Ready(Ok(_))), Ordering::Relaxed);
        match result {
            Poll::Ready(Err(error)) => {
                self.failed = Some((error, Box::pin(sleep(LAST_WORDS))));
                self.poll_failed(cx)
            }
            result => result,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |socket, cx| socket.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |socket, cx| socket.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
