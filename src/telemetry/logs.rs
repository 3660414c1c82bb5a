//! Log lines go to stderr: stdout is for data.
//!
//! `trace` is for our own modules. At that level libraries write down what no log may hold: lapin the bodies of messages and the login, the AWS
//! signer the keys of objects. Of theirs, `debug` is the end, whatever the settings say.

use crate::settings::{Log, LogFormat};
use std::io::IsTerminal as _;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log.level` (or `RUST_LOG`) cannot be read. The settings' own check finds that first.
    #[error("read the log level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// Something else in this process has set one up.
    #[error("install the log: {0}")]
    Install(Box<dyn std::error::Error + Send + Sync>),
}

/// One failure, one line: the supervisor says why a session ended. lapin says the same in three to seven lines of its own, as errors, and speaks of a
/// recovery that is never tried. A later directive for it, in `log.level`, wins.
const QUIET: &str = "lapin=off";

/// Sets the log up for the whole process.
pub fn install(settings: &Log) -> Result<(), LogError> {
    let filter = match &settings.rust_log {
        Some(directives) => EnvFilter::builder().parse(directives)?,
        None => EnvFilter::builder().parse(format!("{QUIET},{}", settings.level))?,
    };
    let json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Whoever read the log may be gone; complaining about that on the same stream would end the process.
        .log_internal_errors(false);
    let installed = if json {
        let lines = builder.json().flatten_event(true).with_current_span(false).with_span_list(false).finish();
        lines.with(filter_fn(is_presentable)).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).finish().with(filter_fn(is_presentable)).try_init()
    };
    installed.map_err(|error| LogError::Install(error.into()))
}

fn is_presentable(event: &Metadata<'_>) -> bool {
    // Both crates: the core is called antispoof_core.
    *event.level() != Level::TRACE || event.target().starts_with("antispoof")
}
