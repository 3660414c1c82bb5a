//! Which events become lines, whatever `log.level` says.

use tracing::{Level, Metadata};

/// One failure, one line: the supervisor says why a session ended. lapin says the same in three to seven lines of its own, as errors, and speaks of a
/// recovery that is never tried. The AWS SDK names the id of the key whenever it has found one, and logs a page about a search that failed,
/// and of files that are not there at every search. A later directive for either, in `log.level`, wins.
pub(super) const QUIET: &str = "lapin=off,aws_config=error,aws_runtime=error,aws_credential_types=warn,aws_smithy_runtime=warn,aws_smithy_runtime_api=warn";

/// False for `trace` of the libraries.
pub(super) fn is_presentable(event: &Metadata<'_>) -> bool {
    *event.level() != Level::TRACE || is_ours(event)
}

/// Of one of both crates: the core is called `antispoof_core`.
pub(super) fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("antispoof")
}
