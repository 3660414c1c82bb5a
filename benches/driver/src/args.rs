//! What may be asked for.

use bytesize::ByteSize;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Measure antispoofd against the floor
///
/// The services are those of `scripts/services env`; the workers are the programs beside this one. Everything happens in a virtual
/// host and a bucket of its own, which are deleted at the end. Settings in ANTISPOOFD__… variables go to the daemon. Without
/// --cpu, --paced, --rss and --start, all four are run.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// CPU per job and jobs per second, for every size
    #[arg(long)]
    pub(crate) cpu: bool,
    /// Time from publish to verdict at a steady rate that leaves the machine idle time
    #[arg(long)]
    pub(crate) paced: bool,
    /// Peak memory with 64 images of 10 MB in flight and a vendor that takes two seconds
    #[arg(long)]
    pub(crate) rss: bool,
    /// Time from exec to the consumer being registered
    #[arg(long)]
    pub(crate) start: bool,
    /// Image sizes of --cpu, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "64KB,200KB,1MB,5MB")]
    pub(crate) sizes: Vec<ByteSize>,
    /// Jobs in one repetition of --cpu, instead of as many as the size needs
    #[arg(long)]
    pub(crate) jobs: Option<u32>,
    /// Repetitions; the workers take turns
    #[arg(long, default_value_t = 5)]
    pub(crate) reps: usize,
    /// Jobs in flight in --cpu and --paced
    #[arg(long, default_value_t = 16)]
    pub(crate) concurrency: u16,
    /// Time the vendor takes to answer in --cpu
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) latency: Duration,
    /// image.digest of antispoofd in --cpu and --paced, separated by commas; each is measured
    #[arg(long, value_delimiter = ',', default_value = "off,sha256")]
    pub(crate) digest: Vec<Digest>,
    /// ledger.backend of antispoofd in --cpu and --paced, separated by commas; each is measured
    #[arg(long, value_delimiter = ',', default_value = "memory")]
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
    /// Also writes everything that was measured to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
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

// === impl Args ===

impl Args {
    /// Whether a measurement is wanted: it was asked for, or none was.
    pub(crate) fn wants(&self, asked: bool) -> bool {
        asked || !(self.cpu || self.paced || self.rss || self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_choice_everything_is_measured() {
        let all = Args::parse_from(["bench"]);
        assert!(all.wants(all.cpu) && all.wants(all.rss));
        let one = Args::parse_from(["bench", "--rss", "--digest", "off,blake3", "--sizes", "64KB,10MB"]);
        assert!(one.wants(one.rss) && !one.wants(one.cpu));
        assert_eq!(one.digest, [Digest::Off, Digest::Blake3]);
        assert_eq!(one.sizes, [ByteSize::kb(64), ByteSize::mb(10)]);
    }
}
