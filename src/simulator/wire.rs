//! A connection that can be told to end with a reset, to stop, or to say GOAWAY.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::goaway::Goaway;
use super::session::Session;

/// Bytes read or written at a time where frames are watched.
const CHUNK: usize = 16 * 1024;

/// A TCP connection that does as its [`Session`] says.
pub(super) struct Wire {
    stream: TcpStream,
    session: Arc<Session>,
    goaway: Goaway,
    chunk: Box<[u8]>,
    /// Who waits for something to read, to be told of the end.
    reader: Option<Waker>,
}

// === impl Wire ===

impl Wire {
    pub(super) fn new(stream: TcpStream, session: Arc<Session>) -> Self {
        Self { stream, session, goaway: Goaway::new(), chunk: vec![0; CHUNK].into(), reader: None }
    }

    /// Writes what is due.
    fn poll_outward(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let out = self.goaway.outward();
        while !out.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            out.advance(written);
        }
        if self.goaway.is_over()
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads by way of the frames.
    fn poll_frames(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let ready = self.goaway.inward(buffer.remaining());
            if !ready.is_empty() {
                buffer.put_slice(&ready);
                return Poll::Ready(Ok(()));
            }
            // What a late request is told is due though nothing is written of the library's own accord. Where the client takes nothing now, the next
            // flush has it.
            if let Poll::Ready(Err(error)) = self.poll_outward(cx) {
                return Poll::Ready(Err(error));
            }
            if self.goaway.is_over() {
                return Poll::Ready(Ok(()));
            }
            self.reader = Some(cx.waker().clone());
            let mut chunk = ReadBuf::new(&mut self.chunk);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if self.goaway.arrived(chunk.filled(), self.session.max_requests()) {
                self.session.told_to_go_away();
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.session.is_to_be_reset() {
            // Without linger time the kernel sends a reset on close. If it cannot be set, the client has left already.
            if let Err(error) = self.stream.set_zero_linger() {
                tracing::debug!(%error, "connection not reset");
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.session.poll_moving(cx));
        if this.goaway.applies() {
            return this.poll_frames(cx, buffer);
        }
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.session.poll_moving(cx));
        ready!(this.poll_outward(cx))?;
        if !this.goaway.applies() {
            return Pin::new(&mut this.stream).poll_write(cx, bytes);
        }
        let taken = bytes.len().min(CHUNK);
        this.goaway.written(&bytes[..taken]);
        // What the client does not take now goes out with the next write or flush.
        if let Poll::Ready(Err(error)) = this.poll_outward(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.session.poll_moving(cx));
        ready!(this.poll_outward(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.session.poll_moving(cx));
        ready!(this.poll_outward(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}
