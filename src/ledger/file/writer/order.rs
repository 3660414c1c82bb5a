//! What goes to the thread and comes back.

use crate::ledger::file::open::OpenError;
use crate::ledger::file::store::{Step, StepResult};
use antispoof_core::ports::LedgerError;
use redb::Database;
use tokio::sync::oneshot;

/// How the database is opened: at first with a look at every page, after an error of the disk without.
pub(in crate::ledger::file) type Opener = Box<dyn Fn(bool) -> Result<Database, OpenError> + Send>;

pub(super) type Answer = oneshot::Sender<Result<StepResult, LedgerError>>;

/// Answers on their way to who asked. All of a commit go together: waking the runtime from another thread costs a system call each time.
pub(super) type Answers = Vec<(Answer, Result<StepResult, LedgerError>)>;

pub(super) enum Order {
    Ask(Step, Answer),
    Tell(Step),
    Close(oneshot::Sender<()>),
}

pub(super) fn ended() -> LedgerError {
    LedgerError("the ledger's file is closed".to_owned())
}
