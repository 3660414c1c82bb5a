//! The examples are what the core reads and writes.

use std::path::PathBuf;
use std::{env, fs};

use antispoof_core::event::{Check, Conclusion, Ending, Event, ImageReport, millis};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::job::{Admission, Intake, Job, Origin, Properties, stable_key};
use antispoof_core::retry::Attempt;
use antispoof_core::verdict::{Outcome, Verdict};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{directory, problems, problems_of, schema, strict, validator};
use crate::images;

/// Set to anything, it makes the golden test write the example events instead of comparing them.
const UPDATE: &str = "ANTISPOOF_UPDATE_EXAMPLES";

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
fn the_other_messages_are_what_their_schemas_say_and_jobs_to_the_core() {
    let read = |name: &str| fs::read(directory().join("examples").join(name)).expect("an example can be read");
    let keys = |name: &str, content_type: &str| {
        let properties = Properties { content_type: Some(content_type.to_owned()), ..Properties::default() };
        let key = |body: &[u8]| {
            let job = Job::decode(body, &properties, &Admission::default());
            job.unwrap_or_else(|failure| panic!("{name}: {failure}")).image().key.clone()
        };
        match Intake::read(&read(name), &properties, &Admission::default()) {
            Ok(Intake::Several(bodies)) => bodies.iter().map(|body| key(body)).collect(),
            _ => vec![key(&read(name))],
        }
    };
    assert_eq!(keys("event.job.json", "application/cloudevents+json"), ["2026/11/7f3a/selfie.jpg"]);
    assert_eq!(keys("notification.minio.json", "application/json"), ["2026/11/red flower.jpg"]);
    assert_eq!(
        keys("notification.aws.json", "application/json"),
        ["2026/11/7f3a/selfie.jpg", "2026/11/red flower+1.jpg"]
    );

    let jobs = jsonschema::Resource::from_contents(schema("job.schema.json"));
    let registry = jsonschema::Registry::new().add("urn:antispoofd:schema:job:v1", jobs).expect("an id of ours");
    let registry = registry.prepare().expect("a registry of ours");
    for (name, kind) in [
        ("event.job.json", "job-event.schema.json"),
        ("notification.minio.json", "notification.schema.json"),
        ("notification.aws.json", "notification.schema.json"),
    ] {
        let options = jsonschema::options().with_registry(&registry).build(&schema(kind));
        let validator = options.expect("a schema of ours compiles");
        let example: Value = serde_json::from_slice(&read(name)).expect("an example is JSON");
        assert!(validator.is_valid(&example), "{name}: {:?}", problems_of(&validator, &example));
        let mut wrong = example.clone();
        let broken = if kind.starts_with("job") { "/data/key" } else { "/Records/0/s3/object/key" };
        *wrong.pointer_mut(broken).expect("a key") = json!("");
        assert!(!validator.is_valid(&wrong), "{name} without a key");
    }
    assert_eq!(examples("event").len() + examples("notification").len(), 3, "an example that nothing checks");
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
            in_doubt: 0,
        },
        at_ms: millis(at),
        replay: 0,
        after_ms: None,
    };
    let failure = |code: Code, message: &str, status: Option<u16>, image: Option<ImageReport>, spent: u32| {
        let failure = Failure::new(code, message);
        let failure = status.map_or(failure.clone(), |status| failure.with_status(status));
        Conclusion::failed(&failure, image, Attempt::spent(spent), at, 0)
    };
    let in_doubt = |mut conclusion: Conclusion| {
        conclusion.check.in_doubt = 1;
        conclusion
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
            in_doubt(failure(
                Code::ApiInDoubt,
                "no answer within 30s, after the whole image was sent",
                None,
                Some(image()),
                1,
            )),
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
        refused: conclusion.image.is_none().then(|| stable_key(&["{}"])),
    }
}

/// The example files whose names begin so.
fn examples(beginning: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(directory().join("examples")).expect("there are examples");
    let files = files.map(|file| file.expect("the directory can be read").path());
    files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(beginning))).collect()
}
