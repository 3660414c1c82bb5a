//! The record of which jobs had a call and what their result was. `docs/ledger.md` has the states, the keys and the guarantees.

mod claims;
mod clock;
mod daily;
mod file;
mod memory;
mod owed;
mod record;
mod redis;
mod refused;
mod s3;

#[cfg(test)]
mod conformance;

pub use clock::Clock;
pub use daily::LocalCount;
pub use file::{File, OpenError};
pub use memory::Memory;
pub use redis::{Keeping, Redis, RedisOptions, UrlError};
pub use refused::Refused;
pub use s3::{S3, S3Options, Unfit};

use antispoof_core::event::JobResult;
use antispoof_core::ports::{ClaimOutcome, DailyCalls, Intent, Ledger, LedgerError};

/// The ledger of the settings.
pub enum AnyLedger {
    /// Remembers nothing: every delivery is paid for. Counts calls where there is a limit.
    Nothing(LocalCount),
    /// Remembers as long as the process lives.
    Memory(Box<Memory>),
    /// Remembers in a file of this process's own.
    File(Box<File>),
    /// Remembers in a server that all workers share.
    Redis(Box<Redis>),
    /// Remembers in a bucket that all workers share.
    S3(Box<S3>),
}

/// Hands a call to the backend there is; the first expression is what the one that remembers nothing says.
macro_rules! backend {
    ($ledger:expr, $nothing:expr, $($call:tt)+) => {
        match $ledger {
            Self::Nothing(_) => Ok($nothing),
            Self::Memory(memory) => memory.$($call)+.await,
            Self::File(file) => file.$($call)+.await,
            Self::Redis(redis) => redis.$($call)+.await,
            Self::S3(s3) => s3.$($call)+.await,
        }
    };
}

impl AnyLedger {
    /// Asks for a sign of life, so that a wrong address or password is said at the start and not at the first job; and how well records are kept.
    pub async fn look(&self) -> Result<Keeping, LedgerError> {
        match self {
            Self::Redis(redis) => redis.look().await,
            Self::S3(s3) => {
                s3.prove().await.map(|()| Keeping::default()).map_err(|unfit| LedgerError(unfit.to_string()))
            }
            Self::Nothing(_) | Self::Memory(_) | Self::File(_) => Ok(Keeping::default()),
        }
    }

    /// Tries the steps of a job, which leaves nothing behind, and asks how well records are kept.
    pub async fn try_out(&self) -> Result<Keeping, Refused> {
        match self {
            Self::Redis(redis) => redis.try_out().await,
            Self::S3(s3) => s3.try_out().await.map(|()| Keeping::default()),
            Self::Nothing(_) | Self::Memory(_) | Self::File(_) => Ok(Keeping::default()),
        }
    }

    /// Fails where the store that the records are in is there and cannot keep them: nothing may run on it. One that cannot be asked is asked again later.
    pub async fn prove(&self) -> Result<(), Unfit> {
        match self {
            Self::S3(s3) => match s3.prove().await {
                Err(unfit @ Unfit::Store { .. }) => Err(unfit),
                Ok(()) | Err(Unfit::Trouble(_)) => Ok(()),
            },
            Self::Nothing(_) | Self::Memory(_) | Self::File(_) | Self::Redis(_) => Ok(()),
        }
    }

    /// Ends when the thread or the task that takes the steps has ended, which it does not before [`Self::close`]. Never where there is none.
    pub async fn writer_ended(&self) {
        match self {
            Self::File(file) => file.writer_ended().await,
            Self::Nothing(_) | Self::Memory(_) | Self::Redis(_) | Self::S3(_) => std::future::pending().await,
        }
    }

    /// Writes what can wait until now. Bounded.
    pub async fn close(&self) {
        match self {
            Self::File(file) => file.close().await,
            Self::Nothing(_) | Self::Memory(_) | Self::Redis(_) | Self::S3(_) => {}
        }
    }
}

impl Ledger for AnyLedger {
    async fn begin(&self, key: &str) -> Result<ClaimOutcome, LedgerError> {
        backend!(self, ClaimOutcome::Fresh, begin(key))
    }

    async fn intent(&self, key: &str) -> Result<Intent, LedgerError> {
        match self {
            Self::Nothing(count) => Ok(count.count()),
            Self::Memory(memory) => memory.intent(key).await,
            Self::File(file) => file.intent(key).await,
            Self::Redis(redis) => redis.intent(key).await,
            Self::S3(s3) => s3.intent(key).await,
        }
    }

    async fn conclude(
        &self,
        key: &str,
        object: Option<&str>,
        result: &JobResult,
        superseded: Option<&JobResult>,
    ) -> Result<Option<Box<JobResult>>, LedgerError> {
        backend!(self, None, conclude(key, object, result, superseded))
    }

    async fn published(&self, key: &str, keep: bool) -> Result<(), LedgerError> {
        backend!(self, (), published(key, keep))
    }

    fn remembers(&self) -> bool {
        !matches!(self, Self::Nothing(_))
    }

    async fn release(&self, key: &str, paid: bool) -> Result<(), LedgerError> {
        backend!(self, (), release(key, paid))
    }

    async fn unsent(&self, call: DailyCalls) -> Result<(), LedgerError> {
        match self {
            Self::Nothing(count) => {
                count.take_back(call.day);
                Ok(())
            }
            Self::Memory(memory) => memory.unsent(call).await,
            Self::File(file) => file.unsent(call).await,
            Self::Redis(redis) => redis.unsent(call).await,
            Self::S3(s3) => s3.unsent(call).await,
        }
    }

    async fn daily_calls(&self) -> Result<Option<DailyCalls>, LedgerError> {
        match self {
            Self::Nothing(count) => Ok(count.today()),
            Self::Memory(memory) => memory.daily_calls().await,
            Self::File(file) => file.daily_calls().await,
            Self::Redis(redis) => redis.daily_calls().await,
            Self::S3(s3) => s3.daily_calls().await,
        }
    }

    async fn recall(&self, object: &str) -> Result<Option<JobResult>, LedgerError> {
        backend!(self, None, recall(object))
    }
}
