//! Help, completions, manual pages, wrong usage.

use super::*;

#[test]
fn help_and_version_go_to_stdout_and_are_no_error() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["run", "--help"],
        &["submit", "--help"],
        &["watch", "-h"],
        &["token", "--help"],
        &["health", "--help"],
        &["simulate", "--help"],
        &["check", "--help"],
        &["config", "print", "--help"],
        &["topology", "apply", "--help"],
    ] {
        let output = run(arguments, &[]);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
}

/// Every command, and those that have commands below them with these.
const COMMANDS: [(&str, &[&str]); 14] = [
    ("run", &[]),
    ("check", &[]),
    ("config", &["print", "schema", "reference"]),
    ("topology", &["print", "check", "apply"]),
    ("submit", &[]),
    ("watch", &[]),
    ("token", &[]),
    ("health", &[]),
    ("log-level", &[]),
    ("parked", &["list", "show", "replay", "export", "import", "purge"]),
    ("status", &[]),
    ("simulate", &[]),
    ("completions", &[]),
    ("man", &[]),
];

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell], &[]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let script = stdout(&output);
        for (command, below) in COMMANDS {
            for name in [&[command], below].concat() {
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
        assert!(script.contains("--id-prefix") || script.contains("id-prefix"), "{shell}");
    }
    // Nothing that bash could not read.
    let script = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(script.path(), run(&["completions", "bash"], &[]).stdout).expect("written");
    let read = Command::new("bash").arg("-n").arg(script.path()).output().expect("bash can be run");
    assert!(read.status.success() && read.stderr.is_empty(), "{}", stderr(&read));
    assert_eq!(run(&["completions", "tcsh"], &[]).status.code(), Some(64));
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let page = stdout(&run(&["man"], &[]));
    assert!(page.contains(".TH ANTISPOOFD 1") && page.contains("antispoofd\\-submit(1)"), "{page}");
    let below = stdout(&run(&["man", "topology", "check"], &[]));
    assert!(below.contains("\\-\\-management"), "{below}");
    let unknown = run(&["man", "topology", "fly"], &[]);
    assert_eq!((unknown.status.code(), stderr(&unknown).contains("there are print, check, apply")), (Some(64), true));

    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("man1");
    let written = run(&["man", "--output", pages.to_str().expect("text")], &[]);
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    let below =
        COMMANDS.iter().flat_map(|(command, below)| below.iter().map(move |below| format!("{command}-{below}")));
    let names = COMMANDS.iter().map(|(command, _)| (*command).to_owned()).chain(below);
    let mut expected: Vec<String> =
        names.map(|name| format!("antispoofd-{name}.1")).chain(["antispoofd.1".to_owned()]).collect();
    let entries = std::fs::read_dir(&pages).expect("a folder");
    let mut found: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn wrong_usage_is_64_and_says_so_on_stderr() {
    for (arguments, why) in [
        (&[][..], "Usage"),
        (&["fly"], "fly"),
        (&["submit"], "required"),
        (&["submit", "bucket/key"], "write s3://BUCKET/KEY"),
        (&["submit", "s3://bucket/"], "--prefix s3://bucket/"),
        (&["submit", "s3://bucket/k", "--timeout", "1m"], "--wait"),
        (&["submit", "s3://bucket/k", "--metadata", "[]"], "--metadata: not a JSON object"),
        (&["submit", "s3://bucket/k", "--id-prefix", "a b"], "--id-prefix"),
        (&["submit", "--from", "/nowhere/list"], "--from /nowhere/list"),
        (&["submit", "--upload", "/nowhere/face.jpg", "--to", "s3://bucket/"], "--upload /nowhere/face.jpg"),
        (&["submit", "--upload", "/", "--to", "s3://bucket/"], "is a directory"),
        (&["submit", "--upload", "/dev/null"], "write --to s3://BUCKET/PREFIX/"),
        (&["watch", "--outcome", "maybe"], "maybe"),
        (&["config"], "Usage"),
        (&["config", "show"], "show"),
        (&["topology", "delete"], "delete"),
        (&["check", "--connected"], "--connect"),
        (&["--set", "api.secret:hunter2", "health"], "has no \"=\""),
    ] {
        let output = run(arguments, &[]);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(why), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", stdout(&output));
        assert!(!stderr(&output).contains("hunter2"), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_closed_stdout_ends_quietly() {
    for arguments in [&["token"][..], &["simulate", "--no-auth", "--listen", "127.0.0.1:0"], &["--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = antispoofd(arguments, &KEYS);
        let child = command.stdout(writer).stderr(Stdio::piped()).spawn().expect("the program starts");
        // Its copy of the pipe would keep it open.
        drop(command);
        let output = child.wait_with_output().expect("it ends");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("error"), "{arguments:?}: {said}");
    }
}
