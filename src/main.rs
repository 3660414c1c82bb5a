//! Arguments to exit code.

use antispoofd::cli;
use antispoofd::settings::{Sources, load};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about)]
struct Args {
    #[arg(long, global = true)]
    config: Vec<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run,
    Simulate(Box<cli::simulate::SimulateArgs>),
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    match args.command {
        Command::Run => {
            let loaded = load(Sources::from_process(args.config, Vec::new()))
                .map_err(|problems| anyhow::anyhow!("{problems}"))?;
            cli::run::run(loaded.settings, std::env::var("RUST_LOG").ok().as_deref())?;
        }
        Command::Simulate(args) => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(cli::simulate::run(*args))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
