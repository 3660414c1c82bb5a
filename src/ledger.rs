//! What was called for and what came of it.

mod memory;

pub use memory::Memory;

use antispoof_core::event::Conclusion;
use antispoof_core::ports::{Known, Ledger, LedgerError};

/// The ledger of the settings.
pub enum AnyLedger {
    /// Remembers nothing: every delivery is paid for.
    Nothing,
    /// Remembers as long as the process lives.
    Memory(Memory),
}

impl Ledger for AnyLedger {
    async fn begin(&self, key: &str) -> Result<Known, LedgerError> {
        match self {
            Self::Nothing => Ok(Known::Fresh),
            Self::Memory(memory) => memory.begin(key).await,
        }
    }

    async fn intent(&self, key: &str) -> Result<(), LedgerError> {
        match self {
            Self::Nothing => Ok(()),
            Self::Memory(memory) => memory.intent(key).await,
        }
    }

    async fn conclude(&self, key: &str, conclusion: &Conclusion) -> Result<(), LedgerError> {
        match self {
            Self::Nothing => Ok(()),
            Self::Memory(memory) => memory.conclude(key, conclusion).await,
        }
    }

    fn remembers(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    async fn release(&self, key: &str, paid: bool) -> Result<(), LedgerError> {
        match self {
            Self::Nothing => Ok(()),
            Self::Memory(memory) => memory.release(key, paid).await,
        }
    }
}
