//! Opening one connection.

use super::socket;
use super::version::{Product, Standing};
use crate::settings;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// The largest frame that is asked for unless `amqp.url` says otherwise, in bytes: the broker's own default.
const FRAME_MAX: u32 = 131_072;

/// What a connection is for; shown in the broker's management pages.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// Consumes and acks.
    Consume,
    /// Publishes.
    Publish,
    /// Consumes what the broker took off the job queue.
    Dead,
    /// A command line tool.
    Tool,
}

/// Bounds the polite closing of a connection that is of no use.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// An open connection. Cheap to clone.
#[derive(Clone)]
pub struct Link {
    connection: Arc<Connection>,
    broker: Product,
}

impl Link {
    /// Which broker is at the other end.
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
    /// Nobody answered in time.
    #[error("connect to the broker at {0}: no answer within amqp.connect_timeout")]
    Timeout(String),
    /// The broker or the network refused.
    #[error("connect to the broker at {address}: {source}{hint}")]
    Refused {
        /// Host and port.
        address: String,
        /// Why.
        source: lapin::Error,
        /// What may be wrong, where the broker's answer tells.
        hint: &'static str,
    },
    /// The broker lacks what the topology is made of.
    #[error(
        "connect to the broker at {address}: it is {broker}, and quorum queues that keep a message for a time and dead-letter it at least once \
         are there from RabbitMQ 3.10 on"
    )]
    TooOld {
        /// Host and port.
        address: String,
        /// Which it is.
        broker: Product,
    },
}

impl ConnectError {
    /// True when the broker answered and does not want us: no waiting helps.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { hint, .. } if !hint.is_empty())
    }

    /// What to do about a broker that is too old.
    pub const UPGRADE: &str =
        "upgrade the broker to RabbitMQ 3.10 or newer (4.x is what is maintained), or name another in amqp.url";
}

/// Opens a connection within `amqp.connect_timeout`. Never recovers by itself: lapin's recovery leaves consumers waiting for ever
/// after a refused replay, so the supervisor builds everything anew instead.
pub async fn connect(settings: &settings::Amqp, worker: &str, role: Role) -> Result<Link, ConnectError> {
    let mut uri: AMQPUri = settings.url.current().expose().parse().map_err(ConnectError::Url)?;
    let address = format!("{}:{}", uri.authority.host, uri.authority.port);
    // With no word of ours, a broker that sets no limit either would have lapin take buffers for the largest frames there can be.
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
    // Boxed: TLS makes it large, and there are two of them in a session.
    let connecting = Box::pin(socket::open(uri, properties, tls));
    match tokio::time::timeout(settings.connect_timeout, connecting).await {
        Ok(Ok((connection, broker))) => fit(Link { connection: Arc::new(connection), broker }, address).await,
        Ok(Err(source)) => {
            let hint = hint(&source);
            Err(ConnectError::Refused { address, source, hint })
        }
        Err(_) => Err(ConnectError::Timeout(address)),
    }
}

async fn fit(link: Link, address: String) -> Result<Link, ConnectError> {
    if link.broker.standing() != Standing::TooOld {
        return Ok(link);
    }
    if !matches!(tokio::time::timeout(CLOSE_LIMIT, link.close(200, "bye".into())).await, Ok(Ok(()))) {
        tracing::debug!("a connection that is of no use did not close politely");
    }
    Err(ConnectError::TooOld { address, broker: link.broker })
}

fn hint(error: &lapin::Error) -> &'static str {
    let text = error.to_string();
    if text.contains("ACCESS_REFUSED") || text.contains("ACCESS-REFUSED") {
        " (check user and password in amqp.url)"
    } else if text.contains("NOT_ALLOWED") || text.contains("NOT-ALLOWED") {
        " (check that the vhost in amqp.url exists and that the user may use it)"
    } else {
        ""
    }
}
