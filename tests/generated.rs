//! The pages that are generated from the settings are what the program prints; `make generate` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Output};

use antispoof_core::failure::Code;
use antispoofd::telemetry::Metrics;
use serde_json::Value;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_antispoofd"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.output().expect("the program starts")
}

fn printed(arguments: &[&str]) -> String {
    let output = run(arguments, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn file(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|problem| panic!("{path}: {problem}; run make generate"))
}

fn schema() -> Value {
    serde_json::from_str(&printed(&["config", "schema"])).expect("the schema is JSON")
}

#[test]
fn generated_files_are_fresh() {
    for (path, what) in [("docs/configuration.md", "reference"), ("config/antispoofd.schema.json", "schema")] {
        assert!(file(path) == printed(&["config", what]), "{path} is stale: run make generate");
    }
}

#[test]
fn the_schema_is_one_and_takes_the_files_that_come_with_the_program() {
    let schema = schema();
    if let Err(problem) = jsonschema::draft202012::meta::validate(&schema) {
        panic!("{problem}");
    }
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    for path in ["config/default.toml", "config/demo.toml"] {
        let settings: toml::Table = file(path).parse().expect("TOML");
        let errors: Vec<String> =
            validator.iter_errors(&serde_json::json!(settings)).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{path}");
    }
    for wrong in [
        "[worker]\nconcurency = 4",
        "[worker]\nconcurrency = 0",
        "[amqp]\ntopology = \"maybe\"",
        "[amqp]\nheartbeat = \"30\"",
        "[api.statuses]\n200 = \"api_rejected\"",
        "[api.statuses]\n300 = \"api_rejected\"",
        "[extra]",
    ] {
        let settings: toml::Table = wrong.parse().expect("TOML");
        assert!(!validator.is_valid(&serde_json::json!(settings)), "{wrong}");
    }
}

/// Whatever the schema refuses, the program refuses at the same key.
#[test]
fn the_schema_is_never_stricter_than_the_program() {
    const VALUES: [&str; 20] = [
        "\"\"",
        "\"x\"",
        "\"30s\"",
        "\"30\"",
        "\"1m 30s\"",
        "\"10MiB\"",
        "\"10 kB\"",
        "\"declare\"",
        "\"memory\"",
        "\"reject\"",
        "0",
        "1",
        "-1",
        "70000",
        "6000000000",
        "0.5",
        "2e9",
        "true",
        "[]",
        "[\"a\", \"b\"]",
    ];
    let schema = schema();
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let folder = tempfile::tempdir().expect("a folder");
    let mut refused = 0;
    for (section, keys) in schema["properties"].as_object().expect("sections") {
        // Every key of the section at once: the program notes what is wrong with each.
        for value in VALUES {
            let names = keys["properties"].as_object().expect("keys").keys();
            // A secret and its file contradict each other.
            let names: Vec<&String> = names.filter(|name| *name != "statuses" && !name.ends_with("_file")).collect();
            let lines: Vec<String> = names.iter().map(|name| format!("{name} = {value}")).collect();
            let text = format!("[{section}]\n{}\n", lines.join("\n"));
            let path = folder.path().join("settings.toml");
            fs::write(&path, &text).expect("a file");
            let output = run(&["check", "--config", path.to_str().expect("text")], &[]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            for name in names {
                let settings: toml::Table = format!("[{section}]\n{name} = {value}\n").parse().expect("TOML");
                if !validator.is_valid(&serde_json::json!(settings)) {
                    refused += 1;
                    assert!(said.contains(&format!("error: {section}.{name}: ")), "{section}.{name} = {value}: {said}");
                }
            }
        }
    }
    assert!(refused > 300, "{refused} refusals show little");
}

#[test]
fn the_settings_in_effect_are_printed_with_their_origins_and_without_their_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.toml");
    fs::write(&path, "[amqp]\nurl = \"amqp://worker:hunter2@rabbit/%2f\"\n[s3]\nbuckets = [\"kyc-uploads\"]\n")
        .expect("a file");
    let path = path.to_str().expect("text");
    let secrets = [("VIDEOSDK_API_KEY", "hunter2-key"), ("VIDEOSDK_SECRET", "hunter2-secret")];
    let environment = [secrets[0], secrets[1], ("ANTISPOOFD__WORKER__CONCURRENCY", "4"), ("HOSTNAME", "worker-0")];
    let arguments = ["config", "print", "--config", path, "--set", "api.statuses.418=api_forbidden"];

    let output = run(&arguments, &environment);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("hunter2"), "{text}");
    let line =
        |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}"));
    assert_eq!(line("concurrency"), "concurrency = 4  # environment variable ANTISPOOFD__WORKER__CONCURRENCY");
    assert_eq!(line("buckets"), format!("buckets = [\"kyc-uploads\"]  # {path}:4:11"));
    assert_eq!(line("secret "), "secret = \"***\"  # environment variable VIDEOSDK_SECRET");
    assert_eq!(line("418"), "418 = \"api_forbidden\"  # flag --set api.statuses.418");
    assert_eq!(line("timeout"), "timeout = \"30s\"  # default");
    let settings: toml::Table = text.parse().expect("what is printed is TOML");
    assert_eq!(settings["amqp"]["url"].as_str(), Some("amqp://***@rabbit/%2f"));
    assert_eq!(settings["api"]["statuses"]["429"].as_str(), Some("api_rate_limited"));

    let output = run(&[&arguments[..], &["--json"]].concat(), &environment);
    let rows: BTreeMap<String, Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(rows["worker.concurrency"]["value"], 4);
    assert_eq!(rows["s3.buckets"]["value"], serde_json::json!(["kyc-uploads"]));
    assert_eq!(rows["s3.region"]["origin"], "default");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("hunter2"));
}

#[test]
fn what_can_be_read_is_printed_beside_the_problems() {
    let arguments = ["config", "print", "--set", "worker.concurrency=0", "--set", "s3.region=eu-central-1"];
    let output = run(&arguments, &[]);
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(78), "{said}");
    for problem in ["error: worker.concurrency: 0 is out of bounds", "error: s3.buckets: ", "error: api.api_key: "] {
        assert!(said.contains(problem), "{problem}: {said}");
    }
    assert!(printed.contains("region = \"eu-central-1\"  # flag --set s3.region\n"), "{printed}");
    let printed: toml::Table = printed.parse().expect("TOML");
    assert!(printed["worker"].get("drain_timeout").is_some() && printed["worker"].get("concurrency").is_none());

    let output = run(&[&arguments[..], &["--json"]].concat(), &[]);
    assert_eq!(output.status.code(), Some(78));
    let rows: BTreeMap<String, Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(rows["s3.region"]["value"], "eu-central-1");
    assert!(!rows.contains_key("worker.concurrency") && !rows.contains_key("s3.buckets"));
}

/// A metric as `/metrics` serves it, or as docs/metrics.md lists it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Metric {
    kind: String,
    /// The values of each label.
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn served() -> BTreeMap<String, Metric> {
    let metrics = Metrics::new();
    metrics.broker_is("of the broker", "of the broker");
    let page = metrics.render().expect("it can be put into words");
    let mut all = BTreeMap::new();
    let mut current = (String::new(), String::new());
    for line in page.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            current = (name.to_owned(), kind.to_owned());
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let series = line.rsplit_once(' ').expect("a value").0;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let (family, kind) = &current;
        // The series of a histogram are listed as one.
        let name = if kind == "histogram" { family } else { name };
        let metric: &mut Metric = all.entry(name.to_owned()).or_default();
        metric.kind.clone_from(kind);
        for label in labels.trim_end_matches('}').split_terminator(',') {
            let (label, value) = label.split_once('=').expect("a label has a value");
            metric.labels.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
        }
    }
    all
}

fn documented(page: &str) -> BTreeMap<String, Metric> {
    let buckets = |of: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("Buckets of {of}: "))).expect("a line");
        quoted(line).into_iter().chain(["+Inf".to_owned()]).collect::<BTreeSet<String>>()
    };
    let rows =
        page.lines().filter(|line| ["| `antispoofd_", "| `process_"].iter().any(|start| line.starts_with(start)));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else { panic!("four cells: {row}") };
        assert!(meaning.len() > 3, "{row}");
        let name = quoted(name).remove(0);
        let mut metric = Metric { kind: kind.to_owned(), ..Metric::default() };
        if kind == "histogram" {
            let unit = if name.ends_with("_seconds") { "seconds" } else { "bytes" };
            metric.labels.insert("le".to_owned(), buckets(unit));
        } else if labels.contains(" = ") {
            for (label, values) in labels.split("; ").filter_map(|label| label.split_once(" = ")) {
                let values = match values {
                    "any failure code" => Code::ALL.iter().map(|code| code.name().to_owned()).collect(),
                    values => quoted(values).into_iter().collect(),
                };
                metric.labels.insert(quoted(label).remove(0), values);
            }
        } else if let Some((names, _)) = labels.split_once(": ") {
            let built_in = quoted(row)[0] == "antispoofd_build_info";
            let values = |name: &str| match name {
                "version" if built_in => env!("CARGO_PKG_VERSION").to_owned(),
                _ => "of the broker".to_owned(),
            };
            metric.labels.extend(quoted(names).into_iter().map(|name| (name.clone(), BTreeSet::from([values(&name)]))));
        }
        (name, metric)
    })
    .collect()
}

#[test]
fn every_metric_is_documented_as_it_is_served() {
    let (served, documented) = (served(), documented(&file("docs/metrics.md")));
    let names = |metrics: &BTreeMap<String, Metric>| metrics.keys().cloned().collect::<Vec<String>>();
    assert_eq!(names(&documented), names(&served));
    for (name, metric) in &served {
        assert_eq!(documented[name], *metric, "{name}");
    }
    assert!(served.len() > 25, "{} metrics", served.len());
}

/// What `promtool check metrics` (2.42) finds fault with, as far as a page like this one can have it.
fn faults(page: &str) -> Vec<String> {
    const TYPES: [&str; 5] = ["counter", "gauge", "histogram", "summary", "untyped"];
    /// Parts of a name that are a unit and not the base unit of its kind, which are seconds, bytes and ratios; abbreviations; types.
    const PARTS: [&str; 24] = [
        "ms",
        "us",
        "ns",
        "sec",
        "secs",
        "s",
        "milliseconds",
        "microseconds",
        "nanoseconds",
        "minutes",
        "hours",
        "days",
        "kb",
        "mb",
        "kib",
        "mib",
        "kilobytes",
        "megabytes",
        "percent",
        "bits",
        "counter",
        "gauge",
        "histogram",
        "summary",
    ];

    let mut faults = Vec::new();
    let (mut helped, mut typed) = (BTreeMap::new(), BTreeMap::new());
    for line in page.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, text] => {
                if text.trim().is_empty() || helped.insert(name.to_owned(), text).is_some() {
                    faults.push(format!("no help, or two: {line}"));
                }
            }
            ["#", "TYPE", name, kind] => {
                if !TYPES.contains(&kind) || typed.insert(name.to_owned(), kind.to_owned()).is_some() {
                    faults.push(format!("no type, or two: {line}"));
                }
                let parts: Vec<&str> = name.split('_').collect();
                if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                    || parts.contains(&"")
                {
                    faults.push(format!("snake_case and no colon: {line}"));
                }
                if parts.iter().any(|part| PARTS.contains(part)) {
                    faults.push(format!("another unit, an abbreviation or a type in the name: {line}"));
                }
                if (kind == "counter") != name.ends_with("_total") {
                    faults.push(format!("_total is for counters, and counters have it: {line}"));
                }
                if ["_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end)) {
                    faults.push(format!("that is for a series of a histogram: {line}"));
                }
                if !helped.contains_key(name) {
                    faults.push(format!("no help before it: {line}"));
                }
            }
            _ if line.starts_with('#') => faults.push(format!("of another format: {line}")),
            _ => {
                let series = line.split(['{', ' ']).next().unwrap_or_default();
                let of_histogram = ["_bucket", "_count", "_sum"].iter().filter_map(|end| series.strip_suffix(end));
                let mut families =
                    of_histogram.filter(|family| typed.get(*family).is_some_and(|kind| kind == "histogram"));
                let known = families.next().is_some() || typed.get(series).is_some_and(|kind| kind != "histogram");
                if !known {
                    faults.push(format!("of no family: {line}"));
                }
                let value = line.rsplit(' ').next().unwrap_or_default();
                if value.parse::<f64>().is_err() {
                    faults.push(format!("no number: {line}"));
                }
            }
        }
    }
    faults
}

#[test]
fn the_metrics_are_as_promtool_wants_them() {
    let metrics = Metrics::new();
    metrics.broker_is("RabbitMQ", "4.3.6");
    metrics.job_duration.observe(0.2);
    let page = metrics.render().expect("it can be put into words");
    assert_eq!(faults(&page), Vec::<String>::new(), "{page}");
    // And it sees what it is for.
    for (page, fault) in [
        ("# HELP a_build A.\n# TYPE a_build info\na_build_info 1\n", "no type"),
        ("# HELP a A.\n# TYPE a counter\na_total 0\n", "counters have it"),
        ("# HELP a_ms A.\n# TYPE a_ms gauge\na_ms 0\n", "another unit"),
        ("a_total 0\n", "of no family"),
        ("# EOF\n", "another format"),
    ] {
        assert!(faults(page).iter().any(|found| found.contains(fault)), "{page}: {:?}", faults(page));
    }
}

/// Whether a source file below `folder` has `text` in it.
fn in_sources(folder: &str, text: &str) -> bool {
    fs::read_dir(folder).expect("a folder").any(|entry| {
        let path = entry.expect("an entry").path();
        let name = path.to_str().expect("text");
        if path.is_dir() { in_sources(name, text) } else { file(name).contains(text) }
    })
}

#[test]
fn what_to_do_is_said_of_every_alert_and_code_in_the_programs_own_words() {
    const LINES: [&str; 11] = [
        "nothing is consumed until ",
        "what closed the gate is over: consuming again",
        "the API refuses the token and its clock differs",
        "the result is held",
        "nothing is paid for until it is back",
        "an earlier call may have been paid for",
        "times without an end: it is run with nothing beside it",
        "a confirm of the broker is late",
        "but others are not: calls go on",
        "the broker blocks publishing",
        "cannot reach the broker, trying again",
    ];
    let alert_page = file("docs/alerts.md") + &file("docs/alerts-jobs.md");
    let page = format!("{alert_page}\n{}", file("docs/faults.md"));
    let rules = file("deploy/helm/antispoofd/templates/prometheusrule.yaml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 5, "{alerts:?}");
    for alert in alerts {
        assert!(alert_page.contains(&format!("\n## {alert}\n")), "{alert}");
    }
    // Nothing is parked, and no gate closed, with this code: it is what a verdict waits for.
    for code in Code::ALL.iter().filter(|code| **code != Code::BrokerUnavailable) {
        let named = |line: &str| line.split(" | ").next().is_some_and(|cell| quoted(cell).contains(&code.to_string()));
        assert!(page.lines().any(|line| line.starts_with("| `") && named(line)), "{code}");
    }
    for line in LINES {
        assert!(page.contains(line), "{line:?} is not quoted");
        assert!(in_sources("src", line), "{line:?} is not what the program says");
    }
}
