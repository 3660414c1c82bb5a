//! An object store that says one thing and does another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::interval;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lie {
    /// The connection ends in an orderly way in the middle of what was announced.
    ClosesHalfway,
    /// A thousand bytes more are announced than come; then nothing happens.
    AnnouncesMore,
    /// Two lengths: the announced one, and chunks that end a thousand bytes before it.
    ChunkedButShorter,
    /// Two lengths, and the chunks go on behind the announced one.
    ChunkedButLonger,
    /// Chunks, and no length at all.
    NoLength,
    /// An error whose document does not end.
    ComplainsWithoutEnd,
    /// An error whose document comes byte by byte, for hours.
    ComplainsInDrops,
}

/// Serves one object under every key: as the lies say at first, one answer for each, and then as it is.
pub(super) struct Liar {
    addr: SocketAddr,
    told: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Liar {
    pub(super) async fn start(object: Vec<u8>, lies: &[Lie]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let told = Arc::new(AtomicUsize::new(0));
        let (counter, lies, object) = (Arc::clone(&told), lies.to_vec(), Arc::new(object));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (counter, lies, object) = (Arc::clone(&counter), lies.clone(), Arc::clone(&object));
                tokio::spawn(async move {
                    // A client that leaves is none of our business.
                    answer(client, &object, &lies, &counter).await.ok();
                });
            }
        });
        Self { addr, told, task }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Lies told so far.
    pub(super) fn told(&self) -> usize {
        self.told.load(Ordering::SeqCst)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One answer for each connection.
async fn answer(client: TcpStream, object: &[u8], lies: &[Lie], told: &AtomicUsize) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut header = String::new();
    while client.read_line(&mut header).await? > 2 {
        header.clear();
    }
    let lie = told.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n < lies.len()).then_some(n + 1));
    let lie = lie.ok().map(|number| lies[number]);
    match lie {
        Some(Lie::ComplainsWithoutEnd) => return complain(client).await,
        Some(Lie::ComplainsInDrops) => return drip(client).await,
        _ => {}
    }
    let length = object.len();
    let (announced, sent) = match lie {
        None => (Some(length), length),
        Some(Lie::ClosesHalfway) => (Some(length), length / 2),
        Some(Lie::AnnouncesMore) => (Some(length + 1000), length),
        Some(Lie::ChunkedButShorter) => (Some(length), length - 1000),
        Some(Lie::ChunkedButLonger) => (Some(length - 1000), length),
        Some(Lie::NoLength | Lie::ComplainsWithoutEnd | Lie::ComplainsInDrops) => (None, length),
    };
    let chunked = matches!(lie, Some(Lie::ChunkedButShorter | Lie::ChunkedButLonger | Lie::NoLength));
    let length = announced.map(|announced| format!("content-length: {announced}\r\n")).unwrap_or_default();
    let coding = if chunked { "transfer-encoding: chunked\r\n" } else { "" };
    let head = format!("HTTP/1.1 200 OK\r\netag: \"liar\"\r\nconnection: close\r\n{length}{coding}\r\n");
    client.write_all(head.as_bytes()).await?;
    if chunked {
        for chunk in object[..sent].chunks(50_000) {
            client.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
            client.write_all(chunk).await?;
            client.write_all(b"\r\n").await?;
        }
        client.write_all(b"0\r\n\r\n").await?;
    } else {
        client.write_all(&object[..sent]).await?;
    }
    if matches!(lie, Some(Lie::AnnouncesMore)) {
        // Until the client has had enough.
        client.read_line(&mut header).await?;
    }
    client.shutdown().await
}

/// Never stops, and never is silent for long enough to be given up for that.
async fn complain(mut client: BufReader<TcpStream>) -> std::io::Result<()> {
    client.write_all(b"HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\n\r\n").await?;
    loop {
        client.write_all(b"5\r\n<!-- \r\n").await?;
    }
}

/// Each byte well within the time that is given to the next.
async fn drip(mut client: BufReader<TcpStream>) -> std::io::Result<()> {
    client.write_all(b"HTTP/1.1 500 X\r\ncontent-length: 100000\r\n\r\n").await?;
    let mut drops = interval(Duration::from_millis(200));
    loop {
        drops.tick().await;
        client.write_all(b" ").await?;
        client.flush().await?;
    }
}
