//! The AWS chain, read afresh at every search: the SDK's own keeps what it has read of files for as long as the process lives.

use super::files::{Files, Seen};
use crate::s3::sdk;
use crate::settings;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// No part of the chain is set up.
pub(super) const NOWHERE: &str = "none were found anywhere in the AWS chain";

type Search<'a> = Pin<Box<dyn Future<Output = Result<Credentials, String>> + Send + 'a>>;
type Look<'a> = Pin<Box<dyn Future<Output = Seen> + Send + 'a>>;

/// Where credentials come from.
pub(super) trait Source: Send + Sync {
    /// Searches from the beginning. The error says in words why there are none; it names no credential.
    fn search(&self) -> Search<'_>;
    /// Looks at the files behind it.
    fn look(&self) -> Look<'_>;
}

/// Environment, profile, IRSA, Pod Identity, instance metadata.
pub(super) struct Chain {
    settings: settings::S3,
    files: Arc<Files>,
}

impl Chain {
    pub(super) fn new(settings: &settings::S3) -> Self {
        Self { settings: settings.clone(), files: Arc::new(Files::of_environment()) }
    }

    async fn credentials(&self) -> Result<Credentials, String> {
        let config = sdk::config(&self.settings).await;
        let provider = config.credentials_provider().ok_or("the AWS chain is empty")?;
        provider.provide_credentials().await.map_err(|error| words(&error))
    }
}

impl Source for Chain {
    fn search(&self) -> Search<'_> {
        Box::pin(self.credentials())
    }

    fn look(&self) -> Look<'_> {
        let files = self.files.clone();
        // A file on a network that hangs must not hold a thread that runs jobs.
        Box::pin(async move { spawn_blocking(move || files.seen()).await.unwrap_or_default() })
    }
}

/// Why the chain has none, by its innermost cause. The SDK's own way of showing it ends in a page of debugging output.
fn words(error: &CredentialsError) -> String {
    let mut causes = Vec::new();
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    match (error, causes.as_slice()) {
        (CredentialsError::CredentialsNotLoaded(_), _) => NOWHERE.to_owned(),
        (_, [only]) => only.clone(),
        (_, [outer, .., inner]) => format!("{outer}: {inner}"),
        (_, []) => String::new(),
    }
}
