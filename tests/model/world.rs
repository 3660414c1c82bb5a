//! The state of everything outside the workers, behind one lock; dice, trace and the first thing that was wrong.

use crate::plan::{Fault, Plan};
use crate::queues::Queues;
use crate::records::Records;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Calls of ports that one message may cause within a second before it counts as a hot loop.
const CALLS_A_SECOND_AND_MESSAGE: u64 = 120;

/// Everything outside the workers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct World {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

pub(crate) struct State {
    pub(crate) plan: Plan,
    pub(crate) dice: Rng,
    /// No more faults: what is left has to come to its end.
    pub(crate) calm: bool,
    pub(crate) services: Services,
    /// How often the vendor has asked everybody to wait.
    pub(crate) pauses: u32,
    pub(crate) queues: Queues,
    pub(crate) records: Records,
    pub(crate) durable: crate::ledger::Durable,
    /// What is in the store under each key.
    pub(crate) objects: BTreeMap<String, crate::store::Object>,
    pub(crate) calls: Calls,
    violation: Option<String>,
    trace: Option<String>,
    began: Instant,
}

/// What is there.
#[expect(clippy::struct_excessive_bools, reason = "each is a service of its own")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Services {
    pub(crate) broker: bool,
    pub(crate) bound: bool,
    pub(crate) alarm: bool,
    pub(crate) store: bool,
    pub(crate) vendor: bool,
    pub(crate) ledger: bool,
    /// The status with which the vendor refuses the account.
    pub(crate) refused: Option<u16>,
    /// When the vendor takes calls again, counted from the beginning.
    pub(crate) full_until: Option<Duration>,
    /// The vendor rejects every image.
    pub(crate) rejects: bool,
    /// The vendor takes images and breaks the connection.
    pub(crate) silent: bool,
}

impl Services {
    pub(crate) const SOUND: Self = Self {
        broker: true,
        bound: true,
        alarm: false,
        store: true,
        vendor: true,
        ledger: true,
        refused: None,
        full_until: None,
        rejects: false,
        silent: false,
    };
}

/// How busy the workers are.
#[derive(Default)]
pub(crate) struct Calls {
    second: u64,
    in_second: u64,
    pub(crate) total: u64,
    pub(crate) while_hopeless: u64,
    /// Calls of the vendor alone, in all, for as long as things went wrong.
    pub(crate) of_vendor: u64,
    /// Whole requests that the vendor has had.
    pub(crate) whole: u64,
}

impl World {
    pub(crate) fn new(plan: Plan, traced: bool) -> Self {
        let state = State {
            dice: Rng::with_seed(plan.seed.number.wrapping_add(1)),
            calm: false,
            services: Services::SOUND,
            pauses: 0,
            queues: Queues::default(),
            records: Records::default(),
            durable: crate::ledger::Durable::default(),
            objects: BTreeMap::new(),
            calls: Calls::default(),
            violation: None,
            trace: traced.then(String::new),
            began: Instant::now(),
            plan,
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who waits for something that it may have happened.
    pub(crate) fn tell(&self) {
        self.shared.changed.notify_waiters();
    }

    /// Waits until `there` finds it.
    pub(crate) async fn until<T>(&self, mut there: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.shared.changed.notified();
            if let Some(found) = there(&mut self.lock()) {
                return found;
            }
            changed.await;
        }
    }
}

impl State {
    /// True when this goes wrong now.
    pub(crate) fn fails(&mut self, fault: Fault) -> bool {
        let chance = self.plan.chance(fault);
        !self.calm && chance > 0.0 && self.dice.f64() < chance
    }

    pub(crate) fn note_plan(&mut self) {
        let plan = self.plan.clone();
        self.note(|| {
            let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| plan.seed.has(*fault)).collect();
            format!("{} with {faults:?}: {plan:?}", plan.seed)
        });
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let at = self.began.elapsed();
            let line = line();
            writeln!(trace, "{:>9.3} s  {line}", at.as_secs_f64()).expect("text");
        }
    }

    /// Something that must not be. The first is kept, and everything stands still.
    pub(crate) fn wrong(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let what = what();
            self.note(|| format!("WRONG: {what}"));
            self.violation = Some(what);
        }
    }

    pub(crate) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    pub(crate) fn take_trace(&mut self) -> String {
        self.trace.take().unwrap_or_default()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Counts a call of a port.
    pub(crate) fn count_call(&mut self) {
        let second = self.elapsed().as_secs();
        let limit = CALLS_A_SECOND_AND_MESSAGE * (self.records.messages + 4);
        let calls = &mut self.calls;
        if calls.second != second {
            (calls.second, calls.in_second) = (second, 0);
        }
        calls.in_second += 1;
        calls.total += 1;
        if !self.calm {
            calls.while_hopeless += 1;
        }
        if calls.in_second > limit {
            self.wrong(|| format!("a hot loop: more than {limit} calls of ports within a second"));
        }
    }
}
