//! A world is whole: what it hands out works together.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::broker::RESULTS;
use crate::harness::http;
use crate::harness::link::Direction;
use crate::harness::simulator::Simulator;
use crate::harness::wait::{EVENTUALLY, eventually_equals};
use crate::harness::world::World;
use crate::images::jpeg;

#[tokio::test]
async fn the_simulator_is_reached_through_its_link_and_counts() {
    let world = World::new("simulator_is_reached").await;
    let endpoint = Simulator::endpoint_at(world.api_link.addr());
    let call = async || http::send(&http::client(), Method::POST, &endpoint, &json!({})).await;

    let (status, body) = call().await.expect("the link is open");
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
    assert_eq!((world.simulator.count("rejected").await, world.simulator.count("billed").await), (1, 0));
    assert!(world.api_link.bytes(Direction::ToService) > 0);

    world.simulator.reset().await;
    assert_eq!(world.simulator.count("rejected").await, 0);
    world.api_link.cut().await;
    call().await.expect_err("the link is cut");
    world.api_link.restore().await;
    call().await.expect("the link is open again");
}

#[tokio::test]
async fn the_simulators_behaviour_can_be_changed() {
    let world = World::new("behaviour_can_be_changed").await;
    world.simulator.configure(json!({ "faults": "503=x3", "latency": "2s", "verdict": "by-digest" })).await;
    let config = format!("http://{}/_sim/config", world.simulator.address());
    let (status, body) = http::get(&http::client(), &config).await.expect("the simulator answers");
    assert_eq!(status, StatusCode::OK);
    let config: Value = serde_json::from_str(&body).expect("the settings are JSON");
    assert_eq!(config["verdict"], json!("by-digest"));
}

#[tokio::test]
#[should_panic(expected = "the simulator refused")]
async fn a_change_that_the_simulator_does_not_know_fails_the_test() {
    let world = World::new("change_not_known").await;
    world.simulator.configure(json!({ "weather": "rain" })).await;
}

#[tokio::test]
async fn jobs_carry_their_ids_and_events_find_their_jobs() {
    let world = World::new("jobs_carry_ids").await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    super::broker::declare_jobs(&world.broker).await;
    let one = world.submit(&stored.key).await;
    let more = world.submit_all([stored.key.as_str(), &stored.key]).await;
    let named = world.submit_job(json!({ "id": "kyc-1", "key": stored.key, "metadata": { "applicant": "42" } })).await;
    assert_eq!(named, "kyc-1");

    let jobs = world.broker.peek("antispoof.jobs").await;
    let ids: Vec<_> = jobs.iter().map(|job| job.json["id"].as_str().expect("a job has an id")).collect();
    assert_eq!(ids, [&one, &more[0], &more[1], &named]);
    assert!(jobs.iter().all(|job| job.json["bucket"] == stored.bucket && job.json["key"] == json!(stored.key)));

    let event = |job: &str| json!({ "data": { "job_id": job, "failure": { "code": "object_empty" } } });
    for id in [&one, &named] {
        let message = (event(id).to_string().into_bytes(), lapin::BasicProperties::default());
        world.broker.publish(RESULTS, "failure.object_empty", [message]).await;
    }
    assert_eq!(world.event_for(&named).await.failure_code(), Some("object_empty"));
    assert_eq!(world.events_for_all(&[one.clone(), named]).await.len(), 2);
    assert_eq!(world.events_for(&one).await.len(), 1);
    assert_eq!(world.events_for(&more[0]).await.len(), 0);
}

#[tokio::test]
async fn drained_means_that_nobody_holds_a_job() {
    use lapin::options::{BasicAckOptions, BasicGetOptions};

    let world = World::new("drained").await;
    super::broker::declare_jobs(&world.broker).await;
    world.submit("face.jpg").await;
    let channel = world.broker.channel().await;
    let held = channel.basic_get("antispoof.jobs".into(), BasicGetOptions { no_ack: false }).await;
    let held = held.expect("the queue can be read").expect("there is a job");
    let unacked = async || world.broker.sampled("antispoof.jobs").await.unacked;
    eventually_equals("the job to be seen in hand", EVENTUALLY, 1, unacked).await;

    let ((), ()) = tokio::join!(world.assert_drained(), async {
        held.acker.ack(BasicAckOptions::default()).await.expect("the job can be acknowledged");
    });
    assert_eq!((world.broker.depth("antispoof.jobs").await, unacked().await), (Some(0), 0));
}
