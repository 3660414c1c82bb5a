//! The program as a process, as far as it goes without any service: usage, exit codes, what is on which stream.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

/// The program with no environment but this.
fn antispoofd(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_antispoofd"));
    command.args(arguments).env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
    command.envs(environment.iter().copied()).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    antispoofd(arguments, environment).output().expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const KEYS: [(&str, &str); 2] =
    [("VIDEOSDK_API_KEY", "the-api-key"), ("VIDEOSDK_SECRET", "0123456789abcdef0123456789abcdef")];

/// A port where nobody answers, and the setting that sends the broker's clients there.
fn nobody() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("amqp://guest:hunter2@{}/%2f", listener.local_addr().expect("it is bound"));
    (listener, url)
}

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
const COMMANDS: [(&str, &[&str]); 11] = [
    ("run", &[]),
    ("check", &[]),
    ("config", &["print", "schema", "reference"]),
    ("topology", &["print", "check", "apply"]),
    ("submit", &[]),
    ("watch", &[]),
    ("token", &[]),
    ("health", &[]),
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
fn bad_settings_are_78_with_all_that_is_wrong() {
    let output = run(&["run", "--set", "worker.concurrency=0", "--set", "s3.buckets=Bad_Name"], &KEYS);
    assert_eq!(output.status.code(), Some(78));
    let said = stderr(&output);
    assert!(
        said.contains("worker.concurrency") && said.contains("s3.buckets") && said.contains("2 problems"),
        "{said}"
    );
    assert_eq!(run(&["health", "--config", "/nowhere/a.toml"], &[]).status.code(), Some(78));
    assert_eq!(run(&["token"], &[]).status.code(), Some(78));
}

#[test]
fn check_reads_the_settings_as_run_would() {
    let sound = run(&["check", "--set", "s3.buckets=kyc-uploads"], &KEYS);
    assert_eq!(sound.status.code(), Some(0), "{}", stderr(&sound));
    assert_eq!(stdout(&sound), "ok      settings  from 2 variables, 1 flag; else the defaults\n");

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("antispoofd.toml");
    std::fs::write(&file, "[worker]\nconcurency = 4\ndrain_timeout = \"10s\"\n").expect("a file");
    let arguments = |command| [command, "--config", file.to_str().expect("text")];
    let checked = run(&arguments("check"), &[KEYS[0], ("ANTISPOOFD__S3__BUCKETS", "Bad_Name")]);
    assert_eq!((checked.status.code(), stdout(&checked).as_str()), (Some(78), ""));
    let said = stderr(&checked);
    for part in [
        "worker.concurency: there is no such key",
        "antispoofd.toml:2:1\n",
        "\n   | ^^^^^^^^^^\n",
        "did you mean worker.concurrency?",
        "environment variable ANTISPOOFD__S3__BUCKETS",
        "api.secret: is not set although api.api_key is",
        "worker.drain_timeout: 10s is shorter than api.timeout (30s)",
        "4 problems in the settings",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let started = run(&arguments("run"), &[KEYS[0], ("ANTISPOOFD__S3__BUCKETS", "Bad_Name")]);
    assert_eq!(stderr(&started), said, "run says the same");
}

/// The document of `check --json`, with nothing beside it.
fn checked(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, serde_json::Value) {
    let output = run(&[&["check", "--json"], arguments].concat(), environment);
    assert_eq!(stderr(&output), "", "the document says it all");
    (output.status.code(), serde_json::from_slice(&output.stdout).expect("one JSON document"))
}

fn keys(value: &serde_json::Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn a_check_as_json_is_one_document_with_names_that_stay() {
    let (code, sound) = checked(&["--set", "s3.buckets=kyc-uploads"], &KEYS);
    assert_eq!((code, &sound["ok"], &sound["exit_code"]), (Some(0), &true.into(), &0.into()), "{sound}");
    assert_eq!(keys(&sound), ["exit_code", "ok", "probes", "problems", "warnings"]);
    assert_eq!(sound["probes"].as_array().map(Vec::len), Some(1));
    assert_eq!(keys(&sound["probes"][0]), ["hint", "message", "name", "ok", "state"]);
    assert_eq!((&sound["probes"][0]["name"], &sound["probes"][0]["ok"]), (&"settings".into(), &true.into()));

    let flags = ["--set", "worker.concurrency=0", "--set", "amqp.url=amqp://u:hunter2@h"];
    let (code, wrong) = checked(&[&flags[..], &["--connect"]].concat(), &KEYS);
    assert_eq!((code, &wrong["ok"], &wrong["exit_code"]), (Some(78), &false.into(), &78.into()), "{wrong}");
    assert_eq!(wrong["probes"], serde_json::json!([]));
    let problem =
        &wrong["problems"].as_array().expect("a list").iter().find(|one| one["field"] == "worker.concurrency");
    let problem = problem.expect("it is named");
    assert_eq!(keys(problem), ["field", "hint", "message", "origin"]);
    assert_eq!(problem["origin"], "flag --set worker.concurrency");
    assert_eq!((&wrong["warnings"][0]["field"], keys(&wrong["warnings"][0]).len()), (&"amqp.url".into(), 4), "{wrong}");
    assert!(!wrong.to_string().contains("hunter2"));

    let (listener, url) = nobody();
    drop(listener);
    let away = [
        KEYS[0],
        KEYS[1],
        ("ANTISPOOFD__AMQP__URL", url.as_str()),
        ("ANTISPOOFD__S3__ALLOW_ANY_BUCKET", "true"),
        ("ANTISPOOFD__API__URL", "http://127.0.0.1:1/"),
    ];
    let (code, away) = checked(&["--connect"], &away);
    assert_eq!((code, &away["exit_code"]), (Some(69), &69.into()), "{away}");
    let states: Vec<(&str, &str, bool)> = away["probes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|probe| {
            (
                probe["name"].as_str().expect("text"),
                probe["state"].as_str().expect("text"),
                probe["ok"].as_bool().expect("yes or no"),
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            ("settings", "ok", true),
            ("broker", "failed", false),
            ("bucket", "note", true),
            ("ledger", "ok", true),
            ("token", "ok", true),
            ("api", "failed", false)
        ]
    );
}

#[test]
fn a_check_of_what_is_not_there_is_69_in_time() {
    let (listener, url) = nobody();
    drop(listener);
    let settings = [
        KEYS[0],
        KEYS[1],
        ("ANTISPOOFD__AMQP__URL", url.as_str()),
        ("ANTISPOOFD__S3__ALLOW_ANY_BUCKET", "true"),
        ("ANTISPOOFD__API__URL", "http://127.0.0.1:1/"),
    ];
    let output = run(&["check", "--connect"], &settings);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(69), "{said}");
    for part in ["failed  broker ", "note    bucket ", "ok      ledger ", "ok      token ", "failed  api "] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("hunter2") && said.matches("= help: ").count() == 2, "{said}");
}

#[test]
fn missing_credentials_for_the_bucket_are_named() {
    let endpoint = ("ANTISPOOFD__S3__ENDPOINT_URL", "http://127.0.0.1:1");
    let output = run(
        &["check", "--connect", "--set", "s3.buckets=kyc-uploads"],
        &[KEYS[0], KEYS[1], endpoint, ("ANTISPOOFD__API__URL", "http://127.0.0.1:1/")],
    );
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(
        said.contains("no AWS credentials: none were found anywhere in the AWS chain; set AWS_ACCESS_KEY_ID"),
        "{said}"
    );
}

#[test]
fn the_topology_is_printed_without_a_broker() {
    let output = run(&["topology", "print", "--set", "amqp.prefix=kyc", "--set", "retry.delays=30s"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let definitions: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let names: Vec<&str> =
        definitions["queues"].as_array().expect("queues").iter().filter_map(|queue| queue["name"].as_str()).collect();
    assert_eq!(names, ["kyc.jobs", "kyc.dead", "kyc.parked", "kyc.retry.30s"]);
    assert_eq!(definitions["queues"][0]["vhost"], "/");
}

#[test]
fn a_log_filter_that_is_none_is_a_bad_setting_wherever_it_stands() {
    for (command, environment, place) in [
        ("run", ("RUST_LOG", "chatty"), "environment variable RUST_LOG"),
        ("run", ("RUST_LOG", "info,a=b=c"), "environment variable RUST_LOG"),
        ("watch", ("RUST_LOG", "chatty"), "environment variable RUST_LOG"),
        ("run", ("ANTISPOOFD__LOG__LEVEL", "chatty"), "environment variable ANTISPOOFD__LOG__LEVEL"),
    ] {
        let output = run(&[command, "--set", "s3.buckets=b-1"], &[KEYS[0], KEYS[1], environment]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(78), "{environment:?}: {said}");
        assert!(said.contains("error: log.level: ") && said.contains(place), "{environment:?}: {said}");
    }
}

#[test]
fn a_broker_that_is_not_there_is_69_and_the_password_is_not_said() {
    let (listener, url) = nobody();
    drop(listener);
    for arguments in [&["submit", "s3://bucket/key"][..], &["watch"]] {
        let output = run(arguments, &[("ANTISPOOFD__AMQP__URL", &url)]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(69), "{arguments:?}: {said}");
        assert!(said.contains("connect to the broker") && said.contains("hint: "), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert_eq!(said.lines().count(), 2, "one line of why, one of hint: {said}");
    }
}

#[test]
fn a_broker_that_says_nothing_is_69_in_time() {
    let (_listener, url) = nobody();
    let limit = ("ANTISPOOFD__AMQP__CONNECT_TIMEOUT", "200ms");
    let output = run(&["watch"], &[("ANTISPOOFD__AMQP__URL", &url), limit]);
    assert_eq!(output.status.code(), Some(69), "{}", stderr(&output));
    assert!(stderr(&output).contains("amqp.connect_timeout"), "{}", stderr(&output));
}

#[test]
fn the_token_alone_is_on_stdout() {
    let output = run(&["token"], &KEYS);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let token = stdout(&output);
    assert_eq!(token.lines().count(), 1);
    assert_eq!(token.trim_end().split('.').count(), 3, "{token}");
    let said = stderr(&output);
    assert!(said.contains("exp: ") && said.contains("(in 30m)") && said.contains("roles: [\"crawler\"]"), "{said}");
    assert!(!said.contains("the-api-key") && !said.contains(token.trim_end()), "{said}");
}

#[test]
fn a_ready_made_token_is_decoded() {
    // {"exp":1} with nothing that would verify.
    let expired = ("ANTISPOOFD__API__TOKEN", "e30.eyJleHAiOjF9.AAAA");
    let output = run(&["token"], &[expired]);
    assert_eq!((output.status.code(), stdout(&output).trim_end()), (Some(0), expired.1));
    let said = stderr(&output);
    assert!(said.contains("1970-01-01T00:00:01Z") && said.contains("has expired"), "{said}");
}

#[test]
fn a_token_that_has_expired_keeps_the_worker_from_starting() {
    let arguments = ["--set", "s3.buckets=kyc-uploads"];
    let expired = ("ANTISPOOFD__API__TOKEN", "e30.eyJleHAiOjF9.AAAA");
    for command in ["run", "check"] {
        let output = run(&[&[command][..], &arguments].concat(), &[expired]);
        let said = stderr(&output);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(78), ""), "{command}: {said}");
        for part in
            ["error: api.token: has expired: 1970-01-01T00:00:01Z (", "ANTISPOOFD__API__TOKEN", "api.secret instead"]
        {
            assert!(said.contains(part), "{command}: {part}: {said}");
        }
        assert!(!said.contains(expired.1), "{said}");
    }

    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), expired.1).expect("written");
    let named = format!("api.token_file={}", file.path().display());
    let output = run(&[&["check", "--set", &named][..], &arguments].concat(), &[]);
    assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
    assert!(stderr(&output).contains("until the file holds another"), "{}", stderr(&output));
    assert!(stdout(&output).contains("failed  token     api.token (secret file "), "{}", stdout(&output));
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

#[test]
fn health_is_yes_no_or_no_answer() {
    let ask = |answer: Option<&'static str>| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let server = answer.map(|answer| {
            let listener = listener.try_clone().expect("a socket can be cloned");
            std::thread::spawn(move || {
                let (mut socket, _) = listener.accept().expect("it is asked");
                let mut request = [0; 1024];
                let read = std::io::Read::read(&mut socket, &mut request).expect("a request");
                socket.write_all(answer.as_bytes()).expect("an answer");
                String::from_utf8_lossy(&request[..read]).into_owned()
            })
        });
        if server.is_none() {
            drop(listener);
        }
        let output = run(&["health", "--ready"], &[("ANTISPOOFD__ADMIN__LISTEN", &address)]);
        let asked = server.map(|server| server.join().expect("the server ends")).unwrap_or_default();
        (output.status.code(), stderr(&output), asked)
    };
    let (code, said, asked) = ask(Some("HTTP/1.1 200 OK\r\n\r\nok\n"));
    assert_eq!((code, asked.starts_with("GET /readyz ")), (Some(0), true), "{said}");
    let (code, said, _) = ask(Some("HTTP/1.1 503 Service Unavailable\r\n\r\n[-]amqp-connected failed\n"));
    assert_eq!(
        (code, said.contains("503: [-]amqp-connected failed"), said.lines().count()),
        (Some(1), true, 1),
        "{said}"
    );
    let (code, said, _) = ask(None);
    assert_eq!((code, said.contains("not ready"), said.lines().count()), (Some(1), true, 1), "{said}");
}

#[test]
fn what_keeps_a_worker_from_starting_is_said_with_its_remedy() {
    let (taken, broker) = nobody();
    let admin = format!("admin.listen={}", taken.local_addr().expect("it is bound"));
    let broker = format!("amqp.url={broker}");
    for (settings, what, remedy) in [
        (&["--set", &admin][..], "listen on admin.listen", "another process has this port"),
        (&["--set", "admin.listen=192.0.2.1:9464"], "listen on admin.listen", "this machine has no such address"),
        (
            &["--set", "admin.listen=127.0.0.1:0", "--set", "ledger.backend=file", "--set", "ledger.path=/proc/ledger"],
            "open ledger.path = /proc/ledger",
            "let the user that runs antispoofd write",
        ),
    ] {
        let arguments = [&["run", "--set", "s3.buckets=uploads", "--set", &broker], settings].concat();
        let output = run(&arguments, &KEYS);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(what) && said.contains(remedy), "{said}");
    }
}

/// Each line of stderr as the object that it is.
fn log(output: &Output) -> Vec<serde_json::Value> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    stderr(output).lines().map(read).collect()
}

#[test]
fn a_json_log_is_json_to_its_last_line() {
    let (taken, broker) = nobody();
    let admin = format!("admin.listen={}", taken.local_addr().expect("it is bound"));
    let broker = format!("amqp.url={broker}");
    let settings = ["run", "--set", "s3.buckets=uploads", "--set", "log.format=json", "--set", &broker];

    // With a warning about the settings first, and the error that ends it last.
    let output = run(&[&settings[..], &["--set", &admin]].concat(), &KEYS);
    let lines = log(&output);
    assert_eq!(output.status.code(), Some(1), "{lines:?}");
    let (first, last) = (&lines[0], lines.last().expect("it says why"));
    assert_eq!((&first["level"], &first["key"]), (&"WARN".into(), &"amqp.url".into()), "{first}");
    assert_eq!(
        (&last["level"], &last["exit_code"], &last["target"]),
        (&"ERROR".into(), &1.into(), &"antispoofd".into()),
        "{last}"
    );
    assert!(last["message"].as_str().is_some_and(|message| message.starts_with("listen on admin.listen")), "{last}");
    assert!(last["hint"].as_str().is_some_and(|hint| hint.contains("another process has this port")), "{last}");
    // Whatever the level of the log is.
    let output = run(&[&settings[..], &["--set", &admin, "--set", "log.level=off"]].concat(), &KEYS);
    assert!(log(&output).iter().any(|line| line["exit_code"] == 1), "{}", stderr(&output));

    // Problems of the settings: a line each.
    let output = run(&[&settings[..], &["--set", "worker.concurrency=0"]].concat(), &[KEYS[0]]);
    let lines = log(&output);
    assert_eq!((output.status.code(), lines.len()), (Some(78), 3), "{lines:?}");
    for (line, level, key) in [(0, "ERROR", "api.secret"), (1, "ERROR", "worker.concurrency"), (2, "WARN", "amqp.url")]
    {
        let line = lines.iter().find(|line| line["key"] == key).unwrap_or_else(|| panic!("{line}: {key}: {lines:?}"));
        assert_eq!(line["level"], level, "{line}");
        assert!(line["origin"].is_string() && line["hint"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    // With the format itself unknown, or left to the program, they are for people.
    for format in ["log.format=xml", "log.format=auto"] {
        let output = run(&["run", "--set", format], &[]);
        assert_eq!(output.status.code(), Some(78));
        assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_of_the_write() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, code) in [("config reference >out", 1), ("--help >out", 0), ("fly 2>out", 64), ("run 2>out", 78)] {
        let script = format!("ulimit -f 0; exec \"$0\" {arguments}");
        let mut bash = Command::new("bash");
        bash.args(["-c", &script, env!("CARGO_BIN_EXE_antispoofd")]).current_dir(folder.path()).env_clear();
        let output = bash.output().expect("bash can be run");
        assert_eq!(output.status.code(), Some(code), "{arguments}: {} {}", output.status, stderr(&output));
        if code == 1 {
            assert!(stderr(&output).contains("write to stdout: File too large"), "{}", stderr(&output));
        }
    }
}

#[test]
fn a_pipe_is_read_as_long_as_somebody_writes_to_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo can be run");
    assert!(made.success());
    let pipe = pipe.to_str().expect("a plain path");
    // Nobody opens it for writing.
    let secret = format!("api.secret_file={pipe}");
    for arguments in [&["check", "--set", "s3.buckets=uploads", "--set", &secret][..], &["check", "--config", pipe]] {
        let output = run(arguments, &[("VIDEOSDK_API_KEY", "the-api-key")]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains("did not come to an end within 10 s"), "{said}");
    }

    let mut command = antispoofd(&["check", "--config", "/dev/stdin"], &KEYS);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("it was piped");
    stdin.write_all(b"[s3]\nbuckets = [\"uploads\"]\n").expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
