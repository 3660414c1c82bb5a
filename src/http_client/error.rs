//! Why there is no answer: what was proved by it, and the cause in words.

use antispoof_core::causes::{causes, innermost};
use http::Request;
use rustls::{AlertDescription, CertificateError};
use std::io;

/// No connection. Nothing of the request has left this machine.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be one.
    #[error("{0}")]
    Target(&'static str),
    /// The name has no address.
    #[error("the name {host} does not resolve ({source})")]
    Name {
        /// The host, or the proxy's.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No TCP connection.
    #[error("{}", tcp(.0))]
    Tcp(io::Error),
    /// Not within the limit.
    #[error("no connection within the limit")]
    TimedOut,
    /// TCP is there, TLS is not.
    #[error("{}", tls(.0))]
    Tls(io::Error),
    /// Only proxies that speak plain HTTP are spoken to.
    #[error("the proxy's URL does not begin with http://")]
    ProxyKind,
    /// The proxy does not make the connection.
    #[error("the proxy {at} refuses the connection with {status}")]
    ProxyRefused {
        /// Host and port of the proxy.
        at: String,
        /// What it answered to `CONNECT`.
        status: u16,
    },
    /// The proxy is there and does not speak HTTP.
    #[error("the proxy {at} does not answer CONNECT")]
    ProxyMute {
        /// Host and port of the proxy.
        at: String,
    },
}

/// No answer.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct SendError {
    kind: Kind,
    /// It is proved that the server has not had the whole request.
    incomplete: bool,
}

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error(transparent)]
    Connect(ConnectError),
    #[error("no answer in time")]
    TimedOut,
    #[error("{0}")]
    Unprocessed(&'static str),
    #[error("the answer cannot be read as HTTP: {0}")]
    Unreadable(String),
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// What became of one try.
pub(super) enum Unsent<B> {
    /// The request has never been written, and here it is.
    TakenBack(Box<Request<B>>),
    Failed(SendError),
}

impl<B> From<SendError> for Unsent<B> {
    fn from(error: SendError) -> Self {
        Self::Failed(error)
    }
}

// === impl ConnectError ===

impl ConnectError {
    /// What to do about it, where it is a fault of the settings, the network or a certificate, and so does not pass by itself; nothing where it may.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Target(_) => Some("correct the address"),
            Self::Name { .. } => Some("correct the host of the address, or this machine's DNS"),
            Self::Tls(error) => tls_remedy(error),
            Self::ProxyKind => Some(
                "name a proxy that speaks HTTP in HTTPS_PROXY (HTTP_PROXY, ALL_PROXY): SOCKS and TLS to the proxy are not supported",
            ),
            Self::ProxyRefused { status: 407, .. } => {
                Some("put the proxy's user and password in HTTPS_PROXY, or except the host in NO_PROXY")
            }
            // A gateway's own trouble with the server behind it.
            Self::ProxyRefused { status: 500.., .. } | Self::Tcp(_) | Self::TimedOut => None,
            Self::ProxyRefused { .. } | Self::ProxyMute { .. } => {
                Some("allow the host at the proxy, or correct HTTPS_PROXY and NO_PROXY")
            }
        }
    }

    /// Whether the other side's certificate is the reason.
    pub fn is_certificate(&self) -> bool {
        matches!(self, Self::Tls(error) if matches!(rustls_error(error), Some(rustls::Error::InvalidCertificate(_))))
    }
}

// === impl SendError ===

impl SendError {
    pub(super) fn connect(error: ConnectError) -> Self {
        Self { kind: Kind::Connect(error), incomplete: true }
    }

    pub(super) fn timed_out(incomplete: bool) -> Self {
        Self { kind: Kind::TimedOut, incomplete }
    }

    pub(super) fn unprocessed(why: &'static str) -> Self {
        Self { kind: Kind::Unprocessed(why), incomplete: true }
    }

    pub(super) fn broken(error: &hyper::Error, incomplete: bool) -> Self {
        if let Some(why) = refused_unprocessed(error) {
            return Self::unprocessed(why);
        }
        let kind = if error.is_parse() { Kind::Unreadable(innermost(error)) } else { Kind::Broken(innermost(error)) };
        Self { kind, incomplete }
    }

    /// Why there was no connection, if that is it.
    pub fn connecting(&self) -> Option<&ConnectError> {
        if let Kind::Connect(error) = &self.kind { Some(error) } else { None }
    }

    /// True when the deadline passed while an answer was waited for.
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind, Kind::TimedOut)
    }

    /// True when the server's answer breaks the rules of HTTP.
    pub fn is_unreadable(&self) -> bool {
        matches!(self.kind, Kind::Unreadable(_))
    }

    /// True when it is proved that the server has processed nothing of the request (RFC 9113, 6.8 and 8.7; or it was never written): it may be sent again at
    /// once, on another connection.
    pub fn is_unprocessed(&self) -> bool {
        matches!(self.kind, Kind::Unprocessed(_))
    }

    /// True when it is proved that the server has not had the whole request.
    pub fn request_incomplete(&self) -> bool {
        self.incomplete
    }
}

/// HTTP/2's own words for "nothing was done". Of the GOAWAYs only the orderly kind counts: with another reason h2 tells streams that the server had taken on
/// the same as those that it had not.
fn refused_unprocessed(error: &hyper::Error) -> Option<&'static str> {
    let h2 = causes(error).find_map(|error| error.downcast_ref::<h2::Error>())?;
    if !h2.is_remote() {
        return None;
    }
    match h2.reason() {
        Some(h2::Reason::REFUSED_STREAM) if h2.is_reset() => Some("the server refused the stream unprocessed"),
        Some(h2::Reason::NO_ERROR) if h2.is_go_away() => Some("the server closed the connection before this stream"),
        _ => None,
    }
}

fn tcp(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
        io::ErrorKind::ConnectionReset => "the connection was reset while it was being made".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "there is no route to the host".to_owned()
        }
        io::ErrorKind::TimedOut => "the host does not answer".to_owned(),
        _ => format!("the connection could not be made ({error})"),
    }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn tls(error: &io::Error) -> String {
    match rustls_error(error) {
        Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the server's certificate is for another name".to_owned()
            }
            // An authority of the same name with another key signs what cannot be verified.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the server's certificate is of an authority that is not trusted here".to_owned()
            }
            other => format!("the server's certificate is not accepted ({other})"),
        },
        Some(rustls::Error::InvalidMessage(_)) => "the port does not speak TLS".to_owned(),
        Some(rustls::Error::AlertReceived(alert)) => format!("the server refuses the TLS handshake ({alert:?})"),
        Some(other) => format!("the TLS handshake failed ({other})"),
        None => format!("the connection broke in the TLS handshake ({error})"),
    }
}

fn tls_remedy(error: &io::Error) -> Option<&'static str> {
    Some(match rustls_error(error)? {
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "renew the certificate at the server, or set this machine's clock",
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "correct the host of the address, or the certificate at the server",
        rustls::Error::InvalidCertificate(_) => {
            "install the certificate authority in the system, or name it in SSL_CERT_FILE"
        }
        rustls::Error::InvalidMessage(_) => "write http:// for a server without TLS, or correct the port",
        // The server is going down, or is overloaded: it may pass.
        rustls::Error::AlertReceived(AlertDescription::InternalError | AlertDescription::CloseNotify) => return None,
        _ => "correct the address, or the server's TLS settings",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_pass_by_itself_has_a_remedy() {
        let tls = |error: rustls::Error| ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidData, error));
        let refused = |status| ConnectError::ProxyRefused { at: "proxy:3128".to_owned(), status };
        for (error, says, passes) in [
            (tls(CertificateError::Expired.into()), "has expired", false),
            (tls(CertificateError::NotValidForName.into()), "for another name", false),
            (tls(CertificateError::UnknownIssuer.into()), "not trusted here", false),
            (
                tls(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)),
                "does not speak TLS",
                false,
            ),
            (tls(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)), "HandshakeFailure", false),
            (ConnectError::Tls(io::ErrorKind::UnexpectedEof.into()), "broke in the TLS handshake", true),
            (ConnectError::Tcp(io::ErrorKind::ConnectionRefused.into()), "was refused", true),
            (ConnectError::TimedOut, "within the limit", true),
            (refused(407), "with 407", false),
            (refused(403), "with 403", false),
            (refused(502), "with 502", true),
        ] {
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(error.remedy().is_none(), passes, "{error}");
        }
    }
}
