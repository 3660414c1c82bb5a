//! The frame sanitizer between the socket and lapin: it leaves out of a message what lapin could not read.
//!
//! A producer can put anything into the headers of a message. A hostile header table can end lapin's parser, and with it the
//! process or the connection, at each delivery of the message. What is left out is counted in `as-headers-dropped`.
//!
//! ```text
//!   socket ── TLS ──> SanitizingStream { method ──> routing keys made readable; the broker's greeting noted
//!                                      { header ──> untouched, or rebuilt without what cannot be carried
//!                                      { body   ──> untouched } ──> lapin
//! ```

mod frames;
mod header;
mod method;
#[cfg(test)]
mod tests;
mod wire;

pub(super) use frames::Handshake;

use async_rs::Tokio;
use async_rs::traits::Reactor;
use frames::Frames;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{future, stream::Stream};
use lapin::AsyncTcpStream;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// At most so much is read at once: more than a socket has as a rule, and a bound for what is moved behind a rebuilt frame.
const READ_CHUNK: usize = 64 * 1024;

/// A stream, above TLS, whose incoming frames are such that lapin can read them.
#[derive(Debug)]
pub(super) struct SanitizingStream<S> {
    inner: S,
    frames: Frames,
}

impl<S> SanitizingStream<S> {
    pub(super) fn new(inner: S, handshake: Arc<Handshake>) -> Self {
        Self { inner, frames: Frames::new(handshake) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SanitizingStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { inner, frames } = self.get_mut();
        let chunk = buf.len().min(READ_CHUNK);
        loop {
            let drained = frames.drain(buf);
            if drained > 0 || buf.is_empty() {
                return Poll::Ready(Ok(drained));
            }
            let read = ready!(Pin::new(&mut *inner).poll_read(cx, &mut buf[..chunk]))?;
            if read == 0 {
                return Poll::Ready(Ok(0));
            }
            frames.feed(&buf[..read]);
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SanitizingStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_close(cx)
    }
}

/// tokio's reactor with another type of streams, because lapin takes the type of its stream from its reactor.
#[derive(Clone, Debug)]
pub(super) struct SanitizingTokio(pub(super) Tokio);

impl Reactor for SanitizingTokio {
    type TcpStream = SanitizingStream<AsyncTcpStream<<Tokio as Reactor>::TcpStream>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    /// lapin is given a stream that is connected already.
    fn tcp_connect_addr(&self, _: SocketAddr) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
