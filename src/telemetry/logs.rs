//! Log lines go to stderr: stdout is for data.

use crate::settings::{Log, LogFormat};
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log.level` (or `RUST_LOG`) cannot be read.
    #[error("read the log level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// Something else in this process has set one up.
    #[error("install the log: {0}")]
    Install(Box<dyn std::error::Error + Send + Sync>),
}

/// Sets the log up for the whole process. `RUST_LOG` overrides `log.level`.
pub fn install(settings: &Log, rust_log: Option<&str>) -> Result<(), LogError> {
    let directives = rust_log.filter(|directives| !directives.is_empty()).unwrap_or(&settings.level);
    let filter = EnvFilter::builder().parse(directives)?;
    let json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = if json {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    installed.map_err(LogError::Install)
}
