//! Log lines go to stderr: stdout is for data.
//!
//! `trace` is for our own modules. At that level libraries write down what no log may hold: lapin the bodies of messages and the login, the AWS
//! signer the keys of objects. Of theirs, `debug` is the end, whatever the settings say.
//!
//! Nothing waits for a line to be written: a thread of its own does that.

#[cfg(test)]
pub(crate) mod captured;
mod filter;
mod json;
mod plain;
mod writer;

use crate::settings::{Log, LogFormat};
use filter::{QUIET, is_presentable};
use json::{JsonLine, JsonMembers};
use prometheus_client::metrics::counter::Counter;
use serde_json::Value;
use std::io::IsTerminal as _;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use writer::Writer;

/// The log is the process's, and so is the way to it.
static OUT: OnceLock<Out> = OnceLock::new();

struct Out {
    writer: Writer,
    json: bool,
}

/// What decides about the level, and what it was configured with.
static LEVEL: OnceLock<ChangeableLevel> = OnceLock::new();

struct ChangeableLevel {
    configured: String,
    reload: Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>,
}

/// What is added for more detail: our own modules, not the libraries, whose lines are many and say little about a job.
const DETAIL: &str = "antispoofd=debug,antispoof_core=debug";

static DROPPED: LazyLock<Counter> = LazyLock::new(Counter::default);

/// The process does not end before its last lines are written, unless they are not read for so long.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log.level` (or `RUST_LOG`) cannot be read. The settings' own check finds that first.
    #[error("read the log level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// The thread that writes the lines.
    #[error("start the log's thread: {0}")]
    Thread(std::io::Error),
    /// Something else in this process has set one up.
    #[error("install the log: {0}")]
    Install(Box<dyn std::error::Error + Send + Sync>),
}

/// Sets the log up for the whole process.
pub fn install(settings: &Log) -> Result<(), LogError> {
    let configured = settings.rust_log.clone().unwrap_or_else(|| format!("{QUIET},{}", settings.level));
    let filter = EnvFilter::builder().parse(&configured)?;
    let writer = Writer::start(std::io::stderr(), DROPPED.clone()).map_err(LogError::Thread)?;
    let json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let out: &'static Out = OUT.get_or_init(|| Out { writer, json });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(&out.writer)
        // They would go to the same stream, and not through the thread.
        .log_internal_errors(false);
    let installed = if json {
        std::panic::set_hook(Box::new(|info| out.writer.line(plain::panicked(info).as_bytes())));
        let lines = builder.fmt_fields(JsonMembers).event_format(JsonLine).with_filter_reloading();
        changeable(configured, lines.reload_handle());
        lines.finish().with(filter_fn(is_presentable)).try_init()
    } else {
        let lines = builder.with_ansi(std::io::stderr().is_terminal()).with_filter_reloading();
        changeable(configured, lines.reload_handle());
        lines.finish().with(filter_fn(is_presentable)).try_init()
    };
    installed.map_err(|error| LogError::Install(error.into()))
}

fn changeable<S: 'static>(configured: String, handle: reload::Handle<EnvFilter, S>) {
    LEVEL.get_or_init(|| ChangeableLevel { configured, reload: Box::new(move |filter| handle.reload(filter)) });
}

/// Has the log be more detailed, or as configured. False when there is no log.
pub fn detailed(more: bool) -> bool {
    let Some(level) = LEVEL.get() else { return false };
    let directives = if more { format!("{},{DETAIL}", level.configured) } else { level.configured.clone() };
    // Both have been parsed when the log was set up.
    EnvFilter::builder().parse(directives).is_ok_and(|filter| (level.reload)(filter).is_ok())
}

/// Ends when the thread that writes the lines has ended, which it does not while the process runs. Never where there is no log.
pub async fn writer_ended() {
    match OUT.get() {
        Some(out) => out.writer.ended().await,
        None => std::future::pending().await,
    }
}

/// Lines that were dropped since the process began.
pub fn dropped() -> Counter {
    DROPPED.clone()
}

/// Hands over a line that is no event: once the log is set up, nothing else may write where it does, because that could block. In a JSON log it is an object,
/// whatever the level of the log. False when there is no log.
pub fn say(text: &str) -> bool {
    let Some(out) = OUT.get() else { return false };
    let line = if out.json { plain::object(Level::INFO, text, []) } else { format!("{text}\n") };
    out.writer.line(line.as_bytes());
    true
}

/// As `say`, for an object of a JSON log with fields of its own. False when there is no log, or it is text.
pub fn say_object(level: Level, message: &str, fields: impl IntoIterator<Item = (&'static str, Value)>) -> bool {
    let Some(out) = OUT.get().filter(|out| out.json) else { return false };
    out.writer.line(plain::object(level, message, fields).as_bytes());
    true
}

/// A line of a JSON log for a process that has none yet.
pub fn json_line(level: Level, message: &str, fields: impl IntoIterator<Item = (&'static str, Value)>) -> String {
    plain::object(level, message, fields)
}

/// Writes the last lines when it is dropped: at the end of `main`.
#[derive(Debug)]
pub struct LastLines;

impl Drop for LastLines {
    fn drop(&mut self) {
        if let Some(out) = OUT.get() {
            // What is not taken now never will be.
            let _taken = out.writer.flush(LAST_LINES);
        }
    }
}
