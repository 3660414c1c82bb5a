//! Credentials, kept until shortly before they expire.

use antispoof_core::failure::{Code, Failure};
use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::identity::Identity;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Fetched anew so long before they expire: longer than any one download.
const AHEAD: Duration = Duration::from_mins(5);

/// The chain may ask a metadata service that is not there; a job should not wait for ever to find out.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) struct Credentials {
    provider: Option<SharedCredentialsProvider>,
    kept: RwLock<Option<Identity>>,
    /// One asks, the others wait for what it gets.
    turn: Semaphore,
}

impl Credentials {
    pub(super) fn new(config: &SdkConfig) -> Self {
        Self { provider: config.credentials_provider(), kept: RwLock::default(), turn: Semaphore::new(1) }
    }

    pub(super) async fn get(&self) -> Result<Identity, Failure> {
        if let Some(identity) = self.fresh() {
            return Ok(identity);
        }
        let _turn = self.turn.acquire().await.map_err(|_| missing("the daemon is stopping"))?;
        if let Some(identity) = self.fresh() {
            return Ok(identity);
        }
        let provider = self.provider.as_ref().ok_or_else(|| missing("the chain is empty"))?;
        let credentials = match timeout(LIMIT, provider.provide_credentials()).await {
            Ok(Ok(credentials)) => credentials,
            Ok(Err(error)) => return Err(missing(&words(&error))),
            Err(_) => return Err(missing(&format!("the chain did not answer within {LIMIT:?}"))),
        };
        let identity = Identity::from(credentials);
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(identity.clone());
        Ok(identity)
    }

    /// The store says that they have expired: whoever comes next asks the chain.
    pub(super) fn forget(&self) {
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn fresh(&self) -> Option<Identity> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let usable = kept.expiration().is_none_or(|at| at > SystemTime::now() + AHEAD);
        usable.then_some(kept)
    }
}

/// An error and what led to it, in words. The SDK's own way of showing it ends in a page of debugging output.
fn words(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn missing(why: &str) -> Failure {
    Failure::new(Code::StoreUnavailable, format!("no AWS credentials: {why}"))
}
