//! The AWS chain, read afresh at every search: the SDK's own keeps what it has read of files for as long as the process lives.

use super::files::{Files, Seen};
use crate::s3::sdk;
use crate::settings;
use antispoof_core::causes::innermost;
use aws_config::meta::ProviderChainError;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError;
use std::env;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// A search that takes longer is given up, and with it whatever process it waits for.
pub(super) const SEARCH_LIMIT: Duration = Duration::from_mins(1);

/// No part of the chain is set up.
pub(super) const NOWHERE: &str = "none were found anywhere in the AWS chain";

/// What says that a part of the chain is set up, and which. The chain's own errors do not: of an STS that is away they say only that a connection was refused.
const SET_UP_BY: [&str; 7] = [
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
];

type Search<'a> = Pin<Box<dyn Future<Output = Result<Credentials, String>> + Send + 'a>>;
type Look<'a> = Pin<Box<dyn Future<Output = Seen> + Send + 'a>>;

/// Where credentials come from.
pub(super) trait Source: Send + Sync {
    /// Searches from the beginning. The error says in words why there are none; it names no credential.
    fn search(&self) -> Search<'_>;
    /// Looks at the files behind it.
    fn look(&self) -> Look<'_>;
    /// What it is called in a sentence.
    fn name(&self) -> &str;
}

/// Environment, profile, IRSA, Pod Identity, instance metadata.
pub(super) struct Chain {
    settings: settings::S3,
    files: Arc<Files>,
    name: String,
}

impl Chain {
    pub(super) fn new(settings: &settings::S3) -> Self {
        let set_up: Vec<&str> =
            SET_UP_BY.into_iter().filter(|name| env::var_os(name).is_some_and(|value| !value.is_empty())).collect();
        let name = if set_up.is_empty() {
            "the AWS chain".to_owned()
        } else {
            format!("the AWS chain ({})", set_up.join(", "))
        };
        Self { settings: settings.clone(), files: Arc::new(Files::of_environment()), name }
    }

    /// On a thread of its own, with a runtime of its own: the SDK reads its files without leaving the thread, and one that hangs (a network's disk, a pipe)
    /// must hold up neither jobs nor the end of the process.
    async fn credentials(&self) -> Result<Credentials, String> {
        let (found, finding) = oneshot::channel();
        let (settings, name) = (self.settings.clone(), self.name.clone());
        let thread = thread::Builder::new().name("aws-credentials".to_owned());
        let searching = thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let credentials = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
                // Given up by who waits, it ends by this.
                let found = runtime.block_on(async { timeout(SEARCH_LIMIT, credentials(&settings, &name)).await });
                found.unwrap_or_else(|_| Err(format!("{name} gave no answer within {SEARCH_LIMIT:?}")))
            });
            // An error means that the search was given up.
            drop(found.send(credentials));
        });
        searching.map_err(|error| error.to_string())?;
        finding.await.map_err(|_| "the search broke off".to_owned())?
    }
}

async fn credentials(settings: &settings::S3, name: &str) -> Result<Credentials, String> {
    let config = sdk::config(settings).await;
    let provider = config.credentials_provider().ok_or("the AWS chain is empty")?;
    provider.provide_credentials().await.map_err(|error| words(&error, name))
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

    fn name(&self) -> &str {
        &self.name
    }
}

/// Why the chain has none, by the innermost cause. The SDK's own way of showing it ends in a page of debugging output.
fn words(error: &CredentialsError, name: &str) -> String {
    if !matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
        return format!("{name} failed: {}", innermost(error));
    }
    // Each part was passed over, one of them perhaps for a mistake: a profile that is named and not there.
    let attempts = error.source().and_then(|source| source.downcast_ref::<ProviderChainError<CredentialsError>>());
    let causes = attempts.into_iter().flat_map(ProviderChainError::attempts).map(|attempt| innermost(attempt.error()));
    let mistake = causes.into_iter().find(|cause| cause.contains("was not defined"));
    mistake.map_or_else(|| NOWHERE.to_owned(), |mistake| format!("{name} has none: {mistake}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_cause_is_what_is_said() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let failed = CredentialsError::provider_error(CredentialsError::unhandled(refused));
        assert_eq!(words(&failed, "the AWS chain (X)"), "the AWS chain (X) failed: connection refused");
        assert_eq!(words(&CredentialsError::not_loaded("not set"), "the AWS chain"), NOWHERE);
    }
}
