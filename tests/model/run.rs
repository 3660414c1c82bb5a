//! A schedule from its beginning to what must hold at its end; many schedules; and the smallest one that fails.

use crate::check;
use crate::drama::{self, Cast};
use crate::jobs;
use crate::life::set_ambient;
use crate::plan::{Fault, Plan, Seed};
use crate::world::World;
use antispoofd::gate::{Reason, State};
use antispoofd::worker::Drained;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

/// The longest that everything may take to settle once nothing goes wrong any more: more than all delays and lost claims together.
const SETTLES_WITHIN: Duration = Duration::from_hours(8);

/// The longest that an idle worker may take to stop.
const STOPS_WITHIN: Duration = Duration::from_mins(1);

/// The longest that a gate stays closed with no job in hand: as long as the vendor may ask for, and a bit.
const LONGEST_HOLD: Duration = Duration::from_mins(62);

/// What a schedule came to.
pub(crate) struct Outcome {
    pub(crate) problems: Vec<String>,
    pub(crate) trace: String,
    pub(crate) calls: u64,
    /// Calls of ports while things went wrong, for each second and message.
    pub(crate) busy: f64,
    /// Calls of the vendor while things went wrong.
    pub(crate) of_vendor: u64,
    pub(crate) billed: u32,
    pub(crate) doubts: u32,
    pub(crate) events: usize,
    pub(crate) parked_by_broker: u32,
}

/// Runs one schedule.
pub(crate) fn run(plan: &Plan, traced: bool) -> Outcome {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(schedule(plan.clone(), traced))
}

async fn schedule(plan: Plan, traced: bool) -> Outcome {
    set_ambient(plan.seed.number);
    let (workers, trouble) = (plan.workers, plan.trouble);
    let world = World::new(plan, traced);
    world.lock().note_plan();
    let cast = Cast::new(&world);
    let running: Vec<_> = (0..workers).map(|_| cast.keep_running()).collect();
    jobs::submit(&world);
    tokio::spawn(jobs::uploads(world.clone()));
    tokio::spawn(jobs::operator(world.clone()));
    tokio::spawn(drama::calamities(world.clone(), cast.clone()));
    sleep(trouble).await;
    drama::calm(&world, &cast);
    settle(&world, trouble * 3 + Duration::from_mins(2)).await;
    if world.lock().violation().is_none() {
        // A worker that has been asked to slow down consumes nothing for so long.
        sleep(LONGEST_HOLD).await;
        jobs::curtain_call(&world);
        settle(&world, Duration::ZERO).await;
    }

    let mut problems: Vec<String> = world.lock().violation().map(str::to_owned).into_iter().collect();
    if problems.is_empty() {
        problems = check::problems(&world.lock());
        problems.extend(workers_are_idle(&cast));
        cast.finish();
        for worker in running {
            match timeout(STOPS_WITHIN, worker).await {
                Ok(Ok(Some(Drained::Whole))) => {}
                other => problems.push(format!("a worker with nothing to do did not stop cleanly: {other:?}")),
            }
        }
    }
    let mut state = world.lock();
    let jobs = &state.records.jobs;
    Outcome {
        billed: jobs.iter().map(|job| job.billed).sum(),
        doubts: jobs.iter().map(|job| job.doubts).sum(),
        events: jobs.iter().map(|job| job.events.len()).sum(),
        parked_by_broker: jobs.iter().map(|job| job.parked_by_broker).sum(),
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        busy: state.calls.while_hopeless as f64 / trouble.as_secs_f64() / state.records.messages.max(1) as f64,
        calls: state.calls.total,
        of_vendor: state.calls.of_vendor,
        problems,
        trace: state.take_trace(),
    }
}

/// Waits until nothing is left to do; `at_least` lets copies that are under way outside the queues (a duplicate submission) arrive.
async fn settle(world: &World, at_least: Duration) {
    sleep(at_least).await;
    let settled = world.until(|state| (state.queues.empty() || state.violation().is_some()).then_some(()));
    if timeout(SETTLES_WITHIN, settled).await.is_err() {
        let mut state = world.lock();
        let left = state.queues.describe();
        state.wrong(|| format!("{SETTLES_WITHIN:?} after the trouble something is still left: {left}"));
        return;
    }
    // The last ack is out; what its task does behind it takes no time.
    sleep(Duration::from_secs(1)).await;
}

fn workers_are_idle(cast: &Cast) -> Vec<String> {
    let mut problems = Vec::new();
    let in_flight = cast.metrics.in_flight.get();
    if in_flight != 0 {
        problems.push(format!("{in_flight} deliveries are in flight by the metrics"));
    }
    for life in cast.lives().iter() {
        // With the day's calls used up, there was no job left to find out that the day is over.
        let done_for_today = |state: &State| state.closed().is_some_and(|closed| closed.reason == Reason::DailyLimit);
        if !life.gate.read(|state| state.is_open() || done_for_today(state)) {
            problems.push(format!("the gate of worker {} is {:?}", life.number, life.gate));
        }
    }
    problems
}

/// Runs the schedules `from..from + count` on all cores. Panics with the smallest failing one that it finds.
#[expect(clippy::print_stdout, reason = "what a long run came to")]
pub(crate) fn campaign(from: u64, count: u64) {
    let next = AtomicU64::new(from);
    let sums: [AtomicU64; 5] = Default::default();
    let failed = std::sync::Mutex::new(None);
    let threads = thread::available_parallelism().map_or(2, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failed.lock().expect("no thread panics").is_none() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= from + count {
                        return;
                    }
                    let seed = Seed::new(number);
                    let outcome = run(&Plan::new(seed), false);
                    let found = [
                        outcome.calls,
                        outcome.events as u64,
                        outcome.billed.into(),
                        outcome.doubts.into(),
                        outcome.parked_by_broker.into(),
                    ];
                    for (sum, found) in sums.iter().zip(found) {
                        sum.fetch_add(found, Ordering::Relaxed);
                    }
                    if !outcome.problems.is_empty() {
                        *failed.lock().expect("no thread panics") = Some(seed);
                    }
                }
            });
        }
    });
    if let Some(seed) = failed.into_inner().expect("no thread panicked") {
        panic!("{}", report(smallest(seed)));
    }
    let [calls, events, billed, doubts, parked] = sums.map(AtomicU64::into_inner);
    println!(
        "{count} schedules: {calls} calls of ports, {events} events, {billed} bills, {doubts} in doubt, {parked} parked by the broker"
    );
    assert!(events > count && billed > count && doubts > 0, "hardly anything happened in these schedules");
}

/// Leaves out kinds of faults, and jobs, for as long as it still fails.
pub(crate) fn smallest(mut seed: Seed) -> Seed {
    let fails = |seed: Seed| !run(&Plan::new(seed), false).problems.is_empty();
    for _ in 0..2 {
        for fault in Fault::ALL {
            if seed.has(fault) && fails(seed.without(fault)) {
                seed = seed.without(fault);
            }
        }
        while let Some(fewer) = (1..seed.jobs).map(|jobs| Seed { jobs, ..seed }).find(|&fewer| fails(fewer)) {
            seed = fewer;
        }
    }
    seed
}

/// What went wrong in a schedule, with everything that led to it.
pub(crate) fn report(seed: Seed) -> String {
    let plan = Plan::new(seed);
    let outcome = run(&plan, true);
    let mut text = String::new();
    writeln!(text, "{}", outcome.trace).expect("text");
    for problem in &outcome.problems {
        writeln!(text, "  {problem}").expect("text");
    }
    writeln!(text, "see it again: MODEL_SEED={seed} cargo test --test model -- replay --nocapture").expect("text");
    text
}
