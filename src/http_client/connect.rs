//! From a URI to a connection that takes requests.

use super::error::{ConnectError, SendError};
use super::proxy::{Proxies, tunnel};
use super::request::RequestBody;
use super::stream::Stream;
use super::tls::{Tls, chose_http2};
use super::wire::{Wire, Written};
use antispoof_core::causes::causes;
use http::Uri;
use http::header::HeaderValue;
use hyper::client::conn::{http1, http2};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;
use tower_service::Service;

/// What the connections of one client read ahead or keep to be written together, in bytes: each has its part. What does not fit waits in the kernel. Larger
/// parts are cheaper, since more is handed to the kernel at a time (with 16 requests at a time and images of 5 MB, 256 KiB take a fifth less CPU than 128 KiB,
/// and more brings nothing); a job in flight holds three to four times its part, in both clients and between them.
const BUFFERS: usize = 8 * 1024 * 1024;
const LEAST_BUFFER: usize = 8 * 1024;
const MOST_BUFFER: usize = 256 * 1024;

/// Most headers of an answer: above the library's own 100, beyond which an answer, paid for or not, is lost. Room for all of them is made for each head.
const MOST_HEADERS: usize = 200;

/// An HTTP/2 connection that does not answer a ping within the second after the first is dead, whatever TCP says.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_LIMIT: Duration = Duration::from_secs(10);

/// What the two edges want differently.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Limit for a connection, from the name's resolution to the end of the TLS handshake.
    pub connect_timeout: Duration,
    /// The longest time for which an idle connection is kept. A server that announces or shows a shorter one is heeded.
    pub idle_timeout: Duration,
    /// Whether HTTP/2 is offered in the TLS handshake.
    pub http2: bool,
    /// So many requests are in flight at a time: their buffers share one budget.
    pub in_flight: u16,
    /// Whether `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are heeded.
    pub proxies: bool,
}

/// A server, as a connection to it is told from others.
pub(super) struct Target {
    /// Scheme, host and port.
    pub(super) origin: Arc<str>,
    /// Host, and the port where it is not the scheme's own.
    pub(super) host_header: HeaderValue,
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl Target {
    pub(super) fn of(uri: &Uri) -> Result<Self, SendError> {
        let wrong = |what| SendError::connect(ConnectError::Target(what));
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("the address begins neither with https:// nor with http://")),
        };
        let host = uri.host().ok_or_else(|| wrong("the address names no host"))?;
        let usual = if tls { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(usual);
        let scheme = if tls { "https" } else { "http" };
        Ok(Self {
            origin: format!("{scheme}://{host}:{port}").into(),
            host_header: host_header(uri).ok_or_else(|| wrong("no server has such a name"))?,
            uri: uri.clone(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            tls,
        })
    }

    pub(super) fn is_of(&self, uri: &Uri) -> bool {
        self.uri.scheme() == uri.scheme() && self.uri.authority() == uri.authority()
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// What `Host` says in a request for this address: the host, and the port where it is not the scheme's own. `None` where that is no text of a header.
pub fn host_header(uri: &Uri) -> Option<HeaderValue> {
    let host = uri.host()?;
    let header = match (uri.port_u16(), uri.scheme_str()) {
        (None, _) | (Some(80), Some("http")) | (Some(443), Some("https")) => HeaderValue::from_str(host),
        (Some(port), _) => HeaderValue::try_from(format!("{host}:{port}")),
    };
    header.ok()
}

/// What is at the other end of a connection.
#[derive(Clone)]
pub(super) enum Peer {
    /// The server, or a tunnel to it.
    Server,
    /// A proxy that passes on plain HTTP, with what it wants to know of us.
    Proxy(Option<HeaderValue>),
}

/// A connection that has just been made.
#[expect(clippy::large_enum_variant, reason = "it is moved once, when a connection is made")]
pub(super) enum Made<B: RequestBody> {
    Http1 {
        sender: http1::SendRequest<B>,
        running: http1::Connection<TokioIo<Stream>, B>,
        written: Arc<Written>,
        peer: Peer,
    },
    Http2 {
        sender: http2::SendRequest<B>,
        running: http2::Connection<TokioIo<Stream>, B, TokioExecutor>,
    },
}

impl<B: RequestBody> Made<B> {
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2 { .. })
    }
}

pub(super) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: Tls,
    proxies: Proxies,
    options: Options,
}

impl Connector {
    pub(super) fn new(options: Options, tls: Tls) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.set_nodelay(true);
        // TLS is made above it.
        tcp.enforce_http(false);
        Self { tcp, tls, proxies: Proxies::new(options.proxies), options }
    }

    /// Whether a new connection may turn out to speak HTTP/2.
    pub(super) fn offers_http2(&self, target: &Target) -> bool {
        self.options.http2 && target.tls
    }

    pub(super) async fn connect<B: RequestBody>(&self, target: &Target) -> Result<Made<B>, ConnectError> {
        timeout(self.options.connect_timeout, self.reach(target)).await.map_err(|_| ConnectError::TimedOut)?
    }

    pub(super) async fn speaks_tls(&self, uri: &Uri) -> bool {
        let Ok(target) = Target::of(uri) else { return false };
        let asked = async {
            let wire = self.wire(&target.uri).await?;
            self.tls.handshake(&target.host, wire).await
        };
        match timeout(self.options.connect_timeout, asked).await {
            Ok(Ok(_)) => true,
            Ok(Err(ConnectError::Tls(error))) => {
                let said = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                matches!(said, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)))
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }

    pub(super) async fn certificate(&self, uri: &Uri) -> Option<Vec<u8>> {
        let target = Target::of(uri).ok().filter(|target| target.tls)?;
        let secured = async {
            let (wire, _) = self.way(&target).await?;
            self.tls.handshake(&target.host, wire).await
        };
        let tls = timeout(self.options.connect_timeout, secured).await.ok()?.ok()?;
        tls.get_ref().1.peer_certificates()?.first().map(|certificate| certificate.to_vec())
    }

    async fn reach<B: RequestBody>(&self, target: &Target) -> Result<Made<B>, ConnectError> {
        let (wire, peer) = self.way(target).await?;
        let written = wire.written();
        let buffer = buffer(self.options.in_flight);
        if !target.tls {
            return http1(Stream::Plain(wire), written, peer, buffer).await;
        }
        let tls = self.tls.handshake(&target.host, wire).await?;
        if chose_http2(&tls) {
            return http2(Stream::Tls(Box::new(tls)), buffer).await;
        }
        http1(Stream::Tls(Box::new(tls)), written, Peer::Server, buffer).await
    }

    /// A connection to the server, or to a proxy: with a tunnel through it, where TLS follows.
    async fn way(&self, target: &Target) -> Result<(Wire, Peer), ConnectError> {
        let proxy = self.proxies.between(&target.uri);
        // Spoken to in plain text, a proxy of another kind would be sent the credentials in plain text.
        if proxy.as_ref().is_some_and(|proxy| proxy.uri().scheme_str() != Some("http")) {
            return Err(ConnectError::ProxyKind);
        }
        let wire = self.wire(proxy.as_ref().map_or(&target.uri, |proxy| proxy.uri())).await?;
        let Some(proxy) = proxy else { return Ok((wire, Peer::Server)) };
        if !target.tls {
            return Ok((wire, Peer::Proxy(proxy.basic_auth().cloned())));
        }
        let at = proxy.uri().authority().map(|at| at.host().to_owned()).unwrap_or_default();
        let at = proxy.uri().port_u16().map_or(at.clone(), |port| format!("{at}:{port}"));
        Ok((tunnel(wire, &at, &target.authority(), proxy.basic_auth()).await?, Peer::Server))
    }

    async fn wire(&self, uri: &Uri) -> Result<Wire, ConnectError> {
        match self.tcp.clone().call(uri.clone()).await {
            Ok(socket) => Ok(Wire::new(socket.into_inner())),
            Err(error) => Err(unconnected(&error, uri)),
        }
    }
}

/// The part of one connection.
fn buffer(in_flight: u16) -> usize {
    (BUFFERS / usize::from(in_flight.max(1))).clamp(LEAST_BUFFER, MOST_BUFFER)
}

async fn http1<B: RequestBody>(
    stream: Stream,
    written: Arc<Written>,
    peer: Peer,
    buffer: usize,
) -> Result<Made<B>, ConnectError> {
    let mut builder = http1::Builder::new();
    // Of an answer that may have been paid for, as much is read as can be.
    builder.max_buf_size(buffer).max_headers(MOST_HEADERS).allow_obsolete_multiline_headers_in_responses(true);
    let (sender, running) = builder.handshake(TokioIo::new(stream)).await.map_err(handshake)?;
    Ok(Made::Http1 { sender, running, written, peer })
}

async fn http2<B: RequestBody>(stream: Stream, buffer: usize) -> Result<Made<B>, ConnectError> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_LIMIT)
        .max_send_buf_size(buffer);
    let (sender, running) = builder.handshake(TokioIo::new(stream)).await.map_err(handshake)?;
    Ok(Made::Http2 { sender, running })
}

fn handshake(error: hyper::Error) -> ConnectError {
    ConnectError::Tcp(io::Error::other(error))
}

/// The connector's own error type is private; what it is made of is not.
fn unconnected(error: &(dyn Error + 'static), uri: &Uri) -> ConnectError {
    let causes = || causes(error);
    if let Some(Unresolved(source)) = causes().find_map(|error| error.downcast_ref()) {
        let host = uri.host().unwrap_or_default().to_owned();
        return ConnectError::Name { host, source: again(source) };
    }
    match causes().find_map(|error| error.downcast_ref::<io::Error>()) {
        Some(error) => ConnectError::Tcp(again(error)),
        None => ConnectError::Tcp(io::Error::other(error.to_string())),
    }
}

fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// The system's resolver, whose errors can be told from those of the connection.
#[derive(Clone)]
struct Resolver(GaiResolver);

#[derive(Debug, thiserror::Error)]
#[error("resolve a name: {0}")]
struct Unresolved(io::Error);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.0.poll_ready(cx).map_err(Unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let asked = self.0.call(name);
        Box::pin(async move { Ok(asked.await.map_err(Unresolved)?.collect::<Vec<_>>().into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffers_of_all_share_a_budget() {
        assert_eq!(
            [0, 1, 16, 32, 64, 256, 1000].map(|in_flight| buffer(in_flight) / 1024),
            [256, 256, 256, 256, 128, 32, 8]
        );
    }
}
