//! A panic is a line of a JSON log. It needs a process of its own: the log is the process's, and so is what is done about a panic.

use std::process::Command;

use antispoofd::settings::{Needs, Sources, load_for};
use antispoofd::telemetry::logs::{self, LastLines};
use serde_json::Value;

/// Set for the process that panics.
const CHILD: &str = "ANTISPOOF_TEST_PANICS";

#[test]
fn a_panic_is_a_line_of_a_json_log() {
    if std::env::var_os(CHILD).is_some() {
        return panic_beside_a_log();
    }
    let test = std::env::current_exe().expect("a program knows where it is");
    let mut child = Command::new(test);
    child
        .args(["--exact", "a_panic_is_a_line_of_a_json_log", "--nocapture"])
        .env(CHILD, "1")
        .env("RUST_BACKTRACE", "1");
    let output = child.output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).expect("text");
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {said}"));
    let lines: Vec<Value> = said.lines().map(read).collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert_eq!((&lines[0]["level"], &lines[0]["target"]), (&"ERROR".into(), &"antispoofd".into()), "{said}");
    let message = lines[0]["message"].as_str().expect("text");
    assert!(
        message.starts_with("thread 'doomed' panicked at tests/panics.rs:") && message.ends_with(": of 7"),
        "{said}"
    );
    assert!(lines[0]["backtrace"].as_str().is_some_and(|frames| frames.contains("panic_beside_a_log")), "{said}");
    assert_eq!(lines[1]["message"], "a last word");
}

fn panic_beside_a_log() {
    let overrides = vec![("log.format".to_owned(), "json".to_owned())];
    let loaded = load_for(Needs::Client, Sources { overrides, ..Sources::default() });
    let settings = loaded.unwrap_or_else(|problems| panic!("{problems}")).settings;
    let _last_lines = LastLines;
    logs::install(&settings.log).expect("there is no other");
    let doomed = std::thread::Builder::new().name("doomed".to_owned());
    let ended = doomed.spawn(|| panic!("of {}", 3 + 4)).expect("a thread").join();
    assert!(ended.is_err());
    assert!(logs::say("a last word"));
}
