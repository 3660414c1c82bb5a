//! What stands in for the services around a worker, on threads of this process that do next to nothing but move bytes.

mod http;
mod memory;
mod tap;
mod vendor;

pub(crate) use memory::Objects;
pub(crate) use tap::Tap;
pub(crate) use vendor::{Vendor, Wait};
