//! Opening one connection.

use super::reply::{ACCESS_REFUSED, NOT_ALLOWED, reply_code};
use super::socket;
use super::version::{Compatibility, Product};
use crate::settings;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// The largest frame that is proposed unless `amqp.url` says otherwise, in bytes. lapin has two rings of 32 frames for each connection and goes
/// round in them, so that all of their pages become resident: with the broker's own default, 131,072, that is 8 MiB instead of 2.
const FRAME_MAX: u32 = 32_768;

/// What a connection is for, as the broker's management pages show it.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// Consumes and acks.
    Consume,
    /// Publishes.
    Publish,
    /// Consumes the messages that the broker took off the job queue.
    Dead,
    /// A command line tool.
    Tool,
}

/// Bounds the closing handshake of a connection to a broker that is too old.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// An open connection. Cheap to clone.
#[derive(Clone)]
pub struct Link {
    connection: Arc<Connection>,
    broker: Product,
}

impl Link {
    /// The product of the broker.
    pub fn broker(&self) -> &Product {
        &self.broker
    }
}

impl Deref for Link {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

/// A connection could not be opened. Never shows the password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be used.
    #[error("read amqp.url: {0}")]
    Url(String),
    /// The file with the certificate authorities cannot be read.
    #[error("read amqp.ca_file {path}: {source}")]
    CaFile {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There was no answer in time.
    #[error("connect to the broker at {0}: no answer within amqp.connect_timeout")]
    Timeout(String),
    /// The network failed, or the broker refused.
    #[error("connect to the broker at {address}: {source}{}", hint(*.refusal))]
    Refused {
        /// Host and port.
        address: String,
        /// Why.
        source: lapin::Error,
        /// What the broker refused, if it was the broker.
        refusal: Option<Refusal>,
    },
    /// The broker lacks features that the topology needs.
    #[error(
        "connect to the broker at {address}: it is {broker}, and quorum queues that keep a message for a time and dead-letter it at least once \
         are there from RabbitMQ 3.10 on"
    )]
    TooOld {
        /// Host and port.
        address: String,
        /// Name and version of the broker.
        broker: Product,
    },
}

/// What a broker refuses when a connection is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The user or the password.
    Login,
    /// The vhost: it is not there, or the user may not use it.
    Vhost,
}

impl ConnectError {
    /// True when the broker answered and refused: waiting does not help.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { refusal: Some(_), .. })
    }

    /// What to do about a broker that is too old.
    pub const UPGRADE: &str =
        "upgrade the broker to RabbitMQ 3.10 or newer (4.x is what is maintained), or name another in amqp.url";
}

/// Opens a connection within `amqp.connect_timeout`. It does not recover by itself: lapin's recovery leaves consumers waiting for
/// ever after a refused replay, so the supervisor builds a new session instead.
pub async fn connect(settings: &settings::Amqp, worker: &str, role: Role) -> Result<Link, ConnectError> {
    let mut uri: AMQPUri = settings.url.current().expose().parse().map_err(ConnectError::Url)?;
    let address = format!("{}:{}", uri.authority.host, uri.authority.port);
    // Where neither side sets a limit, lapin allocates buffers for the largest frames there can be.
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    uri.query.heartbeat = Some(u16::try_from(settings.heartbeat.as_secs()).unwrap_or(u16::MAX));
    let cert_chain = match &settings.ca_file {
        Some(path) => Some(
            tokio::fs::read_to_string(path)
                .await
                .map_err(|source| ConnectError::CaFile { path: path.clone(), source })?,
        ),
        None => None,
    };
    let role = match role {
        Role::Consume => "consume",
        Role::Publish => "publish",
        Role::Dead => "dead",
        Role::Tool => "tool",
    };
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("antispoofd/{worker} {role}").into())
        .with_client_property("product".into(), "antispoofd".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
    let tls = OwnedTLSConfig { identity: None, cert_chain };
    // Boxed: TLS makes the future large, and a session opens two.
    let connecting = Box::pin(socket::open(uri, properties, tls));
    match tokio::time::timeout(settings.connect_timeout, connecting).await {
        Ok(Ok((connection, broker))) => check_version(Link { connection: Arc::new(connection), broker }, address).await,
        Ok(Err(source)) => {
            let refusal = refusal(&source);
            Err(ConnectError::Refused { address, source, refusal })
        }
        Err(_) => Err(ConnectError::Timeout(address)),
    }
}

async fn check_version(link: Link, address: String) -> Result<Link, ConnectError> {
    if link.broker.compatibility() != Compatibility::TooOld {
        return Ok(link);
    }
    if !matches!(tokio::time::timeout(CLOSE_LIMIT, link.close(200, "bye".into())).await, Ok(Ok(()))) {
        tracing::debug!("a connection to a broker that is too old did not close in time");
    }
    Err(ConnectError::TooOld { address, broker: link.broker })
}

fn refusal(error: &lapin::Error) -> Option<Refusal> {
    match reply_code(error)? {
        ACCESS_REFUSED => Some(Refusal::Login),
        NOT_ALLOWED => Some(Refusal::Vhost),
        _ => None,
    }
}

fn hint(refusal: Option<Refusal>) -> &'static str {
    match refusal {
        Some(Refusal::Login) => " (check user and password in amqp.url)",
        Some(Refusal::Vhost) => " (check that the vhost in amqp.url exists and that the user may use it)",
        None => "",
    }
}
