//! `antispoofd parked`: the jobs that ended without a verdict, and what an operator does with them.

mod chosen;
mod confirm;
mod export;
mod filter;
mod group;
mod import;
mod json;
mod list;
mod purge;
mod removal;
mod replay;
mod show;
mod source;

use super::exit::Exit;
use super::problem::Problem;
use crate::settings::Settings;
use clap::{Args, Subcommand};
use source::Source;

/// Look at parked jobs, replay or remove them
///
/// Parked jobs ended without a verdict; nothing leaves their queue by itself. To look at them a command takes all and puts them back, in the order that
/// they had. Meanwhile no other command sees them; the workers do not read this queue.
#[derive(Args, Clone, Debug)]
#[command(after_help = super::examples::PARKED)]
pub(super) struct ParkedArgs {
    #[command(subcommand)]
    command: ParkedCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum ParkedCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Replay(replay::ReplayArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Purge(purge::PurgeArgs),
}

pub(super) async fn run(args: ParkedArgs, settings: Settings) -> Result<Exit, Problem> {
    let source = Source::new(settings);
    match args.command {
        ParkedCommand::List(args) => list::run(&args, &source).await,
        ParkedCommand::Show(args) => show::run(&args, &source).await,
        ParkedCommand::Replay(args) => replay::run(&args, &source).await,
        ParkedCommand::Export(args) => export::run(&args, &source).await,
        ParkedCommand::Import(args) => import::run(&args, &source).await,
        ParkedCommand::Purge(args) => purge::run(&args, &source).await,
    }
}
