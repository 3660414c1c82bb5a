//! Exchanges, queues and bindings.
//!
//! - Every queue is quorum, every automatic hop is at-least-once, which needs `reject-publish`.
//! - The job queue dead-letters only into the dead queue, and that one only into the parked queue. A loop jobs → delay → jobs made of automatic hops alone is
//!   dropped silently by the broker; here the hop into a delay queue is always a publish of the worker.
//! - A delay is part of a queue's name, so a changed setting makes a new queue instead of a refused declaration.
//! - No other argument is declared: any later change of one would be refused. The rest belongs into policies.

use super::connect::Link;
use super::reply::{PRECONDITION_FAILED, reply_code};
use crate::settings::{Delay, TopologyMode};
use futures_util::future::try_join_all;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use std::time::Duration;

/// Deliveries after which the broker itself takes a job off the queue. Explicit, because the default differs between versions.
pub(super) const JOBS_DELIVERY_LIMIT: i64 = 20;

/// A message that ends each connection that it is delivered to is not tried more often: each time costs a connection of a worker.
const DEAD_DELIVERY_LIMIT: i64 = 3;

/// Looking at a parked message counts as a delivery, and the default limit of newer brokers would delete it at the twentieth look.
const PARKED_DELIVERY_LIMIT: i64 = 100_000;

/// The names of everything, from `amqp.prefix` and `retry.delays`.
#[derive(Clone, Debug)]
pub struct Names {
    /// Direct exchange and queue that producers publish to; also the routing key.
    pub jobs: String,
    /// Direct exchange of every internal hop.
    pub internal: String,
    /// Topic exchange of the terminal events.
    pub results: String,
    /// Messages that the broker took off the job queue by itself and that have no end yet.
    pub dead: String,
    /// Jobs that are set aside.
    pub parked: String,
    /// The delay queues with their delays, ascending.
    pub retry: Vec<(String, Duration)>,
}

/// A part of the topology could not be declared or is not as it should be.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {object}: {source}{}", self.hint())]
pub struct TopologyError {
    verb: &'static str,
    object: String,
    source: lapin::Error,
}

impl TopologyError {
    fn hint(&self) -> &'static str {
        if reply_code(&self.source) == Some(PRECONDITION_FAILED) {
            " (`antispoofd topology check` names what differs, and what to do)"
        } else {
            ""
        }
    }

    /// True when the broker refused: the user may not do this, or the object is there with other arguments. Waiting does not help.
    pub fn is_refusal(&self) -> bool {
        reply_code(&self.source).is_some()
    }
}

impl Names {
    /// Puts the names together.
    pub fn new(prefix: &str, delays: &[Delay]) -> Self {
        Self {
            jobs: format!("{prefix}.jobs"),
            internal: format!("{prefix}.internal"),
            results: format!("{prefix}.results"),
            dead: format!("{prefix}.dead"),
            parked: format!("{prefix}.parked"),
            retry: delays.iter().map(|delay| (format!("{prefix}.retry.{}", delay.name), delay.duration)).collect(),
        }
    }

    /// The delay queue with that index, or the last.
    pub(super) fn retry_queue(&self, tier: usize) -> &str {
        self.retry.get(tier).or(self.retry.last()).map_or(&self.parked, |(queue, _)| queue)
    }

    pub(super) fn exchanges(&self) -> [(&str, ExchangeKind); 3] {
        [
            (&self.jobs, ExchangeKind::Direct),
            (&self.internal, ExchangeKind::Direct),
            (&self.results, ExchangeKind::Topic),
        ]
    }

    pub(super) fn queues(&self) -> Vec<(&str, FieldTable)> {
        let mut queues = vec![
            (self.jobs.as_str(), self.dead_letter_to(&self.dead, Some(JOBS_DELIVERY_LIMIT))),
            (self.dead.as_str(), self.dead_letter_to(&self.parked, Some(DEAD_DELIVERY_LIMIT))),
            (self.parked.as_str(), parked_arguments()),
        ];
        queues.extend(self.retry.iter().map(|(queue, delay)| (queue.as_str(), self.retry_arguments(*delay))));
        queues
    }

    fn retry_arguments(&self, delay: Duration) -> FieldTable {
        let mut arguments = self.dead_letter_to(&self.jobs, None);
        let millis = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(millis));
        arguments
    }

    fn dead_letter_to(&self, queue: &str, delivery_limit: Option<i64>) -> FieldTable {
        let mut arguments = quorum([
            ("x-dead-letter-exchange", text(&self.internal)),
            ("x-dead-letter-routing-key", text(queue)),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ]);
        if let Some(limit) = delivery_limit {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(limit));
        }
        arguments
    }

    pub(super) fn bindings(&self) -> Vec<(&str, &str)> {
        let mut bindings = vec![
            (self.jobs.as_str(), self.jobs.as_str()),
            (self.internal.as_str(), self.jobs.as_str()),
            (self.internal.as_str(), self.dead.as_str()),
            (self.internal.as_str(), self.parked.as_str()),
        ];
        bindings.extend(self.retry.iter().map(|(queue, _)| (self.internal.as_str(), queue.as_str())));
        bindings
    }
}

/// Declares the topology, or checks that it is there. All requests of a step are under way at once: creating a queue costs the broker
/// tens of milliseconds.
pub async fn declare(channel: &Channel, names: &Names, mode: TopologyMode) -> Result<(), TopologyError> {
    let (passive, verb) = match mode {
        TopologyMode::Declare => (false, "declare"),
        TopologyMode::Check => (true, "find"),
        TopologyMode::None => return Ok(()),
    };
    let exchanges =
        names.exchanges().map(|(name, kind)| {
            let options = ExchangeDeclareOptions { passive, durable: true, ..ExchangeDeclareOptions::default() };
            let declared = channel.exchange_declare(name.into(), kind, options, FieldTable::default());
            async move {
                declared.await.map_err(|source| TopologyError { verb, object: format!("exchange {name}"), source })
            }
        });
    let queues = names.queues().into_iter().map(|(name, arguments)| {
        let options = QueueDeclareOptions { passive, durable: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(name.into(), options, arguments);
        async move {
            let declared = declared.await;
            declared.map(drop).map_err(|source| TopologyError { verb, object: format!("queue {name}"), source })
        }
    });
    futures_util::future::try_join(try_join_all(exchanges), try_join_all(queues)).await?;
    if passive {
        // A binding cannot be checked over AMQP. A missing one shows when a publish is returned as unroutable.
        return Ok(());
    }
    try_join_all(names.bindings().into_iter().map(|(exchange, queue)| {
        let options = QueueBindOptions::default();
        let bound = channel.queue_bind(queue.into(), exchange.into(), queue.into(), options, FieldTable::default());
        async move {
            let object = format!("queue {queue} to exchange {exchange}");
            bound.await.map_err(|source| TopologyError { verb: "bind", object, source })
        }
    }))
    .await
    .map(drop)
}

/// Declares everything over a connection of a command.
pub async fn declare_over(link: &Link, names: &Names) -> Result<(), TopologyError> {
    let opened = link.create_channel().await;
    let channel = opened.map_err(|source| TopologyError { verb: "open", object: "a channel".to_owned(), source })?;
    declare(&channel, names, TopologyMode::Declare).await
}

/// A policy that limits its length makes it refuse what comes next. Without the argument it would drop its oldest message.
fn parked_arguments() -> FieldTable {
    quorum([
        ("x-delivery-limit", AMQPValue::LongLongInt(PARKED_DELIVERY_LIMIT)),
        ("x-overflow", text("reject-publish")),
    ])
}

fn quorum<const N: usize>(arguments: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    for (name, value) in arguments {
        table.insert(name.into(), value);
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let delay = |name: &str, seconds| Delay { name: name.to_owned(), duration: Duration::from_secs(seconds) };
        Names::new("antispoof", &[delay("10s", 10), delay("1m", 60)])
    }

    fn target(arguments: &FieldTable) -> Option<String> {
        match arguments.inner().get("x-dead-letter-routing-key") {
            Some(AMQPValue::LongString(key)) => Some(String::from_utf8_lossy(key.as_bytes()).into_owned()),
            _ => None,
        }
    }

    #[test]
    fn no_way_leads_from_jobs_to_jobs_by_dead_lettering_alone() {
        let names = names();
        let queues = names.queues();
        let next =
            |queue: &str| queues.iter().find(|(name, _)| *name == queue).and_then(|(_, arguments)| target(arguments));
        let mut at = names.jobs.clone();
        for _ in 0..queues.len() {
            let Some(to) = next(&at) else { return assert_eq!(at, names.parked) };
            assert_ne!(to, names.jobs, "the broker drops such a loop silently");
            at = to;
        }
        panic!("dead-lettering does not end");
    }

    #[test]
    fn every_queue_is_quorum_and_every_dead_letter_hop_at_least_once() {
        for (name, arguments) in names().queues() {
            let arguments = arguments.inner();
            assert_eq!(arguments.get("x-queue-type"), Some(&text("quorum")), "{name}");
            if arguments.contains_key("x-dead-letter-exchange") {
                assert_eq!(arguments.get("x-dead-letter-strategy"), Some(&text("at-least-once")), "{name}");
                assert_eq!(arguments.get("x-overflow"), Some(&text("reject-publish")), "{name}");
            }
            assert_ne!(arguments.get("x-delivery-limit"), Some(&AMQPValue::LongLongInt(-1)), "{name}");
        }
    }

    #[test]
    fn an_index_past_the_end_is_the_longest_delay() {
        assert_eq!(names().retry_queue(0), "antispoof.retry.10s");
        assert_eq!(names().retry_queue(9), "antispoof.retry.1m");
    }
}
