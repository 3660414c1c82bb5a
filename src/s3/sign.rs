//! Signature version 4 by the SDK's own signer.

use super::request_error::unavailable;
use antispoof_core::failure::Failure;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use http::HeaderValue;
use std::time::SystemTime;

pub(super) struct Signer {
    region: String,
    settings: SigningSettings,
}

impl Signer {
    pub(super) fn new(region: String) -> Self {
        let mut settings = SigningSettings::default();
        // S3's own dialect: the path is signed as it is sent.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        Self { region, settings }
    }

    /// Signs a GET. These headers are signed and added; every header that begins with `x-amz-` has to be signed.
    pub(super) fn sign(
        &self,
        request: &mut http::Request<()>,
        headers: &[(&'static str, &'static str)],
        identity: &Identity,
        now: SystemTime,
    ) -> Result<(), Failure> {
        let params = SigningParams::builder()
            .identity(identity)
            .region(&self.region)
            .name("s3")
            .time(now)
            .settings(self.settings.clone())
            .build()
            .map_err(|error| unavailable(&error))?;
        let uri = request.uri().to_string();
        let signable = SignableRequest::new("GET", uri, headers.iter().copied(), SignableBody::UnsignedPayload)
            .map_err(|error| unavailable(&error))?;
        let (instructions, _signature) =
            sign(signable, &params.into()).map_err(|error| unavailable(&error))?.into_parts();
        instructions.apply_to_request_http1x(request);
        for &(name, value) in headers {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Ok(())
    }
}
