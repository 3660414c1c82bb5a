//! `antispoofd parked list`.

use super::super::exit::Exit;
use super::super::problem::Problem;
use super::super::stdout::print;
use super::chosen::jobs;
use super::filter::Filter;
use super::group::{By, Groups};
use super::json;
use super::source::Source;
use clap::Args;

/// Count parked jobs by what they have in common, or list them
#[derive(Args, Clone, Debug)]
#[command(after_help = crate::cli::examples::PARKED_LIST)]
pub(super) struct ListArgs {
    #[command(flatten)]
    filter: Filter,
    /// What is counted together
    #[arg(long, value_enum, default_value_t, conflicts_with = "json")]
    group: By,
    /// Print the jobs instead, each as a JSON object on a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &ListArgs, source: &Source) -> Result<Exit, Problem> {
    let mut groups = Groups::new(args.group);
    let mut matching = 0_u32;
    let mut lines = Vec::new();
    let all = source
        .look(|held| {
            let entry = held.message.entry();
            if args.filter.matches(entry) {
                matching += 1;
                if args.json {
                    lines.push(json::line(entry).to_string());
                } else {
                    groups.add(entry);
                }
            }
            Ok(())
        })
        .await?;
    // Only now: a slow reader of stdout must not keep the messages from the queue.
    for line in &lines {
        print(line)?;
    }
    if args.json {
        return Ok(Exit::Ok);
    }
    if matching > 0 {
        print(groups.table().trim_end())?;
    }
    let parked = &source.names.parked;
    let jobs = jobs(all.into());
    print(&if args.filter.is_empty() {
        format!("{jobs} in {parked}")
    } else {
        format!("{matching} of {jobs} in {parked} match")
    })?;
    Ok(Exit::Ok)
}
