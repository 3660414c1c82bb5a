//! A request that a strict vendor would turn away.

use std::borrow::Cow;

use http::StatusCode;

/// The status and the reason; the reason never repeats a token or a part of the body.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into() }
    }
}
