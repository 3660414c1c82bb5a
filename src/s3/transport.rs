//! The HTTP client of the GETs: HTTP/1.1, no redirects, no proxies, and no more of an object in memory than can be passed on at once.

use bytes::Bytes;
use http::Uri;
use http_body_util::Empty;
use hyper::rt::{Read, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;
use tower_service::Service;

/// Idle connections are dropped before the store does it: MinIO and S3 keep them for longer.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// Most of an answer that a connection reads ahead, in bytes. The library's own 400 KiB hold half a small image for every job in flight and are
/// no faster: what does not fit in here waits in the kernel.
const READ_AHEAD: usize = 128 * 1024;

pub(super) type HttpClient = Client<WithinLimit<HttpsConnector<HttpConnector>>, Empty<Bytes>>;

/// A client that is not connected to anything yet. Fails when the system's certificate authorities cannot be read.
pub(super) fn client(connect_timeout: Duration) -> std::io::Result<HttpClient> {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    // Plain addresses are refused by default below a TLS connector; MinIO next door has one.
    tcp.enforce_http(false);
    let tls = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())?
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .http1_max_buf_size(READ_AHEAD)
        .build(WithinLimit { connector: tls, limit: connect_timeout }))
}

/// The connection was not there in time, TLS included.
#[derive(Debug, thiserror::Error)]
#[error("no connection within {0:?}")]
pub(super) struct ConnectTimeout(Duration);

/// A connector whose connections are made within a limit.
#[derive(Clone)]
pub(super) struct WithinLimit<C> {
    connector: C,
    limit: Duration,
}

impl<C> Service<Uri> for WithinLimit<C>
where
    C: Service<Uri, Response: Connection + Read + Write + Send, Future: Send + 'static>,
    C::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = C::Response;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connector.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connecting = self.connector.call(address);
        let limit = self.limit;
        Box::pin(async move {
            match timeout(limit, connecting).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(ConnectTimeout(limit).into()),
            }
        })
    }
}

/// What went wrong before there was an answer, in words.
pub(super) fn explain(error: &hyper_util::client::legacy::Error) -> &'static str {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<ConnectTimeout>() {
            return "connecting took too long";
        }
        cause = error.source();
    }
    if error.is_connect() {
        "the connection was refused or could not be made"
    } else {
        "the connection broke before the answer"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use tokio::net::TcpListener;

    async fn failure(address: &str, limit: Duration) -> &'static str {
        let client = client(limit).expect("certificates");
        let request = Request::get(address).body(Empty::new()).expect("a request");
        explain(&client.request(request).await.expect_err("nobody there"))
    }

    #[tokio::test]
    async fn why_there_is_no_connection_is_said() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        // It is accepted by the kernel and nobody shakes hands.
        let silent = failure(&format!("https://127.0.0.1:{port}/"), Duration::from_millis(20)).await;
        assert_eq!(silent, "connecting took too long");
        drop(listener);
        let refused = failure(&format!("http://127.0.0.1:{port}/"), Duration::from_secs(5)).await;
        assert_eq!(refused, "the connection was refused or could not be made");
    }
}
