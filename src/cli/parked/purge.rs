//! `antispoofd parked purge`.

use super::super::exit::Exit;
use super::super::problem::Problem;
use super::super::stop::Stop;
use super::super::terminal::say;
use super::chosen::{Chosen, jobs};
use super::confirm::confirm;
use super::filter::Filter;
use super::removal::{Ended, Removal};
use super::source::Source;
use anyhow::anyhow;
use clap::Args;

/// Remove parked jobs for good
///
/// Their failure events have been published when they were parked; nothing else is left of them afterwards. `export` keeps a copy.
#[derive(Args, Clone, Debug)]
#[command(after_help = crate::cli::examples::PARKED_PURGE)]
pub(super) struct PurgeArgs {
    #[command(flatten)]
    filter: Filter,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: &PurgeArgs, source: &Source) -> Result<Exit, Problem> {
    let chosen = Chosen::look(source, &args.filter, None).await?;
    let what = format!("{} of {} in {}", chosen.count, jobs(chosen.of.into()), source.names.parked);
    if chosen.count == 0 {
        say(&format!("{what} match: nothing to remove"));
        return Ok(Exit::Ok);
    }
    if !args.yes {
        say(chosen.groups.table().trim_end());
        if !confirm(&format!("{what} would be removed for good"), "removed")? {
            say("nothing was removed");
            return Ok(Exit::Failed);
        }
    }
    let mut stop = Stop::install()?;
    let mut removal = Removal::new(source, chosen, None, "removed");
    let ended = removal.run(&mut stop, None).await;
    let progress = format!("{} removed", removal.progress());
    match ended {
        Ok(Ended::Done) => Ok(removal.report_done("removed")),
        Ok(Ended::Interrupted) => {
            Err(Problem::failed(anyhow!("interrupted: {progress}")).hint("the same command removes the rest"))
        }
        Err(problem) => Err(problem.context(progress)),
    }
}
