//! TLS in front of a service that speaks none, with a certificate of the test's own: for HTTP/2 as it is negotiated with the vendor, and for what can be
//! wrong with a certificate.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

const BUFFER: usize = 16 * 1024;

/// What is said of the server's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certificate {
    /// For `localhost` and 127.0.0.1, signed by the authority of [`TlsFront::ca_file`].
    Good,
    /// The same, and its time is over.
    Expired,
    /// The same, for `vendor.example`.
    OtherName,
}

/// Ends TLS and passes what it holds on. It lives as long as its runtime or itself, whichever ends first.
pub(crate) struct TlsFront {
    addr: SocketAddr,
    ca: NamedTempFile,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

struct Shared {
    target: String,
    http1: TlsAcceptor,
    http2: TlsAcceptor,
    offers_http2: AtomicBool,
    /// Connections that have negotiated HTTP/2.
    spoke_http2: AtomicU64,
}

impl TlsFront {
    /// A front of `target` (`host:port`) that offers HTTP/2 and HTTP/1.1.
    pub(crate) async fn to(target: impl Into<String>) -> Self {
        Self::with(target, Certificate::Good).await
    }

    /// As `to`, with this certificate.
    pub(crate) async fn with(target: impl Into<String>, certificate: Certificate) -> Self {
        let (ca, http1, http2) = identity(certificate);
        let file = NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), ca).expect("it can be written");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("it has an address");
        let shared = Arc::new(Shared {
            target: target.into(),
            http1: TlsAcceptor::from(Arc::new(http1)),
            http2: TlsAcceptor::from(Arc::new(http2)),
            offers_http2: AtomicBool::new(true),
            spoke_http2: AtomicU64::new(0),
        });
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { addr, ca: file, shared, acceptor }
    }

    /// `127.0.0.1:port`, for a link in front of it or for `https://`.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The authority's certificate, for `SSL_CERT_FILE`.
    pub(crate) fn ca_file(&self) -> &Path {
        self.ca.path()
    }

    /// Whether HTTP/2 is offered to the connections from now on.
    pub(crate) fn offer_http2(&self, offer: bool) {
        self.shared.offers_http2.store(offer, Ordering::SeqCst);
    }

    /// Connections that have negotiated HTTP/2 so far.
    pub(crate) fn http2_connections(&self) -> u64 {
        self.shared.spoke_http2.load(Ordering::SeqCst)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// The authority as PEM, and the server's settings without and with HTTP/2.
fn identity(certificate: Certificate) -> (String, ServerConfig, ServerConfig) {
    let key = || KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.distinguished_name.push(rcgen::DnType::CommonName, "antispoofd test authority");
    let authority_key = key();
    let ca = authority.self_signed(&authority_key).expect("it signs itself").pem();

    let names = match certificate {
        Certificate::Good | Certificate::Expired => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        Certificate::OtherName => vec!["vendor.example".to_owned()],
    };
    let mut server = CertificateParams::new(names).expect("names");
    if certificate == Certificate::Expired {
        server.not_before = date_time_ymd(2020, 1, 1);
        server.not_after = date_time_ymd(2021, 1, 1);
    }
    let server_key = key();
    let signed = server.signed_by(&server_key, &Issuer::new(authority, authority_key)).expect("it signs");
    let settings = |protocols: &[&str]| {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider's versions")
            .with_no_client_auth()
            .with_single_cert(vec![signed.der().clone()], key);
        let mut config = config.expect("certificate and key belong together");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    };
    (ca, settings(&["http/1.1"]), settings(&["h2", "http/1.1"]))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // A failed accept is that client's affair.
        if let Ok((client, _)) = listener.accept().await {
            let shared = Arc::clone(&shared);
            // An error is the end of the connection, which is all that becomes of it.
            tokio::spawn(async move { carry(client, &shared).await.ok() });
        }
    }
}

async fn carry(client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let acceptor = if shared.offers_http2.load(Ordering::SeqCst) { &shared.http2 } else { &shared.http1 };
    let client = acceptor.accept(client).await?;
    if client.get_ref().1.alpn_protocol() == Some(b"h2") {
        shared.spoke_http2.fetch_add(1, Ordering::SeqCst);
    }
    let server = TcpStream::connect(&shared.target).await?;
    server.set_nodelay(true)?;
    let (client_reads, mut client_writes) = tokio::io::split(client);
    let (server_reads, server_writes) = server.into_split();
    let sending = async {
        pump(client_reads, server_writes).await.ok();
        // The server may have answered and closed while it was still sent to: its answer must arrive all the same.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answered = pump(server_reads, &mut client_writes) => answered,
        () = sending => Ok(()),
    }
}

/// Passes bytes on until the end of the stream, which is passed on, too.
async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return to.shutdown().await,
            Ok(count) => {
                to.write_all(&buffer[..count]).await?;
                to.flush().await?;
            }
        }
    }
}
