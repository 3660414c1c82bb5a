//! Asking a worker's admin port.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::time::timeout;

/// More than the longest page: the settings of a worker.
const LONGEST_ANSWER: u64 = 4 << 20;

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Asks for a path within a time. The error is a sentence.
pub(super) async fn get(at: impl ToSocketAddrs + Display, path: &str, limit: Duration) -> Result<Answer, String> {
    match timeout(limit, ask(at, path)).await {
        Ok(Ok(answer)) => parse(&answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}

/// Where to reach a port that listens on every address.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(at: impl ToSocketAddrs + Display, path: &str) -> std::io::Result<String> {
    // 1.0, so that the answer ends with the connection and comes in one piece.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn parse(answer: &str) -> Result<Answer, String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.split_ascii_whitespace().nth(1));
    match status.and_then(|status| status.parse().ok()) {
        Some(status) => Ok(Answer { status, body: body.to_owned() }),
        None => Err("the answer is not HTTP".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_asked_on_loopback() {
        let at = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:9464"), "127.0.0.1:9464");
        assert_eq!(at("[::]:9464"), "[::1]:9464");
        assert_eq!(at("10.0.0.1:9464"), "10.0.0.1:9464");
    }

    #[test]
    fn only_http_is_an_answer() {
        let read = |answer: &str| parse(answer).map(|Answer { status, body }| (status, body));
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\nok"), Ok((200, "ok".to_owned())));
        assert_eq!(read("HTTP/1.0 503 x\r\nx: y\r\n\r\nno"), Ok((503, "no".to_owned())));
        for other in ["SSH-2.0", "", "HTTP/1.1 OK", "HTTP/2 200"] {
            assert_eq!(read(other), Err("the answer is not HTTP".to_owned()), "{other}");
        }
    }
}
