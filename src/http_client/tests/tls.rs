//! TLS as servers get it wrong, and HTTP where TLS is spoken.

use super::*;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

/// A server's certificate, and a client that trusts it.
pub(super) fn trusting(params: impl FnOnce(&mut CertificateParams), alpn: &[&[u8]]) -> (TlsAcceptor, Tls) {
    let key = KeyPair::generate().expect("a key");
    let mut certificate = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params(&mut certificate);
    let certificate = certificate.self_signed(&key).expect("a certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let secret = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], secret);
    let mut config = config.expect("a certificate with its key");
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), Tls::trusting(roots, true).expect("a client"))
}

pub(super) fn at(listener: &TcpListener, scheme: &str, host: &str) -> Uri {
    let port = listener.local_addr().expect("it is bound").port();
    format!("{scheme}://{host}:{port}/detect").parse().expect("a URI")
}

async fn refused(acceptor: Option<TlsAcceptor>, tls: Tls, host: &str) -> SendError {
    let (listener, _) = listening().await;
    let uri = at(&listener, "https", host);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            if let Some(acceptor) = &acceptor {
                drop(acceptor.accept(socket).await);
            } else {
                let mut hello = [0; 16];
                socket.read_exact(&mut hello).await.expect("a handshake");
                socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("an answer");
            }
        }
    });
    let client = Client::<Full<Bytes>>::over(OPTIONS, tls);
    send(&client, post(&uri, Full::default())).await.err().expect("there is no connection")
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_named_with_its_remedy() {
    let (expired, trusts_expired) = trusting(|params| params.not_after = date_time_ymd(2020, 1, 1), &[]);
    let (named, trusts_named) = trusting(|_| {}, &[]);
    let (unknown, _) = trusting(|_| {}, &[]);
    let (_, trusts_another) = trusting(|_| {}, &[]);
    let (_, trusts) = trusting(|_| {}, &[]);
    for (error, says, remedy) in [
        (refused(Some(expired), trusts_expired, "localhost").await, "has expired", "clock"),
        (refused(Some(named), trusts_named, "127.0.0.1").await, "for another name", "correct the host"),
        (refused(Some(unknown), trusts_another, "localhost").await, "not trusted here", "SSL_CERT_FILE"),
        (refused(None, trusts, "localhost").await, "does not speak TLS", "http://"),
    ] {
        let connecting = error.connecting().unwrap_or_else(|| panic!("{error}"));
        assert!(error.to_string().contains(says), "{error}");
        assert!(connecting.remedy().expect("it does not pass by itself").contains(remedy), "{error}");
    }
}

#[tokio::test]
async fn a_name_without_address_and_a_refused_connection_are_told_apart() {
    let client = Client::<Full<Bytes>>::new(OPTIONS).expect("a client");
    let uri = "http://no-such-host.invalid/".parse().expect("a URI");
    let error = send(&client, post(&uri, Full::default())).await.err().expect("no host has this name");
    assert!(error.connecting().is_some_and(|error| error.remedy().is_some()), "{error}");
    assert!(error.to_string().contains("no-such-host.invalid does not resolve"), "{error}");
    let (listener, uri) = listening().await;
    drop(listener);
    let error = send(&client, post(&uri, Full::default())).await.err().expect("nothing listens");
    assert!(error.connecting().is_some_and(|error| error.remedy().is_none()), "it may pass: {error}");
    assert!(error.to_string().contains("was refused"), "{error}");
}

#[tokio::test]
async fn a_port_that_speaks_tls_is_recognised() {
    let (acceptor, _) = trusting(|_| {}, &[]);
    let (listener, _) = listening().await;
    let uri = at(&listener, "http", "localhost");
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.expect("a connection");
            drop(acceptor.accept(socket).await);
        }
    });
    let client = Client::<Full<Bytes>>::new(OPTIONS).expect("a client");
    assert!(client.speaks_tls(&uri).await, "with a certificate that is not trusted");
    let (listener, plain) = listening().await;
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    assert!(!client.speaks_tls(&plain).await);
}

/// A proxy in a tunnel may write plain text where TLS is expected, and reset the connection. The alert that TLS then wants to write cannot be written,
/// which says nothing about the request: that was there whole.
#[tokio::test]
async fn an_alert_that_cannot_be_written_makes_no_request_incomplete() {
    for _ in 0..30 {
        let (acceptor, tls) = trusting(|_| {}, &[]);
        let (listener, _) = listening().await;
        let uri = at(&listener, "https", "localhost");
        let serve = async move {
            let (socket, _) = listener.accept().await.expect("a connection");
            let mut stream = acceptor.accept(socket).await.expect("TLS");
            let mut seen = Vec::new();
            while !seen.ends_with(b"an image") {
                stream.read_buf(&mut seen).await.expect("a request");
            }
            let (mut socket, _) = stream.into_inner();
            socket.set_zero_linger().expect("a socket");
            socket.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await.expect("what TLS cannot read");
        };
        let client = Client::<Full<Bytes>>::over(OPTIONS, tls);
        let (answer, ()) = tokio::join!(send(&client, post(&uri, Full::from("an image"))), serve);
        let error = answer.err().expect("that is no answer");
        assert!(!error.request_incomplete() && !error.is_unprocessed(), "{error}");
    }
}
