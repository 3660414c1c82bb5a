//! Whether a bucket can be read, found out as a job would: by a GET, of an object that is not there.

use super::address::absent_object;
use super::answer::{ErrorCode, Fault, Refused};
use super::{Answer, Store};
use antispoof_core::failure::{Code, Failure};

/// Why no object of a bucket can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not there.
    #[error("there is no such bucket")]
    NoBucket,
    /// The credentials are good, and do not allow it.
    #[error("the store refuses to tell whether an object is there ({0})")]
    Forbidden(String),
    /// The store does not know, or does not believe, the credentials.
    #[error("{0}")]
    Credentials(String),
    /// There are none.
    #[error("{0}")]
    NoCredentials(String),
    /// There is no asking for it.
    #[error("{0}")]
    Unasked(String),
    /// It is elsewhere.
    #[error("{0}")]
    Elsewhere(String),
    /// The clocks differ by too much for a signature.
    #[error("{0}")]
    Clock(String),
    /// No answer.
    #[error("{0}")]
    Unreachable(String),
    /// What answered is no store.
    #[error("{0}")]
    NoStore(String),
    /// The store has troubles of its own.
    #[error("the store answered {0}")]
    Other(String),
}

impl Store {
    /// Asks for an object that is not there. Bounded by twice `s3.timeout` (for the answer, and for its document) and the search for credentials. Reads no object.
    pub async fn probe(&self, bucket: &str) -> Result<(), Refusal> {
        let image = absent_object(bucket);
        let said = |failure: Failure| failure.message().to_owned();
        let credentials = self.credentials.get().await.map_err(|failure| Refusal::NoCredentials(said(failure)))?;
        self.addresses.object(&image).await.map_err(|failure| Refusal::Unasked(said(failure)))?;
        match self.get(&image, &credentials).await {
            // It is not there, so that only who answers everything says that it is.
            Ok(Answer::Object(..)) => Err(Refusal::NoStore(
                "this does not look like an S3 store: it has an object of a name that was made up a moment ago"
                    .to_owned(),
            )),
            Ok(Answer::Refused(refused)) => meaning(&refused, &self.settings.region),
            Err(failure) => Err(match failure.code() {
                Code::StoreTimeout | Code::StoreUnavailable => Refusal::Unreachable(said(failure)),
                _ => Refusal::Unasked(said(failure)),
            }),
        }
    }
}

fn meaning(refused: &Refused, region: &str) -> Result<(), Refusal> {
    if refused.is_no_store() {
        return Err(Refusal::NoStore(refused.no_store()));
    }
    if let Some(elsewhere) = refused.elsewhere(region) {
        return Err(Refusal::Elsewhere(elsewhere));
    }
    if let Some(fault) = refused.fault() {
        let complaint = refused.complaint(fault);
        let clock = fault == Fault::Clock || refused.blames_the_clock(fault);
        return Err(if clock { Refusal::Clock(complaint) } else { Refusal::Credentials(complaint) });
    }
    let said = refused.said();
    match refused.status() {
        404 if refused.code() == ErrorCode::NoSuchBucket => Err(Refusal::NoBucket),
        // A bare 404 may come from anything that speaks HTTP; only a store says what it does not have.
        404 if refused.code() == ErrorCode::NoSuchKey => Ok(()),
        403 => Err(Refusal::Forbidden(said)),
        _ => Err(Refusal::Other(said)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_object_of_a_bucket_that_is_there_is_fine() {
        let of = |status, code| meaning(&Refused::with(status, code), "eu-central-1");
        assert_eq!(of(404, "NoSuchKey"), Ok(()));
        assert_eq!(of(404, "NoSuchBucket"), Err(Refusal::NoBucket));
        assert_eq!(of(404, ""), Err(Refusal::Other("404".to_owned())));
        assert_eq!(of(403, "AccessDenied"), Err(Refusal::Forbidden("403 AccessDenied".to_owned())));
        assert!(matches!(of(403, "RequestTimeTooSkewed"), Err(Refusal::Clock(_))));
        assert!(matches!(of(403, "SignatureDoesNotMatch"), Err(Refusal::Credentials(_))));
        assert!(matches!(of(404, "XAdminUserNotFound"), Err(Refusal::Credentials(_))));
        assert!(matches!(of(301, "PermanentRedirect"), Err(Refusal::Elsewhere(_))));
        assert_eq!(of(503, "SlowDown"), Err(Refusal::Other("503 SlowDown".to_owned())));
    }
}
