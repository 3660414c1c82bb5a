//! The object store's edge: the only place that names the AWS SDK.
//!
//! The SDK finds credentials, knows where a bucket lives and signs. The request itself goes through one plain HTTP client: the SDK's own
//! request machinery costs as much CPU as everything else a small image needs together (docs/decisions has the figures).

mod address;
mod answer;
mod checksums;
mod credentials;
mod named;
mod objects;
mod probe;
mod request_error;
mod sdk;
mod sign;
mod store_clock;
mod stream;
mod tools;

pub use objects::{Condition, Objects, Put, Stored, Trouble};
pub use probe::Refusal;
pub use sdk::SdkError;
pub use stream::ObjectStream;
pub use tools::{ToolError, Tools};

use crate::{http_client, settings};
use address::Addresses;
use answer::{Fault, Refused, Success};
use antispoof_core::failure::{Class, Code, Failure};
use antispoof_core::image::{ImageRef, NULL_VERSION};
use antispoof_core::ports::{ImageStore, Opened};
use bytes::Bytes;
use checksums::Checksums;
use credentials::{Credentials, Current, Renewal};
use http::header::{self, CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use request_error::unavailable;
use sign::{Content, Signer};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("antispoofd/", env!("CARGO_PKG_VERSION")));

/// Idle connections are closed before the store does it: MinIO and S3 keep them for longer.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// The object store, as the pipeline sees it.
pub struct Store {
    http: http_client::Client<Full<Bytes>>,
    addresses: Addresses,
    credentials: Credentials,
    signer: Signer,
    checksums: Checksums,
    settings: settings::S3,
}

/// The HTTP client could not be built: the system's certificate authorities cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("build the S3 client: {0}")]
pub struct StoreError(std::io::Error);

impl StoreError {
    /// What to do about it.
    pub const REMEDY: &str = "install the system's certificate authorities, or name them in SSL_CERT_FILE";
}

impl Store {
    /// Puts the parts together, for so many requests at a time. Nothing is requested yet: credentials are found when the first object is.
    pub async fn new(settings: settings::S3, in_flight: u16) -> Result<Self, StoreError> {
        // Before the SDK, which panics where there are no certificate authorities.
        let http = http_client::Client::new(http_client::Options {
            connect_timeout: settings.connect_timeout,
            idle_timeout: POOL_IDLE,
            http2: false,
            in_flight,
            proxies: false,
        })
        .map_err(StoreError)?;
        let sdk = sdk::config(&settings).await;
        Ok(Self {
            http,
            addresses: Addresses::new(sdk, &settings),
            credentials: Credentials::new(&settings),
            signer: Signer::new(settings.region.clone()),
            checksums: Checksums::new(settings.verify_checksums),
            settings,
        })
    }

    async fn request(
        &self,
        image: &ImageRef,
        credentials: &Current,
        checksum: bool,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let url = self.addresses.object(image).await?;
        let mut request = Request::get(url).body(()).map_err(|error| unavailable(&error))?;
        let signed = if checksum { &[checksums::MODE][..] } else { &[] };
        self.signer.sign(&mut request, signed, Content::Unsigned, &credentials.identity, SystemTime::now())?;
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, USER_AGENT);
        if let Some(etag) = &image.etag {
            let pin = HeaderValue::try_from(format!("\"{etag}\"")).map_err(|error| unavailable(&error))?;
            headers.insert(header::IF_MATCH, pin);
        }
        Ok(request.map(|()| Full::default()))
    }

    /// A GET, and another one that asks for no checksum where the store does not know how to be asked for it.
    async fn get(&self, image: &ImageRef, credentials: &Current) -> Result<Answer, Failure> {
        let checksum = self.checksums.asked_for();
        let answer = self.get_once(image, credentials, checksum).await?;
        match &answer {
            Answer::Refused(refused) if checksum && refused.knows_no_checksums() => {
                self.checksums.refused(&refused.said());
                Box::pin(self.get_once(image, credentials, false)).await
            }
            _ => Ok(answer),
        }
    }

    async fn get_once(&self, image: &ImageRef, credentials: &Current, checksum: bool) -> Result<Answer, Failure> {
        let request = self.request(image, credentials, checksum).await?;
        let limit = self.settings.timeout;
        let response =
            self.http.send(request, Instant::now() + limit).await.map_err(|error| no_answer(&error, limit))?;
        let (head, body) = response.into_parts();
        let stream = ObjectStream::new(body, self.settings.read_timeout);
        if head.status != StatusCode::OK {
            let refused = Refused::read(head.status, &head.headers, stream, self.settings.read_timeout).await;
            return Ok(Answer::Refused(refused));
        }
        Ok(match answer::success(head.status, &head.headers, stream).await? {
            Success::Object(stream) => Answer::Object(head.headers, stream),
            Success::Refused(refused) => Answer::Refused(refused),
        })
    }

    /// A GET, and another one with other credentials where the store does not accept these.
    async fn get_with_good_credentials(&self, image: &ImageRef) -> Result<Answer, Failure> {
        let credentials = self.credentials.get().await?;
        let answer = self.get(image, &credentials).await?;
        let Some((refused, fault)) = answer.fault() else { return Ok(answer) };
        let remedy = match self.credentials.renew(&credentials).await {
            Renewal::Others(others) => {
                let answer = Box::pin(self.get(image, &others)).await?;
                let Some((refused, fault)) = answer.fault() else { return Ok(answer) };
                let remedy = "those before them were not accepted either: put good ones where the AWS chain finds them";
                return Err(Box::pin(self.unauthorized(image, &others, refused, fault, remedy)).await);
            }
            Renewal::Same => {
                "the AWS chain still gives these credentials: put the right ones where it finds them".to_owned()
            }
            Renewal::None(why) => format!("and the AWS chain gives no others: {why}"),
        };
        Err(Box::pin(self.unauthorized(image, &credentials, refused, fault, &remedy)).await)
    }

    /// A failure of all jobs, unless the store accepts the same credentials for another object: then something about this one is signed otherwise
    /// there, as a proxy does that changes paths. A job must not stop all the others by its name.
    async fn unauthorized(
        &self,
        image: &ImageRef,
        credentials: &Current,
        refused: &Refused,
        fault: Fault,
        remedy: &str,
    ) -> Failure {
        let complaint = refused.complaint(fault);
        let other = address::absent_object(&image.bucket);
        let accepted = self.get(&other, credentials).await.is_ok_and(|answer| answer.accepts_the_credentials());
        if accepted {
            let message = format!("{complaint}, of this object only: its name does not reach the store as it is");
            return Failure::new(Code::ObjectForbidden, message);
        }
        let remedy = if refused.blames_the_clock(fault) { "set it, and keep it set (NTP)" } else { remedy };
        Failure::new(Code::StoreUnauthorized, format!("{complaint}; {remedy}"))
    }

    /// The object under this key, if its content is the pinned one.
    async fn open_key(&self, image: &ImageRef) -> Result<Opened<ObjectStream>, Failure> {
        let mut answer = self.get_with_good_credentials(image).await?;
        if let Answer::Refused(refused) = &answer
            && image.version_id.as_deref() == Some(NULL_VERSION)
            && refused.knows_no_versions()
        {
            // What is there without versions is the version "null". Should it have another after all, `named` finds out.
            let plain = ImageRef { version_id: None, ..image.clone() };
            answer = Box::pin(self.get_with_good_credentials(&plain)).await?;
        }
        let (headers, stream) = match answer {
            Answer::Object(headers, stream) => (headers, stream),
            Answer::Refused(refused) => return Err(refused.failure(image, &self.settings.region)),
        };
        let named = named::named(&headers, image)?;
        let bytes = announced(&headers)?;
        within(bytes, self.settings.max_object_bytes)?;
        let checksum = self.checksums.kept(&headers);
        Ok(Opened { bytes, etag: named.etag, version_id: named.version_id, key: None, checksum, stream })
    }
}

/// What came of a GET.
enum Answer {
    Object(HeaderMap, ObjectStream),
    Refused(Refused),
}

impl Answer {
    fn fault(&self) -> Option<(&Refused, Fault)> {
        match self {
            Self::Object(..) => None,
            Self::Refused(refused) => Some((refused, refused.fault()?)),
        }
    }

    /// True for the answers that a store gives only after it has looked at the signature.
    fn accepts_the_credentials(&self) -> bool {
        match self {
            Self::Object(..) => true,
            Self::Refused(refused) => {
                matches!(refused.status(), 403 | 404) && !refused.is_no_store() && refused.fault().is_none()
            }
        }
    }
}

impl ImageStore for Store {
    type Stream = ObjectStream;

    async fn open(&self, image: &ImageRef) -> Result<Opened<ObjectStream>, Failure> {
        let first = match self.open_key(image).await {
            Err(failure) if is_elsewhere_perhaps(&failure) => failure,
            end => return end,
        };
        let Some(other) = image.otherwise() else { return Err(first) };
        match Box::pin(self.open_key(&other)).await {
            Ok(opened) => Ok(Opened { key: Some(other.key), ..opened }),
            // Under neither key. What may still come to be under one of them is not given up for the other's sake.
            Err(second) if is_elsewhere_perhaps(&second) => {
                let waits = first.code().class() == Class::Transient || second.code().class() != Class::Transient;
                Err(if waits { first } else { second })
            }
            Err(second) => Err(second),
        }
    }
}

/// True where the pinned content is not under this key, as far as the store says.
fn is_elsewhere_perhaps(failure: &Failure) -> bool {
    matches!(failure.code(), Code::ObjectNotFound | Code::ObjectForbidden | Code::ObjectChanged | Code::MalformedJob)
}

/// Why the store did not answer, and what to do about it where it does not pass by itself.
fn no_answer(error: &http_client::SendError, limit: Duration) -> Failure {
    if error.is_timeout() {
        return Failure::new(Code::StoreTimeout, format!("the store did not answer within {limit:?}"));
    }
    let remedy = error.connecting().and_then(http_client::ConnectError::remedy);
    let said = match (error.connecting(), remedy) {
        (Some(error), Some(remedy)) => format!("the store cannot be reached: {error}: {remedy}"),
        (Some(error), None) => format!("the store cannot be reached: {error}"),
        (None, _) => format!("{error}, before the store answered"),
    };
    Failure::new(Code::StoreUnavailable, said)
}

fn announced(headers: &HeaderMap) -> Result<u64, Failure> {
    headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .ok_or_else(|| Failure::new(Code::StoreUnavailable, "the store does not say how long the object is"))
}

fn within(bytes: u64, most: u64) -> Result<(), Failure> {
    if bytes == 0 {
        return Err(Failure::new(Code::ObjectEmpty, "the object has no bytes"));
    }
    if bytes > most {
        let message = format!("the object has {bytes} bytes, s3.max_object_bytes allows {most}");
        return Err(Failure::new(Code::ObjectTooLarge, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_held_against_the_limit() {
        assert_eq!(within(0, 10).expect_err("empty").code(), Code::ObjectEmpty);
        assert_eq!(within(11, 10).expect_err("large").code(), Code::ObjectTooLarge);
        assert_eq!(within(10, 10), Ok(()));
    }

    #[test]
    fn an_object_of_unknown_length_is_not_opened() {
        assert_eq!(announced(&HeaderMap::new()).expect_err("unknown").code(), Code::StoreUnavailable);
    }
}
