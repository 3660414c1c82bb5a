//! A server that says the same to everybody, in the place of one that should be there: a bad node, somebody else's web page.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// It keeps its connections open, as good servers do, and reads no bodies: it is for GET. Its connections end with it.
pub(crate) struct StandIn {
    addr: SocketAddr,
    served: Arc<AtomicU64>,
    _serving: JoinSet<()>,
}

impl StandIn {
    /// One that answers `status` (`200 OK`) with this type and body.
    pub(crate) async fn answering(status: &str, content_type: &str, body: &str) -> Self {
        let length = body.len();
        let answer: Arc<str> = format!(
            "HTTP/1.1 {status}\r\nserver: nginx\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("it has an address");
        let served = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&served);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            // The end of the listener is the end of this.
            while let Ok((client, _)) = listener.accept().await {
                let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
                // A client that leaves has what it wanted.
                connections.spawn(async move { serve(client, &answer, &count).await.ok() });
            }
        });
        Self { addr, served, _serving: serving }
    }

    /// A node of an S3 store that is being stopped: 503, with the error document that says so.
    pub(crate) async fn bad_store_node() -> Self {
        let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>ServiceUnavailable</Code>\
                    <Message>The service is shutting down</Message><RequestId>0</RequestId></Error>";
        Self::answering("503 Service Unavailable", "application/xml", body).await
    }

    /// A web page that is there whatever is asked for.
    pub(crate) async fn web_page() -> Self {
        let body = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n";
        Self::answering("200 OK", "text/html", body).await
    }

    /// `host:port`
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Requests answered so far.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }
}

async fn serve(client: TcpStream, answer: &str, served: &AtomicU64) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    loop {
        // To the empty line that ends the head.
        while line != "\r\n" {
            line.clear();
            if client.read_line(&mut line).await? == 0 {
                return Ok(());
            }
        }
        line.clear();
        served.fetch_add(1, Ordering::SeqCst);
        client.write_all(answer.as_bytes()).await?;
    }
}
