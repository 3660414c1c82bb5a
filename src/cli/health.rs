//! `antispoofd health`: asks the admin port, for images that have no shell and no curl.

use super::exit::Exit;
use super::problem::Problem;
use super::terminal::{plain, say};
use crate::settings;
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Shorter than an orchestrator's own limit for a probe, so that the reason is printed.
const LIMIT: Duration = Duration::from_secs(2);
/// The answers have a few lines.
const LONGEST_ANSWER: u64 = 64 * 1024;
const LONGEST_REASON: usize = 300;

/// Ask a running worker whether it lives or is ready
///
/// Asks the port of admin.listen on this machine. Exits with 0 when the answer is yes, and with 1 when it is no or there is none
/// within two seconds; stderr says why.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = super::examples::HEALTH)]
pub(super) struct HealthArgs {
    /// Ask whether it is ready to take jobs (/readyz) instead of whether it lives (/livez)
    #[arg(long)]
    ready: bool,
}

pub(super) async fn run(args: HealthArgs, admin: settings::Admin) -> Result<Exit, Problem> {
    let (path, yes, no) = if args.ready { ("/readyz", "ready", "not ready") } else { ("/livez", "alive", "not alive") };
    let address = reachable(admin.listen);
    let asked = match tokio::time::timeout(LIMIT, ask(address, path)).await {
        Ok(Ok(answer)) => verdict(&answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    };
    Ok(match asked {
        Ok(()) => {
            say(&format!("{yes}: http://{address}{path}"));
            Exit::Ok
        }
        Err(why) => {
            say(&format!("{no}: http://{address}{path}: {why}"));
            Exit::Failed
        }
    })
}

/// Where to reach a port that listens on every address.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // 1.0, so that the answer ends with the connection and comes in one piece.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether the answer is yes, and if not, what it says.
fn verdict(answer: &str) -> Result<(), String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.split_ascii_whitespace().nth(1));
    match status {
        Some("200") => Ok(()),
        Some(status) => {
            let said: Vec<&str> = body.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let said: String = plain(&said.join("; ")).chars().take(LONGEST_REASON).collect();
            Err(if said.is_empty() { format!("answered {status}") } else { format!("answered {status}: {said}") })
        }
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
    fn only_200_is_yes() {
        assert_eq!(verdict("HTTP/1.1 200 OK\r\n\r\nok"), Ok(()));
        assert_eq!(verdict("HTTP/1.0 200 OK\r\n\r\n"), Ok(()));
        let no = verdict("HTTP/1.1 503 Service Unavailable\r\nx: y\r\n\r\nbroker: down\n\nstore: down\n");
        assert_eq!(no, Err("answered 503: broker: down; store: down".to_owned()));
        assert_eq!(verdict("HTTP/1.1 404 Not Found\r\n\r\n"), Err("answered 404".to_owned()));
        assert_eq!(verdict("SSH-2.0"), Err("the answer is not HTTP".to_owned()));
        assert_eq!(verdict(""), Err("the answer is not HTTP".to_owned()));
    }
}
