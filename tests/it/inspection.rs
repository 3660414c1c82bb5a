//! Every sample of the catalogue through the daemon: what it makes of an image comes from the bytes, and what it refuses is never paid for.

use serde_json::json;

use crate::contract::assert_valid_event;
use crate::harness::broker::Message;
use crate::harness::world::World;
use crate::images::made::{self, Made, made};
use crate::images::{Expected, Sample, catalogue, jpeg, sample, sha256};

#[tokio::test]
async fn every_sample_of_the_catalogue_ends_as_it_says() {
    let world = World::new("catalogue").await;
    let _daemon = world.daemon().start_ready().await;
    let judged = judge(&world, catalogue()).await;
    assert_eq!(judged.len(), 34);
    let mut paid = 0;
    for judged in &judged {
        match judged.sample.expected {
            Expected::Verdict => {
                paid += 1;
                judged.assert_verdict(&world).await;
            }
            Expected::Failure(code) => judged.assert_refused(&world, code).await,
        }
    }
    let stats = world.simulator.stats().await;
    assert_eq!((&stats["calls"], &stats["billed"]), (&json!(paid), &json!(paid)), "{stats}");
    assert_eq!(stats["rejected"], 0, "the vendor never has to refuse what we send");
    world.assert_drained().await;
    assert_eq!(world.events().await.len(), judged.len());
}

/// What phones send, and what mishaps leave: a call for each file that is right, and none for any other.
#[tokio::test]
async fn every_made_file_ends_as_it_should_and_no_refused_one_is_called_for() {
    let world = World::new("made_files").await;
    let _daemon = world.daemon().start_ready().await;
    let files = made();
    let mut keys = Vec::new();
    for file in &files {
        keys.push(world.upload(file.name, file.bytes.clone()).await.key);
    }
    let jobs = world.submit_all(keys.iter().map(String::as_str)).await;
    let events = world.events_for_all(&jobs).await;
    let mut called = 0;
    for (Made { name, bytes, expected }, job) in files.iter().zip(&jobs) {
        let event = events.iter().find(|event| event.job_id() == Some(job)).expect("one for each");
        assert_valid_event(event);
        let billed = world.simulator.billed(&sha256(bytes)).await;
        match expected {
            made::Expected::Verdict { size: (width, height), .. } => {
                called += 1;
                assert!(event.outcome().is_some(), "{name}: {}", event.json);
                let image = &event.json["data"]["image"];
                assert_eq!((&image["width"], &image["height"]), (&json!(width), &json!(height)), "{name}");
                assert_eq!(image["digest"], format!("sha256:{}", sha256(bytes)), "{name}");
                assert_eq!(billed, 1, "{name}");
            }
            made::Expected::Failure(code, words) => {
                assert_eq!(event.failure_code(), Some(*code), "{name}: {}", event.json);
                let message = event.json["data"]["failure"]["message"].as_str().unwrap_or_default();
                assert!(message.contains(words), "{name}: {message}");
                assert_eq!(billed, 0, "{name}");
            }
        }
    }
    assert!(files.len() >= 100 && called >= 40, "{called} of {}", files.len());
    let stats = world.simulator.stats().await;
    let calls = ["calls", "billed", "rejected"].map(|name| &stats[name]);
    assert_eq!(calls, [&json!(called), &json!(called), &json!(0)], "{stats}");
    world.assert_drained().await;
}

#[tokio::test]
async fn an_image_that_is_not_upright_is_refused_where_the_settings_say_so() {
    let world = World::new("orientation").await;
    let _daemon = world.daemon().set("image.orientation", "reject").start_ready().await;
    let samples =
        ["face-exif-upright.jpg", "face-progressive.jpg", "face-exif-rotated-6.jpg", "face-exif-upside-down-3.jpg"];
    for judged in judge(&world, samples.map(sample)).await {
        match judged.sample.orientation {
            None | Some(1) => judged.assert_verdict(&world).await,
            Some(turned) => {
                judged.assert_refused(&world, "image_dimensions").await;
                let message = judged.event.json["data"]["failure"]["message"].as_str().unwrap_or_default();
                assert!(message.contains(&format!("EXIF orientation {turned}")), "{message}");
            }
        }
    }
    assert_eq!(world.simulator.count("calls").await, 2);
}

#[tokio::test]
async fn sides_and_pixels_are_held_against_the_settings_to_the_pixel() {
    let world = World::new("dimensions").await;
    // 160 x 200 and 480 x 480 are just within.
    let daemon = world.daemon().set("image.min_side", "160").set("image.max_pixels", (480 * 480).to_string());
    let _daemon = daemon.start_ready().await;
    let samples = [
        "face-160x200-badge.jpg",
        "face-greyscale.jpg",
        "face-128-icon.jpg",
        "face-96-thumbnail.jpg",
        "face-480x640-selfie.jpg",
        // Its thumbnail would be within the limits, and comes first in the file.
        "face-header-beyond-200kb.jpg",
    ]
    .map(sample);
    for (at, judged) in judge(&world, samples).await.iter().enumerate() {
        if at < 2 {
            judged.assert_verdict(&world).await;
        } else {
            judged.assert_refused(&world, "image_dimensions").await;
        }
    }
    assert_eq!(world.simulator.count("calls").await, 2);
}

#[tokio::test]
async fn the_digest_is_of_the_kind_that_the_settings_name() {
    for (kind, digest) in [("blake3", true), ("off", false)] {
        let world = World::new(&format!("digest_{kind}")).await;
        let _daemon = world.daemon().set("image.digest", kind).start_ready().await;
        let bytes = jpeg::tiny(1);
        let stored = world.upload("face.jpg", bytes.clone()).await;
        let job = world.submit(&stored.key).await;
        let event = world.event_for(&job).await;
        assert_valid_event(&event);
        let expected = digest.then(|| format!("blake3:{}", blake3::hash(&bytes).to_hex()));
        assert_eq!(event.json["data"]["image"]["digest"].as_str(), expected.as_deref());
        assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1);
    }
}

/// A sample, its bytes, and what the daemon said of it.
struct Judged {
    sample: Sample,
    bytes: Vec<u8>,
    event: Message,
}

/// Uploads the samples, submits a job for each, and returns what came of them in the same order.
async fn judge(world: &World, samples: impl IntoIterator<Item = Sample>) -> Vec<Judged> {
    let mut stored = Vec::new();
    for sample in samples {
        let bytes = sample.bytes();
        let key = world.upload(sample.name, bytes.clone()).await.key;
        stored.push((sample, bytes, key));
    }
    let jobs = world.submit_all(stored.iter().map(|(_, _, key)| key.as_str())).await;
    let events = world.events_for_all(&jobs).await;
    let of = |job: &String| events.iter().find(|event| event.job_id() == Some(job)).expect("one for each").clone();
    stored.into_iter().zip(&jobs).map(|((sample, bytes, _), job)| Judged { sample, bytes, event: of(job) }).collect()
}

impl Judged {
    async fn assert_verdict(&self, world: &World) {
        let Self { sample, bytes, event } = self;
        let name = sample.name;
        assert_valid_event(event);
        assert!(event.outcome().is_some(), "{name}: {}", event.json);
        let (image, digest) = (&event.json["data"]["image"], sha256(bytes));
        let (width, height) = sample.size.expect("a good sample has a size");
        assert_eq!((&image["width"], &image["height"]), (&json!(width), &json!(height)), "{name}");
        assert_eq!(image["format"], "jpeg", "{name}");
        assert_eq!(image["bytes"], bytes.len(), "{name}");
        assert_eq!(image["digest"], format!("sha256:{digest}"), "{name}");
        assert_eq!(image["key"], world.store.key(name));
        assert_eq!(world.simulator.billed(&digest).await, 1, "{name}: what was judged is what was stored, once");
    }

    async fn assert_refused(&self, world: &World, code: &str) {
        let Self { sample, bytes, event } = self;
        let name = sample.name;
        assert_valid_event(event);
        assert_eq!(event.failure_code(), Some(code), "{name}: {}", event.json);
        assert_eq!(event.json["data"]["check"]["attempts"], 1, "{name}: parked at once");
        assert_eq!(world.simulator.billed(&sha256(bytes)).await, 0, "{name}");
        let image = &event.json["data"]["image"];
        // What the event says of the image is true or left out.
        if let (Some(width), Some(height)) = (image["width"].as_u64(), image["height"].as_u64()) {
            assert_eq!(Some((width, height)), sample.size.map(|(w, h)| (w.into(), h.into())), "{name}");
        }
        assert!(image.get("digest").is_none(), "{name}: nothing was judged");
    }
}
