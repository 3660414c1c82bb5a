//! The figures of a page, with the words that say what they are.

use super::Report;
use super::rows::Cost;
use super::table::Table;
use super::{plots, tables};
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::fmt::Write as _;

const BEGIN: &str = "<!-- figures: begin; `make bench` writes what follows, to the next such mark -->\n";
const END: &str = "<!-- figures: end -->\n";

/// Where the plots are, as seen from the page.
const PLOTS: &str = "benchmarks";

/// `page` with other text between the markers.
pub(super) fn rewritten(page: &str, figures: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("there is no line {}", BEGIN.trim_end()))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("there is no line {} behind it", END.trim_end()))?;
    Ok(format!("{before}{BEGIN}\n{figures}\n{END}{after}"))
}

pub(super) fn figures(report: &Report) -> String {
    let plots: BTreeSet<&str> = plots::all(report).into_iter().map(|(name, _)| name).collect();
    let mut text = String::new();
    let mut section = |heading: &str, words: &str, plot: &str, tables: &[Table]| {
        let tables: Vec<&Table> = tables.iter().filter(|table| !table.is_empty()).collect();
        if tables.is_empty() {
            return;
        }
        add(&mut text, &format!("## {heading}\n\n{words}\n"));
        if plots.contains(plot) {
            add(&mut text, &format!("\n![{heading}]({PLOTS}/{plot})\n"));
        }
        for table in tables {
            add(&mut text, &format!("\n{}\n\n{}", table.title, table.compact()));
        }
        add(&mut text, "\n");
    };
    section("CPU per job", &words_on_cpu(report), "cpu.svg", &costs(report));
    section("Latency", WORDS_ON_LATENCY, "latency.svg", &[tables::latencies(report)]);
    section(
        "Memory and start",
        WORDS_ON_MEMORY,
        "memory.svg",
        &[
            memory(report),
            tables::idle(report),
            tables::endurance(report),
            tables::starts(report),
            tables::drains(report),
        ],
    );
    section("Scale", WORDS_ON_SCALE, "in-flight.svg", &[scales(report)]);
    text.trim_end().to_owned() + "\n"
}

fn words_on_cpu(report: &Report) -> String {
    format!(
        "{}.\n\
         Worker, broker, stand-ins and load shared this machine. The worker's own CPU in all of its threads,\n\
         {} in flight, metrics and JSON logs on, a vendor that answers at once; in turns with the floor,\n\
         medians of {}. `antispoofd` is without a digest and with the ledger in memory; `+sha256` (the\n\
         default) and `+redis` say what is otherwise. A virtual machine has neighbours: compare within a row,\n\
         and not with another run. All figures of this run, with their spread (at 5 MB it is wider than what\n\
         a ledger takes): [figures.json]({PLOTS}/figures.json).",
        report.machine(),
        report.concurrency,
        report.reps
    )
}

const WORDS_ON_LATENCY: &str = "\
Images of 200 kB, at a share of the jobs per second that antispoofd can do. \"Own\" is the worker's
part: from a job's delivery to the event on its way to the broker, seen between the two. Store and
vendor answer at once, but the image's way to the worker and on to the vendor is in it, as in the
floor's. \"Whole\" is from when the job is due to be published to its verdict, with the broker's
writes to its disk. Jobs come in bursts after each stall of what shares the cores, and the last of a
burst waits for all before it: p99 follows the CPU per job ([why](decisions/0032-what-a-job-costs.md)).
At 90 % they wait in the queue as well.";

const WORDS_ON_MEMORY: &str = "\
The vendor takes 1 s: it \"answers late\" when it has read the body, or \"reads late\", and then all
images are stuck half-way through the worker. Jobs in a row are of 64 kB, with a ledger in memory of at
most 2,000 entries, so that it is full from the start; one of 100,000, the default, takes 160 MB more.
A stop with more than 32 in flight waits half a second for the broker to take the last acks.";

const WORDS_ON_SCALE: &str = "\
Jobs of 200 kB. Threads are `worker.threads`, processes share a queue, both with 64 jobs in flight in
each process; the machine is shared with broker, stand-ins and load. Connections share 8 MiB of buffers:
with more than 32 in flight each has less, and asks the kernel more often.";

fn costs(report: &Report) -> [Table; 2] {
    let floor = |row: &Cost, figure: fn(&Cost) -> f64| {
        let of_size = |cost: &&Cost| cost.worker == "floor" && cost.image_bytes == row.image_bytes;
        report.costs.iter().find(of_size).map(|floor| figure(row) / figure(floor))
    };
    let table = |title, cell: &dyn Fn(&Cost) -> String| {
        pivot(title, "image", &report.costs, |row| [tables::size(row.image_bytes), row.worker.clone(), cell(row)])
    };
    let cpu = |row: &Cost| row.per_job.cpu_ms.median;
    let rate = |row: &Cost| row.per_job.jobs_per_second.median;
    [
        table("Milliseconds of CPU per job:", &|row| {
            let ratio = floor(row, cpu).map(|ratio| format!(" (×{ratio:.2})")).unwrap_or_default();
            format!("{:.3}{ratio}", cpu(row))
        }),
        table("Jobs per second of one process:", &|row| {
            let share = floor(row, rate).map(|share| format!(" ({:.0} %)", share * 100.0)).unwrap_or_default();
            format!("{:.0}{share}", rate(row))
        }),
    ]
}

fn memory(report: &Report) -> Table {
    pivot("Peak, in MiB:", "in flight", &report.memory, |row| {
        let in_flight = format!("{} × {}", row.in_flight, tables::size(row.image_bytes));
        [in_flight, format!("{}, vendor {}", row.worker, row.vendor), format!("{:.0}", row.peak_mib)]
    })
}

fn scales(report: &Report) -> Table {
    pivot("Jobs per second, and milliseconds of CPU per job:", "", &report.scales, |row| {
        let (rate, cpu) = (row.per_job.jobs_per_second.median, row.per_job.cpu_ms.median);
        [row.label(), row.worker.clone(), format!("{rate:.0} ({cpu:.3})")]
    })
}

/// A row and a column for each name, in the order in which they come; `split` gives the names of both, and the cell.
fn pivot<T>(title: &str, corner: &str, all: &[T], split: impl Fn(&T) -> [String; 3]) -> Table {
    let cells: Vec<[String; 3]> = all.iter().map(split).collect();
    let names = |index: usize| {
        let mut names: Vec<&String> = Vec::new();
        for cell in &cells {
            if !names.contains(&&cell[index]) {
                names.push(&cell[index]);
            }
        }
        names
    };
    let columns = names(1);
    let head = std::iter::once(corner.to_owned()).chain(columns.iter().copied().cloned()).collect();
    let mut table = Table::with_head(title, head);
    for name in names(0) {
        let of = |column: &&String| {
            let found = cells.iter().find(|[row, of, _]| row == name && of == *column);
            found.map(|[_, _, cell]| cell.clone()).unwrap_or_default()
        };
        table.push(std::iter::once(name.clone()).chain(columns.iter().map(of)).collect::<Vec<_>>());
    }
    table
}

fn add(text: &mut String, more: &str) {
    // A String takes everything.
    text.write_str(more).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_the_markers_is_replaced_and_nothing_else() {
        let page = format!("# Title\n\n{BEGIN}\nold\n\n{END}\n## Next\n");
        let expected = format!("# Title\n\n{BEGIN}\nnew\n\n{END}\n## Next\n");
        assert_eq!(rewritten(&page, "new\n").unwrap(), expected);
        assert_eq!(rewritten(&expected, "new\n").unwrap(), expected);
        assert!(rewritten("# Title\n", "new\n").is_err());
        assert!(rewritten(&format!("{END}{BEGIN}"), "new\n").is_err());
    }

    #[test]
    fn a_row_and_a_column_for_each_name() {
        let cells = [["1", "floor", "a"], ["1", "ours", "b"], ["4", "ours", "c"]];
        let table = pivot("", "jobs", &cells, |cell| cell.map(str::to_owned));
        assert_eq!(table.compact(), "|jobs|floor|ours|\n|---|--:|--:|\n|1|a|b|\n|4||c|\n");
    }

    #[test]
    fn the_page_of_this_repository_has_the_markers() {
        assert!(rewritten(include_str!("../../../../docs/benchmarks.md"), "new\n").is_ok());
    }
}
