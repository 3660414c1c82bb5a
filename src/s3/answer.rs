//! What an answer of the store other than 200 means.

use super::stream::ObjectStream;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::image::{ImageRef, NULL_VERSION};
use antispoof_core::job::unquoted;
use futures_util::StreamExt as _;
use http::header::ETAG;
use http::{HeaderMap, StatusCode};
use std::time::Duration;
use tokio::time::timeout;

/// S3's error documents are a few hundred bytes.
const MOST_BYTES: usize = 16 * 1024;

/// A 400 by which the store says that no object can have such a name: trying again cannot help. `InvalidArgument` is not among them: without a version it
/// is about how the request was made (the kind of signature, a header of a proxy), and so about every job.
const IMPOSSIBLE: [&str; 7] = [
    "InvalidBucketName",
    "InvalidObjectName",
    "InvalidURI",
    "KeyTooLong",
    "KeyTooLongError",
    "XMinioInvalidObjectName",
    "XMinioInvalidResourceName",
];

const EXPIRED: [&str; 3] = ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"];

/// Longest `ETag` or version id that is taken. S3's have 35 and 32 characters; these go into events, requests and keys.
const MOST_NAME_BYTES: usize = 1024;

/// What a store says of the content that it sends: `None` for what it does not say, or says at an absurd length.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Without quotes.
    pub(super) etag: Option<String>,
    pub(super) version_id: Option<String>,
}

/// Reads the names of the content, and holds them against what was asked for: not every store heeds `If-Match` and `versionId`.
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

/// Reads the error document, for at most `limit`, and says what the answer means for the job.
pub(super) async fn refused(
    status: StatusCode,
    headers: &HeaderMap,
    body: ObjectStream,
    limit: Duration,
    image: &ImageRef,
) -> Failure {
    let error = error_name(body, limit).await;
    let delete_marker = headers.get("x-amz-delete-marker").is_some_and(|value| value == "true");
    classify(status, &error, delete_marker, image)
}

/// The name that the store has for the error, as `NoSuchKey`; empty when it gives none, or not within `limit`: a document can drip, each drop in time.
pub(super) async fn error_name(mut body: ObjectStream, limit: Duration) -> String {
    let mut document = Vec::new();
    let reading = async {
        while let Some(Ok(chunk)) = body.next().await {
            document.extend_from_slice(&chunk);
            if document.len() > MOST_BYTES {
                break;
            }
        }
    };
    if timeout(limit, reading).await.is_err() {
        tracing::debug!("the store's error document did not end within {limit:?}");
    }
    error_code(&document).to_owned()
}

/// True when asking the credential chain again may help.
pub(super) fn credentials_expired(failure: &Failure) -> bool {
    EXPIRED.iter().any(|code| failure.message().contains(code))
}

fn classify(status: StatusCode, error: &str, delete_marker: bool, image: &ImageRef) -> Failure {
    // What is not there under the version "null" may be written yet.
    let pinned = image.version_id.as_ref().is_some_and(|version| version != NULL_VERSION);
    let (code, what) = match (status.as_u16(), error) {
        (412, _) => (Code::ObjectChanged, "the object no longer has the pinned ETag"),
        (404, "NoSuchVersion") if pinned => (Code::ObjectChanged, "the pinned version is gone"),
        (405, _) if pinned => (Code::ObjectChanged, "the pinned version is a delete marker"),
        (400, "InvalidArgument") if pinned => (Code::ObjectChanged, "the store does not know such a version id"),
        (400, _) if IMPOSSIBLE.contains(&error) => {
            (Code::MalformedJob, "the store has no objects of such a name, and cannot have any")
        }
        (404, "NoSuchBucket") => (Code::ObjectNotFound, "there is no such bucket"),
        (404, _) if delete_marker => (Code::ObjectNotFound, "the object has been deleted"),
        (404, _) => (Code::ObjectNotFound, "there is no such object"),
        (403, "RequestTimeTooSkewed") => {
            (Code::StoreUnavailable, "this machine's clock is off by more than the store allows")
        }
        (403, "InvalidAccessKeyId" | "SignatureDoesNotMatch") => {
            (Code::ObjectForbidden, "the store does not accept the credentials")
        }
        (403, _) => (
            Code::ObjectForbidden,
            "the store refuses the read (with no right to list, a missing object looks like this too)",
        ),
        (301 | 307 | 308, _) | (400, "AuthorizationHeaderMalformed") => {
            (Code::StoreUnavailable, "the bucket is in another region than s3.region, or at another endpoint")
        }
        (429 | 503, _) => (Code::StoreUnavailable, "the store asks to slow down"),
        _ => (Code::StoreUnavailable, "the store answered with an error"),
    };
    let named = if error.is_empty() { String::new() } else { format!(" {error}") };
    Failure::new(code, format!("{what} ({}{named})", status.as_u16())).with_status(status.as_u16())
}

/// The `Code` element of an error document, where it looks like one of S3's names.
fn error_code(document: &[u8]) -> &str {
    std::str::from_utf8(document)
        .ok()
        .and_then(|text| text.split_once("<Code>")?.1.split_once("</Code>"))
        .map(|(code, _)| code)
        .filter(|code| (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_a_meaning() {
        let plain = ImageRef { bucket: "b".to_owned(), key: "k".to_owned(), version_id: None, etag: None };
        let pinned = ImageRef { version_id: Some("1".to_owned()), ..plain.clone() };
        let null = ImageRef { version_id: Some("null".to_owned()), ..plain.clone() };
        for (status, error, image, code) in [
            (404, "NoSuchKey", &plain, Code::ObjectNotFound),
            (404, "", &plain, Code::ObjectNotFound),
            (404, "NoSuchBucket", &plain, Code::ObjectNotFound),
            (404, "NoSuchVersion", &pinned, Code::ObjectChanged),
            (404, "NoSuchVersion", &null, Code::ObjectNotFound),
            (405, "MethodNotAllowed", &null, Code::StoreUnavailable),
            (405, "MethodNotAllowed", &pinned, Code::ObjectChanged),
            (400, "InvalidArgument", &pinned, Code::ObjectChanged),
            (400, "InvalidArgument", &plain, Code::StoreUnavailable),
            (400, "KeyTooLongError", &plain, Code::MalformedJob),
            (400, "XMinioInvalidObjectName", &pinned, Code::MalformedJob),
            (400, "InvalidURI", &plain, Code::MalformedJob),
            (404, "InvalidURI", &plain, Code::ObjectNotFound),
            (400, "BadRequest", &plain, Code::StoreUnavailable),
            (400, "", &plain, Code::StoreUnavailable),
            (412, "PreconditionFailed", &plain, Code::ObjectChanged),
            (403, "AccessDenied", &plain, Code::ObjectForbidden),
            (403, "SignatureDoesNotMatch", &plain, Code::ObjectForbidden),
            (403, "RequestTimeTooSkewed", &plain, Code::StoreUnavailable),
            (400, "ExpiredToken", &plain, Code::StoreUnavailable),
            (301, "PermanentRedirect", &plain, Code::StoreUnavailable),
            (503, "SlowDown", &plain, Code::StoreUnavailable),
            (500, "InternalError", &plain, Code::StoreUnavailable),
            (206, "", &plain, Code::StoreUnavailable),
        ] {
            let failure = classify(StatusCode::from_u16(status).expect("a status"), error, false, image);
            assert_eq!(failure.code(), code, "{status} {error}");
            assert!(failure.message().contains(error));
            assert_eq!(credentials_expired(&failure), error == "ExpiredToken");
        }
    }

    #[test]
    fn what_is_sent_is_held_against_what_was_asked_for() {
        let image = |version: Option<&str>, etag: Option<&str>| ImageRef {
            bucket: "b".to_owned(),
            key: "k".to_owned(),
            version_id: version.map(str::to_owned),
            etag: etag.map(str::to_owned),
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

    #[test]
    fn only_a_name_is_taken_from_an_error_document() {
        assert_eq!(error_code(b"<Error><Code>NoSuchKey</Code><Key>secret.jpg</Key></Error>"), "NoSuchKey");
        for strange in [&b"<html>"[..], b"<Code></Code>", b"<Code>a b</Code>", b"<Code>x", b"\xff\xfe"] {
            assert_eq!(error_code(strange), "");
        }
    }
}
