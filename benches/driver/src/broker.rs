//! A virtual host of the run's own: where jobs are published and verdicts are collected.

use super::services::{Services, escaped};
use super::worker::{FLOOR_JOBS, RESULTS};
use anyhow::{Context as _, Result, ensure};
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind, Queue};
use reqwest::{Client, Method};
use serde_json::{Value, json};

const COLLECTED: &str = "bench.verdicts";
const PERSISTENT: u8 = 2;

pub(crate) struct Broker {
    pub(crate) vhost: String,
    management: Management,
    connection: Connection,
    /// Publishes and asks; a question about a queue that is not there closes it.
    channel: Channel,
}

impl Broker {
    /// Makes the virtual host, in it what the floor needs. The daemon's own objects are the daemon's to declare.
    pub(crate) async fn create(services: &Services, vhost: &str) -> Result<Self> {
        let management = Management::new(services)?;
        management.create(vhost).await?;
        let url = services.amqp_url(vhost);
        let connection = Connection::connect(&url, ConnectionProperties::default()).await.context("connect")?;
        let channel = connection.create_channel().await?;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(RESULTS.into(), ExchangeKind::Topic, durable, FieldTable::default()).await?;
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(FLOOR_JOBS.into(), durable, quorum).await?;
        Ok(Self { vhost: vhost.to_owned(), management, connection, channel })
    }

    /// The verdicts from now on, in a queue that goes with this connection.
    pub(crate) async fn verdicts(&self) -> Result<Consumer> {
        let channel = self.connection.create_channel().await?;
        let exclusive = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(COLLECTED.into(), exclusive, FieldTable::default()).await?;
        let all = QueueBindOptions::default();
        channel.queue_bind(COLLECTED.into(), RESULTS.into(), "#".into(), all, FieldTable::default()).await?;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        Ok(channel.basic_consume(COLLECTED.into(), "".into(), options, FieldTable::default()).await?)
    }

    /// Publishes a job that `id` tells from every other, and does not wait for a confirm: a lost job is noticed by its missing verdict.
    pub(crate) async fn publish(&self, queue: &str, body: &[u8], id: &str) -> Result<()> {
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_message_id(id.into());
        let options = BasicPublishOptions::default();
        // The confirm is never asked for, so there is nothing in it.
        drop(self.channel.basic_publish("".into(), queue.into(), options, body, properties).await?);
        Ok(())
    }

    /// How many consumers a queue has at this moment; none while it is not there.
    pub(crate) async fn consumers(&mut self, queue: &str) -> Result<u32> {
        Ok(self.look(queue).await?.map_or(0, |found| found.consumer_count()))
    }

    /// How many messages wait in a queue at this moment; none while it is not there.
    pub(crate) async fn waiting(&mut self, queue: &str) -> Result<u32> {
        Ok(self.look(queue).await?.map_or(0, |found| found.message_count()))
    }

    async fn look(&mut self, queue: &str) -> Result<Option<Queue>> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        if let Ok(found) = self.channel.queue_declare(queue.into(), passive, FieldTable::default()).await {
            return Ok(Some(found));
        }
        self.channel = self.connection.create_channel().await?;
        Ok(None)
    }

    /// Throws away what waits in a queue.
    pub(crate) async fn purge(&self, queue: &str) -> Result<()> {
        self.channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await.context("empty a queue")?;
        Ok(())
    }

    pub(crate) async fn delete(self) -> Result<()> {
        // It is deleted under a connection that could not say goodbye, too.
        self.connection.close(200, "bye".into()).await.ok();
        self.management.delete(&self.vhost).await
    }
}

struct Management {
    http: Client,
    base: String,
    user: String,
    password: String,
}

impl Management {
    fn new(services: &Services) -> Result<Self> {
        let (user, password) = services.user();
        Ok(Self {
            http: Client::builder().build().context("build an HTTP client")?,
            base: services.management.clone(),
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    async fn create(&self, vhost: &str) -> Result<()> {
        let path = escaped(vhost);
        self.ask(Method::PUT, &format!("vhosts/{path}"), &json!({})).await?;
        let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        self.ask(Method::PUT, &format!("permissions/{path}/{}", escaped(&self.user)), &all).await
    }

    async fn delete(&self, vhost: &str) -> Result<()> {
        self.ask(Method::DELETE, &format!("vhosts/{}", escaped(vhost)), &json!({})).await
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<()> {
        let request = self
            .http
            .request(method, format!("{}/api/{path}", self.base))
            .basic_auth(&self.user, Some(&self.password))
            .header("content-type", "application/json")
            .body(body.to_string());
        #[expect(clippy::disallowed_methods, reason = "the status is looked at in the next line")]
        let answer = request.send();
        let answer = answer.await.with_context(|| format!("ask the management API for {path}"))?;
        ensure!(answer.status().is_success(), "the management API answers {} to {path}", answer.status());
        Ok(())
    }
}
