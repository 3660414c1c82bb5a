//! `antispoofd watch`: what comes of the jobs, as it comes.

use super::exit::Exit;
use super::problem::Problem;
use super::stdout::print;
use super::terminal::say;
use super::view::View;
use crate::amqp::{Keep, Names, Role, Tail, close, connect};
use crate::settings::{self, Settings};
use antispoof_core::retry::Backoff;
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Some minutes of a busy day; more than that is not read on a terminal.
const KEEP: Keep = Keep::Latest(100_000);

/// Print terminal events as they are published
///
/// Reads from a queue of its own that goes when this command does: no other consumer gets an event less. The results exchange must be there: it
/// is made by a worker, not by this command. While it runs, though, its queue
/// counts as a consumer: a worker does not notice then that no other queue is bound for its events. A reader that falls far behind
/// loses the oldest events.
#[derive(Args, Clone, Debug)]
#[command(after_help = super::examples::WATCH)]
pub(super) struct WatchArgs {
    /// Print the events themselves, one JSON object a line
    #[arg(long)]
    json: bool,
    /// Only these outcomes
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',', num_args = 1..)]
    outcome: Vec<Wanted>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Wanted {
    Live,
    Spoof,
    Review,
    /// No verdict, whatever the failure code
    Failed,
}

pub(super) async fn run(args: WatchArgs, settings: Settings) -> Result<Exit, Problem> {
    let stop = tokio::signal::ctrl_c();
    tokio::select! {
        ended = watch(&args, &settings) => match ended {
            Err(problem) if problem.is_closed() => Ok(Exit::Ok),
            ended => ended,
        },
        caught = stop => {
            caught.context("listen for SIGINT")?;
            Ok(Exit::Ok)
        }
    }
}

/// Only the first connection may fail: from then on the settings are known to be good.
async fn watch(args: &WatchArgs, settings: &Settings) -> Result<Exit, Problem> {
    let backoff = Backoff::try_new(FIRST_PAUSE, LONGEST_PAUSE).map_err(Problem::failed)?;
    let names = Names::new(&settings.amqp.prefix, &[]);
    let keys = args.keys();
    let mut failures = 0;
    let mut been_there = false;
    loop {
        match session(&settings.amqp, &settings.worker.instance, &names, &keys, args.json, been_there).await {
            Ended::NeverBegan(problem) if !been_there => return Err(problem),
            Ended::NeverBegan(_) => failures += 1,
            Ended::Reader(problem) => return Err(problem),
            Ended::Lost(why) => {
                been_there = true;
                failures = 1;
                say(&format!("{why}; connecting again, events may be missed meanwhile"));
            }
        }
        tokio::time::sleep(backoff.wait(failures - 1, fastrand::f64())).await;
    }
}

enum Ended {
    NeverBegan(Problem),
    Lost(String),
    Reader(Problem),
}

async fn session(
    amqp: &settings::Amqp,
    instance: &str,
    names: &Names,
    keys: &[String],
    json: bool,
    again: bool,
) -> Ended {
    let link = match connect(amqp, instance, Role::Tool).await {
        Ok(link) => link,
        Err(error) => return Ended::NeverBegan(error.into()),
    };
    let mut tail = match Tail::open(&link, names, keys, KEEP).await {
        Ok(tail) => tail,
        Err(error) => {
            close(&link).await;
            return Ended::NeverBegan(error.into());
        }
    };
    say(&if again { "connected again".to_owned() } else { format!("watching {}; Ctrl-C ends it", names.results) });
    loop {
        match tail.next().await {
            Ok(body) => {
                if let Err(problem) = show(&body, json) {
                    close(&link).await;
                    return Ended::Reader(problem);
                }
            }
            Err(error) => {
                close(&link).await;
                return Ended::Lost(error.to_string());
            }
        }
    }
}

fn show(body: &[u8], json: bool) -> Result<(), Problem> {
    let line = if json {
        std::str::from_utf8(body).ok().map(|text| text.replace(['\n', '\r'], " "))
    } else {
        View::read(body).map(|view| view.line())
    };
    if let Some(line) = line {
        return print(&line);
    }
    say("a message that is not a terminal event was skipped");
    Ok(())
}

impl WatchArgs {
    /// The routing keys to bind.
    fn keys(&self) -> Vec<String> {
        let key = |wanted: &Wanted| match wanted {
            Wanted::Live => "verdict.live",
            Wanted::Spoof => "verdict.spoof",
            Wanted::Review => "verdict.review",
            Wanted::Failed => "failure.#",
        };
        if self.outcome.is_empty() {
            return vec!["#".to_owned()];
        }
        self.outcome.iter().map(|wanted| key(wanted).to_owned()).collect()
    }
}
