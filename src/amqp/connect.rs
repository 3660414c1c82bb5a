//! Opening one connection.

use super::line;
use crate::settings;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use std::sync::Arc;

/// The largest frame that is asked for unless `amqp.url` says otherwise, in bytes: the broker's own default.
const FRAME_MAX: u32 = 131_072;

/// What a connection is for; shown in the broker's management pages.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// Consumes and acks.
    Consume,
    /// Publishes.
    Publish,
    /// A command line tool.
    Tool,
}

/// An open connection.
pub type Link = Arc<Connection>;

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
}

impl ConnectError {
    /// True when the broker answered and does not want us: no waiting helps.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { hint, .. } if !hint.is_empty())
    }
}

/// Opens a connection within `amqp.connect_timeout`. Never recovers by itself: lapin's recovery leaves consumers waiting for ever
/// after a refused replay, so the supervisor builds everything anew instead.
pub async fn connect(settings: &settings::Amqp, worker: &str, role: Role) -> Result<Link, ConnectError> {
    let mut uri: AMQPUri = settings.url.expose().parse().map_err(ConnectError::Url)?;
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
        Role::Tool => "tool",
    };
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("antispoofd/{worker} {role}").into())
        .with_client_property("product".into(), "antispoofd".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
    let tls = OwnedTLSConfig { identity: None, cert_chain };
    let connecting = line::open(uri, properties, tls, settings.connect_timeout);
    match tokio::time::timeout(settings.connect_timeout, connecting).await {
        Ok(Ok(connection)) => Ok(Arc::new(connection)),
        Ok(Err(source)) => {
            let hint = hint(&source);
            Err(ConnectError::Refused { address, source, hint })
        }
        Err(_) => Err(ConnectError::Timeout(address)),
    }
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
