//! Proxies that the environment names, as curl reads it.

use super::error::ConnectError;
use super::wire::Wire;
use bytes::Bytes;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;

/// Which proxy, if any, is between here and a server.
pub(super) struct Proxies(Option<Matcher>);

impl Proxies {
    pub(super) fn new(heeded: bool) -> Self {
        Self(heeded.then(Matcher::from_env))
    }

    pub(super) fn between(&self, uri: &Uri) -> Option<Intercept> {
        self.0.as_ref()?.intercept(uri)
    }
}

/// Asks the proxy at the other end of `wire` for a tunnel to `authority` (RFC 9110, 9.3.6).
pub(super) async fn tunnel(
    wire: Wire,
    at: &str,
    authority: &str,
    authorization: Option<&HeaderValue>,
) -> Result<Wire, ConnectError> {
    let mute = || ConnectError::ProxyMute { at: at.to_owned() };
    let mut request = Request::builder().method(Method::CONNECT).uri(authority).header(HOST, authority);
    if let Some(authorization) = authorization {
        request = request.header(PROXY_AUTHORIZATION, authorization);
    }
    let request =
        request.body(Empty::<Bytes>::new()).map_err(|_| ConnectError::Target("no proxy can be asked for it"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(wire)).await.map_err(|_| mute())?;
    let connection = tokio::spawn(connection.with_upgrades());
    let answer = sender.send_request(request).await.map_err(|_| mute())?;
    if !answer.status().is_success() {
        connection.abort();
        return Err(ConnectError::ProxyRefused { at: at.to_owned(), status: StatusCode::as_u16(&answer.status()) });
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(|_| mute())?;
    let parts = upgraded.downcast::<TokioIo<Wire>>().map_err(|_| mute())?;
    // A server says nothing before the client of TLS does.
    if parts.read_buf.is_empty() { Ok(parts.io.into_inner()) } else { Err(mute()) }
}
