//! What `contract/` promises, held against the code and against a real run.

#[path = "contract/documents.rs"]
mod documents;
#[path = "contract/examples.rs"]
mod examples;

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::harness::broker::Message;
use crate::harness::world::World;
use crate::images::{self, jpeg};

/// Holds an event's body against the schema of its type; a field that the schema does not know is an error here, though not for consumers.
///
/// # Panics
///
/// When it is not valid, with every reason.
pub(crate) fn assert_valid_event(event: &Message) {
    let name = match event.json["type"].as_str() {
        Some("antispoofd.verdict.v1") => "verdict.schema.json",
        Some("antispoofd.failure.v1") => "failure.schema.json",
        other => panic!("an event of type {other:?}: {}", event.json),
    };
    let problems = problems(&strict(&schema(name)), &event.json);
    assert!(problems.is_empty(), "{name}: {problems:?}: {}", event.json);
}

#[tokio::test]
async fn the_events_of_a_real_run_are_valid() {
    const REVIEW_BELOW: f64 = 0.75;

    let world = World::new("the_events_of_a_real_run_are_valid").await;
    let _daemon = world.daemon().set("api.review_below", REVIEW_BELOW.to_string()).start_ready().await;
    let sure = |seed: &u64| accuracy(&jpeg::tiny(*seed)) >= REVIEW_BELOW;
    let mut jobs = Vec::new();
    for (expected, verdict, seed) in [
        ("live", "live", (0..100).find(sure).expect("half of them are")),
        ("spoof", "spoof", (100..200).find(sure).expect("half of them are")),
        ("review", "live", (200..300).find(|seed| !sure(seed)).expect("half of them are")),
        ("review", "spoof", (300..400).find(|seed| !sure(seed)).expect("half of them are")),
    ] {
        world.simulator.configure(json!({ "verdict": verdict })).await;
        let bytes = jpeg::tiny(seed);
        let stored = world.upload(&format!("{seed}.jpg"), bytes.clone()).await;
        let job = world.submit_job(json!({ "key": stored.key, "metadata": { "seed": seed } })).await;
        let event = world.event_for(&job).await;
        assert_valid_event(&event);
        assert_eq!(event.outcome(), Some(expected), "{}", event.json);
        assert_eq!(event.routing_key, format!("verdict.{expected}"));
        assert_eq!(event.json["data"]["spoof_detected"], verdict == "spoof");
        // As the vendor wrote it, digit for digit.
        assert_eq!(event.json["data"]["accuracy"], json!(accuracy(&bytes)));
        assert_eq!(world.simulator.billed(&images::sha256(&bytes)).await, 1);
        jobs.push(job);
    }
    world.assert_drained().await;
    for job in &jobs {
        assert_eq!(world.events_for(job).await.len(), 1);
    }
    assert!(world.broker.parked().await.is_empty());
}

/// What the simulator says of an image: it is a function of the digest.
fn accuracy(image: &[u8]) -> f64 {
    let digest = images::sha256(image);
    let part = u32::from_str_radix(&digest[8..16], 16).expect("hexadecimal");
    0.5 + f64::from(part) / (f64::from(u32::MAX) + 1.0) / 2.0
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contract")
}

fn schema(name: &str) -> Value {
    let text = fs::read(directory().join(name)).unwrap_or_else(|problem| panic!("{name}: {problem}"));
    serde_json::from_slice(&text).unwrap_or_else(|problem| panic!("{name}: {problem}"))
}

fn validator(schema: &Value) -> Validator {
    jsonschema::options().should_validate_formats(true).build(schema).expect("a schema of ours compiles")
}

fn problems(schema: &Value, instance: &Value) -> Vec<String> {
    problems_of(&validator(schema), instance)
}

fn problems_of(validator: &Validator, instance: &Value) -> Vec<String> {
    validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The schema with every object closed that names its fields.
fn strict(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let mut fields: serde_json::Map<_, _> =
                fields.iter().map(|(name, value)| (name.clone(), strict(value))).collect();
            if fields.get("type") == Some(&json!("object")) && fields.contains_key("properties") {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
            Value::Object(fields)
        }
        Value::Array(items) => items.iter().map(strict).collect(),
        other => other.clone(),
    }
}
