//! What the SDK finds out by itself: credentials (environment, profile, IRSA, Pod Identity, instance metadata), endpoints, and the
//! operations off the hot path.

use crate::settings;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};

/// An operation of the SDK failed. The text comes from the SDK and names no credential.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SdkError(pub(super) String);

/// The SDK's own settings, read from the beginning: the SDK reads its files once for each of these. The region is given, so that nothing asks the
/// instance metadata for it at start.
pub(super) async fn config(settings: &settings::S3) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).region(Region::new(settings.region.clone())).load().await
}

/// A client of the SDK with the address settings applied.
pub(super) fn client(sdk: &SdkConfig, settings: &settings::S3) -> aws_sdk_s3::Client {
    let mut builder = Builder::from(sdk).force_path_style(settings.path_style);
    if let Some(url) = &settings.endpoint_url {
        // Stores other than AWS need not know the newer checksums.
        builder = builder
            .endpoint_url(url)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    aws_sdk_s3::Client::from_conf(builder.build())
}
