//! What a store says of the content that it sends.

use antispoof_core::failure::{Code, Failure};
use antispoof_core::image::{ImageRef, NULL_VERSION};
use antispoof_core::job::unquoted;
use http::HeaderMap;
use http::header::ETAG;

/// Longest `ETag` or version id that is taken. S3's have 35 and 32 characters; these go into events, requests and keys.
const MOST_NAME_BYTES: usize = 1024;

/// What a store says of the content that it sends: `None` for what it does not say, or says at an absurd length.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Without quotes.
    pub(super) etag: Option<String>,
    pub(super) version_id: Option<String>,
}

/// Reads the names of the content, and compares them with the request: not every store heeds `If-Match` and `versionId`.
pub(super) fn named(headers: &HeaderMap, image: &ImageRef) -> Result<Named, Failure> {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok())?;
        (1..=MOST_NAME_BYTES).contains(&value.len()).then_some(value)
    };
    let etag = text(ETAG.as_str()).map(unquoted);
    let version = text("x-amz-version-id");
    let changed = |message: &str| Err(Failure::new(Code::ObjectChanged, message));
    if image.etag.is_some() && image.etag.as_deref() != etag {
        return changed("the store sent another ETag than the pinned one, or none: it does not heed If-Match");
    }
    match (image.version_id.as_deref(), version) {
        (Some(asked), Some(sent)) if asked != sent => {
            return changed("the store sent another version than the pinned one: it does not heed versionId");
        }
        // The pinned ETag has come, and says more.
        (Some(asked), None) if asked != NULL_VERSION && image.etag.is_none() => {
            return changed("the store does not say that it sent the pinned version");
        }
        _ => {}
    }
    Ok(Named {
        etag: etag.map(str::to_owned),
        version_id: version.filter(|version| *version != NULL_VERSION).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_held_against_what_was_asked_for() {
        let image = |version: Option<&str>, etag: Option<&str>| ImageRef {
            bucket: "b".to_owned(),
            key: "k".to_owned(),
            version_id: version.map(str::to_owned),
            etag: etag.map(str::to_owned),
            other_key: None,
        };
        let sent = |version: Option<&str>, etag: Option<&str>| {
            let version =
                version.map(|value| ("x-amz-version-id".parse().expect("a name"), value.parse().expect("a value")));
            let etag = etag.map(|value| (ETAG, value.parse().expect("a value")));
            [version, etag].into_iter().flatten().collect::<HeaderMap>()
        };
        for (asked, answer, version, etag) in [
            (image(None, None), sent(None, None), None, None),
            (image(None, None), sent(Some("v"), Some("\"e\"")), Some("v"), Some("e")),
            (image(None, Some("e")), sent(None, Some("W/\"e\"")), None, Some("e")),
            (image(Some("v"), None), sent(Some("v"), None), Some("v"), None),
            (image(Some("v"), Some("e")), sent(None, Some("e")), None, Some("e")),
            (image(Some("null"), None), sent(Some("null"), Some("\"e\"")), None, Some("e")),
            (image(Some("null"), None), sent(None, Some("\"e\"")), None, Some("e")),
            (image(None, None), sent(Some(&"v".repeat(1025)), Some(&"e".repeat(1025))), None, None),
        ] {
            let expected = Named { etag: etag.map(str::to_owned), version_id: version.map(str::to_owned) };
            assert_eq!(named(&answer, &asked), Ok(expected), "{asked:?}");
        }
        for (asked, answer) in [
            (image(None, Some("e")), sent(None, Some("\"f\""))),
            (image(None, Some("e")), sent(Some("v"), None)),
            (image(Some("v"), None), sent(Some("w"), Some("\"e\""))),
            (image(Some("v"), None), sent(None, Some("\"e\""))),
            (image(Some("v"), None), sent(Some("null"), None)),
            (image(Some("null"), None), sent(Some("v"), None)),
            (image(Some("v"), Some("e")), sent(Some("w"), Some("\"e\""))),
            (image(Some("v"), Some("e")), sent(Some("v"), Some("\"f\""))),
        ] {
            assert_eq!(
                named(&answer, &asked).expect_err("another").code(),
                Code::ObjectChanged,
                "{asked:?} {answer:?}"
            );
        }
    }
}
