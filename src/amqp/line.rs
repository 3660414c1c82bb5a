//! The socket under a connection that is being opened.
//!
//! lapin drives each connection from a thread of its own, which nobody can stop or wait for. So the thread begins only when the socket is connected (and TLS
//! is agreed on): to look a name up, to connect and to wait for either takes tokio's time, and a thread that asks for it while the runtime goes down panics.
//! Given up in the middle of the handshake, the thread waits for the peer's next word, and where a peer accepts connections and says nothing it
//! waits for ever: every try would leave a thread and a socket behind. So we keep a handle to the socket, and hang up.
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
use std::sync::{Mutex, PoisonError};

/// Opens a connection, and tells who answered. Dropped before its end, it leaves nothing behind. How long it may take is for the caller to bound, by dropping
/// this.
pub(super) async fn open(
    uri: AMQPUri,
    properties: ConnectionProperties,
    tls: OwnedTLSConfig,
) -> lapin::Result<(Connection, Product)> {
    let terms = Terms::proposed(uri.query.frame_max.unwrap_or_default());
    let (kit, tokio) = sieve::runtime(terms.clone());
    let plain = AMQPUri { scheme: AMQPScheme::AMQP, ..uri.clone() };
    let stream = plain.connect_with_config_async(TLSConfig::default(), &tokio).await?;
    let handset = match &stream {
        AsyncTcpStream::Plain(socket) => Some(Handset::of(socket.get_ref())?),
        _ => None,
    };
    let stream = match uri.scheme {
        AMQPScheme::AMQP => stream,
        AMQPScheme::AMQPS => stream.into_tls(&uri.authority.host, tls.as_ref()).await?,
    };
    let stream = Mutex::new(Some(AsyncTcpStream::Plain(Sieved::new(stream, terms.clone()))));
    // lapin would connect once more when the peer hangs up before its first word; that is for the caller to try.
    let give = async move |_uri: AMQPUri, _kit| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted).into())
    };
    let opened = Connection::connector(uri, kit, give, properties).await?;
    // Nothing is consumed yet, so no message comes before this.
    terms.agreed(opened.configuration().frame_max());
    if let Some(handset) = handset {
        handset.put_aside();
    }
    Ok((opened, terms.product()))
}

/// A second handle to the socket. Hangs up when dropped.
struct Handset(Option<TcpStream>);

impl Handset {
    fn of(socket: &impl AsFd) -> io::Result<Self> {
        Ok(Self(Some(socket.as_fd().try_clone_to_owned()?.into())))
    }

    /// The connection is open: it is lapin's alone from here on.
    fn put_aside(mut self) {
        self.0 = None;
    }
}

impl Drop for Handset {
    fn drop(&mut self) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.shutdown(Shutdown::Both)
        {
            tracing::debug!(%error, "a connection that was given up could not be hung up; it is closed already");
        }
    }
}
