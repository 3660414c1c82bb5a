//! `make bench`: the daemon against the floor, on this machine, in turns, with a real broker and a real object store.
//!
//! ```text
//!   load ──jobs──> RabbitMQ ──> worker (floor | antispoofd) ──GET──> object store
//!    ▲                │ verdicts        └──POST──> sink (throughput) | antispoofd simulate (memory)
//!    └────────────────┘
//! ```
//!
//! What is compared is the worker's own CPU per job, read from the kernel for all of its threads: worker, broker, store, vendor and load
//! share the machine, so jobs per second say as much about the others. The stand-in for the vendor in the throughput runs is a sink in
//! this process that reads a body to its end and gives a fixed answer, because `antispoofd simulate` decodes and hashes every image, which
//! costs several times the worker's share and would take the machine from it. The memory run uses the simulator.

mod args;
mod broker;
mod images;
mod load;
mod process;
mod report;
mod scenario;
mod services;
mod sink;
mod store;
mod usage;
mod worker;

use args::Args;
use clap::Parser as _;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "says why nothing was measured")]
async fn main() -> ExitCode {
    match scenario::run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
