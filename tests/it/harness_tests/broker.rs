//! A virtual host for each test, and what a test can do to it.

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::json;

use crate::harness::broker::{Broker, JOBS, RESULTS, Sampled};
use crate::harness::link::{Direction, Link};
use crate::harness::ports;
use crate::harness::services::Services;
use crate::harness::wait::{EVENTUALLY, SOON, eventually, eventually_equals};
use crate::harness::world::unique;

#[tokio::test]
async fn what_is_published_can_be_read_and_stays() {
    let broker = open("what_is_published").await;
    declare_jobs(&broker).await;
    let mut headers = FieldTable::default();
    headers.insert("as-attempt".into(), AMQPValue::LongInt(2));
    headers.insert("as-code".into(), AMQPValue::LongString("object_not_found".into()));
    let properties = BasicProperties::default().with_message_id("m-1".into()).with_headers(headers);
    broker.publish_job(br#"{"key":"face.jpg"}"#, properties).await;

    for _ in 0..2 {
        // Not at once: a look at the queue is given back a moment after it.
        let messages = eventually("the message", SOON, async || match broker.peek(JOBS).await {
            messages if messages.len() == 1 => Ok(messages),
            messages => Err(format!("{} messages", messages.len())),
        })
        .await;
        assert_eq!(messages[0].message_id(), "m-1");
        assert_eq!(messages[0].json, json!({ "key": "face.jpg" }));
        assert_eq!(messages[0].headers["as-attempt"], json!(2));
        assert_eq!(messages[0].headers["as-code"], json!("object_not_found"));
    }
    eventually_equals("the message to be back", SOON, Some(1), async || broker.depth(JOBS).await).await;
    assert_eq!(broker.queues().await, [JOBS]);
    let sampled = Sampled { ready: 1, unacked: 0 };
    eventually_equals("the sample to be taken", EVENTUALLY, sampled, async || broker.sampled(JOBS).await).await;

    broker.delete_queue(JOBS).await;
    assert_eq!(broker.depth(JOBS).await, None);
}

#[tokio::test]
async fn tests_do_not_see_each_others_messages() {
    let (one, two) = (open("see_each_other").await, open("see_each_other").await);
    assert_ne!(one.vhost(), two.vhost());
    declare_jobs(&one).await;
    one.publish_job(b"{}", BasicProperties::default()).await;
    assert_eq!(one.depth(JOBS).await, Some(1));
    assert_eq!(two.depth(JOBS).await, None);
}

#[tokio::test]
async fn events_are_collected_from_the_first_on_and_kept() {
    let broker = open("events_are_collected").await;
    let event = |job: &str| json!({ "data": { "job_id": job, "outcome": "live" } }).to_string().into_bytes();
    let message = |job: &str| (event(job), BasicProperties::default().with_message_id(job.into()));
    broker.publish(RESULTS, "verdict.live", [message("a"), message("b")]).await;
    assert_eq!(broker.events().await.len(), 2);
    broker.publish(RESULTS, "verdict.live", [message("c")]).await;

    let events = broker.events().await;
    let jobs: Vec<_> = events.iter().map(|event| event.job_id().expect("an event has a job")).collect();
    assert_eq!(jobs, ["a", "b", "c"]);
    assert!(events.iter().all(|event| event.routing_key == "verdict.live" && event.outcome() == Some("live")));
}

#[tokio::test]
#[should_panic(expected = "no queue took a message for \"\" \"antispoof.jobs\"")]
async fn a_job_that_no_queue_takes_fails_the_test() {
    open("no_queue_takes").await.publish_job(b"{}", BasicProperties::default()).await;
}

#[tokio::test]
#[should_panic(expected = "run make test, or: eval")]
async fn a_broker_that_is_not_there_fails_the_test() {
    let mut services = Services::from_env();
    services.management = format!("http://{}", ports::reserve());
    Broker::new(&services, &unique("not_there")).await;
}

#[tokio::test]
async fn permissions_can_be_taken_away_and_given_back() {
    let broker = open("permissions").await;
    let declare = async |name: &str| {
        let channel = broker.channel().await;
        channel.queue_declare(name.into(), QueueDeclareOptions::durable(), FieldTable::default()).await
    };
    broker.set_permissions("^$", ".*", ".*").await;
    let refused = declare("refused").await.expect_err("nothing may be declared");
    assert!(refused.to_string().contains("ACCESS_REFUSED"), "{refused}");
    broker.set_permissions(".*", ".*", ".*").await;
    declare("allowed").await.expect("everything may be declared");
}

#[tokio::test]
async fn the_brokers_side_can_close_connections_but_not_the_harness_own() {
    let broker = open("close_connections").await;
    let services = Services::from_env();
    let url = services.amqp_url(&services.amqp_address(), broker.vhost());
    let victim = connect(&url).await;
    let own = broker.channel().await;
    assert_eq!(broker.close_connections().await, 1);
    eventually_equals("the connection to be closed", SOON, false, async || victim.status().connected()).await;
    assert!(own.status().connected());
}

#[tokio::test]
async fn a_link_cuts_a_connection_to_the_broker() {
    let broker = open("link_cuts").await;
    let services = Services::from_env();
    let link = Link::to(services.amqp_address()).await;
    let url = services.amqp_url(&link.addr().to_string(), broker.vhost());
    let connection = connect(&url).await;
    assert_eq!(link.connections(), 1);
    assert!(link.bytes(Direction::ToService) > 0);

    link.cut().await;
    eventually_equals("the connection to be lost", SOON, false, async || connection.status().connected()).await;
    assert!(Connection::connect(&url, ConnectionProperties::default()).await.is_err());
    link.restore().await;
    connect(&url).await;
}

#[tokio::test]
async fn nothing_is_left_of_a_dropped_virtual_host() {
    let broker = open("nothing_is_left").await;
    let services = Services::from_env();
    let url = services.amqp_url(&services.amqp_address(), broker.vhost());
    connect(&url).await;
    drop(broker);
    let problem = Connection::connect(&url, ConnectionProperties::default()).await.expect_err("it is gone");
    assert!(problem.to_string().contains("not found"), "{problem}");
}

async fn open(test: &str) -> Broker {
    Broker::new(&Services::from_env(), &unique(test)).await
}

pub(super) async fn declare_jobs(broker: &Broker) {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let channel = broker.channel().await;
    channel
        .queue_declare(JOBS.into(), QueueDeclareOptions::durable(), arguments)
        .await
        .expect("a queue can be declared");
}

async fn connect(url: &str) -> Connection {
    Connection::connect(url, ConnectionProperties::default()).await.expect("the broker is reached")
}
