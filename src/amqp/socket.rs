//! The socket under a connection that is being opened.
//!
//! lapin drives each connection from a thread of its own, which cannot be stopped or waited for. So the thread begins only when
//! the socket is connected (and TLS is agreed on): to resolve a name, to connect and to wait for either uses tokio, and a thread
//! that asks for tokio while the runtime shuts down panics. When the handshake is given up, the thread goes on waiting for the
//! peer's next bytes, and for ever where a peer accepts connections and says nothing: every attempt would leave a thread and a
//! socket behind. So we keep a handle to the socket and shut it down.
//!
//! lapin gets a [`SanitizingStream`] above the socket and TLS.

use super::sanitizer::{Handshake, SanitizingStream, SanitizingTokio};
use super::version::Product;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use lapin::tcp::{AMQPUriTcpExt as _, AsyncTcpStream, OwnedTLSConfig, TLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// Opens a connection and returns it with the broker's product. Dropped before its end, it leaves nothing behind. The caller
/// bounds its time by dropping it.
pub(super) async fn open(
    uri: AMQPUri,
    properties: ConnectionProperties,
    tls: OwnedTLSConfig,
) -> lapin::Result<(Connection, Product)> {
    let tokio = Tokio::current();
    let runtime = Runtime::new(RuntimeParts::new(tokio.clone(), SanitizingTokio(tokio.clone())));
    let plain = AMQPUri { scheme: AMQPScheme::AMQP, ..uri.clone() };
    let stream = plain.connect_with_config_async(TLSConfig::default(), &Runtime::new(tokio)).await?;
    let abort = match &stream {
        AsyncTcpStream::Plain(socket) => Some(AbortOnDrop::new(socket.get_ref())?),
        _ => None,
    };
    let stream = match uri.scheme {
        AMQPScheme::AMQP => stream,
        AMQPScheme::AMQPS => stream.into_tls(&uri.authority.host, tls.as_ref()).await?,
    };
    let handshake = Arc::new(Handshake::default());
    let stream = Mutex::new(Some(AsyncTcpStream::Plain(SanitizingStream::new(stream, handshake.clone()))));
    // lapin would connect once more when the peer closes before its first frame; whether to is for the caller to decide.
    let connected = async move |_uri: AMQPUri, _runtime| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted).into())
    };
    let opened = Connection::connector(uri, runtime, connected, properties).await?;
    // Nothing is consumed yet, so no message arrives before this.
    handshake.frame_max.store(opened.configuration().frame_max() as usize, Ordering::Release);
    if let Some(abort) = abort {
        abort.disarm();
    }
    Ok((opened, handshake.product.get().cloned().unwrap_or_default()))
}

/// A second handle to the socket, which shuts it down when dropped.
struct AbortOnDrop(Option<TcpStream>);

impl AbortOnDrop {
    fn new(socket: &impl AsFd) -> io::Result<Self> {
        Ok(Self(Some(socket.as_fd().try_clone_to_owned()?.into())))
    }

    /// The connection is open: from here on it is lapin's alone.
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.shutdown(Shutdown::Both)
        {
            tracing::debug!(%error, "a connection that was given up could not be shut down; it is closed already");
        }
    }
}
