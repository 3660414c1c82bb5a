//! Where an object is. The SDK's own rules (partitions, path style, dual stack, `AWS_ENDPOINT_URL_S3`) are asked once a bucket.

use super::request_error::unavailable;
use super::sdk;
use crate::settings;
use antispoof_core::failure::Failure;
use antispoof_core::image::ImageRef;
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::presigning::PresigningConfig;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// The key that a bucket's address is asked with; cut off again.
const PROBE_KEY: &str = "k";

/// With `s3.allow_any_bucket` a producer chooses the names: the memory of them is bounded.
const MOST_BUCKETS: usize = 1024;

pub(super) struct Addresses {
    client: aws_sdk_s3::Client,
    bases: RwLock<HashMap<String, Arc<str>>>,
}

impl Addresses {
    /// Of a signed address only the address is kept, so that no real credentials are needed for it: those of the SDK would be searched for by the SDK,
    /// which reads no file twice, and a search that fails would be the store's fault.
    pub(super) fn new(config: SdkConfig, settings: &settings::S3) -> Self {
        let placeholder = Credentials::new("address", "only", None, None, "antispoofd");
        let config = config.into_builder().credentials_provider(SharedCredentialsProvider::new(placeholder)).build();
        Self { client: sdk::client(&config, settings), bases: RwLock::default() }
    }

    /// The URL of the object, with its version where it is pinned.
    pub(super) async fn object(&self, image: &ImageRef) -> Result<String, Failure> {
        let base = self.bucket(&image.bucket).await?;
        Ok(url_of(&base, &image.key, image.version_id.as_deref()))
    }

    /// What the URLs of a bucket's objects begin with.
    pub(super) async fn bucket(&self, bucket: &str) -> Result<Arc<str>, Failure> {
        let known = self.bases.read().unwrap_or_else(PoisonError::into_inner).get(bucket).cloned();
        match known {
            Some(base) => Ok(base),
            // Boxed: it is the SDK's long way, taken once a bucket.
            None => Box::pin(self.resolve(bucket)).await,
        }
    }

    async fn resolve(&self, bucket: &str) -> Result<Arc<str>, Failure> {
        let lifetime = PresigningConfig::expires_in(Duration::from_mins(1)).map_err(|error| unavailable(&error))?;
        let presigned = self
            .client
            .get_object()
            .bucket(bucket)
            .key(PROBE_KEY)
            .presigned(lifetime)
            .await
            .map_err(|error| unavailable(&aws_sdk_s3::error::DisplayErrorContext(error)))?;
        let url = presigned.uri();
        let path = url.split_once('?').map_or(url, |(path, _)| path);
        let base: Arc<str> = path
            .strip_suffix(PROBE_KEY)
            .filter(|base| base.ends_with('/'))
            .ok_or_else(|| unavailable(&"the SDK gives the bucket no plain address"))?
            .into();
        let mut bases = self.bases.write().unwrap_or_else(PoisonError::into_inner);
        if bases.len() >= MOST_BUCKETS {
            bases.clear();
        }
        bases.insert(bucket.to_owned(), base.clone());
        Ok(base)
    }
}

/// The URL of an object of a bucket at `base`, with its version where there is one.
pub(super) fn url_of(base: &str, key: &str, version: Option<&str>) -> String {
    let mut url = String::with_capacity(base.len() + key.len() + 64);
    url.push_str(base);
    escape(key, true, &mut url);
    if let Some(version) = version {
        url.push_str("?versionId=");
        escape(version, false, &mut url);
    }
    url
}

/// The name of an object that is not there: random, so that no producer has made it.
pub(super) fn absent_object(bucket: &str) -> ImageRef {
    ImageRef {
        bucket: bucket.to_owned(),
        key: format!("antispoofd-check-{:032x}", fastrand::u128(..)),
        version_id: None,
        etag: None,
        other_key: None,
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986, which is what the signature is computed over.
fn escape(text: &str, keep_slashes: bool, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            b'/' if keep_slashes => out.push('/'),
            _ => {
                out.push('%');
                out.push(DIGITS[usize::from(byte >> 4)] as char);
                out.push(DIGITS[usize::from(byte & 15)] as char);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_way_through_a_url() {
        let mut url = String::new();
        escape("2026/11/sélfie #1?a=b&c+d%20.jpg", true, &mut url);
        assert_eq!(url, "2026/11/s%C3%A9lfie%20%231%3Fa%3Db%26c%2Bd%2520.jpg");
        let mut version = String::new();
        escape("a/b+c=", false, &mut version);
        assert_eq!(version, "a%2Fb%2Bc%3D");
    }
}
