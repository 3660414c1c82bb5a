//! The gate on instruction counts, on figures that are written here: it names what has grown. `make check` counts and compares for real.

use std::fs;
use std::path::Path;
use std::process::Command;

const BASELINE: &str = include_str!("../benches/instructions.toml");

struct Compared {
    passed: bool,
    table: String,
    said: String,
}

/// As callgrind writes it: names are written out once, and what a call costs altogether stands behind `calls=`.
const DUMP: &str = "\
version: 1
events: Ir
summary: 1234

ob=(1) /target/instructions-0123
fl=(1) a.rs
fn=(1) part
12 100
+3 20
cob=(2) /lib/libc.so.6
cfn=(2) malloc
calls=3 0
* 900
cob=(2)
cfn=(3) free
calls=3 0
-1 600
fn=(4) other
7 5
cob=(2)
cfn=(2)
calls=1 0
+2 300

ob=(2)
fn=(2)
0 1200
fn=(3)
0 600
ob=(1)
fn=(1)
40 1
";

/// Holds figures against a baseline.
fn compared(baseline: &str, figures: &str) -> Compared {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("it is written");
        path
    };
    let output = Command::new("scripts/instructions")
        .arg("--baseline")
        .arg(file("baseline.toml", baseline))
        .arg("--compare")
        .arg(file("figures.toml", figures))
        .output()
        .expect("the script runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Compared { passed: output.status.success(), table: text(output.stdout), said: text(output.stderr) }
}

/// Instructions and allocations of a part.
fn figures(text: &str, part: &str) -> (u64, String) {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{part} = "))).expect("the part");
    let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    (words[3].parse().expect("a number"), words[6].to_owned())
}

/// The same with other figures of one part.
fn with(text: &str, part: &str, instructions: u64, allocations: &str) -> String {
    let lines = text.lines().map(|line| {
        if line.starts_with(&format!("{part} = ")) {
            format!("{part} = {{ instructions = {instructions}, allocations = {allocations} }}\n")
        } else {
            format!("{line}\n")
        }
    });
    lines.collect()
}

fn without(text: &str, part: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with(part)).collect()
}

#[test]
fn the_baseline_passes_against_itself_in_silence() {
    let same = compared(BASELINE, BASELINE);
    assert!(same.passed && same.said.is_empty(), "{}", same.said);
    assert!(same.table.contains("job_verdict"), "{}", same.table);
}

#[test]
fn a_part_that_takes_more_instructions_fails_and_is_named() {
    let (now, allocations) = figures(BASELINE, "job_verdict");
    let before = now * 9 / 10;
    let grown = compared(&with(BASELINE, "job_verdict", before, &allocations), BASELINE);
    assert!(!grown.passed, "{}", grown.table);
    let said = format!("job_verdict has grown: {now} instructions an iteration, {before} in the baseline: 11.1 % up");
    assert!(grown.said.contains(&said), "{}", grown.said);
    assert!(grown.said.contains("scripts/instructions --update"), "{}", grown.said);
    assert_eq!(grown.said.matches("has grown").count(), 1, "{}", grown.said);
}

#[test]
fn five_percent_are_accepted_and_a_little_more_is_not() {
    let (before, allocations) = figures(BASELINE, "decode_job");
    let figures = |now| with(BASELINE, "decode_job", now, &allocations);
    assert!(compared(BASELINE, &figures(before * 1049 / 1000)).passed);
    assert!(!compared(BASELINE, &figures(before * 1052 / 1000)).passed);
}

#[test]
fn one_more_allocation_fails_and_a_hash_map_that_grew_elsewhere_does_not() {
    let baseline = with(BASELINE, "decode_job", 29_000, "10.00");
    let more = compared(&baseline, &with(BASELINE, "decode_job", 29_000, "11.00"));
    let said = "decode_job has grown: 11.00 allocations an iteration, 10.00 in the baseline: 10.0 % up";
    assert!(!more.passed && more.said.contains(said), "{}", more.said);
    let none = with(BASELINE, "read_verdict", 4_000, "0.00");
    let first = compared(&none, &with(BASELINE, "read_verdict", 4_000, "1.00"));
    assert!(!first.passed && first.said.contains("read_verdict has grown: 1.00 allocations"), "{}", first.said);
    assert!(compared(&none, &with(BASELINE, "read_verdict", 4_000, "0.03")).passed);
}

#[test]
fn a_part_that_takes_less_passes_and_tells_how_to_hold_it() {
    let (now, allocations) = figures(BASELINE, "make_event");
    let shrunk = compared(&with(BASELINE, "make_event", now * 2, &allocations), BASELINE);
    assert!(shrunk.passed, "{}", shrunk.said);
    assert!(shrunk.said.contains("make_event has shrunk") && shrunk.said.contains("50.0 % down"), "{}", shrunk.said);
    assert!(shrunk.said.contains("scripts/instructions --update"), "{}", shrunk.said);
}

#[test]
fn a_part_that_is_on_one_side_only_fails() {
    let fewer = without(BASELINE, "log_line");
    let new = compared(&fewer, BASELINE);
    assert!(!new.passed && new.said.contains("log_line is not in the baseline"), "{}", new.said);
    let gone = compared(BASELINE, &fewer);
    assert!(!gone.passed && gone.said.contains("log_line is in the baseline and was not counted"), "{}", gone.said);
    let nothing = compared("", "");
    assert!(!nothing.passed && nothing.said.contains("nothing was counted"), "{}", nothing.said);
}

#[test]
fn another_compiler_is_named_where_a_part_has_grown() {
    let (now, allocations) = figures(BASELINE, "job_parked");
    let baseline =
        with(BASELINE, "job_parked", now / 2, &allocations).replace("rustc = \"rustc 1.", "rustc = \"rustc 0.");
    let grown = compared(&baseline, BASELINE);
    assert!(!grown.passed, "{}", grown.table);
    assert!(
        grown.said.contains("the baseline is of rustc 0.") && grown.said.contains("this is of rustc 1."),
        "{}",
        grown.said
    );
}

#[test]
fn a_dump_is_read_for_the_program_s_own_instructions_and_the_calls_of_the_allocator() {
    let folder = tempfile::tempdir().expect("a folder");
    let dump = folder.path().join("dump");
    fs::write(&dump, DUMP).expect("it is written");
    let mut awk = Command::new("awk");
    awk.args(["-v", "PROGRAM=/target/instructions-0123", "-f", "scripts/lib/callgrind.awk"]).arg(dump);
    let output = awk.output().expect("awk runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "126 1800 4\n");
}

#[test]
fn what_it_does_not_know_is_wrong_usage() {
    for arguments in [["--quick"], ["--compare"]] {
        let output = Command::new("scripts/instructions").args(arguments).output().expect("the script runs");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
    }
    assert!(Path::new("benches/instructions/main.rs").exists(), "where its text says that the parts are");
}
