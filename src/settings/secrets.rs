//! Secrets: credentials, and URLs that hold some. No `Debug`, message or log line shows one.
//!
//! What each type accepts is checked in one place, where the settings are read and again each time its file has changed.

pub(super) mod file;
pub mod jwt;
pub(super) mod rotating;
pub(super) mod urls;
