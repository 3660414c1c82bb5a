//! The documents agree with the code, and with each other.

use std::collections::BTreeSet;
use std::fs;

use antispoof_core::failure::Code;
use antispoof_core::verdict::Outcome;
use serde_json::Value;

use super::{directory, schema};

const SCHEMAS: [&str; 5] = [
    "job.schema.json",
    "job-event.schema.json",
    "notification.schema.json",
    "verdict.schema.json",
    "failure.schema.json",
];

#[test]
fn the_schemas_are_schemas() {
    for name in SCHEMAS {
        if let Err(problem) = jsonschema::draft202012::meta::validate(&schema(name)) {
            panic!("{name}: {problem}");
        }
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
    for row in failure["allOf"].as_array().expect("the table of stages and classes") {
        let of = |name: &str| row["then"]["properties"][name]["const"].as_str().expect("a stage or class").to_owned();
        let codes = texts(&row["if"]["properties"]["code"]["enum"]);
        rows.extend(codes.into_iter().map(|code| (code.to_owned(), of("stage"), of("class"))));
    }
    let table = Code::ALL.iter().map(|code| (code.name(), code.stage().name(), code.class().name()));
    let table: BTreeSet<_> = table.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())).collect();
    assert_eq!(rows.len(), table.len(), "a code is in the table twice");
    assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), table);
}

#[test]
fn both_events_describe_image_and_check_alike() {
    let (verdict, failure) = (schema("verdict.schema.json"), schema("failure.schema.json"));
    assert_eq!(verdict["$defs"]["check"], failure["$defs"]["check"]);
    assert_eq!(verdict["$defs"]["image"]["properties"], failure["$defs"]["image"]["properties"]);
}

/// Each schema is a file that stands alone: many tools load no second one, and none knows what a urn is.
#[test]
fn no_schema_refers_to_another_and_the_job_in_an_event_is_the_job() {
    for name in SCHEMAS {
        let text = schema(name).to_string();
        assert_eq!(text.matches("\"$ref\":").count(), text.matches("\"$ref\":\"#/$defs/").count(), "{name}");
    }
    let mut job = schema("job.schema.json");
    let fields = job.as_object_mut().expect("an object");
    fields.remove("$schema");
    fields.remove("$id");
    assert_eq!(schema("job-event.schema.json")["$defs"]["job"], job, "$defs.job of job-event is job.schema.json");
}

/// Go's RE2 has no look-around, no `\u`, and repeats nothing more than a thousand times; Python's `$` takes a line end.
#[test]
fn the_patterns_are_what_every_language_reads_alike() {
    for name in SCHEMAS {
        let schema = schema(name);
        for pattern in patterns(&schema) {
            for not_everywhere in ["(?", "\\u", "\\d", "\\w", "\\s", "\\b", "\\p"] {
                assert!(!pattern.contains(not_everywhere), "{name}: {pattern} has {not_everywhere}");
            }
            for repeat in pattern.split('{').skip(1).filter_map(|rest| rest.split_once('}')) {
                let most: u32 = repeat.0.rsplit(',').next().and_then(|most| most.parse().ok()).expect("a number");
                assert!(most <= 256, "{name}: {pattern}");
            }
        }
    }
}

fn patterns(schema: &Value) -> Vec<&str> {
    match schema {
        Value::Object(fields) => {
            let own = fields.get("pattern").and_then(Value::as_str);
            own.into_iter().chain(fields.values().flat_map(patterns)).collect()
        }
        Value::Array(items) => items.iter().flat_map(patterns).collect(),
        _ => Vec::new(),
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
        if let Some(local) = target.strip_prefix("#/") {
            assert!(paths.contains(local), "{target} leads nowhere");
        } else {
            assert!(directory().join(target).is_file(), "{target} is no file");
            files.insert(target.to_owned());
        }
    }
    let all = ["failure", "job", "job-event", "notification", "verdict"].map(|name| format!("./{name}.schema.json"));
    assert_eq!(files, BTreeSet::from(all));
    for path in [
        "channels/jobs/messages/job",
        "channels/jobs/messages/jobEvent",
        "channels/jobs/messages/notification",
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
