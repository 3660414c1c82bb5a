//! Requests that cannot be made.

use antispoof_core::failure::{Code, Failure};

/// For steps that fail only when something is wrong with the settings or the names; the text never has a secret in it.
pub(super) fn unavailable(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::StoreUnavailable, format!("the request to the store could not be made: {error}"))
}
