//! Why the worker could not be started, or was stopped.

use crate::amqp::ConnectError;
use crate::api::VendorError;
use crate::ledger;
use crate::lifecycle::UnexpectedEnd;
use crate::s3::StoreError;
use antispoof_core::retry::InvalidBackoff;
use std::net::SocketAddr;

/// The worker could not be started, or a part of it ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It never ran.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It was stopped because of this, and what was in hand is settled as far as it could be.
    #[error(transparent)]
    Task(UnexpectedEnd),
}

/// The worker could not be started. What is merely unreachable is no reason: it is waited for.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The admin port is taken, or may not be used.
    #[error("listen on admin.listen = {address}: {source}")]
    Admin {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Signal handlers.
    #[error("install the signal handlers: {0}")]
    Signals(std::io::Error),
    /// The store's client.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vendor's client.
    #[error(transparent)]
    Vendor(#[from] VendorError),
    /// The ledger's file.
    #[error(transparent)]
    LedgerFile(#[from] ledger::OpenError),
    /// The ledger's URL.
    #[error(transparent)]
    LedgerUrl(#[from] ledger::UrlError),
    /// The store of the ledger's records.
    #[error(transparent)]
    LedgerStore(#[from] ledger::Unfit),
    /// The broker is one that cannot be worked with.
    #[error(transparent)]
    Broker(ConnectError),
    /// The settings let waits through that contradict each other.
    #[error("set up the waits: {0}")]
    Waits(#[from] InvalidBackoff),
}

impl StartError {
    /// What to do about it, where the message does not say so itself.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
        match self {
            Self::Admin { source, .. } => Some(match source.kind() {
                AddrInUse => {
                    "another process has this port, as a second worker on this machine would: give each its own admin.listen, or port 0"
                }
                AddrNotAvailable => "this machine has no such address: correct admin.listen; 0.0.0.0 is every address",
                PermissionDenied => "ports below 1024 are for root: choose a higher one in admin.listen",
                _ => "correct admin.listen",
            }),
            Self::Store(_) => Some(StoreError::REMEDY),
            Self::LedgerFile(ledger::OpenError::Io { .. }) => Some(
                "let the user that runs antispoofd write to the file and its folder, or correct ledger.path; `antispoofd check --connect` tries it",
            ),
            _ => None,
        }
    }
}
