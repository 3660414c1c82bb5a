//! `antispoofd parked show`.

use super::super::exit::Exit;
use super::super::problem::Problem;
use super::super::stdout::print;
use super::super::terminal::{plain, say};
use super::filter::Filter;
use super::json::{self, short_time};
use super::source::Source;
use crate::amqp::{ParkedMessage, exported};
use clap::Args;
use serde_json::Value;
use std::fmt::Write as _;

/// Print everything that is known of parked jobs, their messages included
#[derive(Args, Clone, Debug)]
#[command(after_help = crate::cli::examples::PARKED_SHOW)]
pub(super) struct ShowArgs {
    /// Their ids
    #[arg(value_name = "JOB_ID", required = true)]
    jobs: Vec<String>,
    /// Print each as a JSON object on a line, with its message as `export` writes it
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &ShowArgs, source: &Source) -> Result<Exit, Problem> {
    let filter = Filter::of_jobs(args.jobs.clone());
    let mut found = Vec::new();
    source
        .look(|held| {
            if filter.matches(held.message.entry()) {
                found.push(held.message);
            }
            Ok(())
        })
        .await?;
    for message in &found {
        print(&if args.json { line(message).to_string() } else { page(message) })?;
    }
    let missing: Vec<_> = args
        .jobs
        .iter()
        .filter(|job| !found.iter().any(|message| message.entry().job_id == **job))
        .map(|job| plain(job))
        .collect();
    if missing.is_empty() {
        return Ok(Exit::Ok);
    }
    say(&format!("not in {}: {}", source.names.parked, missing.join(", ")));
    Ok(Exit::Failed)
}

/// The fields of `list --json`, and the message.
pub(super) fn line(message: &ParkedMessage) -> Value {
    let mut line = json::line(message.entry());
    line["amqp"] = exported(message);
    line
}

fn page(message: &ParkedMessage) -> String {
    let entry = message.entry();
    let unknown = || "-".to_owned();
    let object = match (&entry.bucket, &entry.key) {
        (Some(bucket), Some(key)) => format!("s3://{bucket}/{key}"),
        _ => unknown(),
    };
    let status = entry.http_status.map(|status| format!(", HTTP status {status}")).unwrap_or_default();
    let stage = entry.stage.as_ref().map(|stage| format!(" ({stage})")).unwrap_or_default();
    let doubt = if entry.in_doubt > 0 {
        format!("{}: so many calls may have been paid for without a verdict", entry.in_doubt)
    } else {
        "none".to_owned()
    };
    let body = String::from_utf8_lossy(message.body());
    // As its producer wrote it, but readable.
    let body = serde_json::from_str::<Value>(&body)
        .ok()
        .and_then(|value| serde_json::to_string_pretty(&value).ok())
        .unwrap_or_else(|| body.into_owned());
    let rows = [
        ("failed with", format!("{}{stage}{status}", entry.code.clone().unwrap_or_else(unknown))),
        ("message", entry.message.clone().unwrap_or_else(unknown)),
        ("object", object),
        ("attempts", entry.attempts.to_string()),
        ("in doubt", doubt),
        ("replays", entry.replay.to_string()),
        ("first seen", short_time(entry.first_seen_ms)),
        ("parked at", short_time(entry.parked_at_ms)),
        ("parked by", entry.worker.clone().unwrap_or_else(unknown)),
        ("message id", entry.message_id.clone().unwrap_or_else(unknown)),
        ("correlation", entry.correlation_id.clone().unwrap_or_else(unknown)),
    ];
    let mut page = format!("{}\n", plain(&entry.job_id));
    for (name, value) in rows {
        // Writing to a string does not fail.
        let _infallible = writeln!(page, "  {name:<12} {}", plain(&value));
    }
    page.push_str("  body\n");
    for line in body.lines() {
        let _infallible = writeln!(page, "    {}", plain(line));
    }
    page.truncate(page.trim_end().len());
    page
}
