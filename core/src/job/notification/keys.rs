//! Which key a notification means. S3 writes keys form-encoded; some stores that write the same form leave them as they are, and nothing in a key
//! says which of the two it is: `a+b` may be the object `a b`, or `a+b`.

use super::super::model::malformed;
use super::super::names;
use super::form;
use crate::failure::Failure;

/// The key that is meant by who writes so, and what it would be by the other custom, where that is another key.
pub(super) struct Keys {
    pub(super) first: String,
    pub(super) other: Option<String>,
}

impl Keys {
    /// A key that is known to be written as it is.
    pub(super) fn only(text: &str) -> Self {
        Self { first: text.to_owned(), other: None }
    }

    /// A key of a writer that leaves keys as they are, as far as is known.
    pub(super) fn plain(text: &str) -> Self {
        Self { first: text.to_owned(), other: form::decoded(text).and_then(|key| another(key, text)) }
    }

    /// A key of a writer that encodes keys, as far as is known.
    pub(super) fn encoded(text: &str) -> Result<Self, Failure> {
        let first = form::decoded(text).ok_or_else(|| {
            malformed(
                "s3.object.key: URL-encoded UTF-8, as S3 puts it into notifications (a space is +, a plus sign %2B)",
            )
        })?;
        let other = another(text.to_owned(), &first);
        Ok(Self { first, other })
    }
}

fn another(key: String, first: &str) -> Option<String> {
    (key != first && names::check_key(&key).is_ok()).then_some(key)
}
