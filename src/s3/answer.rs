//! What an answer means that is no object: for the job, for the credentials, and for the operator.

mod code;
mod document;
mod fault;
mod marks;
mod skew;

pub(super) use code::ErrorCode;
pub(super) use fault::Fault;

use super::stream::ObjectStream;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::image::{ImageRef, NULL_VERSION};
use document::{Document, Nuance};
use futures_util::StreamExt as _;
use http::header::{DATE, ETAG, LOCATION};
use http::{HeaderMap, StatusCode, Uri};
use marks::Marks;
use skew::Skew;
use std::time::Duration;
use tokio::time::timeout;

/// S3's error documents are a few hundred bytes; the longest seen has two thousand.
const MOST_BYTES: usize = 16 * 1024;

/// An answer that is no object.
#[derive(Debug, Default)]
pub(super) struct Refused {
    status: u16,
    error: Document,
    /// It has a mark of an S3 store.
    marked: bool,
    delete_marker: bool,
    /// Where the store says that the bucket is.
    region: Option<String>,
    /// Where the answer redirects to, without the path.
    location: Option<String>,
    /// How far this machine's clock is from the store's, if that is much.
    skew: Option<Skew>,
}

/// What a success is when one looks closer.
pub(super) enum Success {
    /// An object; the stream may have been looked into.
    Object(ObjectStream),
    /// None.
    Refused(Refused),
}

/// Holds a success against the marks of a store. Reads the beginning of the body where the headers leave it open.
pub(super) async fn success(
    status: StatusCode,
    headers: &HeaderMap,
    mut body: ObjectStream,
) -> Result<Success, Failure> {
    match marks::of_success(headers) {
        Marks::Object => return Ok(Success::Object(body)),
        Marks::Body => {}
        Marks::None => return Ok(Success::Refused(Refused::of(status, headers, Document::default()))),
    }
    let first = body.next().await.transpose()?.unwrap_or_default();
    let text = String::from_utf8_lossy(&first);
    let is_text = text.trim_start_matches('\u{feff}').trim_start().starts_with('<');
    let error = Document::parse(&first);
    if error.name.is_empty() && !(is_text && marks::says_page(headers)) && headers.contains_key(ETAG) {
        return Ok(Success::Object(body.beginning_with(first)));
    }
    Ok(Success::Refused(Refused::of(status, headers, error)))
}

// === impl Refused ===

impl Refused {
    /// Reads the error document, for at most `limit`: a document can drip, each drop in time.
    pub(super) async fn read(status: StatusCode, headers: &HeaderMap, mut body: ObjectStream, limit: Duration) -> Self {
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
        Self::of(status, headers, Document::parse(&document))
    }

    fn of(status: StatusCode, headers: &HeaderMap, error: Document) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let region = text("x-amz-bucket-region").or(error.region.as_deref()).map(str::to_owned);
        let location = text(LOCATION.as_str()).and_then(|value| value.parse::<Uri>().ok()).and_then(|uri| {
            // Behind it are bucket and key.
            Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?.as_str()))
        });
        Self {
            status: status.as_u16(),
            marked: marks::has_request_id(headers) || !(error.name.is_empty() || error.nuance == Some(Nuance::Console)),
            delete_marker: text("x-amz-delete-marker") == Some("true"),
            region: region.filter(|region| region.len() <= 64),
            location,
            skew: text(DATE.as_str()).and_then(|date| httpdate::parse_http_date(date).ok()).and_then(Skew::of),
            error,
        }
    }

    /// An answer with these, for tables.
    #[cfg(test)]
    pub(super) fn with(status: u16, code: &str) -> Self {
        let error = Document { name: code.to_owned(), code: ErrorCode::of(code), ..Document::default() };
        Self { status, error, marked: true, ..Self::default() }
    }

    /// The status and the name of the error, if it has one.
    pub(super) fn said(&self) -> String {
        let name = if self.error.name.is_empty() { String::new() } else { format!(" {}", self.error.name) };
        format!("{}{name}", self.status)
    }

    /// True when nothing says that an S3 store has answered.
    pub(super) fn is_no_store(&self) -> bool {
        !self.marked || (self.status == 200 && self.error.name.is_empty())
    }

    /// Why there is no believing the answer, and what to do.
    pub(super) fn no_store(&self) -> String {
        let said = self.said();
        match (self.status, &self.location) {
            (_, Some(location)) if self.error.nuance == Some(Nuance::Console) => {
                format!(
                    "this does not look like an S3 store: it is MinIO's console, whose S3 API is at {location} ({said})"
                )
            }
            (300..=399, Some(location)) => {
                format!(
                    "this does not look like an S3 store: it redirects to {location} ({said}); is s3.endpoint_url right?"
                )
            }
            (500..=599, _) => format!(
                "a server that is no S3 store answered {said}: a proxy before the store, or s3.endpoint_url is not the store's"
            ),
            _ => format!(
                "this does not look like an S3 store: {said} without its request id, its error document or an ETag; is s3.endpoint_url the store's, \
                 and not its console's or a web page's?"
            ),
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Which error of S3 it is.
    pub(super) fn code(&self) -> ErrorCode {
        self.error.code
    }

    /// True when a store without versions does not know the version of every object there.
    pub(super) fn knows_no_versions(&self) -> bool {
        self.status == 400 && self.error.code == ErrorCode::InvalidArgument
    }

    /// True when a store refuses to be asked for a checksum: a read needs nothing else that a store may not have implemented.
    pub(super) fn knows_no_checksums(&self) -> bool {
        match self.status {
            400 => self.error.nuance == Some(Nuance::Checksums),
            501 => self.error.name == "NotImplemented",
            _ => false,
        }
    }

    /// Where the bucket is, if the store redirects there.
    pub(super) fn elsewhere(&self, region: &str) -> Option<String> {
        let sent_away = matches!(
            (self.status, self.error.code),
            (301 | 302 | 307 | 308, _) | (400, ErrorCode::MalformedAuthorization | ErrorCode::OtherRegion)
        );
        let at = self.region.as_deref().filter(|at| *at != region);
        match (sent_away, at) {
            (true, Some(at)) => Some(format!(
                "the bucket is in region {at}, s3.region says {region}: set s3.region (and s3.endpoint_url, where it is set) to {at}'s"
            )),
            (true, None) if self.status != 400 => Some(match &self.location {
                Some(location) => format!(
                    "the bucket is at another endpoint, {location}: set s3.endpoint_url to it (or s3.region to the bucket's)"
                ),
                None => "the bucket is in another region than s3.region, or at another endpoint: set s3.region to the bucket's".to_owned(),
            }),
            _ => None,
        }
    }

    /// What it means for the job. Of what it says against the credentials nothing is said here.
    pub(super) fn failure(&self, image: &ImageRef, region: &str) -> Failure {
        let status = self.status;
        if self.is_no_store() {
            return Failure::new(Code::StoreUnavailable, self.no_store()).with_status(status);
        }
        if let Some(elsewhere) = self.elsewhere(region) {
            let message = format!("{elsewhere} ({}, bucket {})", self.said(), image.bucket);
            return Failure::new(Code::StoreUnavailable, message).with_status(status);
        }
        let (code, what) = self.meaning(image);
        Failure::new(code, format!("{what} ({})", self.said())).with_status(status)
    }

    fn meaning(&self, image: &ImageRef) -> (Code, String) {
        // What is not there under the version "null" may be written yet.
        let pinned = image.version_id.as_ref().is_some_and(|version| version != NULL_VERSION);
        let (code, what) = match (self.status, self.error.code) {
            (412, _) => (Code::ObjectChanged, "the object no longer has the pinned ETag"),
            (404, ErrorCode::NoSuchVersion) if pinned => (Code::ObjectChanged, "the pinned version is gone"),
            (405, _) if pinned => (Code::ObjectChanged, "the pinned version is a delete marker"),
            (400, ErrorCode::InvalidArgument) if pinned => {
                (Code::ObjectChanged, "the store does not know such a version id")
            }
            (400, ErrorCode::ImpossibleName) => {
                (Code::MalformedJob, "the store has no objects of such a name, and cannot have any")
            }
            (404, ErrorCode::NoSuchBucket) => {
                return (
                    Code::ObjectNotFound,
                    format!(
                        "there is no bucket {}: create it, or correct the job, s3.endpoint_url or s3.region",
                        image.bucket
                    ),
                );
            }
            (404, _) if self.delete_marker => (Code::ObjectNotFound, "the object has been deleted"),
            (404, _) => (Code::ObjectNotFound, "there is no such object"),
            (403, ErrorCode::InvalidObjectState) => (
                Code::ObjectForbidden,
                "the object is archived and cannot be read: restore it, and keep the lifecycle rule from archiving what is not checked yet",
            ),
            (403, ErrorCode::Closed) => {
                (Code::ObjectForbidden, "the owner of the bucket has closed it to all others: ask the owner")
            }
            (_, ErrorCode::Kms) => (
                Code::ObjectForbidden,
                "the object is encrypted with a KMS key that cannot be used: enable the key, or bring it back, where the store has it",
            ),
            (403, _) if self.error.nuance == Some(Nuance::Encryption) => {
                (Code::ObjectForbidden, "the object is encrypted with a KMS key: allow kms:Decrypt on it")
            }
            (403, _) => (
                Code::ObjectForbidden,
                "the store refuses the read: allow s3:GetObject (kms:Decrypt for what is encrypted so; buckets whose requester pays are not \
                 read); with no right to list, a missing object looks like this too",
            ),
            (429, _) | (503, ErrorCode::SlowDown) => (Code::StoreUnavailable, "the store asks to slow down"),
            (503, _) => (Code::StoreUnavailable, "the store cannot serve at present"),
            (200, _) => (Code::StoreUnavailable, "the store answered with an error document instead of the object"),
            _ => (Code::StoreUnavailable, "the store answered with an error"),
        };
        (code, what.to_owned())
    }
}

#[cfg(test)]
mod tests;
