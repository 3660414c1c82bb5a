//! Nothing of the process's memory reaches a disk by way of a core dump.

use super::problem::Problem;
use anyhow::Context as _;

/// Makes the process undumpable: a fatal signal leaves no core, neither as a file nor for a handler such as systemd-coredump (which a limit of
/// size 0 would not keep away), and only root attaches to it or reads its memory.
///
/// Chunks of images, keys and tokens are in that memory, so a process that cannot be protected does not start.
pub(super) fn forbid() -> Result<(), Problem> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .context("keep images out of core dumps")
            .map_err(|error| Problem::failed(error).hint("allow the process the call prctl(PR_SET_DUMPABLE)"))?;
    }
    Ok(())
}
