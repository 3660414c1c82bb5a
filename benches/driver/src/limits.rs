//! Room for a thousand jobs in flight, each with a connection to the store and one to the vendor.

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Opens as many files as the system allows, here and in the workers.
pub(crate) fn raise() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("raise the limit of open files")
}
