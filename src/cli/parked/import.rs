//! `antispoofd parked import`.

use super::super::exit::Exit;
use super::super::lines::Lines;
use super::super::problem::{NO_TOPOLOGY, Problem};
use super::super::progress::Progress;
use super::super::stop::Stop;
use super::super::terminal::{plain, say};
use super::chosen::jobs;
use super::source::Source;
use crate::amqp::{Destination, NotPublished, ParkedMessage, Publisher, close, imported};
use antispoof_core::ports::PublishError;
use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncBufRead, BufReader};

const BATCH: usize = 64;

/// Put jobs that `export` wrote back into the parked queue
///
/// All lines are read before the first is published. A job that is imported twice is parked twice.
#[derive(Args, Clone, Debug)]
#[command(after_help = crate::cli::examples::PARKED_IMPORT)]
pub(super) struct ImportArgs {
    /// What `export` wrote, or "-" for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) async fn run(args: &ImportArgs, source: &Source) -> Result<Exit, Problem> {
    let messages = read(&args.file, source).await.map_err(|problem| problem.context(shown(&args.file)))?;
    let link = source.connect().await?;
    let limit = source.settings.amqp.publish_timeout;
    let publisher = Publisher::open(&link, &source.names, Destination::Parked, limit).await;
    let publisher = publisher.map_err(Problem::unreachable)?;
    let mut stop = Stop::install()?;
    let progress = Progress::counting(messages.len() as u64, "imported");
    let mut done = 0;
    let failed = loop {
        let batch: Vec<_> = messages[done..].iter().take(BATCH).map(|(_, message)| message).collect();
        if batch.is_empty() {
            break None;
        }
        let outcome = tokio::select! {
            biased;
            () = stop.asked() => break Some(Problem::failed(anyhow!("interrupted"))),
            outcome = publisher.publish(&batch) => outcome,
        };
        match outcome {
            Ok(()) => done += batch.len(),
            Err(NotPublished { why, confirmed, .. }) => {
                done += confirmed;
                let unbound = matches!(why, PublishError::Unroutable { .. });
                break Some(Problem::unreachable(why).maybe_hint(unbound.then_some(NO_TOPOLOGY)));
            }
        }
        progress.published(done as u64);
    };
    progress.finish();
    close(&link).await;
    let what = format!("{} of {} imported into {}", done, jobs(messages.len() as u64), source.names.parked);
    match failed {
        None => {
            say(&what);
            Ok(Exit::Ok)
        }
        Some(problem) => {
            let next = messages.get(done).map_or(0, |(line, _)| *line);
            let rest = format!(
                "some of the {BATCH} lines from line {next} on may be in; for the rest: tail -n +{next} FILE | antispoofd parked import -"
            );
            Err(if problem.has_hint() { problem } else { problem.hint(rest) }.context(what))
        }
    }
}

async fn read(file: &Path, source: &Source) -> Result<Vec<(u64, ParkedMessage)>, Problem> {
    if file == Path::new("-") {
        return parse(BufReader::new(tokio::io::stdin()), source).await;
    }
    let file = tokio::fs::File::open(file).await.context("open it")?;
    parse(BufReader::new(file), source).await
}

/// Each message with the number of its line.
async fn parse(reader: impl AsyncBufRead + Unpin, source: &Source) -> Result<Vec<(u64, ParkedMessage)>, Problem> {
    let mut lines = Lines::of_export(reader);
    let mut messages = Vec::new();
    while let Some((number, line)) = lines.next().await.map_err(Problem::failed)? {
        let at = |what: &str| Problem::failed(anyhow!("line {number}: {}", plain(what))).hint("nothing was imported");
        let mut line: Value = serde_json::from_str(line).map_err(|error| at(&error.to_string()))?;
        let message = line.get_mut("amqp").map(Value::take);
        let message =
            message.ok_or_else(|| at("there is no \"amqp\": `parked export` writes it, `list --json` does not"))?;
        let message = imported(message, &source.admission).map_err(|error| at(&format!("amqp: {error}")))?;
        messages.push((number, message));
    }
    Ok(messages)
}

fn shown(file: &Path) -> String {
    if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() }
}
