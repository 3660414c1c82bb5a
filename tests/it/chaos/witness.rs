//! Whoever consumes the results: reads every terminal event from the first on, through all that happens to the broker.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use super::oracle::{End, Event};
use crate::harness::broker::{Broker, Message, RESULTS};
use crate::harness::wait::{EVENTUALLY, eventually};
use crate::harness::world::World;

/// Quorum, as a consumer would have it whose broker may be killed.
const QUEUE: &str = "chaos.results";
const PREFETCH: u16 = 1000;
/// Nothing arrives for so long only when the connection is dead or all is quiet; then it is opened anew, which costs nothing.
const SILENCE: Duration = Duration::from_secs(20);

/// Reads for as long as it lives.
pub(crate) struct Witness {
    seen: Arc<Seen>,
    reading: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    log: Mutex<Log>,
    ended: watch::Sender<usize>,
}

#[derive(Default)]
struct Log {
    events: Vec<Event>,
    jobs: HashSet<String>,
    /// Ids and bodies, to know what the broker gives once more because an ack did not arrive.
    bodies: HashSet<(String, Vec<u8>)>,
    strange: Vec<String>,
}

/// No job has ended for too long.
#[derive(Clone, Debug)]
pub(crate) struct Stalled {
    pub(crate) ended: usize,
    pub(crate) limit: Duration,
}

impl Witness {
    /// Binds a queue of its own to the results, in place of the harness's, and reads it.
    pub(crate) async fn of(world: &Arc<World>) -> Self {
        declare(&world.broker).await;
        world.broker.unbind_results().await;
        let seen = Arc::new(Seen::default());
        let (log, world) = (Arc::clone(&seen), Arc::clone(world));
        let reading = spawn_local(async move {
            loop {
                // Ends when the broker goes away, one way or another; what was not acknowledged comes again.
                read(&world.broker, &log).await.ok();
            }
        });
        Self { seen, reading }
    }

    /// The number of jobs with an event.
    pub(crate) fn progress(&self) -> watch::Receiver<usize> {
        self.seen.ended.subscribe()
    }

    /// Waits until so many jobs have ended. The limit is for the time from one end to the next.
    pub(crate) async fn wait(&self, jobs: usize, limit: Duration) -> Result<(), Stalled> {
        let mut ended = self.progress();
        loop {
            let now = *ended.borrow_and_update();
            if now >= jobs {
                return Ok(());
            }
            if timeout(limit, ended.changed()).await.is_err() {
                return Err(Stalled { ended: now, limit });
            }
        }
    }

    /// Stops reading.
    pub(crate) async fn close(mut self) {
        self.reading.abort();
        // Aborted just now.
        (&mut self.reading).await.ok();
    }

    /// Everything that was read, and what could not be understood.
    pub(crate) fn events(&self) -> (Vec<Event>, Vec<String>) {
        let log = self.seen.log();
        (log.events.clone(), log.strange.clone())
    }

    /// Waits until the queue is read to its end.
    pub(crate) async fn catch_up(&self, world: &World) {
        eventually("all events to be read", EVENTUALLY, async || {
            let sampled = world.broker.sampled(QUEUE).await;
            let left = world.broker.depth(QUEUE).await.unwrap_or(0);
            match (left, sampled.ready, sampled.unacked) {
                (0, 0, 0) => Ok(()),
                left => Err(format!("{left:?} messages")),
            }
        })
        .await;
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn declare(broker: &Broker) {
    let channel = broker.channel().await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let declared = channel.queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), arguments).await;
    declared.expect("a queue can be declared");
    let bound = channel.queue_bind(
        QUEUE.into(),
        RESULTS.into(),
        "#".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bound.await.expect("a queue can be bound");
}

async fn read(broker: &Broker, seen: &Seen) -> Result<(), lapin::Error> {
    let connection = eventually("the broker to take the reader of the results", EVENTUALLY, async || {
        broker.connect().await.map_err(|problem| problem.to_string())
    })
    .await;
    let channel = connection.create_channel().await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let consuming =
        channel.basic_consume(QUEUE.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = consuming.await?;
    while let Ok(Some(delivery)) = timeout(SILENCE, consumer.next()).await {
        let delivery = delivery?;
        let acker = delivery.acker.clone();
        seen.note(delivery);
        acker.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

impl Seen {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, delivery: Delivery) {
        let message = Message::from(delivery);
        let mut log = self.log();
        let known = !log.bodies.insert((message.message_id().to_owned(), message.body.clone()));
        if known && message.redelivered {
            return;
        }
        match event(&message) {
            Some(event) => {
                log.jobs.insert(event.job.clone());
                log.events.push(event);
            }
            None => log.strange.push(format!("{} {}", message.routing_key, String::from_utf8_lossy(&message.body))),
        }
        self.ended.send_replace(log.jobs.len());
    }
}

fn event(message: &Message) -> Option<Event> {
    let data = &message.json["data"];
    let end = match (message.outcome(), message.failure_code()) {
        (Some(outcome), None) => End::Verdict {
            outcome: outcome.to_owned(),
            spoof_detected: data["spoof_detected"].as_bool()?,
            accuracy: data["accuracy"].as_f64()?,
        },
        (None, Some(code)) => End::Failure { code: code.to_owned() },
        (Some(_), Some(_)) | (None, None) => return None,
    };
    Some(Event {
        job: message.job_id()?.to_owned(),
        id: message.json["id"].as_str()?.to_owned(),
        end,
        in_doubt: data["check"]["in_doubt"].as_u64().unwrap_or(0),
    })
}
