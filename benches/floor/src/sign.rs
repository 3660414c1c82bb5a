//! A presigned URL for a GET, path style, by the SDK's own signer.

use anyhow::Result;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use std::time::{Duration, SystemTime};

const REGION: &str = "us-east-1";
const LIFETIME: Duration = Duration::from_mins(5);

pub(crate) struct Presigner {
    endpoint: String,
    identity: Identity,
    settings: SigningSettings,
}

impl Presigner {
    pub(crate) fn new(endpoint: String, access_key: &str, secret_key: &str) -> Self {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(LIFETIME);
        Self { endpoint, identity: Credentials::new(access_key, secret_key, None, None, "floor").into(), settings }
    }

    /// The URL of an object whose key needs no escaping.
    pub(crate) fn get(&self, bucket: &str, key: &str) -> Result<http::Uri> {
        let url = format!("{}/{bucket}/{key}", self.endpoint);
        let params = SigningParams::builder()
            .identity(&self.identity)
            .region(REGION)
            .name("s3")
            .time(SystemTime::now())
            .settings(self.settings.clone())
            .build()?
            .into();
        let request = SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::UnsignedPayload)?;
        let (instructions, _signature) = sign(request, &params)?.into_parts();
        let mut signed = http::Request::get(url).body(())?;
        instructions.apply_to_request_http1x(&mut signed);
        Ok(signed.into_parts().0.uri)
    }
}
