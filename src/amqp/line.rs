//! The socket under a connection that is being opened.
//!
//! lapin drives each connection from a thread of its own. Given up in the middle of the handshake, that thread waits for the peer's next
//! word, and where a peer accepts connections and says nothing it waits for ever: every try would leave a thread and a socket behind.
//! So we keep a handle to the socket, and hang up.
//!
//! What lapin gets is not the socket but a sieve above it, and above TLS.

use super::sieve::{self, Sieved, Terms};
use super::version::Product;
use lapin::tcp::{AMQPUriTcpExt as _, AsyncTcpStream, OwnedTLSConfig, TLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Opens a connection, and tells who answered. Dropped before its end, it leaves nothing behind. `limit` bounds reaching the peer; the handshake is the caller's
/// to bound, by dropping this.
pub(super) async fn open(
    uri: AMQPUri,
    properties: ConnectionProperties,
    tls: OwnedTLSConfig,
    limit: Duration,
) -> lapin::Result<(Connection, Product)> {
    let line = Line::default();
    let handset = Handset(line.clone());
    let terms = Terms::proposed(uri.query.frame_max.unwrap_or_default());
    let (kit, tokio) = sieve::runtime(terms.clone());
    let above = terms.clone();
    let dial = Connection::connector(
        uri,
        kit,
        async move |uri: AMQPUri, _| {
            let plain = AMQPUri { scheme: AMQPScheme::AMQP, ..uri.clone() };
            let reached = plain.connect_with_config_async(TLSConfig::default(), &tokio);
            let stream = timeout(limit, reached).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            if let AsyncTcpStream::Plain(socket) = &stream {
                line.hold(socket.get_ref())?;
            }
            let stream = match uri.scheme {
                AMQPScheme::AMQP => stream,
                AMQPScheme::AMQPS => stream.into_tls(&uri.authority.host, tls.as_ref()).await?,
            };
            Ok(AsyncTcpStream::Plain(Sieved::new(stream, above.clone())))
        },
        properties,
    );
    let opened = dial.await?;
    // Nothing is consumed yet, so no message comes before this.
    terms.agreed(opened.configuration().frame_max());
    handset.put_aside();
    Ok((opened, terms.product()))
}

#[derive(Clone, Debug, Default)]
struct Line(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Dialling,
    Held(TcpStream),
    Done,
}

impl Line {
    /// Keeps a second handle to the socket. An error when nobody wants the connection any more.
    fn hold(&self, socket: &impl AsFd) -> io::Result<()> {
        let mut state = self.state();
        if matches!(*state, State::Done) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        *state = State::Held(socket.as_fd().try_clone_to_owned()?.into());
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hangs up when dropped.
struct Handset(Line);

impl Handset {
    /// The connection is open: it is lapin's alone from here on.
    fn put_aside(self) {
        *self.0.state() = State::Done;
    }
}

impl Drop for Handset {
    fn drop(&mut self) {
        if let State::Held(socket) = std::mem::replace(&mut *self.0.state(), State::Done)
            && let Err(error) = socket.shutdown(Shutdown::Both)
        {
            tracing::debug!(%error, "a connection that was given up could not be hung up; it is closed already");
        }
    }
}
