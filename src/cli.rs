//! The commands: a file each, and the only place that prints.

pub mod run;
pub mod simulate;
