//! The object store's edge: the only place that names the AWS SDK.
//!
//! The SDK finds credentials, knows where a bucket lives and signs. The request itself goes through one plain HTTP client: the SDK's own
//! request machinery costs as much CPU as everything else a small image needs together (docs/decisions has the figures).

mod address;
mod answer;
mod credentials;
mod probe;
mod sdk;
mod sign;
mod stream;
mod tools;

pub use probe::Refusal;
pub use sdk::SdkError;
pub use stream::ObjectStream;
pub use tools::{ToolError, Tools};

use crate::{http_client, settings};
use address::Addresses;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::image::ImageRef;
use antispoof_core::ports::{ImageStore, Opened};
use bytes::Bytes;
use credentials::Credentials;
use http::header::{self, CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Empty;
use sign::Signer;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("antispoofd/", env!("CARGO_PKG_VERSION")));

/// Idle connections are closed before the store does it: MinIO and S3 keep them for longer.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// The object store, as the pipeline sees it.
pub struct Store {
    http: http_client::Client<Empty<Bytes>>,
    addresses: Addresses,
    credentials: Credentials,
    signer: Signer,
    settings: settings::S3,
}

/// The HTTP client could not be built: the system's certificate authorities cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("build the S3 client: {0}")]
pub struct StoreError(std::io::Error);

impl Store {
    /// Puts the parts together. Nothing is asked for yet: credentials are found when the first object is.
    pub async fn new(settings: settings::S3) -> Result<Self, StoreError> {
        let sdk = sdk::config(&settings).await;
        Ok(Self {
            http: http_client::Client::new(http_client::Options {
                connect_timeout: settings.connect_timeout,
                idle_timeout: POOL_IDLE,
                http2: false,
                proxies: false,
            })
            .map_err(StoreError)?,
            addresses: Addresses::new(&sdk, &settings),
            credentials: Credentials::new(&sdk),
            signer: Signer::new(settings.region.clone()),
            settings,
        })
    }

    async fn request(&self, image: &ImageRef) -> Result<Request<Empty<Bytes>>, Failure> {
        let url = self.addresses.object(image).await?;
        let identity = self.credentials.get().await?;
        let mut request = Request::get(url).body(()).map_err(|error| unavailable(&error))?;
        self.signer.sign(&mut request, &identity, SystemTime::now())?;
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, USER_AGENT);
        if let Some(etag) = &image.etag {
            let pin = HeaderValue::try_from(format!("\"{etag}\"")).map_err(|error| unavailable(&error))?;
            headers.insert(header::IF_MATCH, pin);
        }
        Ok(request.map(|()| Empty::new()))
    }
}

impl ImageStore for Store {
    type Stream = ObjectStream;

    async fn open(&self, image: &ImageRef) -> Result<Opened<ObjectStream>, Failure> {
        let request = self.request(image).await?;
        let limit = self.settings.timeout;
        let response =
            self.http.send(request, Instant::now() + limit).await.map_err(|error| no_answer(&error, limit))?;
        let (head, body) = response.into_parts();
        let stream = ObjectStream::new(body, self.settings.read_timeout);
        if head.status != StatusCode::OK {
            let failure = answer::refused(head.status, &head.headers, stream, self.settings.read_timeout, image).await;
            if answer::credentials_expired(&failure) {
                self.credentials.forget();
            }
            return Err(failure);
        }
        let named = answer::named(&head.headers, image)?;
        let bytes = announced(&head.headers)?;
        within(bytes, self.settings.max_object_bytes)?;
        Ok(Opened { bytes, etag: named.etag, version_id: named.version_id, stream })
    }
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

/// For steps that fail only when something is wrong with the settings or the names; the text never has a secret in it.
fn unavailable(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::StoreUnavailable, format!("the request to the store could not be made: {error}"))
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
