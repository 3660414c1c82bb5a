//! The pages that are generated from the settings are what the program prints; `make generate` writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output};

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
fn settings_that_are_not_sound_are_not_printed() {
    let output = run(&["config", "print", "--set", "worker.concurrency=0"], &[]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: worker.concurrency: 0 is out of bounds"));
}
