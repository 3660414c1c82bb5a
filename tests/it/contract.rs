//! What `contract/` promises, held against the code and against a real run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use antispoof_core::event::{Check, Conclusion, Ending, Event, ImageReport, millis};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::job::{Admission, Job, Origin, Properties};
use antispoof_core::retry::Attempt;
use antispoof_core::verdict::{Outcome, Verdict};
use jsonschema::Validator;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::harness::broker::Message;
use crate::harness::world::World;
use crate::images::{self, jpeg};

/// Set to anything, it makes the golden test write the example events instead of comparing them.
const UPDATE: &str = "ANTISPOOF_UPDATE_EXAMPLES";

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

#[test]
fn the_schemas_are_schemas() {
    for name in ["job.schema.json", "verdict.schema.json", "failure.schema.json"] {
        if let Err(problem) = jsonschema::draft202012::meta::validate(&schema(name)) {
            panic!("{name}: {problem}");
        }
    }
}

#[test]
fn the_example_jobs_are_jobs_to_the_schema_and_to_the_core() {
    let validator = validator(&schema("job.schema.json"));
    let admission = Admission { default_bucket: Some("kyc-uploads".to_owned()), buckets: None };
    let examples = examples("job");
    assert_eq!(examples.len(), 2);
    for path in examples {
        let body = fs::read(&path).expect("an example can be read");
        let job = Job::decode(&body, &Properties::default(), &admission);
        let job = job.unwrap_or_else(|failure| panic!("{}: {failure}", path.display()));
        let example: Value = serde_json::from_slice(&body).expect("an example is JSON");
        assert!(validator.is_valid(&example), "{}: {:?}", path.display(), problems_of(&validator, &example));
        assert_eq!(example["key"], job.image().key);
        assert_eq!(example["version_id"].as_str(), job.image().version_id.as_deref());
        assert_eq!(example["etag"].as_str(), job.image().etag.as_deref());
        assert_eq!(example["id"].as_str().unwrap_or(job.id()), job.id());
    }
}

#[test]
fn the_schema_and_the_core_agree_on_what_is_a_job() {
    let validator = validator(&schema("job.schema.json"));
    let admission = Admission { default_bucket: Some("kyc-uploads".to_owned()), buckets: None };
    let long = |len: usize| "k".repeat(len);
    for (good, job) in [
        (true, json!({ "key": "a" })),
        (true, json!({ "key": "…/ä ö/..hidden/b..jpg/..." })),
        (true, json!({ "key": long(1024), "id": long(128) })),
        (true, json!({ "key": "a", "etag": "\"abc-2\"", "metadata": {} })),
        (true, json!({ "key": "a", "bucket": "a.b-c.0" })),
        (true, json!({ "key": "a", "expires_at": "2026-11-22T23:00:00.5+01:00" })),
        (false, json!([])),
        (false, json!({})),
        (false, json!({ "key": "" })),
        (false, json!({ "key": 7 })),
        (false, json!({ "key": long(1025) })),
        (false, json!({ "key": "a/../b" })),
        (false, json!({ "key": ".." })),
        (false, json!({ "key": "./a" })),
        (false, json!({ "key": "a/." })),
        (false, json!({ "key": "a\u{7}" })),
        (false, json!({ "key": "a", "kye": 1 })),
        (false, json!({ "key": "a", "id": "" })),
        (false, json!({ "key": "a", "id": "two words" })),
        (false, json!({ "key": "a", "id": "é" })),
        (false, json!({ "key": "a", "id": long(129) })),
        (false, json!({ "key": "a", "bucket": "Kyc" })),
        (false, json!({ "key": "a", "bucket": "a..b" })),
        (false, json!({ "key": "a", "bucket": "ab" })),
        (false, json!({ "key": "a", "bucket": "abc-" })),
        (false, json!({ "key": "a", "bucket": long(64) })),
        (false, json!({ "key": "a", "version_id": "" })),
        (false, json!({ "key": "a", "etag": "a b" })),
        (false, json!({ "key": "a", "etag": "\"a\", \"b\"" })),
        (false, json!({ "key": "a", "expires_at": "tomorrow" })),
        (false, json!({ "key": "a", "metadata": [1] })),
    ] {
        let decoded = Job::decode(job.to_string().as_bytes(), &Properties::default(), &admission);
        assert_eq!(decoded.is_ok(), good, "the core: {job}: {decoded:?}");
        assert_eq!(validator.is_valid(&job), good, "the schema: {job}: {:?}", problems_of(&validator, &job));
    }
}

#[test]
fn every_failure_code_is_in_the_schema_with_its_stage_and_class_and_no_other() {
    let schema = schema("failure.schema.json");
    let failure = &schema["$defs"]["failure"];
    let listed: Vec<_> = texts(&failure["properties"]["code"]["enum"]);
    let known: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(listed, known);
    let mut rows = Vec::new();
    for row in failure["oneOf"].as_array().expect("the table of stages and classes") {
        let row = &row["properties"];
        let of = |name: &str| row[name]["const"].as_str().expect("a stage or class").to_owned();
        rows.extend(texts(&row["code"]["enum"]).into_iter().map(|code| (code.to_owned(), of("stage"), of("class"))));
    }
    let table = Code::ALL.iter().map(|code| (code.name(), code.stage().name(), code.class().name()));
    let table: BTreeSet<_> = table.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())).collect();
    assert_eq!(rows.len(), table.len(), "a code is in the table twice");
    assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), table);
}

#[test]
fn both_events_describe_image_and_check_alike() {
    let (verdict, failure) = (schema("verdict.schema.json"), schema("failure.schema.json"));
    for part in ["image", "check"] {
        assert_eq!(verdict["$defs"][part], failure["$defs"][part], "{part}");
    }
}

#[test]
fn the_example_events_are_what_the_core_says_and_what_the_schemas_allow() {
    let golden = golden();
    for (name, kind, conclusion) in &golden {
        let event = Event::new("antispoofd/worker-1", &origin(conclusion), conclusion).expect("an event serialises");
        let body: Value = serde_json::from_slice(&event.body).expect("an event is JSON");
        let path = directory().join("examples").join(name);
        if env::var_os(UPDATE).is_some() {
            fs::write(&path, format!("{body:#}\n")).expect("an example can be written");
        }
        let example = fs::read(&path).unwrap_or_else(|problem| panic!("{name}: {problem}; set {UPDATE}=1 to write it"));
        let example: Value = serde_json::from_slice(&example).expect("an example is JSON");
        assert_eq!(example, body, "{name} is out of date: set {UPDATE}=1 to write it");
        let problems = problems(&strict(&schema(kind)), &example);
        assert!(problems.is_empty(), "{name}: {problems:?}");
    }
    let there = examples("verdict").len() + examples("failure").len();
    assert_eq!(there, golden.len(), "an example that nothing checks");
}

#[test]
fn the_schemas_refuse_events_that_contradict_themselves() {
    let (verdict, failure) = (validator(&schema("verdict.schema.json")), validator(&schema("failure.schema.json")));
    let read = |name: &str| serde_json::from_slice(&fs::read(directory().join("examples").join(name)).expect("there"));
    let live: Value = read("verdict.live.json").expect("JSON");
    let missing: Value = read("failure.object_not_found.json").expect("JSON");
    let change = |event: &Value, at: &str, to: Value| {
        let mut event = event.clone();
        *event.pointer_mut(at).unwrap_or_else(|| panic!("{at} is there")) = to;
        event
    };
    assert!(!verdict.is_valid(&missing) && !failure.is_valid(&live), "the types are told apart");
    for (at, to) in [
        ("/data/outcome", json!("spoof")),
        ("/data/outcome", json!("unsure")),
        ("/data/spoof_detected", json!(true)),
        ("/data/spoof_detected", json!("false")),
        ("/data/accuracy", json!(98.9)),
        ("/data/image/digest", json!("md5:00")),
        ("/data/check/attempts", json!(0)),
        ("/id", json!("")),
        ("/specversion", json!("0.3")),
        ("/time", json!("yesterday")),
    ] {
        assert!(!verdict.is_valid(&change(&live, at, to.clone())), "{at} = {to}");
    }
    for (at, to) in [
        ("/data/failure/code", json!("no_such_code")),
        ("/data/failure/code", json!("api_rejected")),
        ("/data/failure/stage", json!("call")),
        ("/data/failure/class", json!("permanent")),
    ] {
        assert!(!failure.is_valid(&change(&missing, at, to.clone())), "{at} = {to}");
    }
}

/// There is no YAML reader here, so this holds what can be held by lines: that every reference leads somewhere, and that the names are ours.
#[test]
fn every_reference_of_the_asyncapi_document_leads_somewhere() {
    let text = fs::read_to_string(directory().join("asyncapi.yaml")).expect("the document can be read");
    assert!(text.starts_with("asyncapi: 3.1.0\n"));
    let paths = yaml_paths(&text);
    let mut files = BTreeSet::new();
    for line in text.lines() {
        let Some((_, target)) = line.split_once("$ref:") else { continue };
        let target = target.trim().trim_matches('\'');
        match target.strip_prefix("#/") {
            Some(local) => assert!(paths.contains(local), "{target} leads nowhere"),
            None => {
                assert!(directory().join(target).is_file(), "{target} is no file");
                files.insert(target.to_owned());
            }
        }
    }
    let all = ["./failure.schema.json", "./job.schema.json", "./verdict.schema.json"].map(ToOwned::to_owned);
    assert_eq!(files, BTreeSet::from(all));
    for path in [
        "channels/jobs/messages/job",
        "channels/verdicts/messages/verdict",
        "channels/failures/messages/failure",
        "channels/parked/messages/parkedJob",
        "operations/takeJob",
        "operations/announceVerdict",
        "operations/announceFailure",
        "operations/parkJob",
    ] {
        assert!(paths.contains(path), "{path} is missing");
    }
    for name in ["address: antispoof.jobs", "address: antispoof.parked", "name: antispoof.results"] {
        assert!(text.contains(name), "{name}");
    }
    let outcomes = Outcome::ALL.map(Outcome::name).join(", ");
    assert!(text.contains(&format!("enum: [{outcomes}]")), "{outcomes}");
}

#[tokio::test]
async fn the_events_of_a_real_run_are_valid() {
    const REVIEW_BELOW: f64 = 0.75;

    let world = World::new("the_events_of_a_real_run_are_valid").await;
    let _daemon = world.daemon().set("api.review_below", REVIEW_BELOW.to_string()).start_ready().await;
    let sure = |seed: &u64| accuracy(&jpeg::tiny(*seed)) >= REVIEW_BELOW;
    let mut jobs = Vec::new();
    for (expected, verdict, seed) in [
        ("live", "live", (0..).find(sure).expect("half of them are")),
        ("spoof", "spoof", (100..).find(sure).expect("half of them are")),
        ("review", "live", (200..).find(|seed| !sure(seed)).expect("half of them are")),
        ("review", "spoof", (300..).find(|seed| !sure(seed)).expect("half of them are")),
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

fn golden() -> Vec<(&'static str, &'static str, Conclusion)> {
    let at = OffsetDateTime::from_unix_timestamp(1_795_384_799).expect("a time");
    let image = || ImageReport {
        bucket: "kyc-uploads".to_owned(),
        key: "2026/11/7f3a/selfie.jpg".to_owned(),
        etag: Some("9b2cf535f27731c974343645a3985328".to_owned()),
        ..ImageReport::default()
    };
    let verdict = |outcome: Outcome, spoof_detected: bool, accuracy: f64, reused: bool| Conclusion {
        ending: Ending::Verdict { outcome, verdict: Verdict { spoof_detected, accuracy } },
        image: Some(ImageReport {
            format: Some("jpeg".to_owned()),
            bytes: Some(200_436),
            width: Some(1080),
            height: Some(1440),
            digest: Some(format!("sha256:{}", images::sha256(b"an example"))),
            ..image()
        }),
        check: Check {
            attempts: 1,
            api_duration_ms: Some(214),
            http_status: Some(200),
            request_id: Some("req-5f1c".to_owned()),
            reused,
        },
        at_ms: millis(at),
        replay: 0,
    };
    let failure = |code: Code, message: &str, status: Option<u16>, image: Option<ImageReport>, spent: u32| {
        let failure = Failure::new(code, message);
        let failure = status.map_or(failure.clone(), |status| failure.with_status(status));
        Conclusion::failed(&failure, image, Attempt::spent(spent), at, 0)
    };
    let unseen = Some(ImageReport { etag: None, ..image() });
    let (events, failures) = ("verdict.schema.json", "failure.schema.json");
    vec![
        ("verdict.live.json", events, verdict(Outcome::Live, false, 0.989_906_817_674_636_8, false)),
        ("verdict.spoof.json", events, verdict(Outcome::Spoof, true, 0.964_211_702_346_801_8, false)),
        ("verdict.review.json", events, verdict(Outcome::Review, false, 0.523_917_019_367_218, false)),
        ("verdict.reused.json", events, verdict(Outcome::Live, false, 0.989_906_817_674_636_8, true)),
        (
            "failure.object_not_found.json",
            failures,
            failure(Code::ObjectNotFound, "there is no such object (404 NoSuchKey)", Some(404), unseen, 8),
        ),
        (
            "failure.api_in_doubt.json",
            failures,
            failure(Code::ApiInDoubt, "no answer within 30s, after the whole image was sent", None, Some(image()), 1),
        ),
        (
            "failure.malformed_job.json",
            failures,
            failure(Code::MalformedJob, "the body is not a job: missing field `key` at line 1 column 2", None, None, 1),
        ),
    ]
}

fn origin(conclusion: &Conclusion) -> Origin {
    let metadata = r#"{"applicant":"42"}"#.to_owned();
    Origin {
        job_id: "kyc-7f3a".to_owned(),
        correlation_id: Some("onboarding-42".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        tracestate: None,
        metadata: conclusion.image.is_some().then(|| RawValue::from_string(metadata).expect("JSON")),
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contract")
}

fn schema(name: &str) -> Value {
    let text = fs::read(directory().join(name)).unwrap_or_else(|problem| panic!("{name}: {problem}"));
    serde_json::from_slice(&text).unwrap_or_else(|problem| panic!("{name}: {problem}"))
}

/// The example files whose names begin so.
fn examples(beginning: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(directory().join("examples")).expect("there are examples");
    let files = files.map(|file| file.expect("the directory can be read").path());
    files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(beginning))).collect()
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

/// The paths of all keys of a YAML text in block style.
fn yaml_paths(text: &str) -> BTreeSet<String> {
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut paths = BTreeSet::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let Some((key, _)) = line.trim_start().split_once(':') else { continue };
        if key.contains(' ') || key.starts_with('-') {
            continue;
        }
        open.retain(|(outer, _)| *outer < indent);
        open.push((indent, key));
        paths.insert(open.iter().map(|(_, key)| *key).collect::<Vec<_>>().join("/"));
    }
    paths
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|item| item.as_str().expect("a text")).collect()
}
