//! What the gate on instruction counts counts: each part alone, then whole jobs over ports in memory. `scripts/instructions` runs this under callgrind, which
//! collects inside [`counted`] alone and dumps what it has at each end of it, so that the n-th dump is of the n-th line that this prints.
//!
//! Everything that could differ from run to run is fixed: the inputs, the clock and the random numbers of the pipeline, one thread for the jobs. What is
//! left (the seeds of hash maps, how often the log's thread has to be woken) is averaged over the iterations.

#![expect(clippy::print_stdout, reason = "the names are what it is asked for")]

mod images;
mod job;
mod messages;
mod ports;
mod results;

use std::rc::Rc;

/// What is lazy is made, and what grows has grown.
const WARM_UP: u64 = 20;

/// Something whose instructions are counted.
struct Part {
    name: &'static str,
    iterations: u64,
    /// Prepares so many iterations, numbered from the first number, and returns what runs them.
    prepare: Box<dyn FnMut(u64, u64) -> Run>,
}

type Run = Box<dyn FnOnce()>;

impl Part {
    /// `input` makes what one iteration consumes, by its number; that is not counted. `work` is.
    fn new<I: 'static>(
        name: &'static str,
        iterations: u64,
        input: impl Fn(u64) -> I + 'static,
        work: impl Fn(I) + 'static,
    ) -> Self {
        let work = Rc::new(work);
        let prepare = move |first, count| -> Run {
            let inputs: Vec<I> = (first..first + count).map(&input).collect();
            let work = work.clone();
            Box::new(move || inputs.into_iter().for_each(|input| work(input)))
        };
        Self { name, iterations, prepare: Box::new(prepare) }
    }
}

fn main() {
    // In this order: what counts a delivery is counted without the log, which is set up for the part after it.
    let parts = [
        messages::job,
        messages::cloud_event,
        messages::notification,
        images::head,
        images::base64,
        images::end_marker,
        images::structure,
        images::sha256,
        results::verdict,
        results::event,
        results::plan,
        results::ledger,
        results::delivery,
        results::log_line,
        job::verdict,
        job::parked,
    ];
    for part in parts {
        let mut part = part();
        (part.prepare)(0, WARM_UP)();
        let run = (part.prepare)(WARM_UP, part.iterations);
        counted(run);
        println!("{} {}", part.name, part.iterations);
    }
}

/// callgrind is told this name.
#[inline(never)]
fn counted(run: Run) {
    run();
}
