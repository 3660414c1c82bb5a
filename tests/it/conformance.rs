//! RabbitMQ, behind our edge, put through what the model's broker does as well.

use crate::harness::broker::{PARKED, RESULTS};
use crate::harness::world::World;
use antispoof_core::dropped::Dropped;
use antispoof_core::job::Properties;
use antispoofd::amqp::{Amqp, Consumed, Inbox, JobLease, Observer, Product, Started};
use antispoofd::settings::{Needs, Sources, load_for};
use lapin::BasicProperties;
use lapin::options::QueueBindOptions;
use lapin::types::{AMQPValue, FieldTable};
use std::sync::Arc;
use std::time::Duration;
use suite::{Bench, PREFETCH, conforms};
use tokio_util::sync::{CancellationToken, DropGuard};

#[path = "../model/conformance.rs"]
mod suite;
use suite as conformance;

/// Where the harness collects events.
const COLLECTED: &str = "it.results";

struct RabbitBench {
    world: World,
    broker: Amqp,
    inbox: Inbox,
    _stop: DropGuard,
}

conforms!(
    #[tokio::test]
    RabbitBench::new
);

struct Silent;

impl Observer for Silent {
    fn connected(&self, _up: bool) {}
    fn met(&self, _broker: &Product) {}
    fn reconnecting(&self, _reason: &str) {}
    fn delivered(&self, _redelivered: bool) {}
    fn cut(&self, _queue: Consumed) {}
    fn dead_letter(&self, _dropped: &Dropped) {}
    fn reading_dead_letters(&self, _on: bool) {}
    fn blocked(&self, _blocked: bool) {}
    fn consuming(&self, _on: bool) {}
    fn published(&self, _took: Duration) {}
    fn late(&self, _waiting: bool) {}
}

impl RabbitBench {
    async fn new(test: &str) -> Self {
        let world = World::new(test).await;
        let url = world.services.amqp_url(&world.amqp_link.addr().to_string(), world.broker.vhost());
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let overrides = vec![set("amqp.url", &url), set("retry.delays", "1s,2s")];
        let loaded = load_for(Needs::Client, Sources { overrides, ..Sources::default() });
        let settings = loaded.unwrap_or_else(|problems| panic!("{problems}")).settings;
        let stop = CancellationToken::new();
        let Started { amqp: broker, jobs: inbox, supervising, .. } = Amqp::start(
            settings.amqp,
            &settings.retry.delays,
            PREFETCH,
            "conformance".to_owned(),
            Arc::new(Silent),
            &stop,
        );
        tokio::spawn(supervising);
        Self { world, broker, inbox, _stop: stop.drop_guard() }
    }
}

impl Bench for RabbitBench {
    type Broker = Amqp;

    fn broker(&self) -> &Amqp {
        &self.broker
    }

    async fn next(&mut self) -> Option<JobLease> {
        self.inbox.next().await
    }

    async fn submit(&self, body: &[u8], properties: &Properties) {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let mut headers = FieldTable::default();
        headers.insert("traceparent".into(), AMQPValue::LongString(text(&properties.traceparent).into()));
        let properties = BasicProperties::default()
            .with_content_type(text(&properties.content_type).into())
            .with_message_id(text(&properties.message_id).into())
            .with_correlation_id(text(&properties.correlation_id).into())
            .with_headers(headers);
        self.world.broker.publish_job(body, properties).await;
    }

    async fn bind(&self, bound: bool) {
        let channel = self.world.broker.channel().await;
        let (queue, exchange, none) = (COLLECTED.into(), RESULTS.into(), FieldTable::default());
        if bound {
            let bound = channel.queue_bind(queue, exchange, "#".into(), QueueBindOptions::default(), none).await;
            bound.expect("a binding");
        } else {
            channel.queue_unbind(queue, exchange, "#".into(), none).await.expect("no binding");
        }
    }

    async fn events(&self) -> Vec<String> {
        self.world.broker.events().await.into_iter().map(|event| event.routing_key).collect()
    }

    async fn parked(&self) -> Vec<(Vec<u8>, u32, String)> {
        let parked = self.world.broker.peek(PARKED).await.into_iter();
        parked
            .map(|message| {
                let attempts = message.headers["as-attempt"].as_u64().and_then(|count| u32::try_from(count).ok());
                let code = message.headers["as-code"].as_str().unwrap_or_default().to_owned();
                (message.body, attempts.expect("a count"), code)
            })
            .collect()
    }

    async fn break_connections(&self) {
        self.world.amqp_link.cut().await;
        self.world.amqp_link.restore().await;
    }
}
