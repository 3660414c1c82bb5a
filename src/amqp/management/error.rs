//! Why the management API could not be used.

use reqwest::StatusCode;

/// The API could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ManagementError {
    /// That is no address of it.
    #[error(
        "use {0:?} as the management API: write http://host:15672 or https://host:15671, without user and password"
    )]
    Url(String),
    /// `amqp.url`, or the certificate authorities.
    #[error("ask the management API: {0}")]
    Client(String),
    /// There was no answer, or one that is not the API's.
    #[error("ask the management API at {at}: {why}")]
    Unreachable {
        /// Scheme, host and port.
        at: String,
        /// Why there was no answer.
        why: String,
    },
    /// It does not know the user, or the user may not ask; or the vhost is not there.
    #[error("ask the management API at {at}: it answered {status}")]
    Refused {
        /// Scheme, host and port.
        at: String,
        /// The status.
        status: StatusCode,
    },
}
