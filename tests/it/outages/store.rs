//! The object store.

use serde_json::json;

use super::counted;
use crate::batch::Batch;
use crate::harness::link::Direction;
use crate::harness::wait::{SOON, eventually_equals};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};

mod liar;

use self::liar::{Liar, Lie};

/// A JPEG of some 1.5 MB whose first scan comes early: comments fill the space before the end marker, so most of it is read during the call.
fn large(seed: u64) -> Vec<u8> {
    let small = jpeg::tiny(seed);
    let (image, end) = small.split_at(small.len() - 2);
    assert_eq!(end, [0xff, 0xd9], "the end marker");
    let comment = [&[0xff, 0xfe, 0xea, 0x62][..], &vec![b'.'; 0xea60]].concat();
    [image, &comment.repeat(25), end].concat()
}

#[tokio::test]
async fn a_store_that_was_away_is_waited_for() {
    let world = World::new("s3_cut").await;
    let daemon = world.daemon().start_ready().await;
    let mut batch = Batch::stored(&world, 4).await;
    world.s3_link.cut().await;
    batch.submit(&world).await;
    counted(&daemon, "antispoofd_failures_total{code=\"store_unavailable\"}", 4.0).await;
    assert_eq!(daemon.metric("antispoofd_gate_open").await, Some(1.0), "so few failures close no gate");
    assert_eq!(world.simulator.count("calls").await, 0);
    world.s3_link.restore().await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    world.assert_drained().await;
}

#[tokio::test]
async fn a_store_that_hangs_is_left_and_asked_again() {
    let world = World::new("s3_frozen").await;
    let builder = world.daemon().set("s3.connect_timeout", "500ms").set("s3.timeout", "500ms");
    let daemon = builder.set("retry.quick_attempts", "2").start_ready().await;
    let mut batch = Batch::stored(&world, 3).await;
    world.s3_link.freeze();
    batch.submit(&world).await;
    counted(&daemon, "antispoofd_failures_total{code=\"store_timeout\"}", 3.0).await;
    world.s3_link.thaw();
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    world.assert_drained().await;
}

#[tokio::test]
async fn an_image_that_breaks_off_is_never_paid_for() {
    for (test, orderly) in [("s3_reset_midway", false), ("s3_closed_midway", true)] {
        let world = World::new(test).await;
        let _daemon = world.daemon().start_ready().await;
        let bytes = large(1);
        let stored = world.upload("large.jpg", bytes.clone()).await;
        // Far behind the header that is looked at before the call, far before the end.
        if orderly {
            world.s3_link.close_after(700_000, Direction::ToDaemon);
        } else {
            world.s3_link.drop_after(700_000, Direction::ToDaemon);
        }
        let job = world.submit(&stored.key).await;
        let event = world.event_for(&job).await;
        assert_eq!(event.json["data"]["image"]["digest"], format!("sha256:{}", sha256(&bytes)), "{test}");
        assert_eq!(event.json["data"]["check"]["attempts"], 1, "{test}: a quick retry is no further attempt");
        // The call had begun; that its client has left is noticed when it is.
        let aborted = async || world.simulator.count("aborted_bodies").await;
        eventually_equals(&format!("{test}: the call that broke off"), SOON, 1, aborted).await;
        let stats = world.simulator.stats().await;
        assert_eq!((&stats["calls"], &stats["billed"]), (&json!(1), &json!(1)), "{test}");
        world.assert_drained().await;
    }
}

#[tokio::test]
async fn an_image_of_another_length_than_announced_is_never_paid_for() {
    let world = World::new("s3_wrong_length").await;
    let bytes = large(2);
    let lies = [Lie::ClosesHalfway, Lie::AnnouncesMore, Lie::ChunkedButShorter, Lie::ChunkedButLonger, Lie::NoLength];
    let liar = Liar::start(bytes.clone(), &lies).await;
    let daemon = world
        .daemon()
        .set("s3.endpoint_url", format!("http://{}", liar.addr()))
        .set("s3.read_timeout", "500ms")
        .set("retry.quick_attempts", "2")
        .start_ready()
        .await;
    let job = world.submit(&world.store.key("liar.jpg")).await;
    let event = world.event_for(&job).await;
    assert_eq!(event.failure_code(), None, "{}", event.json);
    assert_eq!(event.json["data"]["image"]["digest"], format!("sha256:{}", sha256(&bytes)));
    assert_eq!(liar.told(), lies.len(), "every lie was told");
    let stats = world.simulator.stats().await;
    assert_eq!((&stats["calls"], &stats["billed"]), (&json!(1), &json!(1)), "only the truth was paid for: {stats}");
    counted(&daemon, "antispoofd_failures_total{code=\"store_unavailable\"}", 1.0).await;
    world.assert_drained().await;
}

#[tokio::test]
async fn an_error_document_without_an_end_is_read_for_as_long_as_error_documents_are() {
    let world = World::new("s3_endless_error").await;
    let liar = Liar::start(jpeg::tiny(3), &[Lie::ComplainsWithoutEnd]).await;
    let builder = world.daemon().set("s3.endpoint_url", format!("http://{}", liar.addr()));
    let daemon = builder.set("retry.quick_attempts", "1").start_ready().await;
    let job = world.submit(&world.store.key("liar.jpg")).await;
    assert_eq!(world.event_for(&job).await.failure_code(), None, "the second attempt finds the object");
    counted(&daemon, "antispoofd_failures_total{code=\"store_unavailable\"}", 1.0).await;
    let slow = daemon.metric("antispoofd_failures_total{code=\"store_timeout\"}").await;
    assert_eq!(slow, Some(0.0), "it was not read until the time was up");
    world.assert_drained().await;
}

#[tokio::test]
async fn an_error_document_that_drips_holds_no_job_for_longer_than_a_read_may_take() {
    let world = World::new("s3_dripping_error").await;
    let liar = Liar::start(jpeg::tiny(3), &[Lie::ComplainsInDrops]).await;
    let builder = world.daemon().set("s3.endpoint_url", format!("http://{}", liar.addr()));
    let builder = builder.set("s3.timeout", "60s").set("s3.read_timeout", "2s");
    let daemon = builder.set("retry.quick_attempts", "1").start_ready().await;
    let job = world.submit(&world.store.key("liar.jpg")).await;
    // Long before the time for the whole is up.
    let failed = async || daemon.metric("antispoofd_failures_total{code=\"store_unavailable\"}").await;
    eventually_equals("the answer to be taken for what it is", SOON, Some(1.0), failed).await;
    assert_eq!(world.event_for(&job).await.failure_code(), None, "the second attempt finds the object");
    world.assert_drained().await;
}
