//! As much of HTTP/1.1 as the stand-ins need.

use anyhow::{Context as _, Result, ensure};
use std::net::SocketAddr;
use std::thread;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const LONGEST_HEAD: usize = 16 * 1024;

/// Serves every connection by `serve`, on a thread that lives as long as the process.
pub(super) async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Result<SocketAddr>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (ready, address) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || runtime.block_on(accept(ready, serve)));
    address.await.context("start a stand-in")
}

async fn accept<F>(ready: oneshot::Sender<SocketAddr>, serve: impl Fn(TcpStream) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    if ready.send(listener.local_addr()?).is_err() {
        return Ok(());
    }
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that ends with an error makes its worker's job fail, and with it the run.
        tokio::spawn(serve(stream));
    }
}

/// The length of the head and of all that was read; `None` when the other side has no more requests.
pub(super) async fn read_head(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<Option<(usize, usize)>> {
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
        ensure!(filled < buffer.len().min(LONGEST_HEAD), "a head is too long");
    }
}

pub(super) fn content_length(head: &[u8]) -> Result<usize> {
    let length = header(head, "content-length").context("a request announces no length")?;
    length.parse().context("read the announced length")
}

/// The method and the path of a request, without its query.
pub(super) fn request_line(head: &[u8]) -> Result<(&str, &str)> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).context("a request line is not text")?;
    let (method, target) = line.split_once(' ').context("a request line has no target")?;
    let target = target.strip_suffix(" HTTP/1.1").context("a request is not of HTTP/1.1")?;
    Ok((method, target.split_once('?').map_or(target, |(path, _)| path)))
}

/// The value of a header, where there is one.
pub(super) fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let lines = std::str::from_utf8(head).ok()?.split("\r\n").filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    values.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_has_a_path() {
        let line = |head: &'static str| request_line(head.as_bytes());
        assert_eq!(line("GET /b/k/1.jpg?x-id=GetObject HTTP/1.1\r\nHost: h\r\n\r\n").unwrap(), ("GET", "/b/k/1.jpg"));
        assert_eq!(line("PUT /b/k HTTP/1.1\r\n\r\n").unwrap(), ("PUT", "/b/k"));
        assert!(line("GET /b/k\r\n\r\n").is_err());
        assert!(line("GET\r\n\r\n").is_err());
    }

    #[test]
    fn a_length_is_found_in_any_case() {
        assert_eq!(content_length(b"POST / HTTP/1.1\r\nHost: h\r\nCONTENT-length:  12 \r\n\r\n").unwrap(), 12);
        assert!(content_length(b"POST / HTTP/1.1\r\nHost: h\r\n\r\n").is_err());
    }
}
