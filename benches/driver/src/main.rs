//! `make bench`: the daemon against the floor, on this machine, in turns, with a real broker.
//!
//! ```text
//!   load ──jobs──> RabbitMQ ──> worker (floor | antispoofd) ──GET──> object store (a stand-in, or MinIO)
//!    ▲                │ verdicts        └──POST──> vendor (a stand-in)
//!    └────────────────┘
//! ```
//!
//! What is compared is the worker's own CPU per job, read from the kernel for all of its threads: worker, broker, store, vendor and load
//! share the machine, so jobs per second say as much about the others. So store and vendor are stand-ins on threads of this process: MinIO,
//! and `antispoofd simulate`, which decodes and hashes every image, take several times the worker's share.

mod args;
mod broker;
mod images;
mod limits;
mod load;
mod minio;
mod process;
mod report;
mod scenario;
mod services;
mod stand_ins;
mod stats;
mod store;
mod usage;
mod worker;

use anyhow::Result;
use args::Args;
use clap::Parser as _;
use report::Report;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "says why nothing was measured")]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    let (report, measured) = if let Some(file) = &args.from {
        (Report::read(file)?, Ok(()))
    } else {
        limits::raise()?;
        scenario::run(args).await?
    };
    report.print();
    if let Some(file) = &args.json {
        report.write(file)?;
    }
    measured?;
    if let Some(folder) = &args.plots {
        report.write_plots(folder)?;
    }
    if let Some(page) = &args.markdown {
        report.write_page(page)?;
    }
    if let Some(page) = &args.scaling {
        report.write_scaling(page)?;
    }
    Ok(())
}
