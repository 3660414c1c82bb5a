//! Everything goes wrong, at length: `make chaos ARGS='--jobs 20000 --replicas 3 --ledger redis --faults 60 --seed 1'`. docs/testing.md says what it
//! checks and how to repeat a run.
//!
//! Prints what came of it. Exit code 1 when something was lost, contradicted, paid for without a record or left over.

#![expect(clippy::disallowed_methods, reason = "a test looks at every answer itself")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example is a command; its figures are its output")]

#[path = "../tests/it/chaos"]
mod chaos {
    pub(crate) mod crew;
    pub(crate) mod feed;
    pub(crate) mod figures;
    pub(crate) mod jobs;
    pub(crate) mod keepsake;
    pub(crate) mod oracle;
    pub(crate) mod plan;
    pub(crate) mod run;
    pub(crate) mod strike;
    pub(crate) mod witness;
}
#[path = "../tests/it/harness"]
#[expect(dead_code, reason = "what only the tests use of it")]
mod harness {
    pub(crate) mod broker;
    pub(crate) mod daemon;
    pub(crate) mod http;
    pub(crate) mod link;
    pub(crate) mod metrics;
    pub(crate) mod own_broker;
    pub(crate) mod ports;
    pub(crate) mod process;
    pub(crate) mod redis;
    pub(crate) mod services;
    pub(crate) mod simulator;
    pub(crate) mod stand_in;
    pub(crate) mod store;
    pub(crate) mod tls;
    pub(crate) mod wait;
    pub(crate) mod world;
}
#[path = "../tests/it/images.rs"]
#[expect(dead_code, reason = "what only the tests use of it")]
mod images;

use std::process::ExitCode;

use clap::Parser;
use tokio::task::{LocalSet, spawn_local};

use self::chaos::plan::{Backing, Kind, Plan};
use self::chaos::run::chaos;
use self::chaos::strike::Struck;

#[derive(Parser)]
struct Args {
    /// Jobs, most of them with an image of their own.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(20..=100_000))]
    jobs: u32,
    /// Workers on the one queue.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=16))]
    replicas: u32,
    /// redis (shared), file (one for each replica) or memory.
    #[arg(long, default_value_t = Backing::Redis)]
    ledger: Backing,
    /// Faults, one after another.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=1000))]
    faults: u32,
    /// Only faults of these kinds, such as kill or kill,drain.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Without the faults that take half a minute by their nature, and with fewer attempts before a job is given up.
    #[arg(long)]
    brief: bool,
    /// Decides which jobs there are and when what happens. Without it, chance; the figures name it.
    #[arg(long)]
    seed: Option<u64>,
    /// The figures as one JSON object.
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let Args { jobs, replicas, ledger, faults, only, brief, seed, json } = Args::parse();
    let [jobs, replicas, faults] = [jobs, replicas, faults].map(|number| usize::try_from(number).expect("32 bits fit"));
    let plan = Plan { jobs, replicas, ledger, faults, only, brief, seed: seed.unwrap_or_else(|| fastrand::u64(..)) };
    if let Some(kind) = plan.only.iter().find(|kind| !plan.allows(**kind)) {
        eprintln!("{kind} cannot happen with --ledger {ledger}{}", if brief { " --brief" } else { "" });
        return ExitCode::from(64);
    }
    eprintln!("{}", plan.replay());
    // In a task, so that a panic of the harness is a failure like another; it has said what was awaited.
    let running = LocalSet::new();
    let report = running.run_until(async move {
        let tell = |struck: &Struck| eprintln!("{struck}");
        spawn_local(async move { chaos(&plan, "chaos-long", &["minio", "redis"], tell).await }).await
    });
    let Ok(report) = report.await else { return ExitCode::FAILURE };
    if json {
        println!("{:#}", report.json());
    } else {
        println!("{report}");
    }
    if report.good() {
        return ExitCode::SUCCESS;
    }
    eprintln!("{}", report.complaint());
    ExitCode::FAILURE
}
