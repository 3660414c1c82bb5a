//! The producers: images into the store, jobs into the queue, never far ahead of the workers.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation};
use tokio::sync::watch;

use super::jobs::Job;
use crate::harness::broker::JOBS;
use crate::harness::wait::{EVENTUALLY, eventually};
use crate::harness::world::World;

/// Uploads at a time.
const UPLOADS: usize = 32;
const CHUNK: usize = 10;
const PERSISTENT: u8 = 2;

/// Puts every job's object where its message will say it is.
pub(crate) async fn upload(world: &World, jobs: &[Job]) {
    let with_objects = jobs.iter().filter_map(|job| Some((job, job.object()?)));
    let putting = stream::iter(with_objects).map(async |(job, object)| {
        world.store.put(&file_name(job), object).await;
    });
    putting.buffer_unordered(UPLOADS).collect::<()>().await;
}

/// Publishes everything, up to `ahead` beyond the jobs that have ended and beyond `fault`, the number at which the next fault is due: so every fault
/// finds work being done. Returns how often each job was published: once more than intended where a confirm did not come.
pub(crate) async fn publish(
    world: Arc<World>,
    jobs: Vec<Job>,
    ahead: usize,
    mut ended: watch::Receiver<usize>,
    mut fault: watch::Receiver<usize>,
) -> HashMap<String, usize> {
    let mut copies: HashMap<String, usize> = HashMap::new();
    for (number, chunk) in jobs.chunks(CHUNK).enumerate() {
        let published = number * CHUNK;
        let due = |count: &usize| count.saturating_add(ahead) >= published;
        if ended.wait_for(due).await.is_err() || fault.wait_for(due).await.is_err() {
            // Whoever counts is gone, and the run with it.
            break;
        }
        hand_in(&world, chunk, &mut copies).await;
    }
    copies
}

/// Publishes these jobs until the broker has confirmed all of them, and counts how often each was published.
pub(crate) async fn hand_in(world: &World, jobs: &[Job], copies: &mut HashMap<String, usize>) {
    eventually("jobs to be confirmed", EVENTUALLY, async || {
        for job in jobs {
            *copies.entry(job.id.clone()).or_default() += job.copies();
        }
        match once(world, jobs).await {
            Ok(true) => Ok(()),
            Ok(false) => Err("the queue did not take a job".to_owned()),
            Err(problem) => Err(problem.to_string()),
        }
    })
    .await;
}

/// False when the broker refused one of them.
async fn once(world: &World, jobs: &[Job]) -> Result<bool, lapin::Error> {
    const DONE: u16 = 200;

    let channel = world.broker.channel().await;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let mut confirms = Vec::new();
    for job in jobs {
        let body = job.body(&world.store.key(&file_name(job)));
        for _ in 0..job.copies() {
            let properties = BasicProperties::default()
                .with_content_type("application/json".into())
                .with_message_id(job.id.as_str().into())
                .with_delivery_mode(PERSISTENT);
            confirms.push(channel.basic_publish("".into(), JOBS.into(), options, &body, properties).await?);
        }
    }
    let mut taken = true;
    for confirm in confirms {
        taken &= matches!(confirm.await?, Confirmation::Ack(None));
    }
    // Fails when the broker went away meanwhile; then it is closed.
    channel.close(DONE, "done".into()).await.ok();
    Ok(taken)
}

fn file_name(job: &Job) -> String {
    format!("{}.jpg", job.id)
}
