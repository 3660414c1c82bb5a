//! The headers of messages: their names, what they mean, and which are kept where there is no room for all.

pub(super) mod names;
mod priority;
mod read;

pub(super) use priority::HeaderPriority;
#[cfg(test)]
pub(super) use read::MOST_BELIEVED;
pub(super) use read::{count, dropped, now_ms, number, read, text};
