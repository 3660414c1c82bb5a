//! A worker's life: the real worker and the real pipeline, from its start to whatever ends it.

use crate::broker::{DELAYS, ModelBroker};
use crate::detector::{ModelDetector, REVIEW_BELOW};
use crate::inbox::ModelInbox;
use crate::ledger::ModelLedger;
use crate::plan::{Backend, Fault, Plan};
use crate::queues::Delivery;
use crate::store::ModelStore;
use crate::world::{State, World};
use antispoof_core::image::{Formats, Limits, Verify};
use antispoof_core::job::{Admission, Job};
use antispoof_core::overload::Bounds;
use antispoof_core::policy::{OnLedgerError, Reuse};
use antispoof_core::ports::Ports;
use antispoof_core::retry::{Backoff, InDoubt, RetryPolicy};
use antispoof_core::stream_digest::DigestKind;
use antispoofd::amqp::ConsumeMode;
use antispoofd::conversion::{self, Converter};
use antispoofd::gate::{self, Gate};
use antispoofd::health::Health;
use antispoofd::ledger::{Clock, LocalCount, Memory};
use antispoofd::lifecycle::{Stop, Tasks};
use antispoofd::limiter::Limiter;
use antispoofd::pipeline::{ClockAndRng, HeadMemory, LedgerClient, Pipeline, Rules, Stuck, ledger_key};
use antispoofd::telemetry::{JobLog, KeyNames, Metrics};
use antispoofd::worker::{self, Drained};
use std::cell::RefCell;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

/// Time for what is in flight when a worker is asked to stop: longer than a call may take.
const DRAIN: Duration = Duration::from_secs(45);

pub(crate) const BUCKET: &str = "kyc-uploads";
const ENDPOINT: &str = "https://vendor";

thread_local! {
    static CLOCK: RefCell<Option<Instant>> = const { RefCell::new(None) };
    static DICE: RefCell<fastrand::Rng> = const { RefCell::new(fastrand::Rng::with_seed(0)) };
}

/// What a worker is to everything outside.
pub(crate) struct Life {
    pub(crate) number: u64,
    pub(crate) world: World,
    pub(crate) calling: AtomicU16,
    pub(crate) gate: Gate,
    pub(crate) stop: Stop,
    /// Nothing that it does from now on happens.
    dead: AtomicBool,
    wanted: Mutex<ConsumeMode>,
    jobs: UnboundedSender<Delivery>,
    dead_letters: Mutex<Option<UnboundedSender<Delivery>>>,
}

/// The edges of a worker in this world.
struct ModelPorts;

impl Ports for ModelPorts {
    type Store = ModelStore;
    type Detector = ModelDetector;
    type Ledger = ModelLedger;
    type Broker = ModelBroker;
}

/// A life, and its end.
pub(crate) struct Running {
    pub(crate) life: Arc<Life>,
    pub(crate) task: JoinHandle<Drained>,
}

/// Sets the clock and the dice that the pipeline gets, for this thread.
pub(crate) fn set_ambient(seed: u64) {
    CLOCK.set(Some(Instant::now()));
    DICE.set(fastrand::Rng::with_seed(seed));
}

/// The wall clock: ten days after 1970, and as far on as the paused clock.
pub(crate) fn now() -> OffsetDateTime {
    let elapsed = CLOCK.with_borrow(|began| began.map_or(Duration::ZERO, |began| began.elapsed()));
    OffsetDateTime::UNIX_EPOCH + Duration::from_hours(240) + elapsed
}

fn roll() -> f64 {
    DICE.with_borrow_mut(fastrand::Rng::f64)
}

/// A worker's place outside, with its connection to the broker, and nobody in it yet.
pub(crate) fn connected(world: &World, number: u64) -> (Arc<Life>, ModelInbox, ModelInbox) {
    let (jobs, deliveries) = unbounded_channel();
    let (dead_letters, dead) = unbounded_channel();
    let life = Arc::new(Life {
        number,
        world: world.clone(),
        calling: AtomicU16::new(0),
        gate: Gate::new(gate_policy(&world.lock().plan)),
        stop: Stop::new(),
        dead: AtomicBool::new(false),
        wanted: Mutex::new(ConsumeMode::Paused),
        jobs,
        dead_letters: Mutex::new(Some(dead_letters)),
    });
    tokio::spawn(supervise(life.clone(), false));
    tokio::spawn(supervise(life.clone(), true));
    let inbox = ModelInbox::new(life.clone(), deliveries);
    let dead = ModelInbox::new(life.clone(), dead);
    (life, inbox, dead)
}

/// Starts a worker.
pub(crate) fn start(world: &World, number: u64, metrics: &Arc<Metrics>) -> Running {
    let (life, inbox, dead) = connected(world, number);
    let (rules, concurrency, backend, daily_limit, learns) = life.with(|state| {
        state.note(|| format!("worker {number} starts"));
        (rules(&life, state), state.plan.concurrency, state.plan.backend, state.plan.daily_limit, state.plan.learns)
    });
    let memory = (backend == Backend::Memory).then(|| {
        let count = LocalCount::new(daily_limit, calendar());
        Memory::new(10_000, Duration::from_hours(24 * 7), clock()).counting(count)
    });
    let bounds = Bounds::try_new(1, concurrency).expect("at least one job");
    let limiter = if learns && number.is_multiple_of(2) { Limiter::adaptive(bounds, 0.0) } else { Limiter::fixed(0.0) };
    let pipeline = Arc::new(Pipeline::<ModelPorts> {
        store: ModelStore(life.clone()),
        detector: ModelDetector(life.clone()),
        ledger: LedgerClient::new(ModelLedger { life: life.clone(), memory }, OnLedgerError::Hold, metrics.clone()),
        broker: ModelBroker(life.clone()),
        rules,
        clock_and_rng: ClockAndRng { now, random: roll },
        limiter,
        gate: life.gate.clone(),
        heads: HeadMemory::default(),
        converter: converter(),
        stuck: Stuck::default(),
        log: JobLog::new(metrics.clone(), KeyNames::Plain),
        stop: life.stop.clone(),
    });
    let ending = life.clone();
    let (tasks, health) = (Tasks::new(life.stop.clone()), Health::new(life.gate.clone(), life.stop.clone()));
    let task = tokio::spawn(async move {
        let drained = worker::run(pipeline, inbox, dead, concurrency, DRAIN, &tasks, Arc::new(health)).await;
        ending.ended(&format!("{drained:?}"));
        if let Some(end) = tasks.unexpected_end() {
            ending.world.lock().wrong(|| end.to_string());
        }
        drained
    });
    Running { life, task }
}

/// The ledger goes by the world's time.
fn clock() -> Clock {
    let start = tokio::time::Instant::now();
    Clock::new(move || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// The days go by the wall clock.
fn calendar() -> Clock {
    Clock::new(|| u64::try_from(now().unix_timestamp_nanos() / 1_000_000).expect("after 1970"))
}

/// Images are sent as they are.
fn converter() -> Converter {
    let limits = Limits { min_side: 0, max_pixels: u64::MAX, upright_only: false, convert: Formats::NONE };
    Converter::new(conversion::Options {
        upright: false,
        decode: false,
        max_side: 0,
        quality: 90,
        memory: 1 << 24,
        limits,
    })
}

fn rules(life: &Life, state: &State) -> Rules {
    Rules {
        admission: admission(),
        limits: Limits { min_side: 0, max_pixels: u64::MAX, upright_only: false, convert: Formats::NONE },
        verify: Verify::Structure,
        digest: DigestKind::Off,
        policy: RetryPolicy {
            quick_attempts: 3,
            quick: backoff(200, 5_000),
            delays: DELAYS.to_vec(),
            max_attempts: state.plan.max_attempts,
            in_doubt: if state.plan.park_in_doubt { InDoubt::Park } else { InDoubt::Retry },
        },
        publish: backoff(200, 5_000),
        fetch_limit: Duration::from_secs(20),
        review_below: REVIEW_BELOW,
        source: format!("antispoofd/{}", life.number),
        endpoint: ENDPOINT.to_owned(),
        reuse: Reuse::Job,
    }
}

fn gate_policy(plan: &Plan) -> gate::Policy {
    gate::Policy {
        concurrency: plan.concurrency,
        rejection_streak: plan.rejection_streak,
        probe: backoff(5_000, 60_000),
        roll,
    }
}

fn backoff(min: u64, max: u64) -> Backoff {
    Backoff::try_new(Duration::from_millis(min), Duration::from_millis(max)).expect("sound")
}

/// As the real supervisor, or the real reader of the dead queue: connects, and connects again.
async fn supervise(life: Arc<Life>, dead: bool) {
    loop {
        let pause = life.with(|state| Duration::from_millis(state.dice.u64(50..=5_000)));
        life.world.until(|state| state.services.broker.then_some(())).await;
        if life.is_dead() {
            return;
        }
        let worker = if dead { life.dead_letters().clone() } else { Some(life.jobs.clone()) };
        let Some(worker) = worker else { return };
        let session = life.with(|state| {
            let session = state.queues.connect(life.number, dead, worker);
            state.note(|| {
                format!("worker {} is connected{}", life.number, if dead { " to the dead queue" } else { "" })
            });
            state.deliver();
            session
        });
        // A consumer again, for as much as was wanted last.
        if !dead {
            life.consume();
        }
        life.world.tell();
        life.world.until(|state| (!state.queues.sessions.contains_key(&session)).then_some(())).await;
        sleep(pause).await;
    }
}

/// Which jobs are taken.
pub(crate) fn admission() -> Admission {
    Admission { default_bucket: None, buckets: Some(vec![BUCKET.to_owned()]) }
}

/// What a job is remembered under.
pub(crate) fn key_of(job: &Job) -> String {
    ledger_key(job, ENDPOINT)
}

// === impl Life ===

impl Life {
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.world.lock())
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Its session with the broker, while there is one.
    pub(crate) fn session(&self, state: &State) -> Option<u64> {
        let mut sessions = state.queues.sessions.iter();
        sessions.find(|(_, session)| session.life == self.number && !session.dead).map(|(id, _)| *id)
    }

    pub(crate) fn can_publish(&self, state: &State) -> bool {
        !state.services.alarm && self.session(state).is_some()
    }

    /// A call of a port begins: it is counted and takes its time. The worker may die here.
    pub(crate) async fn enter(&self, what: impl FnOnce() -> String) {
        self.hold().await;
        self.with(|state| {
            state.count_call();
            state.note(|| format!("worker {}: {}", self.number, what()));
        });
        self.may_die().await;
        self.latency().await;
    }

    /// What was asked for has happened; the worker may die before it knows.
    pub(crate) async fn leave(&self) {
        self.hold().await;
        self.may_die().await;
    }

    /// The dead do nothing, and when something is wrong everything stands still.
    async fn hold(&self) {
        if self.is_dead() || self.with(|state| state.violation().is_some()) {
            pending::<()>().await;
        }
    }

    pub(crate) async fn latency(&self) {
        let most = self.with(|state| state.plan.latency);
        match self.with(|state| state.dice.u8(0..4)) {
            0 => {}
            1 => yield_now().await,
            _ if most.is_zero() => {}
            _ => sleep(most.mul_f64(self.with(|state| state.dice.f64()))).await,
        }
        self.hold().await;
    }

    async fn may_die(&self) {
        // At every step there would be nothing but deaths.
        if self.with(|state| state.fails(Fault::Kill) && state.dice.u8(0..10) == 0) {
            self.die();
            pending::<()>().await;
        }
    }

    /// SIGKILL: its tasks are dropped where they wait, its memory and its connection are gone.
    pub(crate) fn die(&self) {
        if self.dead.swap(true, Ordering::AcqRel) {
            return;
        }
        self.with(|state| {
            state.note(|| format!("worker {} dies", self.number));
            self.gone(state, "it died");
        });
        self.stop.hard().cancel();
        self.world.tell();
    }

    /// The worker has ended, by itself or not.
    fn ended(&self, how: &str) {
        self.dead.store(true, Ordering::Release);
        self.with(|state| {
            state.note(|| format!("worker {} has ended: {how}", self.number));
            self.gone(state, "it ended");
        });
        self.world.tell();
    }

    fn gone(&self, state: &mut State, why: &str) {
        let sessions = state.queues.sessions.iter().filter(|(_, session)| session.life == self.number);
        let sessions: Vec<u64> = sessions.map(|(id, _)| *id).collect();
        for session in sessions {
            state.disconnect(session, why);
        }
        let with_its_memory = state.plan.backend == Backend::Memory;
        state.records.life_ended(self.number, with_its_memory);
    }

    pub(crate) fn set_consume_mode(&self, mode: ConsumeMode) {
        *self.wanted() = mode;
        self.consume();
    }

    fn consume(&self) {
        let wanted = *self.wanted();
        self.with(|state| {
            let prefetch = usize::from(wanted.prefetch(state.plan.concurrency));
            if let Some(session) = self.session(state) {
                state.queues.consume(session, prefetch);
                state.deliver();
            }
        });
    }

    /// The reader of the dead queue cancels its consumer; what it was sent arrives.
    pub(crate) fn read_no_more(&self) {
        self.dead_letters().take();
        self.with(|state| state.queues.read_no_more(self.number));
    }

    fn dead_letters(&self) -> std::sync::MutexGuard<'_, Option<UnboundedSender<Delivery>>> {
        self.dead_letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> std::sync::MutexGuard<'_, ConsumeMode> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the job that is remembered under this key.
    pub(crate) fn job_number(&self, key: &str) -> Option<usize> {
        self.with(|state| state.records.keys.get(key).copied())
    }
}
