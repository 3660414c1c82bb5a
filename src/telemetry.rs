//! What the process says about itself: log lines, metrics, and the job log that writes one of each for every delivery.

pub mod copied;
pub mod job_log;
pub mod latency;
pub mod logs;
pub mod metrics;
pub mod recent;
pub mod traces;

pub use copied::{Copied, Counted};
pub use job_log::{JobLog, JobRecord, KeyNames, Settlement};
pub use metrics::{Metrics, SavedBy};
pub use recent::{Failures, Recent, Trouble};
pub use traces::{Places, Traces};
