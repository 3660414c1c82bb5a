//! `antispoofd check`: what would go wrong, before it does.

mod api;
mod broker;
mod ledger;
mod report;
mod store;
mod token;

use super::exit::Exit;
use super::problem::Problem;
use super::runtime;
use super::terminal::print;
use crate::settings::{ApiAuth, Loaded, Origin};
use clap::Args;
use report::Line;
use std::collections::BTreeSet;

/// Read the settings as `run` would and say all that is wrong with them
///
/// Each problem is printed with its place and what to do about it, and the exit code is 78.
/// With --connect, what the settings name is asked, too, a line each on stdout: ok, note (worth a look) or failed, with what to do about it. Nothing is
/// changed by that, no message is published or taken, and no call is made that could be billed. It ends with 78 when a setting (or what it names) has to be
/// put right, else with 69 when a service cannot be reached, else with 1 when something else failed.
#[derive(Args, Clone, Debug)]
pub(super) struct CheckArgs {
    /// Ask the broker, the buckets, the ledger and the API whether they can be used
    #[arg(long)]
    connect: bool,
    /// Look at exchanges, queues and bindings through the management API at this address, as `http://host:15672`, with user and password of
    /// amqp.url: without the right to configure, and the bindings of the results, too
    #[arg(long, value_name = "URL", requires = "connect")]
    management: Option<String>,
}

pub(super) fn run(args: &CheckArgs, loaded: &Loaded) -> Result<Exit, Problem> {
    print(&Line::ok("settings", sources(loaded)).to_string())?;
    if !args.connect {
        // Whether key and secret make a token is no question of the settings; whether a given one has ended is.
        let lines = match loaded.settings.api.auth {
            ApiAuth::Token(_) => vec![token::probe(loaded)],
            ApiAuth::Keys { .. } => Vec::new(),
        };
        return told(&lines);
    }
    let lines = runtime::block_on_value(probe(loaded, args.management.as_deref()))?;
    told(&lines)
}

fn told(lines: &[Line]) -> Result<Exit, Problem> {
    for line in lines {
        print(&line.to_string())?;
    }
    Ok(report::exit(lines))
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
    [broker, store, ledger, vec![token, api]].concat()
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
