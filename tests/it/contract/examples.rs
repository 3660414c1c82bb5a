//! The examples are what the core reads and writes.

use std::path::{Path, PathBuf};
use std::{env, fs};

use antispoof_core::event::{
    Check, Event, FailureResult, ImageReport, JobResult, Report, SentImage, VerdictResult, millis,
};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::job::{Admission, Intake, Job, Origin, Properties, stable_key};
use antispoof_core::retry::Attempt;
use antispoof_core::verdict::{Outcome, Verdict};
use serde_json::Value;
use serde_json::value::RawValue;
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
    let keys = |name: &str, content_type: &str| {
        let properties = Properties { content_type: Some(content_type.to_owned()), ..Properties::default() };
        let key = |body: &[u8]| {
            let job = Job::decode(body, &properties, &Admission::default());
            job.unwrap_or_else(|failure| panic!("{name}: {failure}")).image().key.clone()
        };
        match Intake::read(&example(name), &properties, &Admission::default()) {
            Ok(Intake::Several(bodies)) => bodies.iter().map(|body| key(body)).collect(),
            _ => vec![key(&example(name))],
        }
    };
    assert_eq!(keys("event.job.json", "application/cloudevents+json"), ["2026/11/7f3a/selfie.jpg"]);
    assert_eq!(keys("notification.minio.json", "application/json"), ["2026/11/red flower.jpg"]);
    assert_eq!(
        keys("notification.aws.json", "application/json"),
        ["2026/11/7f3a/selfie.jpg", "2026/11/red flower+1.jpg"]
    );

    for (name, kind) in [
        ("event.job.json", "job-event.schema.json"),
        ("notification.minio.json", "notification.schema.json"),
        ("notification.aws.json", "notification.schema.json"),
    ] {
        let instance: Value = serde_json::from_slice(&example(name)).expect("an example is JSON");
        let problems = problems(&schema(kind), &instance);
        assert!(problems.is_empty(), "{name}: {problems:?}");
    }
    assert_eq!(examples("event").len() + examples("notification").len(), 3, "an example that nothing checks");
}

/// What every validator in `scripts/contract` is asked, too.
#[test]
fn the_schemas_take_and_refuse_what_the_cases_say_and_the_core_agrees_on_jobs() {
    let admission = Admission { default_bucket: Some("kyc-uploads".to_owned()), buckets: None };
    let kinds = ["job", "job-event", "notification", "verdict", "failure"];
    let validators = kinds.map(|kind| (kind, validator(&schema(&format!("{kind}.schema.json")))));
    for case in cases() {
        let (_, validator) =
            validators.iter().find(|(kind, _)| case.schema == *kind).unwrap_or_else(|| panic!("{}", case.schema));
        let (instance, valid) = (&case.instance, case.valid);
        assert_eq!(
            validator.is_valid(instance),
            valid,
            "{}: {instance}: {:?}",
            case.schema,
            problems_of(validator, instance)
        );
        if case.schema == "job" {
            let decoded = Job::decode(instance.to_string().as_bytes(), &Properties::default(), &admission);
            assert_eq!(decoded.is_ok(), valid, "the core: {instance}: {decoded:?}");
        }
    }
    for kind in kinds {
        assert!(cases().iter().any(|case| case.schema == kind && !case.valid), "nothing that {kind} refuses");
    }
}

struct Case {
    schema: String,
    valid: bool,
    instance: Value,
}

/// Each is an instance, or an example of which one field is another.
fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/contract/cases.json");
    let cases: Vec<Value> = serde_json::from_slice(&fs::read(path).expect("the cases")).expect("JSON");
    let case = |case: Value| {
        let instance = match case["example"].as_str() {
            None => case["instance"].clone(),
            Some(name) => {
                let at = case["at"].as_str().expect("a pointer");
                let mut example: Value = serde_json::from_slice(&example(name)).expect("an example is JSON");
                *example.pointer_mut(at).unwrap_or_else(|| panic!("{name} has no {at}")) = case["to"].clone();
                example
            }
        };
        let schema = case["schema"].as_str().expect("a schema").to_owned();
        Case { schema, valid: case["valid"].as_bool().expect("valid or not"), instance }
    };
    cases.into_iter().map(case).collect()
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

fn golden() -> Vec<(&'static str, &'static str, JobResult)> {
    let at = OffsetDateTime::from_unix_timestamp(1_795_384_799).expect("a time");
    let image = || ImageReport {
        bucket: "kyc-uploads".to_owned(),
        key: "2026/11/7f3a/selfie.jpg".to_owned(),
        etag: Some("9b2cf535f27731c974343645a3985328".to_owned()),
        ..ImageReport::default()
    };
    let verdict = |outcome: Outcome, spoof_detected: bool, accuracy: f64, reused: bool| {
        let report = Report {
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
        JobResult::Verdict(VerdictResult { outcome, verdict: Verdict { spoof_detected, accuracy }, report })
    };
    let failure = |code: Code, message: &str, status: Option<u16>, image: Option<ImageReport>, spent: u32| {
        let failure = Failure::new(code, message);
        let failure = status.map_or(failure.clone(), |status| failure.with_status(status));
        JobResult::Failure(FailureResult::new(&failure, Report::new(image, Attempt::spent(spent), at, 0)))
    };
    let in_doubt = |mut result: JobResult| {
        result.report_mut().check.in_doubt = 1;
        result
    };
    let converted = |mut result: JobResult| {
        let image = result.report_mut().image.as_mut().expect("an image");
        image.format = Some("webp".to_owned());
        (image.width, image.height) = (Some(4000), Some(3000));
        image.transformed = ["webp→jpeg", "turned 6", "scaled 4000→2048"].map(str::to_owned).to_vec();
        image.sent = Some(SentImage {
            bytes: 431_219,
            width: 1536,
            height: 2048,
            digest: Some(format!("sha256:{}", images::sha256(b"what was made of it"))),
        });
        result
    };
    let unseen = Some(ImageReport { etag: None, ..image() });
    let (events, failures) = ("verdict.schema.json", "failure.schema.json");
    vec![
        ("verdict.live.json", events, verdict(Outcome::Live, false, 0.989_906_817_674_636_8, false)),
        ("verdict.spoof.json", events, verdict(Outcome::Spoof, true, 0.964_211_702_346_801_8, false)),
        ("verdict.review.json", events, verdict(Outcome::Review, false, 0.523_917_019_367_218, false)),
        ("verdict.reused.json", events, verdict(Outcome::Live, false, 0.989_906_817_674_636_8, true)),
        ("verdict.converted.json", events, converted(verdict(Outcome::Live, false, 0.989_906_817_674_636_8, false))),
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

fn origin(result: &JobResult) -> Origin {
    let metadata = r#"{"applicant":"42"}"#.to_owned();
    Origin {
        job_id: "kyc-7f3a".to_owned(),
        correlation_id: Some("onboarding-42".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        tracestate: None,
        metadata: result.report().image.is_some().then(|| RawValue::from_string(metadata).expect("JSON")),
        refused: result.report().image.is_none().then(|| stable_key(&["{}"])),
    }
}

fn example(name: &str) -> Vec<u8> {
    fs::read(directory().join("examples").join(name)).unwrap_or_else(|problem| panic!("{name}: {problem}"))
}

/// The example files whose names begin so.
fn examples(beginning: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(directory().join("examples")).expect("there are examples");
    let files = files.map(|file| file.expect("the directory can be read").path());
    files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(beginning))).collect()
}
