//! `antispoofd check`: what would go wrong, before it does.

mod api;
mod broker;
mod ledger;
mod report;
mod store;
mod token;
mod watch;

use super::exit::Exit;
use super::load::client;
use super::problem::{Problem, warn};
use super::runtime;
use super::stdout::print;
use crate::settings::{self, ApiAuth, Loaded, Origin, Problems};
use clap::Args;
use report::Line;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Read the settings as `run` would and say all that is wrong with them
///
/// Each problem is printed with its place and what to do about it, and the exit code is 78.
/// With --connect, what the settings name is asked, too, a line each on stdout: ok, note (worth a look) or failed, with what to do about it. Nothing is
/// changed by that, no message is published that a queue gets, none is taken, and no call is made that could be billed. It ends with 78 when a setting (or what it names) has to be
/// put right, else with 69 when a service cannot be reached, else with 1 when something else failed.
#[derive(Args, Clone, Debug)]
#[command(after_help = super::examples::CHECK)]
pub(super) struct CheckArgs {
    /// Ask the broker, the buckets, the ledger and the API whether they can be used
    #[arg(long)]
    connect: bool,
    /// Look at exchanges, queues and bindings through the management API at this address, as `http://host:15672`, with user and password of
    /// amqp.url: without the right to configure, and the bindings of the results and the policies, too
    #[arg(long, value_name = "URL", requires = "connect")]
    management: Option<String>,
    /// Print one JSON document instead: problems and warnings of the settings, and what was asked, under names that stay
    ///
    /// Of the settings: field, origin, message, hint. Of each line: name, ok, state, message, hint.
    #[arg(long)]
    json: bool,
    /// Ask again and again, with so long between; Ctrl-C ends it, with the exit code of the last time
    ///
    /// On a terminal the lines are redrawn; elsewhere a line is printed when it changes, and with --json a document a line each time.
    #[arg(long, value_name = "INTERVAL", requires = "connect", num_args = 0..=1, default_missing_value = "10s", value_parser = interval)]
    watch: Option<Duration>,
}

pub(super) fn run(args: &CheckArgs, loaded: Result<Loaded, Problems>) -> Result<Exit, Problem> {
    let loaded = match loaded {
        Ok(loaded) => client(loaded)?,
        Err(problems) if args.json => {
            print(&format!("{:#}", document(problems.iter(), problems.warnings(), &[], Exit::Settings)))?;
            return Ok(Exit::Settings);
        }
        Err(problems) => return Err(Problem::settings(problems)),
    };
    let settings = Line::ok("settings", sources(&loaded));
    if let Some(interval) = args.watch {
        if !args.json {
            loaded.warnings.iter().for_each(warn);
        }
        let ask = async || {
            let asked = Box::pin(probe(&loaded, args.management.as_deref())).await;
            [vec![settings.clone()], asked].concat()
        };
        let json = |lines: &[Line], ended| document([], &loaded.warnings, lines, ended).to_string();
        return runtime::block_on(watch::run(interval, args.json.then_some(json), ask));
    }
    if args.json {
        let lines = [vec![settings], asked(args, &loaded)?].concat();
        let exit = report::exit(&lines);
        print(&format!("{:#}", document([], &loaded.warnings, &lines, exit)))?;
        return Ok(exit);
    }
    loaded.warnings.iter().for_each(warn);
    // Before what may take its time.
    print(&settings.to_string())?;
    let lines = asked(args, &loaded)?;
    for line in &lines {
        print(&line.to_string())?;
    }
    Ok(report::exit(&lines))
}

fn asked(args: &CheckArgs, loaded: &Loaded) -> Result<Vec<Line>, Problem> {
    if args.connect {
        return runtime::block_on_value(probe(loaded, args.management.as_deref()));
    }
    // Whether key and secret make a token is no question of the settings; whether a given one has ended is.
    Ok(match loaded.settings.api.auth {
        ApiAuth::Token(_) => vec![token::probe(loaded)],
        ApiAuth::Keys { .. } => Vec::new(),
    })
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval < Duration::from_secs(1) { Err("write a duration from 1s on".to_owned()) } else { Ok(interval) }
}

/// What docs/check.md describes.
fn document<'a>(
    problems: impl IntoIterator<Item = &'a settings::Problem>,
    warnings: &[settings::Problem],
    lines: &[Line],
    exit: Exit,
) -> Value {
    let said = |problem: &settings::Problem| {
        let origin = problem.origins().next().map(ToString::to_string);
        json!({ "field": problem.key(), "origin": origin, "message": problem.what(), "hint": problem.remedy() })
    };
    json!({
        "ok": exit == Exit::Ok,
        "exit_code": exit as u8,
        "problems": problems.into_iter().map(said).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(said).collect::<Vec<_>>(),
        "probes": lines.iter().map(Line::json).collect::<Vec<_>>(),
    })
}

/// All at once, because each may have to wait for its limit; said in the order of a job's way.
async fn probe(loaded: &Loaded, management: Option<&str>) -> Vec<Line> {
    let settings = &loaded.settings;
    let (broker, store, ledger, api) = tokio::join!(
        broker::probe(settings, management),
        store::probe(&settings.s3),
        ledger::probe(settings),
        api::probe(&settings.api)
    );
    let token = token::probe(loaded);
    [broker, store, ledger, vec![token], api].concat()
}

/// Where the settings came from: `a.toml, b.toml, 3 variables; else the defaults`.
fn sources(loaded: &Loaded) -> String {
    let mut files = BTreeSet::new();
    let (mut variables, mut flags) = (0_usize, 0_usize);
    for origin in loaded.origins.values() {
        match origin {
            Origin::File { path, .. } | Origin::SecretFile { path } => drop(files.insert(path.display().to_string())),
            Origin::Env { .. } => variables += 1,
            Origin::Flag { .. } => flags += 1,
            Origin::Default => {}
        }
    }
    let mut parts: Vec<String> = files.into_iter().collect();
    for (count, noun) in [(variables, "variable"), (flags, "flag")] {
        match count {
            0 => {}
            1 => parts.push(format!("1 {noun}")),
            _ => parts.push(format!("{count} {noun}s")),
        }
    }
    if parts.is_empty() {
        return "the defaults, and nothing else".to_owned();
    }
    format!("from {}; else the defaults", parts.join(", "))
}
