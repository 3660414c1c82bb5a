//! TLS over a connection: aws-lc-rs, and the system's certificate authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).

use super::error::ConnectError;
use super::wire::Wire;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The name of HTTP/2 in the TLS handshake (RFC 9113, 3.2).
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Makes TLS connections.
pub(super) struct Tls(TlsConnector);

impl Tls {
    /// Fails when there is no certificate authority to trust.
    pub(super) fn new(http2: bool) -> io::Result<Self> {
        Self::trusting(system_roots()?, http2)
    }

    pub(super) fn trusting(roots: RootCertStore, http2: bool) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = if http2 { vec![HTTP2.to_vec(), HTTP1.to_vec()] } else { vec![HTTP1.to_vec()] };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    pub(super) async fn handshake(&self, host: &str, wire: Wire) -> Result<TlsStream<Wire>, ConnectError> {
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Target("no server has such a name"))?;
        self.0.connect(name, wire).await.map_err(ConnectError::Tls)
    }
}

/// An error where the system has no certificate authorities.
pub fn certificate_authorities() -> io::Result<()> {
    system_roots().map(drop)
}

fn system_roots() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "none were found".to_owned(), ToString::to_string);
        let why = format!("read the system's certificate authorities: {why}");
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    Ok(roots)
}

/// True when the server has chosen HTTP/2.
pub(super) fn chose_http2(stream: &TlsStream<Wire>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}
