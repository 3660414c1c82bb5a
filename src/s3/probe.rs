//! Whether a bucket can be read, found out as a job would: by a GET, of an object that is not there.

use super::{Store, answer, no_answer};
use crate::s3::stream::ObjectStream;
use antispoof_core::image::ImageRef;
use http::StatusCode;
use tokio::time::Instant;

/// Why no object of a bucket can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not there.
    #[error("there is no such bucket")]
    NoBucket,
    /// The credentials are good, and do not allow it.
    #[error("the store refuses to tell whether an object is there (403{0})")]
    Forbidden(String),
    /// The store does not know, or does not believe, the credentials.
    #[error("the store does not accept the credentials ({0})")]
    Credentials(String),
    /// There are none.
    #[error("{0}")]
    NoCredentials(String),
    /// There is no asking for it.
    #[error("{0}")]
    Unasked(String),
    /// It is elsewhere.
    #[error("the bucket is in another region than s3.region, or at another endpoint ({0})")]
    Elsewhere(String),
    /// The clocks differ by too much for a signature.
    #[error("this machine's clock is off by more than the store allows")]
    Clock,
    /// Nobody answered.
    #[error("{0}")]
    Unreachable(String),
    /// The store has troubles of its own, or is none.
    #[error("the store answered {0}")]
    Other(String),
}

impl Store {
    /// Asks for an object that nobody has made. Bounded by twice `s3.timeout` (for the answer, and for its document) and the search for credentials. Reads no object.
    pub async fn probe(&self, bucket: &str) -> Result<(), Refusal> {
        let image = ImageRef {
            bucket: bucket.to_owned(),
            key: format!("antispoofd-check-{:032x}", fastrand::u128(..)),
            version_id: None,
            etag: None,
        };
        self.credentials.get().await.map_err(|failure| Refusal::NoCredentials(found_nowhere(failure.message())))?;
        let request = self.request(&image).await.map_err(|failure| Refusal::Unasked(failure.message().to_owned()))?;
        let limit = self.settings.timeout;
        let response = self.http.send(request, Instant::now() + limit).await;
        let response = response.map_err(|error| Refusal::Unreachable(no_answer(&error, limit).message().to_owned()))?;
        let (head, body) = response.into_parts();
        if head.status == StatusCode::OK {
            return Ok(());
        }
        let error = answer::error_name(ObjectStream::new(body, self.settings.read_timeout), limit).await;
        meaning(head.status.as_u16(), &error)
    }
}

/// The SDK tells at length where it looked, and that is all the same where nothing is set.
fn found_nowhere(said: &str) -> String {
    if said.contains("no credentials found in chain") {
        return "no credentials were found anywhere in the AWS chain".to_owned();
    }
    said.to_owned()
}

fn meaning(status: u16, error: &str) -> Result<(), Refusal> {
    let said = if error.is_empty() { status.to_string() } else { format!("{status} {error}") };
    Err(match (status, error) {
        (404, "NoSuchBucket") => Refusal::NoBucket,
        // A bare 404 may come from anything that speaks HTTP; only a store says what it does not have.
        (404, "NoSuchKey") => return Ok(()),
        (403, "RequestTimeTooSkewed") => Refusal::Clock,
        (403, "InvalidAccessKeyId" | "SignatureDoesNotMatch") | (400, "ExpiredToken" | "InvalidToken") => {
            Refusal::Credentials(said)
        }
        (403, "") => Refusal::Forbidden(String::new()),
        (403, error) => Refusal::Forbidden(format!(" {error}")),
        (301 | 307 | 308, _) | (400, "AuthorizationHeaderMalformed") => Refusal::Elsewhere(said),
        _ => Refusal::Other(said),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_object_of_a_bucket_that_is_there_is_fine() {
        assert_eq!(meaning(404, "NoSuchKey"), Ok(()));
        assert_eq!(meaning(404, "NoSuchBucket"), Err(Refusal::NoBucket));
        assert_eq!(meaning(404, ""), Err(Refusal::Other("404".to_owned())));
        assert_eq!(meaning(403, "AccessDenied"), Err(Refusal::Forbidden(" AccessDenied".to_owned())));
        assert_eq!(meaning(403, "RequestTimeTooSkewed"), Err(Refusal::Clock));
        assert_eq!(
            meaning(403, "SignatureDoesNotMatch"),
            Err(Refusal::Credentials("403 SignatureDoesNotMatch".to_owned()))
        );
        assert_eq!(meaning(301, "PermanentRedirect"), Err(Refusal::Elsewhere("301 PermanentRedirect".to_owned())));
        assert_eq!(meaning(503, "SlowDown"), Err(Refusal::Other("503 SlowDown".to_owned())));
    }
}
