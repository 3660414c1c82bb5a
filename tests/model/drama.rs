//! What happens to the workers from outside, and somebody who keeps them running.

use crate::life::{Life, Running, start};
use crate::plan::Fault;
use crate::world::{Services, State, World};
use antispoofd::telemetry::Metrics;
use antispoofd::worker::Drained;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A streak of rejections that no schedule has the jobs for.
pub(crate) const NEVER_REACHED: usize = 20;

/// The workers of a schedule.
pub(crate) struct Cast {
    pub(crate) metrics: Arc<Metrics>,
    world: World,
    born: AtomicU64,
    finishing: AtomicBool,
    lives: Mutex<Vec<Arc<Life>>>,
}

impl Cast {
    pub(crate) fn new(world: &World) -> Arc<Self> {
        Arc::new(Self {
            metrics: Arc::new(Metrics::new()),
            world: world.clone(),
            born: AtomicU64::new(0),
            finishing: AtomicBool::new(false),
            lives: Mutex::default(),
        })
    }

    /// Keeps one worker running, whatever ends it, until it is asked to stop for good. Says how the last one ended.
    pub(crate) fn keep_running(self: &Arc<Self>) -> JoinHandle<Option<Drained>> {
        let cast = self.clone();
        tokio::spawn(async move {
            loop {
                let Running { life, task } =
                    start(&cast.world, cast.born.fetch_add(1, Ordering::Relaxed), &cast.metrics);
                cast.lives().push(life.clone());
                let drained = task.await.ok();
                cast.lives().retain(|other| other.number != life.number);
                if cast.finishing.load(Ordering::Acquire) {
                    return drained;
                }
                let pause = cast.world.lock().dice.u64(100..=20_000);
                sleep(Duration::from_millis(pause)).await;
            }
        })
    }

    pub(crate) fn finish(&self) {
        self.finishing.store(true, Ordering::Release);
        for life in self.lives().iter() {
            life.stop.soft().cancel();
        }
    }

    pub(crate) fn lives(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Life>>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn one(&self) -> Option<Arc<Life>> {
        let lives = self.lives();
        self.world.lock().dice.choice(lives.iter()).cloned()
    }
}

/// What happens to whole workers and services, until it is over.
pub(crate) async fn calamities(world: World, cast: Arc<Cast>) {
    const WHICH: [Fault; 11] = [
        Fault::Connection,
        Fault::Kill,
        Fault::Soft,
        Fault::Hard,
        Fault::Unbound,
        Fault::Alarm,
        Fault::Account,
        Fault::Ledger,
        Fault::Outage,
        Fault::Pause,
        Fault::Mood,
    ];
    let possible: Vec<Fault> = WHICH.into_iter().filter(|&fault| world.lock().plan.seed.has(fault)).collect();
    loop {
        let (pause, which, lasts) = world_with(&world, |state| {
            let pause = state.plan.calamities.mul_f64(state.dice.f64() * 2.0);
            (pause, state.dice.choice(&possible).copied(), Duration::from_secs(state.dice.u64(1..=300)))
        });
        let Some(which) = which else { return };
        sleep(pause).await;
        if world.lock().calm {
            return;
        }
        happen(&world, &cast, which, lasts);
    }
}

fn happen(world: &World, cast: &Cast, which: Fault, lasts: Duration) {
    let one = cast.one();
    match (which, one) {
        (Fault::Kill, Some(life)) => life.die(),
        (Fault::Soft, Some(life)) => life.stop.soft().cancel(),
        (Fault::Hard, Some(life)) => life.stop.hard().cancel(),
        (Fault::Connection, Some(life)) => world_with(world, |state| {
            let dead = state.dice.u8(0..4) == 0;
            let sessions = state.queues.sessions.iter();
            let mut own = sessions.filter(|(_, session)| session.life == life.number && session.dead == dead);
            if let Some(session) = own.next().map(|(id, _)| *id) {
                state.disconnect(session, "somebody tripped over the cable");
            }
        }),
        _ => {
            world_with(world, |state| break_service(state, which, lasts));
            let world = world.clone();
            tokio::spawn(async move {
                sleep(lasts).await;
                world_with(&world, |state| {
                    state.note(|| format!("{which:?} is over"));
                    state.services = Services::SOUND;
                });
                world.tell();
            });
        }
    }
    world.tell();
}

fn break_service(state: &mut State, which: Fault, lasts: Duration) {
    let roll = state.dice.usize(0..3);
    match which {
        Fault::Unbound => state.services.bound = false,
        Fault::Alarm => state.services.alarm = true,
        Fault::Account => state.services.refused = Some([401, 402, 403][roll]),
        Fault::Ledger => state.services.ledger = false,
        Fault::Pause => {
            state.pauses += 1;
            state.services.full_until = Some(state.elapsed() + lasts);
        }
        Fault::Mood => state.services.rejects = true,
        _ if roll == 0 => state.services.store = false,
        _ if roll == 1 => state.services.vendor = false,
        _ => {
            state.services.broker = false;
            let sessions: Vec<u64> = state.queues.sessions.keys().copied().collect();
            for session in sessions {
                state.disconnect(session, "the broker is down");
            }
        }
    }
    let services = state.services;
    state.note(|| format!("{which:?}: {services:?}"));
}

/// From now on nothing goes wrong any more. Where rejections have stopped the workers, an operator does what the manual says when the images really are bad.
pub(crate) fn calm(world: &World, cast: &Cast) {
    let stopped = world_with(world, |state| {
        state.note(|| "the trouble is over".to_owned());
        state.calm = true;
        state.services = Services::SOUND;
        let short = state.plan.rejection_streak < NEVER_REACHED;
        state.plan.rejection_streak *= usize::from(!short);
        short
    });
    if stopped {
        for life in cast.lives().iter() {
            life.stop.soft().cancel();
        }
    }
    world.tell();
}

/// Does something to the state.
pub(crate) fn world_with<T>(world: &World, f: impl FnOnce(&mut State) -> T) -> T {
    f(&mut world.lock())
}
