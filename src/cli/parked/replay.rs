//! `antispoofd parked replay`.

use super::super::exit::Exit;
use super::super::problem::Problem;
use super::super::stdout::print;
use super::super::stop::Stop;
use super::super::terminal::say;
use super::chosen::{Chosen, jobs};
use super::confirm::confirm;
use super::filter::Filter;
use super::removal::{Ended, Removal};
use super::source::Source;
use crate::amqp::Destination;
use anyhow::anyhow;
use clap::Args;
use std::fmt::Write as _;

/// More than this is not replayed by a slip of the keyboard; nor is any job whose call may have been paid for.
const ASK_ABOVE: u64 = 100;

/// Publish parked jobs to the job queue again, each as a new try
///
/// Jobs keep their order, their id and their own headers; their attempts begin anew, and how many calls may have been paid for is not forgotten. A job is taken
/// off the parked queue when the broker has confirmed its copy. Interrupted or killed, this loses nothing: run it again for the rest. What is parked
/// while it runs stays. A job with a verdict in the ledger gets it again, without a call.
#[derive(Args, Clone, Debug)]
#[command(after_help = crate::cli::examples::PARKED_REPLAY)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    filter: Filter,
    /// Only say what would be replayed, and what it would cost
    #[arg(long)]
    dry_run: bool,
    /// At most so many jobs a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Option<u32>,
    /// Only the first so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: &ReplayArgs, source: &Source) -> Result<Exit, Problem> {
    let chosen = Chosen::look(source, &args.filter, args.limit).await?;
    let what = format!("{} of {} in {}", chosen.count, jobs(chosen.of.into()), source.names.parked);
    if chosen.count == 0 {
        say(&format!("{what} match: nothing to replay"));
        return Ok(Exit::Ok);
    }
    if args.dry_run {
        print(chosen.groups.table().trim_end())?;
        print(&format!("{what} would be replayed; {}", cost(&chosen)))?;
        return Ok(Exit::Ok);
    }
    if (chosen.count > ASK_ABOVE || chosen.in_doubt > 0) && !args.yes {
        say(chosen.groups.table().trim_end());
        if !confirm(&format!("{what} would be replayed; {}", cost(&chosen)), "replayed")? {
            say("nothing was replayed");
            return Ok(Exit::Failed);
        }
    } else {
        say(&format!("replaying {what}; {}", cost(&chosen)));
    }
    let mut stop = Stop::install()?;
    let mut removal = Removal::new(source, chosen, args.rate, "replayed");
    let ended = removal.run(&mut stop, Some(Destination::Jobs)).await;
    let progress = format!("{} replayed", removal.progress());
    match ended {
        Ok(Ended::Done) => Ok(removal.report_done("replayed")),
        Ok(Ended::Interrupted) => {
            Err(Problem::failed(anyhow!("interrupted: {progress}")).hint("the same command replays the rest"))
        }
        Err(problem) => Err(problem.context(format!("{progress}; the others are still in {}", source.names.parked))),
    }
}

/// What will be paid for, at most.
fn cost(chosen: &Chosen) -> String {
    let mut cost = match chosen.callable {
        0 => "no call is paid for unless one of them is a job after all".to_owned(),
        1 => "1 call will be paid for at most".to_owned(),
        calls => format!("{calls} calls will be paid for at most"),
    };
    // Writing to a string does not fail.
    if chosen.in_doubt > 0 {
        let _infallible = write!(cost, " ({} had a call that may have been paid for before)", jobs(chosen.in_doubt));
    }
    if chosen.suspects > 0 {
        let what = "ended at the delivery limit, and may end a worker again";
        let _infallible = write!(cost, "; {} {what}", jobs(chosen.suspects));
    }
    cost
}
