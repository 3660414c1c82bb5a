//! A job that kills, or loses, whoever takes it.

use lapin::options::{BasicGetOptions, BasicRejectOptions};
use serde_json::json;

use super::{Ending, assert_ended, assert_over, send};
use crate::harness::broker::JOBS;
use crate::harness::wait::{SOON, STARTED, eventually};
use crate::harness::world::World;
use crate::images::jpeg;

/// The worker sets a job aside at its twentieth delivery, before the broker does it without a word.
const RETURNED: usize = 19;

#[tokio::test]
async fn a_job_that_came_back_too_often_is_set_aside_with_an_event() {
    let world = World::new("delivery_limit").await;
    let declaring = world.daemon().start_ready().await;
    declaring.term();
    assert!(declaring.wait_exit(STARTED).await.success());
    let key = world.upload("face.jpg", jpeg::tiny(1)).await.key;
    let doomed = send(&world, "doomed", json!({ "key": key })).await;
    take_and_return(&world, RETURNED).await;
    let fresh = send(&world, "fresh", json!({ "key": key })).await;

    let _daemon = world.daemon().start_ready().await;
    let ending = Ending::at_once("delivery_limit", "delivered 20 times without an end");
    assert_ended(&world, &[(doomed, ending)]).await;
    assert!(world.event_for(&fresh.id).await.outcome().is_some(), "a job that did not come back is not concerned");
    assert_eq!(world.simulator.count("calls").await, 1);
    assert_over(&world, 2, 1).await;
}

#[tokio::test]
async fn one_delivery_less_is_still_worth_a_try() {
    let world = World::new("delivery_limit_below").await;
    let declaring = world.daemon().start_ready().await;
    declaring.term();
    assert!(declaring.wait_exit(STARTED).await.success());
    let key = world.upload("face.jpg", jpeg::tiny(1)).await.key;
    let sent = send(&world, "unlucky", json!({ "key": key })).await;
    take_and_return(&world, RETURNED - 1).await;

    let _daemon = world.daemon().start_ready().await;
    assert!(world.event_for(&sent.id).await.outcome().is_some());
    assert_over(&world, 1, 0).await;
}

/// As a worker does that loses its connection with the job in hand.
async fn take_and_return(world: &World, times: usize) {
    let channel = world.broker.channel().await;
    for _ in 0..times {
        let got = eventually("the job to be there", SOON, async || {
            let got = channel.basic_get(JOBS.into(), BasicGetOptions { no_ack: false }).await;
            got.map_err(|problem| problem.to_string())?.ok_or_else(|| "nothing".to_owned())
        })
        .await;
        let returned = got.delivery.acker.reject(BasicRejectOptions { requeue: true }).await;
        assert!(returned.expect("it can be returned"));
    }
    channel.close(200, "done".into()).await.expect("a channel closes");
}
