//! The broker's insides: a quorum queue with its delivery limit, delay queues, the parked queue, sessions and what they have in hand.

use crate::plan::Fault;
use crate::records::Kind;
use crate::world::State;
use antispoof_core::dropped::Dropped;
use antispoof_core::job::Properties;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::UnboundedSender;

/// `x-delivery-limit` of the job queue.
pub(crate) const DELIVERY_LIMIT: u32 = 20;

/// That of the dead queue.
const DEAD_DELIVERY_LIMIT: u32 = 3;

/// A message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) job: usize,
    pub(crate) body: Arc<[u8]>,
    pub(crate) properties: Arc<Properties>,
    pub(crate) attempt: u32,
    pub(crate) replay: u32,
    /// When it, or the one it is a copy of, was first delivered; written on copies only.
    pub(crate) first_seen_ms: Option<i64>,
    pub(crate) in_doubt: u32,
    /// The code that was written on it when it was deferred or parked.
    pub(crate) code: Option<&'static str>,
    /// Deliveries that did not end in an ack.
    pub(crate) deliveries: u32,
    /// Those of the copies before it, as a worker wrote on it.
    pub(crate) carried: u32,
    /// Why the broker took it off the job queue.
    pub(crate) dropped: Option<Dropped>,
}

/// A delivery as it travels to the worker.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) session: u64,
    pub(crate) tag: u64,
    pub(crate) message: Message,
    pub(crate) alive: Arc<AtomicBool>,
}

/// What is in whose hands.
pub(crate) struct Session {
    pub(crate) life: u64,
    /// It reads the dead queue, and not the job queue.
    pub(crate) dead: bool,
    pub(crate) alive: Arc<AtomicBool>,
    prefetch: usize,
    /// The consumer now: what an earlier one has in hand does not count against this one's prefetch.
    consumer: u64,
    unacked: BTreeMap<u64, Unacked>,
    worker: UnboundedSender<Delivery>,
}

struct Unacked {
    message: Message,
    consumer: u64,
    replaced: Option<Replaced>,
    /// It stays in hand because no queue takes a copy of it.
    held: bool,
}

/// What a worker has a confirm for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// A copy in a delay queue.
    Deferred,
    /// A copy in the parked queue.
    Parked,
    /// A message for each of its parts, the last of them now.
    FannedOut,
    /// Nothing, for nothing was asked.
    Discarded,
}

#[derive(Default)]
pub(crate) struct Queues {
    pub(crate) jobs: VecDeque<Message>,
    /// What the broker took off the job queue.
    pub(crate) dead: VecDeque<Message>,
    /// Messages in delay queues.
    pub(crate) delayed: usize,
    pub(crate) parked: Vec<Message>,
    pub(crate) sessions: BTreeMap<u64, Session>,
    last: u64,
}

impl Queues {
    /// Nothing to do for anybody.
    pub(crate) fn empty(&self) -> bool {
        self.jobs.is_empty()
            && self.dead.is_empty()
            && self.delayed == 0
            && self.sessions.values().all(|session| session.unacked.is_empty())
    }

    pub(crate) fn describe(&self) -> String {
        let unacked: usize = self.sessions.values().map(|session| session.unacked.len()).sum();
        let Self { jobs, dead, delayed, .. } = self;
        format!("{} in the job queue, {} dead, {delayed} in delay queues, {unacked} unacked", jobs.len(), dead.len())
    }

    /// A worker connects, to consume nothing yet from the job queue, or one message at a time from the dead queue.
    pub(crate) fn connect(&mut self, life: u64, dead: bool, worker: UnboundedSender<Delivery>) -> u64 {
        self.last += 1;
        let session = Session {
            life,
            dead,
            alive: Arc::new(AtomicBool::new(true)),
            prefetch: dead.into(),
            consumer: 0,
            unacked: BTreeMap::new(),
            worker,
        };
        self.sessions.insert(self.last, session);
        self.last
    }

    /// Cancels the consumer of the dead queue.
    pub(crate) fn read_no_more(&mut self, life: u64) {
        for session in self.sessions.values_mut().filter(|session| session.life == life && session.dead) {
            session.prefetch = 0;
            // Nobody sends any more.
            session.worker = tokio::sync::mpsc::unbounded_channel().0;
        }
    }

    /// Cancels and consumes anew.
    pub(crate) fn consume(&mut self, session: u64, prefetch: usize) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.consumer += 1;
            session.prefetch = prefetch;
        }
    }

    /// True when this worker has a delivery of this job in hand that the broker has not taken back.
    pub(crate) fn holds(&self, life: u64, job: usize) -> bool {
        let mut sessions = self.sessions.values().filter(|session| session.life == life);
        sessions.any(|session| session.unacked.values().any(|unacked| unacked.message.job == job))
    }

    /// How many messages this worker has in hand but those that are held, and how often the one with this job had been delivered before.
    pub(crate) fn in_hand_with(&self, life: u64, job: usize) -> Option<(usize, u32)> {
        let session = self.sessions.values().find(|session| session.life == life && !session.dead)?;
        let mut of_job = session.unacked.values().filter(|unacked| unacked.message.job == job);
        let unacked = of_job.next()?;
        // With two of them it cannot be told which is meant.
        of_job
            .next()
            .is_none()
            .then(|| (session.unacked.values().filter(|unacked| !unacked.held).count(), unacked.message.counted()))
    }

    /// Notes that a delivery is in hand only because no queue takes a copy of it.
    pub(crate) fn held(&mut self, session: u64, tag: u64) {
        if let Some(unacked) = self.sessions.get_mut(&session).and_then(|session| session.unacked.get_mut(&tag)) {
            unacked.held = true;
        }
    }

    /// Notes what a delivery's worker has a confirm for.
    pub(crate) fn replaced(&mut self, session: u64, tag: u64, by: Replaced) {
        if let Some(unacked) = self.sessions.get_mut(&session).and_then(|session| session.unacked.get_mut(&tag)) {
            unacked.replaced = Some(by);
        }
    }
}

impl State {
    /// Hands out what may be handed out.
    pub(crate) fn deliver(&mut self) {
        self.deliver_from(false);
        self.deliver_from(true);
    }

    fn deliver_from(&mut self, dead: bool) {
        while !self.queue(dead).is_empty() {
            let sessions = self.queues.sessions.iter();
            let ready: Vec<u64> =
                sessions.filter(|(_, session)| session.dead == dead && session.ready()).map(|(id, _)| *id).collect();
            let Some(&id) = self.dice.choice(&ready) else { return };
            let Some(message) = self.queue(dead).pop_front() else { return };
            if !dead && self.fails(Fault::Expiry) {
                self.drop_message(message, Dropped::Expired);
                continue;
            }
            self.queues.last += 1;
            let tag = self.queues.last;
            let Some(session) = self.queues.sessions.get_mut(&id) else { return };
            let delivery = Delivery { session: id, tag, message: message.clone(), alive: session.alive.clone() };
            let (life, consumer) = (session.life, session.consumer);
            let sent = session.worker.send(delivery).is_ok();
            session.unacked.insert(tag, Unacked { message: message.clone(), consumer, replaced: None, held: false });
            self.note(|| {
                format!(
                    "broker: #{tag} to worker {life}: job-{}, attempt {}, replay {}, delivered {} times before",
                    message.job,
                    message.attempt,
                    message.replay,
                    message.counted()
                )
            });
            if !sent {
                // Nobody reads any more; the session is about to go.
                return;
            }
        }
    }

    /// The connection is gone: what was in hand comes back.
    pub(crate) fn disconnect(&mut self, id: u64, why: &str) {
        let Some(session) = self.queues.sessions.remove(&id) else { return };
        session.alive.store(false, Ordering::Release);
        self.note(|| format!("broker: the connection of worker {} is gone ({why})", session.life));
        for (_, unacked) in session.unacked.into_iter().rev() {
            self.take_back(unacked.message);
        }
        self.deliver();
    }

    /// `basic.nack` with requeue.
    pub(crate) fn nack(&mut self, id: u64, tag: u64) {
        let unacked = self.queues.sessions.get_mut(&id).and_then(|session| session.unacked.remove(&tag));
        if let Some(unacked) = unacked {
            self.note(|| format!("broker: #{tag} is handed back"));
            self.take_back(unacked.message);
            self.deliver();
        }
    }

    /// `basic.ack`: the one place where a message ends, so here it is looked at whether it may.
    pub(crate) fn ack(&mut self, id: u64, tag: u64) {
        let unacked = self.queues.sessions.get_mut(&id).and_then(|session| session.unacked.remove(&tag));
        let Some(Unacked { message, replaced, .. }) = unacked else { return };
        self.note(|| format!("broker: #{tag} is acked"));
        let job = &self.records.jobs[message.job];
        let told = |start: &str| job.confirmed.iter().any(|key| key.starts_with(start));
        let may = match replaced {
            Some(Replaced::Deferred) => true,
            Some(Replaced::Parked) => told("failure."),
            Some(Replaced::FannedOut) => job.parts.iter().all(|part| job.divided.contains(part)),
            Some(Replaced::Discarded) => job.kind == Kind::Nothing,
            None => told("verdict."),
        };
        if !may {
            let confirmed = format!("{:?}", job.confirmed);
            self.wrong(|| {
                format!("#{tag} of job-{} is acked with {replaced:?} and the events {confirmed} confirmed", message.job)
            });
        }
        self.deliver();
    }

    fn queue(&mut self, dead: bool) -> &mut VecDeque<Message> {
        if dead { &mut self.queues.dead } else { &mut self.queues.jobs }
    }

    /// Takes a message off the job queue.
    fn drop_message(&mut self, mut message: Message, why: Dropped) {
        self.note(|| format!("broker: job-{} is taken off the job queue ({})", message.job, why.reason()));
        self.records.jobs[message.job].dropped += 1;
        // From RabbitMQ 4.3 on what has come to its limit brings its count along.
        if why != Dropped::DeliveryLimit || self.plan.seed.number.is_multiple_of(2) {
            message.deliveries = 0;
        }
        message.dropped = Some(why);
        self.queues.dead.push_back(message);
    }

    /// A message goes back to the head of its queue, or further on at the limit.
    fn take_back(&mut self, mut message: Message) {
        message.deliveries += 1;
        let job = &mut self.records.jobs[message.job];
        let dead = message.dropped.is_some();
        if !dead {
            job.deliveries = job.deliveries.max(message.counted());
        }
        if message.deliveries <= if dead { DEAD_DELIVERY_LIMIT } else { DELIVERY_LIMIT } {
            self.queue(dead).push_front(message);
            return;
        }
        if !dead {
            self.drop_message(message, Dropped::DeliveryLimit);
            return;
        }
        self.note(|| format!("broker: job-{} has used up its deliveries and is parked", message.job));
        self.records.jobs[message.job].parked_by_broker += 1;
        message.code = None;
        self.queues.parked.push(message);
    }
}

impl Message {
    /// All deliveries without an end.
    pub(crate) fn counted(&self) -> u32 {
        self.carried + self.deliveries
    }
}

impl Session {
    fn ready(&self) -> bool {
        self.unacked.values().filter(|unacked| unacked.consumer == self.consumer).count() < self.prefetch
    }
}
