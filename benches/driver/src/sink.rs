//! The least a vendor can be: reads a body to its announced end, looks at its first and last bytes, waits, and gives a fixed answer.

use anyhow::{Context as _, Result, bail, ensure};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 44\r\n\r\n\
    {\"spoof_detected\":false,\"accuracy\":0.98765}\n";
const BEGIN: &[u8] = br#"{"img":"data:image/jpeg;base64,/9j/"#;
const END: &[u8] = br#""}"#;
const BUFFER: usize = 256 * 1024;
const LONGEST_HEAD: usize = 16 * 1024;

/// Lives as long as the process, on a thread of its own.
pub(crate) struct Sink {
    address: SocketAddr,
    latency: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Sink {
    pub(crate) async fn start() -> Result<Self> {
        let latency = Arc::new(AtomicU64::new(0));
        let bytes = Arc::new(AtomicU64::new(0));
        let (ready, address) = oneshot::channel();
        let (its_latency, its_bytes) = (latency.clone(), bytes.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            runtime.block_on(async move {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
                if ready.send(listener.local_addr()?).is_err() {
                    return Ok(());
                }
                loop {
                    let (stream, _) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    tokio::spawn(serve(stream, its_latency.clone(), its_bytes.clone()));
                }
                #[expect(unreachable_code, reason = "names the type of the error")]
                anyhow::Ok(())
            })
        });
        let address = address.await.context("start the sink")?;
        Ok(Self { address, latency, bytes })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/ai/v1/face-verification/detect-spoof", self.address)
    }

    /// Answers so long after the last byte from now on.
    pub(crate) fn answer_after(&self, latency: Duration) {
        self.latency.store(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Bytes of bodies that were read and answered.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Ends the connection at the first request that is not a whole one; its sender fails, and with it the run.
async fn serve(mut stream: TcpStream, latency: Arc<AtomicU64>, bytes: Arc<AtomicU64>) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let Some((head, mut filled)) = read_head(&mut stream, &mut buffer).await? else { return Ok(()) };
        let length = content_length(&buffer[..head])?;
        buffer.copy_within(head..filled, 0);
        filled -= head;
        read_body(&mut stream, &mut buffer, filled, length).await?;
        let wait = latency.load(Ordering::Relaxed);
        if wait > 0 {
            tokio::time::sleep(Duration::from_micros(wait)).await;
        }
        stream.write_all(ANSWER).await?;
        bytes.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// The length of the head and of all that was read; `None` when the other side has no more requests.
async fn read_head(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<Option<(usize, usize)>> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            ensure!(filled == 0, "a head broke off");
            return Ok(None);
        }
        filled += read;
        let looked_at = &buffer[..filled.min(LONGEST_HEAD)];
        if let Some(end) = looked_at.windows(4).position(|four| four == b"\r\n\r\n") {
            return Ok(Some((end + 4, filled)));
        }
        ensure!(filled < LONGEST_HEAD, "a head is too long");
    }
}

/// Reads on, over and over into the same buffer of which `filled` bytes are there already.
async fn read_body(stream: &mut TcpStream, buffer: &mut [u8], mut filled: usize, length: usize) -> Result<()> {
    while filled < BEGIN.len() {
        filled += read_some(stream, &mut buffer[filled..]).await?;
    }
    ensure!(buffer.starts_with(BEGIN), "a body does not begin as it should");
    let mut left = length.checked_sub(filled).context("there is more than the announced body")?;
    let mut end = [0; END.len()];
    keep_end(&mut end, &buffer[..filled]);
    while left > 0 {
        let room = buffer.len().min(left);
        let read = read_some(stream, &mut buffer[..room]).await?;
        keep_end(&mut end, &buffer[..read]);
        left -= read;
    }
    ensure!(end == END, "a body does not end as it should");
    Ok(())
}

async fn read_some(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<usize> {
    match stream.read(buffer).await? {
        0 => bail!("a body broke off"),
        read => Ok(read),
    }
}

fn keep_end(end: &mut [u8; END.len()], block: &[u8]) {
    if let Some(last) = block.last_chunk() {
        *end = *last;
    } else if let [only] = block {
        *end = [end[1], *only];
    }
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head).context("a head is not text")?;
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = lengths.next().context("a request announces no length")?;
    length.trim().parse().context("read the announced length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let at = ANSWER.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(content_length(&ANSWER[..at]).unwrap(), ANSWER.len() - at);
    }

    async fn exchange(body: &[u8]) -> Vec<u8> {
        let sink = Sink::start().await.unwrap();
        let mut stream = TcpStream::connect(sink.address).await.unwrap();
        stream
            .write_all(format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes())
            .await
            .unwrap();
        for piece in body.chunks(7) {
            // The sink may have hung up already.
            if stream.write_all(piece).await.is_err() {
                break;
            }
        }
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        answer
    }

    #[tokio::test]
    async fn a_whole_body_is_answered_and_a_wrong_one_is_not() {
        assert_eq!(exchange(&[BEGIN, b"AAAABBBB", END].concat()).await, ANSWER);
        assert_eq!(exchange(&[BEGIN, b"AAAABBBB"].concat()).await, b"");
        assert_eq!(exchange(&[b"{\"img\":\"AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH", END].concat()).await, b"");
    }
}
