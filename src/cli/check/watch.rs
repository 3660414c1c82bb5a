//! `check --connect --watch`: the same again and again, until Ctrl-C.

use super::report::{Line, exit};
use crate::cli::exit::Exit;
use crate::cli::problem::Problem;
use crate::cli::stdout::print;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

/// Moves to the upper left and clears what is below.
const REDRAW: &str = "\x1b[H\x1b[J";

/// Asks with so long between. `json` makes the document that is printed each time.
pub(super) async fn run(
    every: Duration,
    json: Option<impl Fn(&[Line], Exit) -> String>,
    ask: impl AsyncFn() -> Vec<Line>,
) -> Result<Exit, Problem> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt()).context("listen for SIGINT")?,
        signal(SignalKind::terminate()).context("listen for SIGTERM")?,
    );
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown = Shown::default();
    let mut ended = Exit::Ok;
    let asking = async {
        loop {
            ticks.tick().await;
            let lines = ask().await;
            ended = exit(&lines);
            if let Some(json) = &json {
                print(&json(&lines, ended))?;
            } else if std::io::stdout().is_terminal() {
                let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
                print(&format!("{REDRAW}{}\n\n{} (again every {every:?}, Ctrl-C ends)", lines.join("\n"), now()))?;
            } else {
                for line in shown.changes(&lines) {
                    print(&format!("{}  {line}", now()))?;
                }
            }
        }
    };
    let failed: Option<Result<(), Problem>> = tokio::select! {
        biased;
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        failed = asking => Some(failed),
    };
    failed.unwrap_or(Ok(()))?;
    Ok(ended)
}

/// The lines that were shown last.
#[derive(Default)]
struct Shown(BTreeMap<String, Vec<Line>>);

impl Shown {
    /// Those that were not shown the last time, and what is not said any more.
    fn changes(&mut self, lines: &[Line]) -> Vec<String> {
        let mut by_subject: BTreeMap<String, Vec<Line>> = BTreeMap::new();
        for line in lines {
            by_subject.entry(line.subject().to_owned()).or_default().push(line.clone());
        }
        let before = std::mem::replace(&mut self.0, by_subject);
        let known = |line: &Line| before.get(line.subject()).is_some_and(|lines| lines.contains(line));
        let new = lines.iter().filter(|line| !known(line)).map(ToString::to_string);
        let gone = before.keys().filter(|subject| !self.0.contains_key(*subject));
        new.chain(gone.map(|subject| format!("gone    {subject}"))).collect()
    }
}

fn now() -> String {
    OffsetDateTime::now_utc().replace_nanosecond(0).ok().and_then(|now| now.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_shown_again() {
        let mut shown = Shown::default();
        let (fine, away) = (Line::ok("broker", "logged in"), Line::unreachable("broker", "away", "wait"));
        let api = Line::ok("api", "answers");
        assert_eq!(shown.changes(&[fine.clone(), api.clone()]).len(), 2);
        assert!(shown.changes(&[fine.clone(), api.clone()]).is_empty());
        let changes = shown.changes(&[away, api.clone()]);
        assert!(changes.len() == 1 && changes[0].starts_with("failed "), "{changes:?}");
        assert_eq!(shown.changes(&[api]), ["gone    broker"]);
    }
}
