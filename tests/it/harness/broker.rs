//! A virtual host of its own for each test, and a client in it that goes around the links.

mod management;
mod message;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind, ExchangeKind};
use serde_json::Value;
use tokio::time::Instant;

use self::management::Management;
pub(crate) use self::message::Message;
use super::services::{HINT, Services};
use super::wait::{EVENTUALLY, eventually, eventually_equals};

pub(crate) const JOBS: &str = "antispoof.jobs";
pub(crate) const DEAD: &str = "antispoof.dead";
pub(crate) const PARKED: &str = "antispoof.parked";
pub(crate) const RESULTS: &str = "antispoof.results";

/// The queue in which the harness collects every terminal event. Durable, so that a broker restart loses none.
const COLLECTED: &str = "it.results";
/// How the harness's own connection is told from those of the programs under test.
const CONNECTION_NAME: &str = "it-harness";

/// A busy quorum queue is said to be empty and without consumers (RabbitMQ 3.10.8, after 250 ms): an answer that took so long and says that says nothing.
const BUSY: Duration = Duration::from_millis(200);

/// Messages of a queue as the management API last sampled them, up to five seconds ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sampled {
    pub(crate) ready: u64,
    /// Delivered and not acknowledged yet.
    pub(crate) unacked: u64,
}

/// A virtual host. Deleted with all that is in it when dropped.
pub(crate) struct Broker {
    vhost: String,
    url: String,
    management: Management,
    connection: tokio::sync::Mutex<Option<Connection>>,
    collected: Mutex<Vec<Message>>,
    users: Mutex<Vec<String>>,
}

impl Broker {
    /// Makes a virtual host called `vhost`, in it the exchange `antispoof.results` as the daemon declares it, and behind it a queue
    /// that collects every event from the first on. The other objects are the daemon's to declare.
    pub(crate) async fn new(services: &Services, vhost: &str) -> Self {
        let management = Management::new(services);
        management.create_vhost(vhost).await;
        let broker = Self {
            vhost: vhost.to_owned(),
            url: services.amqp_url(&services.amqp_address(), vhost),
            management,
            connection: tokio::sync::Mutex::new(None),
            collected: Mutex::new(Vec::new()),
            users: Mutex::default(),
        };
        broker.collect_results().await;
        broker
    }

    /// The virtual host's name.
    pub(crate) fn vhost(&self) -> &str {
        &self.vhost
    }

    /// Publishes to `antispoof.jobs`, and returns when the broker has confirmed.
    ///
    /// # Panics
    ///
    /// When the queue is not there: the daemon declares it, so it has to be started first.
    pub(crate) async fn publish_job(&self, body: &[u8], properties: BasicProperties) {
        self.publish("", JOBS, [(body.to_vec(), properties)]).await;
    }

    /// Publishes messages, each persistent and mandatory, and returns when all are confirmed.
    pub(crate) async fn publish(
        &self,
        exchange: &str,
        routing_key: &str,
        messages: impl IntoIterator<Item = (Vec<u8>, BasicProperties)>,
    ) {
        const PERSISTENT: u8 = 2;

        let channel = self.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms can be had");
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let mut confirms = Vec::new();
        for (body, properties) in messages {
            let properties = properties.with_delivery_mode(PERSISTENT);
            let confirm = channel.basic_publish(exchange.into(), routing_key.into(), options, &body, properties);
            confirms.push(confirm.await.expect("a message can be published"));
        }
        for confirm in confirms {
            let confirmation = confirm.await.expect("the broker confirms");
            assert!(
                matches!(confirmation, Confirmation::Ack(None)),
                "no queue took a message for {exchange:?} {routing_key:?}: {confirmation:?}; is the daemon up?"
            );
        }
        close(&channel).await;
    }

    /// Publishes one message to a queue. False when the broker refuses it.
    pub(crate) async fn try_publish(&self, queue: &str, body: &[u8]) -> bool {
        let channel = self.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms can be had");
        let properties = BasicProperties::default().with_content_type("application/json".into()).with_delivery_mode(2);
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let confirm = channel.basic_publish("".into(), queue.into(), options, body, properties).await;
        let confirmation = confirm.expect("a message can be published").await.expect("the broker confirms");
        close(&channel).await;
        matches!(confirmation, Confirmation::Ack(None))
    }

    /// All terminal events so far, oldest first. What the broker redelivered because a look was interrupted counts once. A broker that is
    /// down is waited for.
    pub(crate) async fn events(&self) -> Vec<Message> {
        eventually("the events to be read", EVENTUALLY, async || {
            self.collect().await.map_err(|problem| problem.to_string())
        })
        .await;
        self.collected().clone()
    }

    /// Every message of a queue, oldest first. They stay there; each look counts as a delivery.
    pub(crate) async fn peek(&self, queue: &str) -> Vec<Message> {
        let channel = self.channel().await;
        let mut messages = Vec::new();
        while let Some(got) = read(&channel, queue).await {
            messages.push(Message::from(got.delivery));
        }
        // Closing the channel gives back what it has not acknowledged.
        close(&channel).await;
        messages
    }

    /// As `peek`, for many, of a queue that nothing else reads: a queue that is read by `basic.get` loses its order when more than some thirty messages are
    /// given back. A reader that has just ended is still a consumer for a moment, and what it held comes back with its end: that is waited for.
    pub(crate) async fn browse(&self, queue: &str) -> Vec<Message> {
        let ready = eventually(&format!("{queue} to be read by nothing else"), EVENTUALLY, async || {
            match self.counts(queue).await {
                Some((ready, 0)) => Ok(ready as usize),
                counts => Err(format!("{counts:?} messages and consumers")),
            }
        })
        .await;
        let channel = self.channel().await;
        channel.basic_qos(u16::MAX, BasicQosOptions::default()).await.expect("a prefetch can be set");
        let consumer = channel
            .basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .expect("the queue can be read");
        let messages: Vec<_> =
            consumer.take(ready).map(|delivery| Message::from(delivery.expect("a delivery"))).collect().await;
        close(&channel).await;
        eventually_equals("the messages to be back", EVENTUALLY, Some(ready), async || {
            self.depth(queue).await.map(|depth| depth as usize)
        })
        .await;
        messages
    }

    /// The messages of `antispoof.parked`.
    pub(crate) async fn parked(&self) -> Vec<Message> {
        self.peek(PARKED).await
    }

    /// Messages of `queue` that are ready to be delivered, counted now. None when there is no such queue. A broker that is down is
    /// waited for.
    pub(crate) async fn depth(&self, queue: &str) -> Option<u32> {
        self.counts(queue).await.map(|(ready, _)| ready)
    }

    /// As `depth`, with the consumers of the queue.
    async fn counts(&self, queue: &str) -> Option<(u32, u32)> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        eventually(&format!("{queue} to be counted"), EVENTUALLY, async || {
            let channel = self.channel().await;
            let asked = Instant::now();
            match channel.queue_declare(queue.into(), passive, FieldTable::default()).await {
                Ok(declared) => {
                    let counts = (declared.message_count(), declared.consumer_count());
                    let told = counts != (0, 0) || asked.elapsed() <= BUSY;
                    close(&channel).await;
                    if told { Ok(Some(counts)) } else { Err("it may be too busy to tell".to_owned()) }
                }
                // The broker has closed the channel with the answer.
                Err(problem) if is_not_found(&problem) => Ok(None),
                Err(problem) => Err(problem.to_string()),
            }
        })
        .await
    }

    /// Messages of `queue` as the management API last sampled them.
    pub(crate) async fn sampled(&self, queue: &str) -> Sampled {
        let described = self.management.queue(&self.vhost, queue).await;
        let figure = |name: &str| described[name].as_u64().unwrap_or(0);
        Sampled { ready: figure("messages_ready"), unacked: figure("messages_unacknowledged") }
    }

    /// The names of all queues but the harness's own.
    pub(crate) async fn queues(&self) -> Vec<String> {
        let mut queues = self.management.queues(&self.vhost).await;
        queues.retain(|name| name != COLLECTED);
        queues
    }

    /// Gives the user these permissions (regular expressions) in place of the present ones. Connections that are open feel it, too.
    pub(crate) async fn set_permissions(&self, configure: &str, write: &str, read: &str) {
        self.management.set_permissions(&self.vhost, configure, write, read).await;
    }

    /// Makes a user who has these rights (regular expressions: configure, write, read) here, and returns its full name. Deleted with the virtual host.
    pub(crate) async fn create_user(&self, name: &str, password: &str, rights: [&str; 3]) -> String {
        self.create_tagged_user(name, password, "", rights).await
    }

    /// As `create_user`, with a tag: `management` lets it ask the management API.
    pub(crate) async fn create_tagged_user(&self, name: &str, password: &str, tag: &str, rights: [&str; 3]) -> String {
        let user = format!("{}-{name}", self.vhost);
        self.users.lock().unwrap_or_else(PoisonError::into_inner).push(user.clone());
        self.management.create_user(&self.vhost, &user, password, tag, rights).await;
        user
    }

    /// Takes `put_policy_in_effect` back.
    pub(crate) async fn clear_policy(&self) {
        self.management.clear_policy(&self.vhost, "it").await;
        eventually("the policy to be gone", EVENTUALLY, async || {
            for queue in self.queues().await {
                if self.management.queue(&self.vhost, &queue).await["policy"] == "it" {
                    return Err(format!("{queue} has it"));
                }
            }
            Ok(())
        })
        .await;
    }

    /// Sets the policy `it` for the queues whose name matches `pattern`, in effect when this returns. It goes with the virtual host.
    pub(crate) async fn put_policy_in_effect(&self, pattern: &str, definition: Value) {
        self.set_policy("it", pattern, definition.clone()).await;
        eventually("the policy to be in effect", EVENTUALLY, async || {
            for queue in self.queues().await {
                let found = self.management.queue(&self.vhost, &queue).await;
                if found["effective_policy_definition"] == definition {
                    return Ok(());
                }
            }
            Err(format!("no queue has {definition}"))
        })
        .await;
    }

    /// Sets a policy for what matches `pattern`, queues and exchanges alike. It goes with the virtual host; the broker applies it a moment later.
    pub(crate) async fn set_policy(&self, name: &str, pattern: &str, definition: Value) {
        self.management.set_policy(&self.vhost, "policies", name, pattern, definition).await;
    }

    /// As `set_policy`, an operator policy for queues.
    pub(crate) async fn set_operator_policy(&self, name: &str, pattern: &str, definition: Value) {
        self.management.set_policy(&self.vhost, "operator-policies", name, pattern, definition).await;
    }

    /// Closes all connections of the virtual host but the harness's own, from the broker's side, as an operator does. Returns how many; waits until
    /// there is one, since the list is sampled.
    pub(crate) async fn close_connections(&self) -> usize {
        eventually("connections to close", EVENTUALLY, async || {
            let mut closed = 0;
            for (name, given) in self.management.connections(&self.vhost).await {
                if given != CONNECTION_NAME && self.management.close_connection(&name).await {
                    closed += 1;
                }
            }
            if closed > 0 { Ok(closed) } else { Err("none but the harness's own".to_owned()) }
        })
        .await
    }

    /// The largest frames, in bytes, that each connection but the harness's own has agreed on; waits until so many connections are listed.
    pub(crate) async fn frame_sizes(&self, connections: usize) -> Vec<u64> {
        eventually("the broker to list the connections", EVENTUALLY, async || {
            let listed = self.management.frame_sizes(&self.vhost).await;
            let sizes: Vec<_> =
                listed.into_iter().filter(|(given, _)| given != CONNECTION_NAME).map(|(_, size)| size).collect();
            if sizes.len() == connections { Ok(sizes) } else { Err(format!("{} connections", sizes.len())) }
        })
        .await
    }

    /// Deletes a queue with its messages.
    pub(crate) async fn delete_queue(&self, queue: &str) {
        let channel = self.channel().await;
        let deleted = channel.queue_delete(queue.into(), lapin::options::QueueDeleteOptions::default());
        deleted.await.unwrap_or_else(|problem| panic!("failed to delete {queue}: {problem}"));
        close(&channel).await;
    }

    /// Makes `queue` with other arguments than the daemon's, as somebody did who had other plans for it.
    pub(crate) async fn declare_otherwise(&self, queue: &str) {
        let channel = self.channel().await;
        let declared = channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), FieldTable::default());
        declared.await.unwrap_or_else(|problem| panic!("failed to declare {queue}: {problem}"));
        close(&channel).await;
    }

    /// From now on no queue takes terminal events.
    pub(crate) async fn unbind_results(&self) {
        let channel = self.channel().await;
        let unbound = channel.queue_unbind(COLLECTED.into(), RESULTS.into(), "#".into(), FieldTable::default());
        unbound.await.expect("a queue can be unbound");
        close(&channel).await;
    }

    /// Takes `unbind_results` back.
    pub(crate) async fn bind_results(&self) {
        let channel = self.channel().await;
        bind_results(&channel).await;
        close(&channel).await;
    }

    /// A second queue for terminal events, of somebody else: a quorum queue, or what `arguments` make of it.
    pub(crate) async fn bind_another(&self, queue: &str, arguments: &[(&str, AMQPValue)]) {
        let mut table = FieldTable::default();
        table.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        let channel = self.channel().await;
        let declared = channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), table);
        declared.await.unwrap_or_else(|problem| panic!("failed to declare {queue}: {problem}"));
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        let bound = channel.queue_bind(queue.into(), RESULTS.into(), "#".into(), options, none);
        bound.await.unwrap_or_else(|problem| panic!("failed to bind {queue}: {problem}"));
        close(&channel).await;
    }

    /// A fresh channel of the harness's own connection, which is opened again when the broker has closed it. For what this module has no method for.
    pub(crate) async fn channel(&self) -> Channel {
        let mut connection = self.connection.lock().await;
        eventually(&format!("a connection to the broker ({HINT})"), EVENTUALLY, async || {
            if connection.as_ref().is_none_or(|open| !open.status().connected()) {
                *connection = Some(self.connect().await.map_err(|problem| problem.to_string())?);
            }
            let open = connection.as_ref().expect("it was opened above");
            open.create_channel().await.map_err(|problem| problem.to_string())
        })
        .await
    }

    /// A connection of its own, for who reads or writes while the broker is being mistreated.
    pub(crate) async fn connect(&self) -> Result<Connection, lapin::Error> {
        let properties = ConnectionProperties::default().with_connection_name(CONNECTION_NAME.into());
        Connection::connect(&self.url, properties).await
    }

    async fn collect_results(&self) {
        let channel = self.channel().await;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared = channel.exchange_declare(RESULTS.into(), ExchangeKind::Topic, durable, FieldTable::default());
        declared.await.expect("the results exchange can be declared");
        let queue = channel.queue_declare(COLLECTED.into(), QueueDeclareOptions::durable(), FieldTable::default());
        queue.await.expect("a queue can be declared");
        bind_results(&channel).await;
        close(&channel).await;
    }

    /// Moves what lies in the collecting queue to `collected`.
    async fn collect(&self) -> Result<(), lapin::Error> {
        let channel = self.channel().await;
        while let Some(got) = channel.basic_get(COLLECTED.into(), BasicGetOptions { no_ack: false }).await? {
            let acker = got.delivery.acker.clone();
            let message = Message::from(got.delivery);
            {
                let mut collected = self.collected();
                let known = message.redelivered && collected.iter().any(|old| old.is_same_as(&message));
                if !known {
                    collected.push(message);
                }
            }
            // Kept first: what is not acknowledged comes again and is known then.
            acker.ack(BasicAckOptions::default()).await?;
        }
        close(&channel).await;
        Ok(())
    }

    fn collected(&self) -> MutexGuard<'_, Vec<Message>> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let users = std::mem::take(&mut *self.users.lock().unwrap_or_else(PoisonError::into_inner));
        self.management.delete_blocking(&self.vhost, &users);
    }
}

async fn bind_results(channel: &Channel) {
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    let bound = channel.queue_bind(COLLECTED.into(), RESULTS.into(), "#".into(), options, arguments);
    bound.await.expect("a queue can be bound");
}

async fn read(channel: &Channel, queue: &str) -> Option<BasicGetMessage> {
    let got = channel.basic_get(queue.into(), BasicGetOptions { no_ack: false }).await;
    got.unwrap_or_else(|problem| panic!("failed to read {queue}: {problem}"))
}

async fn close(channel: &Channel) {
    const OK: u16 = 200;

    // Fails when the broker went away meanwhile; then it is closed.
    channel.close(OK, "done".into()).await.ok();
}

fn is_not_found(error: &lapin::Error) -> bool {
    const NOT_FOUND: u16 = 404;

    matches!(error.kind(), ErrorKind::ProtocolError(problem) if problem.get_id() == NOT_FOUND)
}
