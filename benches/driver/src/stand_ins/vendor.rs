//! The least a vendor can be: reads a body to its announced end, looks at its first and last bytes, waits, and gives a fixed answer.

use super::http;
use anyhow::{Context as _, Result, bail, ensure};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 44\r\n\r\n\
    {\"spoof_detected\":false,\"accuracy\":0.98765}\n";
const BEGIN: &[u8] = br#"{"img":"data:image/jpeg;base64,/9j/"#;
const END: &[u8] = br#""}"#;
const BUFFER: usize = 256 * 1024;

/// When the vendor takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// After the whole body was read, before the answer.
    BeforeAnswer(Duration),
    /// After the head was read, before the rest of the body: meanwhile the image is stuck on its way through the worker.
    BeforeBody(Duration),
}

impl Wait {
    /// As the report has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BeforeAnswer(_) => "answers late",
            Self::BeforeBody(_) => "reads late",
        }
    }
}

/// Lives as long as the process, on a thread of its own.
pub(crate) struct Vendor {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    micros: AtomicU64,
    before_body: AtomicBool,
    /// Of bodies that were read and answered.
    bytes: AtomicU64,
    calls: AtomicU64,
    most_calls: AtomicU64,
    waiting: AtomicU64,
    last_answer: Mutex<Option<Instant>>,
}

impl Vendor {
    pub(crate) async fn start() -> Result<Self> {
        let state = Arc::<State>::default();
        let its_state = state.clone();
        let address = http::listen(move |stream| serve(stream, its_state.clone())).await?;
        Ok(Self { address, state })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/ai/v1/face-verification/detect-spoof", self.address)
    }

    /// Takes its time like this, from the next request on.
    pub(crate) fn set(&self, wait: Wait) {
        let (Wait::BeforeAnswer(time) | Wait::BeforeBody(time)) = wait;
        self.state.micros.store(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.state.before_body.store(matches!(wait, Wait::BeforeBody(_)), Ordering::Relaxed);
    }

    /// Bytes of bodies that were read and answered.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.bytes.load(Ordering::Relaxed)
    }

    /// The most calls at a time since this was last asked.
    pub(crate) fn most_calls(&self) -> u64 {
        self.state.most_calls.swap(0, Ordering::Relaxed)
    }

    /// Calls that the vendor takes its time over at this moment.
    pub(crate) fn waiting(&self) -> u64 {
        self.state.waiting.load(Ordering::Relaxed)
    }

    /// When the last answer was written.
    pub(crate) fn last_answer(&self) -> Option<Instant> {
        *self.state.last_answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    async fn wait(&self, before_body: bool) {
        let micros = self.micros.load(Ordering::Relaxed);
        if micros > 0 && self.before_body.load(Ordering::Relaxed) == before_body {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_micros(micros)).await;
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn called(&self) {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_calls.fetch_max(calls, Ordering::Relaxed);
    }

    fn answered(&self, length: usize) {
        self.bytes.fetch_add(length as u64, Ordering::Relaxed);
        *self.last_answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// Ends the connection at the first request that is not a whole one; its sender fails, and with it the run.
async fn serve(mut stream: TcpStream, state: Arc<State>) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let Some((head, mut filled)) = http::read_head(&mut stream, &mut buffer).await? else { return Ok(()) };
        let length = http::content_length(&buffer[..head])?;
        buffer.copy_within(head..filled, 0);
        filled -= head;
        state.called();
        state.wait(true).await;
        read_body(&mut stream, &mut buffer, filled, length).await?;
        state.wait(false).await;
        // Before the answer is written: the worker that has it may call again at once.
        state.calls.fetch_sub(1, Ordering::Relaxed);
        stream.write_all(ANSWER).await?;
        state.answered(length);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let at = ANSWER.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(http::content_length(&ANSWER[..at]).unwrap(), ANSWER.len() - at);
    }

    async fn exchange(body: &[u8], wait: Wait) -> Vec<u8> {
        let vendor = Vendor::start().await.unwrap();
        vendor.set(wait);
        exchange_with(&vendor, body).await
    }

    async fn exchange_with(vendor: &Vendor, body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(vendor.address).await.unwrap();
        stream
            .write_all(format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes())
            .await
            .unwrap();
        for piece in body.chunks(7) {
            // The vendor may have hung up already.
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
        let at_once = Wait::BeforeAnswer(Duration::ZERO);
        assert_eq!(exchange(&[BEGIN, b"AAAABBBB", END].concat(), at_once).await, ANSWER);
        assert_eq!(exchange(&[BEGIN, b"AAAABBBB"].concat(), at_once).await, b"");
        assert_eq!(exchange(&[b"{\"img\":\"AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH", END].concat(), at_once).await, b"");
    }

    #[tokio::test]
    async fn calls_are_counted_while_they_last() {
        let vendor = Vendor::start().await.unwrap();
        vendor.set(Wait::BeforeAnswer(Duration::from_millis(20)));
        let body = [BEGIN, b"AAAABBBB", END].concat();
        let started = Instant::now();
        futures_util::future::join_all((0..3).map(|_| exchange_with(&vendor, &body))).await;
        assert_eq!((vendor.most_calls(), vendor.most_calls(), vendor.waiting()), (3, 0, 0));
        assert_eq!(vendor.bytes(), 3 * body.len() as u64);
        assert!(vendor.last_answer().unwrap() > started);
    }

    #[tokio::test]
    async fn the_vendor_takes_its_time_before_the_body_or_before_the_answer() {
        let body = [BEGIN, b"AAAABBBB", END].concat();
        let time = Duration::from_millis(30);
        for wait in [Wait::BeforeBody(time), Wait::BeforeAnswer(time)] {
            let started = Instant::now();
            assert_eq!(exchange(&body, wait).await, ANSWER);
            assert!(started.elapsed() >= time, "{wait:?}");
        }
    }
}
