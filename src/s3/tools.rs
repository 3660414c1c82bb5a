//! Operations of the command line, off the hot path: plain SDK calls.

use super::answer::ErrorCode;
use super::{StoreError, sdk};
use crate::{http_client, settings};
use antispoof_core::causes::innermost;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use std::path::Path;

/// Lists and uploads.
#[derive(Clone, Debug)]
pub struct Tools {
    client: Client,
}

/// An operation failed; the text is the SDK's and names no credential.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// A local file cannot be read.
    #[error("read {path}: {why}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
    /// The store refused, or there are no credentials for it.
    #[error("{what}: {why}")]
    Store {
        /// What was to be done.
        what: String,
        /// Why not.
        why: String,
    },
    /// There is no such bucket.
    #[error("{what}: {why}")]
    NoBucket {
        /// What was to be done.
        what: String,
        /// The store's words.
        why: String,
    },
    /// The store could not be reached, or did not answer as one.
    #[error("{what}: {why}")]
    Unreachable {
        /// What was to be done.
        what: String,
        /// Why not.
        why: String,
    },
}

impl Tools {
    /// A client with the settings of the daemon.
    pub async fn new(settings: &settings::S3) -> Result<Self, StoreError> {
        // The SDK panics where there are none.
        http_client::certificate_authorities().map_err(StoreError)?;
        Ok(Self { client: sdk::client(&sdk::config(settings).await, settings) })
    }

    /// Puts a local file into the bucket and returns its `ETag` without quotes, where the store gives one.
    pub async fn upload(&self, path: &Path, bucket: &str, key: &str) -> Result<Option<String>, ToolError> {
        let body = ByteStream::from_path(path)
            .await
            .map_err(|error| ToolError::Read { path: path.display().to_string(), why: error.to_string() })?;
        let put = self.client.put_object().bucket(bucket).key(key).body(body).send().await;
        let put = put.map_err(|error| failed(format!("upload s3://{bucket}/{key}"), error))?;
        Ok(put.e_tag().map(|etag| antispoof_core::job::unquoted(etag).to_owned()))
    }

    /// Makes the bucket, if it is not there.
    pub async fn create_bucket(&self, bucket: &str) -> Result<(), ToolError> {
        if self.client.head_bucket().bucket(bucket).send().await.is_ok() {
            return Ok(());
        }
        let made = self.client.create_bucket().bucket(bucket).send().await;
        made.map(drop).map_err(|error| failed(format!("create bucket {bucket}"), error))
    }

    /// The keys below a prefix, a page at a time. Folder markers (keys that end with a slash) are left out.
    pub async fn list(&self, bucket: &str, prefix: &str, mut each: impl FnMut(String)) -> Result<(), ToolError> {
        let mut pages = self.client.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed(format!("list s3://{bucket}/{prefix}"), error))?;
            for object in page.contents() {
                if let Some(key) = object.key().filter(|key| !key.ends_with('/')) {
                    each(key.to_owned());
                }
            }
        }
        Ok(())
    }
}

fn failed<E>(what: String, error: SdkError<E>) -> ToolError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(refused) => {
            let meta = refused.err().meta();
            let status = refused.raw().status();
            let why = match (meta.code(), meta.message()) {
                (Some(code), Some(message)) => format!("{code}: {message}"),
                (Some(code), None) => code.to_owned(),
                (None, _) => format!("the store answered {status}"),
            };
            match meta.code().map(ErrorCode::of) {
                Some(ErrorCode::NoSuchBucket) => ToolError::NoBucket { what, why },
                _ => ToolError::Store { what, why },
            }
        }
        SdkError::ConstructionFailure(_) => ToolError::Store { what, why: innermost(&error) },
        // The search for credentials ends as a dispatch failure, too, though it never got as far as the store.
        SdkError::DispatchFailure(ref failure) if failure.is_other() => {
            ToolError::Store { what, why: innermost(&error) }
        }
        _ => ToolError::Unreachable { what, why: innermost(&error) },
    }
}
