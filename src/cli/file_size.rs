//! A limit on the size of files (`ulimit -f`) is an error of the write that meets it, like a full disk, and not the end of the process.

use super::problem::Problem;
use super::runtime;
use anyhow::Context as _;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// Has SIGXFSZ, which ends a process that does not expect it, do nothing; the write fails with EFBIG then. The ledger, the log and whatever stdout
/// is know what to do about that.
pub(super) fn survive() -> Result<(), Problem> {
    // tokio takes no handler back, neither with the listener nor with the runtime, of which there is none yet where the first file may be written.
    let runtime = runtime::with_threads(1).context("start the runtime")?;
    let _entered = runtime.enter();
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop).context("catch SIGXFSZ")?;
    Ok(())
}
