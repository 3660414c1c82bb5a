//! The floor: what a job costs when nothing is done but the work itself.
//!
//! Consume (prefetch = jobs in flight), presign and GET the image, base64 it chunk by chunk into a POST of exact length, publish the verdict
//! with a confirm, ack. One thread, the same crates as the daemon where they do the work. `make bench` runs it beside the daemon, on the
//! same machine and in turns, and says by how much the daemon is dearer.
//!
//! It is a yardstick and not a worker. What it leaves out, all of which the daemon does: it looks at no image byte, takes no digest, and
//! does not hold back the end of the body until the image has come to its end; it has no time limit on anything, retries nothing, remembers
//! nothing, knows one token and never renews it, follows no changing credentials, does not tell a returned publish from a delivered one,
//! uses one connection for consuming and publishing, neither reconnects nor drains, logs and counts nothing, and speaks neither TLS nor HTTP/2.
//! Whatever goes wrong ends the process, so that a run that went wrong cannot pass for a fast one.
//!
//! Settings come from the environment: `FLOOR_AMQP_URL`, `FLOOR_QUEUE`, `FLOOR_EXCHANGE`, `FLOOR_CONCURRENCY`, `FLOOR_S3_ENDPOINT`,
//! `FLOOR_API_URL`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`.

mod body;
mod sign;

use anyhow::{Context as _, Result, ensure};
use body::{Base64Body, body_len};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde::{Deserialize, Serialize};
use sign::Presigner;
use std::env;
use std::sync::Arc;
use tokio::task::JoinSet;

const PERSISTENT: u8 = 2;

#[derive(Deserialize)]
struct Job<'a> {
    bucket: &'a str,
    key: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    spoof_detected: bool,
    accuracy: f64,
}

#[derive(Serialize)]
struct Verdict<'a> {
    bucket: &'a str,
    key: &'a str,
    spoof_detected: bool,
    accuracy: f64,
}

struct Floor {
    store: Client<HttpConnector, Empty<Bytes>>,
    vendor: Client<HttpConnector, Base64Body>,
    presigner: Presigner,
    api_url: String,
    outbox: Channel,
    exchange: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let connection = Connection::connect(&var("FLOOR_AMQP_URL")?, ConnectionProperties::default()).await?;
    let outbox = connection.create_channel().await?;
    outbox.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let floor = Arc::new(Floor {
        store: Client::builder(TokioExecutor::new()).build(connector.clone()),
        vendor: Client::builder(TokioExecutor::new()).build(connector),
        presigner: Presigner::new(
            var("FLOOR_S3_ENDPOINT")?,
            &var("AWS_ACCESS_KEY_ID")?,
            &var("AWS_SECRET_ACCESS_KEY")?,
        ),
        api_url: var("FLOOR_API_URL")?,
        outbox,
        exchange: var("FLOOR_EXCHANGE")?,
    });

    let inbox = connection.create_channel().await?;
    let prefetch = var("FLOOR_CONCURRENCY")?.parse().context("read FLOOR_CONCURRENCY")?;
    inbox.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let queue = var("FLOOR_QUEUE")?;
    let options = BasicConsumeOptions::default();
    let mut deliveries =
        inbox.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await?.fuse();
    let mut jobs = JoinSet::new();
    loop {
        tokio::select! {
            delivery = deliveries.next() => {
                let delivery = delivery.context("the consumer ended")??;
                jobs.spawn(handle(floor.clone(), delivery));
            }
            Some(ended) = jobs.join_next() => ended??,
        }
    }
}

async fn handle(floor: Arc<Floor>, delivery: Delivery) -> Result<()> {
    let job: Job<'_> = serde_json::from_slice(&delivery.data).context("read the job")?;

    let get = Request::get(floor.presigner.get(job.bucket, job.key)?).body(Empty::new())?;
    let object = floor.store.request(get).await.context("get the image")?;
    ensure!(object.status().is_success(), "the store answered {}", object.status());
    let length = object.headers().get(CONTENT_LENGTH).context("the store gives no length")?;
    let length: u64 = length.to_str()?.parse().context("read the length of the image")?;

    let post = Request::post(&floor.api_url)
        .header(AUTHORIZATION, "floor")
        .header(CONTENT_TYPE, "application/json")
        .header(CONTENT_LENGTH, body_len(length))
        .body(Base64Body::new(object.into_body(), length))?;
    let answer = floor.vendor.request(post).await.context("call the API")?;
    ensure!(answer.status().is_success(), "the API answered {}", answer.status());
    let answer = answer.into_body().collect().await.context("read the answer")?.to_bytes();
    let Answer { spoof_detected, accuracy } = serde_json::from_slice(&answer).context("read the verdict")?;

    let verdict = Verdict { bucket: job.bucket, key: job.key, spoof_detected, accuracy };
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    if let Some(id) = delivery.properties.message_id() {
        properties = properties.with_correlation_id(id.clone());
    }
    let routing_key = if spoof_detected { "verdict.spoof" } else { "verdict.live" };
    let body = serde_json::to_vec(&verdict)?;
    let exchange = floor.exchange.as_str().into();
    let options = BasicPublishOptions::default();
    let confirm = floor.outbox.basic_publish(exchange, routing_key.into(), options, &body, properties).await?.await?;
    ensure!(matches!(confirm, Confirmation::Ack(_)), "the broker did not take the verdict");
    ensure!(delivery.acker.ack(BasicAckOptions::default()).await?, "the ack was not written");
    Ok(())
}

fn var(name: &str) -> Result<String> {
    env::var(name).with_context(|| format!("{name} is not set"))
}
