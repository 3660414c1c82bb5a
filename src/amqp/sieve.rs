//! A sieve between the socket and lapin, for what strangers put into message headers.
//!
//! lapin reads every header table by recursion and takes a short string that is not UTF-8 for a broken connection, so one message can end the
//! process, or the connection with all jobs on it, each time it is delivered. The broker passes such messages on. Here the bytes are
//! ours before lapin reads them: what it could not carry is left out of the message, and a header of ours, `as-headers-dropped`, says so.
//!
//! ```text
//!   socket ── TLS ──> Sieved { Frames ── method ──> routing keys made readable
//!                            {        ── greeting ─> noted: lapin does not pass on which broker it is
//!                            {        ── header ──> checked; written anew where something has to go
//!                            {        ── body   ──> as it comes } ──> lapin
//! ```
//!
//! It has to lie above TLS, so the stream that lapin is given is a "plain" one whatever is below, of a reactor of ours.

mod frames;
mod greeting;
mod header;
mod method;
mod table;
#[cfg(test)]
mod tests;

use super::version::Product;
use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use frames::Frames;
use futures_io::{AsyncRead, AsyncWrite};
use lapin::AsyncTcpStream;
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// At most so much is read at once: more than a socket has as a rule, and a bound for what is copied behind a message that has to be changed.
const GULP: usize = 64 * 1024;

/// After so many reads without a byte for lapin, its thread gets to do something else.
const ROUNDS: usize = 16;

/// What lapin runs on: tokio, with a sieve over its sockets.
pub(super) type Kit = RuntimeParts<Tokio, SievedTokio>;

/// The socket of tokio's reactor, below TLS.
type Socket = <Tokio as Reactor>::TcpStream;

/// The kit for one connection, and what its closure wraps the opened stream with.
pub(super) fn runtime(terms: Terms) -> (Runtime<Kit>, Runtime<Tokio>) {
    let tokio = Tokio::current();
    let reactor = SievedTokio { tokio: tokio.clone(), terms };
    (Runtime::new(RuntimeParts::new(tokio.clone(), reactor)), Runtime::new(tokio))
}

/// What the two sides have told each other, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct Terms(Arc<Told>);

#[derive(Debug)]
struct Told {
    /// The largest frame that both sides take, in bytes.
    frame_max: AtomicU32,
    product: OnceLock<Product>,
}

impl Terms {
    /// Before the two sides have agreed on the largest frame, in bytes. No message is delivered before that.
    pub(super) fn proposed(frame_max: u32) -> Self {
        Self(Arc::new(Told { frame_max: AtomicU32::new(frame_max), product: OnceLock::new() }))
    }

    /// The largest frame that has been agreed on, in bytes.
    pub(super) fn agreed(&self, frame_max: u32) {
        self.0.frame_max.store(frame_max, Ordering::Release);
    }

    /// Which broker it says it is.
    pub(super) fn product(&self) -> Product {
        self.0.product.get().cloned().unwrap_or_default()
    }

    fn frame_max(&self) -> usize {
        self.0.frame_max.load(Ordering::Acquire) as usize
    }

    /// The first greeting counts: there is one on a connection.
    fn heard(&self, product: Product) {
        self.0.product.get_or_init(|| product);
    }
}

/// A stream whose incoming frames are such that lapin can read them.
#[derive(Debug)]
pub(super) struct Sieved<S> {
    inner: S,
    frames: Frames,
    terms: Terms,
}

impl<S> Sieved<S> {
    pub(super) fn new(inner: S, terms: Terms) -> Self {
        Self { inner, frames: Frames::default(), terms }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sieved<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { inner, frames, terms } = self.get_mut();
        let gulp = buf.len().min(GULP);
        for _ in 0..ROUNDS {
            let given = frames.give(buf);
            if given > 0 || buf.is_empty() {
                return Poll::Ready(Ok(given));
            }
            let read = ready!(Pin::new(&mut *inner).poll_read(cx, &mut buf[..gulp]))?;
            if read == 0 {
                return Poll::Ready(Ok(0));
            }
            let stands = frames.take(&mut buf[..read], terms.frame_max());
            if let Some(product) = frames.greeting() {
                terms.heard(product);
            }
            if stands > 0 {
                return Poll::Ready(Ok(stands));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sieved<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_close(cx)
    }
}

/// tokio's reactor, but for the type of its streams.
#[derive(Clone, Debug)]
pub(super) struct SievedTokio {
    tokio: Tokio,
    terms: Terms,
}

impl Reactor for SievedTokio {
    type TcpStream = Sieved<AsyncTcpStream<Socket>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.tokio.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.tokio.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl futures_util::stream::Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.tokio.tcp_connect_addr(address);
        let terms = self.terms.clone();
        async move { Ok(Sieved::new(AsyncTcpStream::Plain(connecting.await?), terms)) }
    }
}
