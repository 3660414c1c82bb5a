//! What was measured: as JSON, as tables for a terminal and for a page, and as plots.

mod page;
mod plots;
mod rows;
mod scaling;
mod svg;
mod table;
mod tables;

pub(crate) use rows::{Cost, Drain, Endurance, Idle, Latency, Memory, Sample, Scale, Start};

use super::args::Args;
use super::stats::ms;
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::{fs, thread};

#[derive(Serialize, Deserialize)]
pub(crate) struct Report {
    cpu_model: String,
    cpus: usize,
    kernel: String,
    concurrency: u16,
    /// In `costs` and `scales`.
    vendor_ms: f64,
    reps: u32,
    store: String,
    /// Events that jobs had beyond their first: of jobs that were delivered again.
    pub(crate) repeated_events: u32,
    pub(crate) starts: Vec<Start>,
    pub(crate) idle: Vec<Idle>,
    pub(crate) costs: Vec<Cost>,
    pub(crate) latencies: Vec<Latency>,
    pub(crate) scales: Vec<Scale>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) drains: Vec<Drain>,
    pub(crate) endurance: Vec<Endurance>,
}

impl Report {
    pub(crate) fn new(args: &Args) -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            cpu_model: model.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            cpus: thread::available_parallelism().map_or(0, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            concurrency: args.concurrency,
            vendor_ms: ms(args.vendor),
            reps: args.reps,
            store: args.store.name().to_owned(),
            repeated_events: 0,
            starts: Vec::new(),
            idle: Vec::new(),
            costs: Vec::new(),
            latencies: Vec::new(),
            scales: Vec::new(),
            memory: Vec::new(),
            drains: Vec::new(),
            endurance: Vec::new(),
        }
    }

    /// What [`Report::write`] has written.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let json = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        serde_json::from_slice(&json).with_context(|| format!("read the figures in {}", file.display()))
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        write(file, &format!("{json}\n"))
    }

    #[expect(clippy::print_stdout, reason = "the report is what the program is for")]
    pub(crate) fn print(&self) {
        println!("{}", self.machine());
        for table in tables::all(self) {
            println!("\n{}", table.padded());
        }
        if self.repeated_events > 0 {
            println!("\n{} events were a second one of their job, which was delivered again", self.repeated_events);
        }
    }

    /// Rewrites what stands between the markers of a page; the page's plots are in `plots`, where there are any.
    pub(crate) fn write_page(&self, file: &Path) -> Result<()> {
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let text = page::rewritten(&text, &page::figures(self)).with_context(|| file.display().to_string())?;
        write(file, &text)
    }

    /// Rewrites what stands between the markers of the page about what many checks a day need.
    pub(crate) fn write_scaling(&self, file: &Path) -> Result<()> {
        let Some(figures) = scaling::figures(self) else {
            bail!("{}: a figure that it needs was not measured", file.display())
        };
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let text = page::rewritten(&text, &figures).with_context(|| file.display().to_string())?;
        write(file, &text)
    }

    /// Writes the plots into a folder.
    pub(crate) fn write_plots(&self, folder: &Path) -> Result<()> {
        plots::all(self).into_iter().try_for_each(|(name, svg)| write(&folder.join(name), &svg))
    }

    fn machine(&self) -> String {
        let Self { cpu_model, cpus, kernel, store, .. } = self;
        format!("{cpu_model}, {cpus} cores, Linux {kernel}; store: {store}")
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}
