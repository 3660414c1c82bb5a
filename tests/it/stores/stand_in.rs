//! A small HTTP server that answers as a real one was seen to, where the real one is not at hand.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is asked for.
pub(super) struct Request {
    /// Path and query as they came.
    pub(super) path: String,
    /// The lines of its header, in lower case.
    pub(super) header: String,
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let mut head = format!("HTTP/1.1 {status} X\r\n");
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        Self { head, body: body.into() }
    }

    /// An object as a store sends it.
    pub(super) fn object(bytes: &[u8], etag: &str) -> Self {
        let etag = format!("\"{etag}\"");
        Self::new(200, &[("etag", &etag), ("x-amz-request-id", "1"), ("content-type", "image/jpeg")], bytes)
    }

    /// A refusal as a store words it.
    pub(super) fn error(status: u16, code: &str) -> Self {
        let document = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code></Error>");
        Self::new(status, &[("content-type", "application/xml"), ("x-amz-request-id", "1")], document)
    }

    fn bytes(&self) -> Vec<u8> {
        let length = format!("content-length: {}\r\nconnection: close\r\n\r\n", self.body.len());
        [self.head.as_bytes(), length.as_bytes(), &self.body].concat()
    }
}

/// Answers every request by a rule. Stopped when dropped.
pub(super) struct StandIn {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl StandIn {
    pub(super) async fn start(rule: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let rule = Arc::new(rule);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let rule = Arc::clone(&rule);
                tokio::spawn(async move {
                    // A client that leaves is none of our business.
                    serve(client, &*rule).await.ok();
                });
            }
        });
        Self { addr, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(client: TcpStream, rule: &(dyn Fn(&Request) -> Answer + Send + Sync)) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut first = String::new();
    client.read_line(&mut first).await?;
    let mut header = String::new();
    while client.read_line(&mut header).await? > 2 {}
    header.make_ascii_lowercase();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    client.write_all(&rule(&Request { path, header }).bytes()).await?;
    client.shutdown().await
}
