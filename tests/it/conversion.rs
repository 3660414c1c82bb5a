//! Images that are not sent as they are, through the daemon: converted, turned, scaled, decoded; and what that costs the jobs beside them.

use serde_json::{Value, json};

use crate::contract::assert_valid_event;
use crate::harness::broker::Message;
use crate::harness::wait::{EVENTUALLY, eventually};
use crate::harness::world::World;
use crate::images::convertible::{self, made};
use crate::images::{jpeg, made as jpegs, sha256};

/// Of the files that are made, those that are sent as they are and refused by the decoder.
const DECODED_BY_OTHERS: &[&str] = &[
    "segment-before-end.jpg",
    "dnl-before-end.jpg",
    "unknown-marker-between-restarts.jpg",
    "impossible-huffman-table-unused.jpg",
    "impossible-table-between-scans-unused.jpg",
    "segment-longer-than-the-file.jpg",
];

const ALL: &str = "png,webp,bmp,tiff,gif";

/// The file's own digest and length, and, of what was sent, digest and length as the vendor saw them.
#[tokio::test]
async fn every_convertible_file_ends_as_it_should_and_no_refused_one_is_called_for() {
    let world = World::new("convertible").await;
    let _daemon = world.daemon().set("image.convert", ALL).start_ready().await;
    let files = made();
    let judged = judge(&world, files.iter().map(|file| (file.name, file.bytes.clone()))).await;
    let mut called = 0;
    for (file, event) in files.iter().zip(&judged) {
        let (name, image) = (file.name, &event.json["data"]["image"]);
        match file.expected {
            convertible::Expected::Verdict { size, sent, steps } => {
                called += 1;
                assert!(event.outcome().is_some(), "{name}: {}", event.json);
                assert_eq!((&image["width"], &image["height"]), (&json!(size.0), &json!(size.1)), "{name}");
                assert_eq!(image["bytes"], file.bytes.len(), "{name}");
                assert_eq!(image["digest"], format!("sha256:{}", sha256(&file.bytes)), "{name}");
                assert_eq!(image["transformed"], json!(steps), "{name}");
                assert_eq!(image["format"], steps[0].split('→').next().expect("a format"), "{name}");
                let of_sent = &image["sent"];
                assert_eq!((&of_sent["width"], &of_sent["height"]), (&json!(sent.0), &json!(sent.1)), "{name}");
                assert!(of_sent["bytes"].as_u64().is_some_and(|bytes| bytes > 100), "{name}");
                let digest = of_sent["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
                assert!(world.simulator.billed(digest.expect("a digest")).await >= 1, "{name}: as the vendor saw it");
            }
            convertible::Expected::Failure(code, words) => {
                assert_eq!(event.failure_code(), Some(code), "{name}: {}", event.json);
                let message = event.json["data"]["failure"]["message"].as_str().unwrap_or_default();
                assert!(message.contains(words), "{name}: {message}");
                assert!(image.get("sent").is_none() && image.get("transformed").is_none(), "{name}");
            }
        }
        assert_eq!(event.json["data"]["check"]["attempts"], 1, "{name}");
    }
    assert!(files.len() >= 45 && called >= 25, "{called} of {}", files.len());
    assert_calls(&world, called).await;
    world.assert_drained().await;
}

#[tokio::test]
async fn what_the_settings_do_not_name_is_not_converted() {
    let world = World::new("not_named").await;
    let _daemon = world.daemon().set("image.convert", "webp").start_ready().await;
    for (file, event) in named(&world, ["rgb.png", "one-frame.gif", "rgb.bmp", "rgb.tif", "lossy.webp"]).await {
        if file == "lossy.webp" {
            assert!(event.outcome().is_some(), "{file}");
            continue;
        }
        assert_eq!(event.failure_code(), Some("unsupported_format"), "{file}");
        let message = event.json["data"]["failure"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("to image.convert to have it converted"), "{file}: {message}");
    }
    assert_calls(&world, 1).await;
}

/// A photo that lies is turned; one that does not is sent byte for byte. Its orientation is read as for every other file, wherever it stands.
#[tokio::test]
async fn photos_are_turned_upright_where_the_settings_say_so() {
    let world = World::new("turned").await;
    let _daemon = world.daemon().set("image.orientation", "apply").start_ready().await;
    let mut files = jpegs::made();
    files.retain(|file| file.name.starts_with("orientation-") || file.name == "plain.jpg");
    let judged = judge(&world, files.iter().map(|file| (file.name, file.bytes.clone()))).await;
    for (file, event) in files.iter().zip(&judged) {
        let jpegs::Expected::Verdict { size, orientation } = file.expected else { panic!("{}", file.name) };
        assert!(event.outcome().is_some(), "{}: {}", file.name, event.json);
        let image = &event.json["data"]["image"];
        assert_eq!(image["digest"], format!("sha256:{}", sha256(&file.bytes)), "{}", file.name);
        if orientation == 1 {
            assert!(image.get("transformed").is_none() && image.get("sent").is_none(), "{}: {image}", file.name);
            assert!(world.simulator.billed(&sha256(&file.bytes)).await >= 1, "{}", file.name);
            continue;
        }
        assert_eq!(image["transformed"], json!([format!("turned {orientation}")]), "{}", file.name);
        assert_eq!(world.simulator.billed(&sha256(&file.bytes)).await, 0, "{}", file.name);
        let (width, height) = if orientation >= 5 { (size.1, size.0) } else { size };
        let sent = [&image["sent"]["width"], &image["sent"]["height"]];
        assert_eq!(sent, [&json!(width), &json!(height)], "{}", file.name);
    }
    assert_calls(&world, files.len()).await;
}

#[tokio::test]
async fn what_is_too_large_is_scaled_and_what_is_encoded_is_upright() {
    let world = World::new("scaled").await;
    let daemon = world.daemon().set("image.max_side", "320").set("image.quality", "60").set("image.convert", ALL);
    let _daemon = daemon.start_ready().await;
    let lying = jpegs::made().into_iter().find(|file| file.name == "orientation-short-little.jpg").expect("a file");
    let small = jpeg::tiny(1);
    let judged = judge(&world, [("lying.jpg", lying.bytes), ("small.jpg", small.clone())]).await;
    let image = &judged[0].json["data"]["image"];
    assert_eq!(image["transformed"], json!(["turned 6", "scaled 640→320"]), "{}", judged[0].json);
    assert_eq!((&image["sent"]["width"], &image["sent"]["height"]), (&json!(320), &json!(320)));
    assert!(judged[1].json["data"]["image"].get("transformed").is_none());
    assert_eq!(world.simulator.billed(&sha256(&small)).await, 1, "byte for byte");
    for (file, event) in named(&world, ["rgb.png"]).await {
        assert_eq!(event.json["data"]["image"]["transformed"], json!(["png→jpeg"]), "{file} is small enough");
    }
}

/// Every orientation is told where it stands, also where that takes the whole file.
#[tokio::test]
async fn converted_files_that_lie_are_refused_where_the_settings_say_so() {
    let world = World::new("converted_lying").await;
    let daemon = world.daemon().set("image.convert", ALL).set("image.orientation", "reject");
    let _daemon = daemon.start_ready().await;
    for (file, event) in named(&world, ["lying.png", "lying.webp", "lying.tif", "rgb.png", "rgb.tif"]).await {
        let expected = file.starts_with("lying").then_some("image_dimensions");
        assert_eq!(event.failure_code(), expected, "{file}: {}", event.json);
    }
    assert_calls(&world, 2).await;
}

/// Decoding finds what no header tells.
#[tokio::test]
async fn a_jpeg_that_no_decoder_reads_is_refused_where_the_settings_say_so() {
    let world = World::new("decoded").await;
    let daemon = world.daemon().set("image.verify", "decode").start_ready().await;
    let files = jpegs::made();
    let judged = judge(&world, files.iter().map(|file| (file.name, file.bytes.clone()))).await;
    let mut called = 0;
    for (file, event) in files.iter().zip(&judged) {
        match file.expected {
            // Their headers alone are as large as they say: what the decoder makes of the rest is its own affair.
            _ if file.name.contains("megapixels") => {}
            // zune-jpeg stops where libjpeg has the picture.
            _ if DECODED_BY_OTHERS.contains(&file.name) => {
                assert_eq!(event.failure_code(), Some("image_corrupt"), "{}", file.name);
            }
            jpegs::Expected::Verdict { .. } => {
                assert!(event.outcome().is_some(), "{}: {}", file.name, event.json);
                let image = &event.json["data"]["image"];
                assert_eq!(image["digest"], format!("sha256:{}", sha256(&file.bytes)), "{}", file.name);
                assert!(image.get("transformed").is_none(), "{}", file.name);
            }
            jpegs::Expected::Failure(code, _) => assert_eq!(event.failure_code(), Some(code), "{}", file.name),
        }
        called += usize::from(event.outcome().is_some());
    }
    assert!(called >= 40);
    assert_calls(&world, called).await;
    assert!(daemon.metric("antispoofd_conversion_duration_seconds_count").await.is_some_and(|count| count >= 40.0));
}

/// A second job for the same bytes gets the verdict, and all that the event says of how it came about.
#[tokio::test]
async fn a_verdict_that_is_reused_says_what_was_judged() {
    let world = World::new("converted_again").await;
    let daemon = world.daemon().set("image.convert", "png").set("ledger.reuse", "object").start_ready().await;
    let file = made().into_iter().find(|file| file.name == "lying.png").expect("a file");
    let stored = world.upload(file.name, file.bytes).await;
    let first = world.submit(&stored.key).await;
    let first = world.event_for(&first).await;
    let second = world.submit(&stored.key).await;
    let second = world.event_for(&second).await;
    assert_eq!(second.json["data"]["check"]["reused"], true);
    let image = |event: &Message| -> Value { event.json["data"]["image"].clone() };
    assert_eq!(image(&first), image(&second));
    assert_eq!(image(&second)["transformed"], json!(["png→jpeg", "turned 6"]));
    assert_calls(&world, 1).await;
    assert_eq!(daemon.metric("antispoofd_conversion_duration_seconds_count").await, Some(1.0), "not converted in vain");
}

/// Four megapixels take 22 MiB each: of twenty at once one is converted at a time, and the others wait for it.
#[tokio::test]
async fn conversions_wait_for_their_share_of_the_memory() {
    let world = World::new("share").await;
    let daemon = world.daemon().set("image.orientation", "apply").set("image.conversion_memory", "28MiB");
    let daemon = daemon.set("worker.concurrency", "20").start_ready().await;
    let file = jpeg::lying(2000);
    let key = world.upload("large.jpg", file).await.key;
    let jobs = world.submit_all(std::iter::repeat_n(key.as_str(), 20)).await;
    let events = world.events_for_all(&jobs).await;
    assert!(events.iter().all(|event| event.outcome().is_some()), "{events:?}");
    assert_calls(&world, 20).await;
    assert!(daemon.peak_resident_kib() < 128 * 1024, "{} KiB", daemon.peak_resident_kib());
}

/// What grows a thousandfold when it is decoded costs the memory that the settings say, and other jobs go on beside it.
#[tokio::test]
async fn decompression_bombs_stay_within_the_memory_and_hold_up_no_other_job() {
    let world = World::new("bombs").await;
    let daemon = world.daemon().set("image.convert", ALL).set("worker.concurrency", "80").start_ready().await;
    let bomb = bomb(5_000);
    assert!(bomb.len() < 100_000, "{} bytes", bomb.len());
    let bomb = world.upload("bomb.png", bomb).await.key;
    let other = world.upload("face.jpg", jpeg::tiny(1)).await.key;
    let bombs = world.submit_all(std::iter::repeat_n(bomb.as_str(), 64)).await;
    // On a busy machine the first of them have ended when the last is delivered. In this order, so that none is counted twice.
    eventually("the bombs to be in hand", EVENTUALLY, async || {
        let ended = daemon.metric("antispoofd_jobs_total").await.unwrap_or_default();
        let count = daemon.metric("antispoofd_jobs_in_flight").await.unwrap_or_default();
        if ended + count >= 64.0 { Ok(()) } else { Err(format!("{ended} have ended, {count} in flight")) }
    })
    .await;
    let others = world.submit_all(std::iter::repeat_n(other.as_str(), 50)).await;
    world.events_for_all(&others).await;
    let converted = daemon.metric("antispoofd_conversion_duration_seconds_count").await.expect("a count");
    assert!(converted < 64.0, "the others did not wait for the last of the bombs");
    let events = world.events_for_all(&bombs).await;
    assert!(events.iter().all(|event| event.outcome().is_some()), "they are pictures, after all");
    let peak = daemon.peak_resident_kib();
    assert!(peak < (128 + 256) * 1024, "{peak} KiB");
    assert_calls(&world, 64 + 50).await;
}

/// Uploads the files, submits a job for each, and returns their events in the same order.
async fn judge<'a>(world: &World, files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Vec<Message> {
    let mut keys = Vec::new();
    for (name, bytes) in files {
        keys.push(world.upload(name, bytes).await.key);
    }
    let jobs = world.submit_all(keys.iter().map(String::as_str)).await;
    let events = world.events_for_all(&jobs).await;
    events.iter().for_each(assert_valid_event);
    let of = |job: &String| events.iter().find(|event| event.job_id() == Some(job)).expect("one for each").clone();
    jobs.iter().map(of).collect()
}

/// These of the convertible files, with their events.
async fn named<const N: usize>(world: &World, names: [&'static str; N]) -> Vec<(&'static str, Message)> {
    let files = made();
    let bytes = |name: &str| files.iter().find(|file| file.name == name).expect("one of them").bytes.clone();
    let events = judge(world, names.map(|name| (name, bytes(name)))).await;
    names.into_iter().zip(events).collect()
}

async fn assert_calls(world: &World, count: usize) {
    let stats = world.simulator.stats().await;
    let calls = ["calls", "billed", "rejected"].map(|name| &stats[name]);
    assert_eq!(calls, [&json!(count), &json!(count), &json!(0)], "{stats}");
}

/// A grey PNG without content.
fn bomb(side: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&vec![0; (side * side) as usize]).expect("pixels");
    writer.finish().expect("an end");
    file
}
