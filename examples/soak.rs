//! Many jobs against real services while workers are killed and connections cut: `make soak`, or
//! `cargo run --example soak -- --jobs 2000 --kills 5 --cuts 5 [--seed N]` with the services up and their variables set.
//!
//! Prints what came of it. Exit code 1 when an invariant is broken or something did not happen in time.

#![expect(clippy::disallowed_methods, reason = "a test looks at every answer itself")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example is a command; its figures are its output")]

#[path = "../tests/it/batch.rs"]
#[expect(dead_code, reason = "what only the tests use of it")]
mod batch;
#[path = "../tests/it/harness"]
#[expect(dead_code, reason = "what only the tests use of it")]
mod harness {
    pub(crate) mod broker;
    pub(crate) mod daemon;
    pub(crate) mod http;
    pub(crate) mod link;
    pub(crate) mod metrics;
    pub(crate) mod ports;
    pub(crate) mod process;
    pub(crate) mod services;
    pub(crate) mod simulator;
    pub(crate) mod store;
    pub(crate) mod tls;
    pub(crate) mod wait;
    pub(crate) mod world;
}
#[path = "../tests/it/images.rs"]
#[expect(dead_code, reason = "what only the tests use of it")]
mod images;
#[path = "../tests/it/soak/run.rs"]
mod run;

use std::process::ExitCode;

use clap::Parser;
use tokio::task::{LocalSet, spawn_local};

use self::harness::world::World;
use self::run::{Plan, soak};

#[derive(Parser)]
struct Args {
    /// Jobs, each with an image of its own.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    jobs: u32,
    /// SIGKILLs of the worker.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=1000))]
    kills: u32,
    /// Resets of all connections with the broker.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=1000))]
    cuts: u32,
    /// Decides when what happens. Without it, chance; the figures name it.
    #[arg(long)]
    seed: Option<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Args { jobs, kills, cuts, seed } = Args::parse();
    let [jobs, kills, cuts] = [jobs, kills, cuts].map(|number| usize::try_from(number).expect("32 bits fit"));
    let plan = Plan { jobs, kills, cuts, seed: seed.unwrap_or_else(|| fastrand::u64(..)) };
    // In a task, so that a panic of the harness is a failure like another; it has said what was awaited.
    let tasks = LocalSet::new();
    let soaking = tasks.run_until(async move {
        spawn_local(async move {
            let world = World::new("soak").await;
            soak(&world, &plan).await
        })
        .await
    });
    let Ok(figures) = soaking.await else { return ExitCode::FAILURE };
    println!("{figures}");
    let broken = figures.broken();
    for what in &broken {
        eprintln!("broken: {what}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
