//! The reply codes of AMQP 0-9-1 with which a broker refuses.

use lapin::{Error, ErrorKind};

/// The broker stops, or an operator has closed the connection there.
pub(super) const CONNECTION_FORCED: u16 = 320;
/// The login was refused, or the user lacks a right.
pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;
/// An object is there with other arguments.
pub(super) const PRECONDITION_FAILED: u16 = 406;
/// The vhost is not there, the user may not use it, or a limit is reached.
pub(super) const NOT_ALLOWED: u16 = 530;

/// An operation on a queue failed within the broker: a quorum queue has no leader, or no majority.
pub(super) const INTERNAL_ERROR: u16 = 541;

/// The code with which the broker has refused something; `None` for any other error.
pub(super) fn reply_code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(refusal) => Some(refusal.get_id()),
        _ => None,
    }
}

/// Whether the broker has closed the connection because it wanted to.
pub(super) fn is_forced(error: &Error) -> bool {
    reply_code(error) == Some(CONNECTION_FORCED)
}
