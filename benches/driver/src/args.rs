//! What may be asked for.

use bytesize::ByteSize;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Measure antispoofd against the floor
///
/// The services are those of `scripts/services env`; the workers are the programs beside this one. Everything happens in a virtual
/// host of its own, which is deleted at the end. Settings in ANTISPOOFD__… variables go to the daemon. Without one of the options
/// --start to --endurance everything is measured.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) what: What,
    /// Image sizes of --cpu, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "64KB,200KB,1MB,5MB")]
    pub(crate) sizes: Vec<ByteSize>,
    /// Most jobs in one load, instead of as many as its figure needs: to see that everything runs
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) jobs: Option<u32>,
    /// Repetitions of --cpu; the workers take turns. --scale and --drain take at most three
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) reps: u32,
    /// Jobs in flight, where that is not what is measured
    #[arg(long, default_value_t = 16)]
    pub(crate) concurrency: u16,
    /// Time the vendor takes to answer in --cpu and --scale
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) vendor: Duration,
    /// image.digest of antispoofd, separated by commas; --cpu measures each, the others the last
    #[arg(long, value_delimiter = ',', default_value = "off,sha256")]
    pub(crate) digest: Vec<Digest>,
    /// ledger.backend of antispoofd, separated by commas; --cpu measures each, the others the first
    #[arg(long, value_delimiter = ',', default_value = "memory,redis,s3")]
    pub(crate) ledger: Vec<Ledger>,
    /// The object store. A real one takes several times the CPU of a worker from the machine that they share
    #[arg(long, default_value = "memory")]
    pub(crate) store: StoreKind,
    /// The folder of the programs that are measured, instead of the one that this program is in
    #[arg(long, value_name = "DIR")]
    pub(crate) programs: Option<PathBuf>,
    /// Which workers
    #[arg(long, default_value = "both")]
    pub(crate) worker: Which,
    /// Writes everything that was measured to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Measures nothing, and takes the figures from a file that --json has written
    #[arg(long, value_name = "FILE", conflicts_with_all = ["part", "json"])]
    pub(crate) from: Option<PathBuf>,
    /// Writes the figures of a full run between the markers of this page
    #[arg(long, value_name = "FILE", conflicts_with = "part")]
    pub(crate) markdown: Option<PathBuf>,
    /// Writes the figures of a full run between the markers of this page, about what many checks a day need
    #[arg(long, value_name = "FILE", conflicts_with = "part")]
    pub(crate) scaling: Option<PathBuf>,
    /// Writes the plots of a full run into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "part")]
    pub(crate) plots: Option<PathBuf>,
}

/// Parts of a full run.
#[derive(Debug, clap::Args)]
#[group(id = "part", multiple = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct What {
    /// Time from exec to the consumer being registered, and memory at rest
    #[arg(long)]
    pub(crate) start: bool,
    /// CPU per job and jobs per second, for every size
    #[arg(long)]
    pub(crate) cpu: bool,
    /// What a worker adds to a job's time, at 10, 50 and 90 % of the most jobs per second
    #[arg(long)]
    pub(crate) latency: bool,
    /// Jobs per second with more in flight, more threads, and more processes
    #[arg(long)]
    pub(crate) scale: bool,
    /// Peak memory with up to a thousand images in flight and a vendor that takes one second
    #[arg(long)]
    pub(crate) memory: bool,
    /// What a stop takes beyond the vendor's last answer
    #[arg(long)]
    pub(crate) drain: bool,
    /// Memory after 10,000 small jobs and after so many in a row
    #[arg(long, value_name = "JOBS", num_args = 0..=1, default_missing_value = "50000", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) endurance: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Digest {
    Off,
    Sha256,
    Blake3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ledger {
    None,
    Memory,
    File,
    Redis,
    S3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    /// The one of `scripts/services`
    Minio,
    /// A stand-in in this process that gives images from its memory
    Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    Floor,
    Antispoofd,
    Both,
}

// === impl Digest ===

impl Digest {
    /// As the setting `image.digest` has it.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Sha256 => "sha256",
            Self::Blake3 => "blake3",
        }
    }
}

// === impl Ledger ===

impl Ledger {
    /// As the setting `ledger.backend` has it.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Memory => "memory",
            Self::File => "file",
            Self::Redis => "redis",
            Self::S3 => "s3",
        }
    }
}

// === impl StoreKind ===

impl StoreKind {
    /// As the report has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Minio => "MinIO",
            Self::Memory => "a stand-in in memory",
        }
    }
}

// === impl What ===

impl What {
    /// Whether nothing was chosen, so that all is wanted.
    pub(crate) fn is_all(&self) -> bool {
        let Self { start, cpu, latency, scale, memory, drain, endurance } = self;
        !(*start || *cpu || *latency || *scale || *memory || *drain || endurance.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_choice_everything_is_measured() {
        let all = Args::parse_from(["bench"]);
        assert!(all.what.is_all());
        let some = Args::parse_from(["bench", "--memory", "--digest", "off,blake3", "--sizes", "64KB,10MB"]);
        assert!(!some.what.is_all() && some.what.memory && !some.what.cpu);
        assert_eq!(some.digest, [Digest::Off, Digest::Blake3]);
        assert_eq!(some.sizes, [ByteSize::kb(64), ByteSize::mb(10)]);
        let endurance = |arguments: &[&str]| Args::parse_from(arguments).what.endurance;
        assert_eq!(endurance(&["bench", "--endurance"]), Some(50_000));
        assert_eq!(endurance(&["bench", "--endurance", "1000000"]), Some(1_000_000));
    }

    #[test]
    fn the_page_and_the_plots_are_of_full_runs() {
        assert!(Args::try_parse_from(["bench", "--markdown", "p.md", "--plots", "d", "--reps", "1"]).is_ok());
        assert!(Args::try_parse_from(["bench", "--markdown", "p.md", "--from", "f.json"]).is_ok());
        assert!(Args::try_parse_from(["bench", "--markdown", "p.md", "--cpu"]).is_err());
        assert!(Args::try_parse_from(["bench", "--plots", "d", "--drain"]).is_err());
        assert!(Args::try_parse_from(["bench", "--from", "f.json", "--cpu"]).is_err());
        assert!(Args::try_parse_from(["bench", "--reps", "0"]).is_err());
    }
}
