//! The program as a process, as far as it goes without any service: usage, exit codes, what is on which stream.

mod check;
mod help;
mod token;

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

/// A port where no server answers, and the setting that sends the broker's clients there.
fn silent_server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("amqp://guest:hunter2@{}/%2f", listener.local_addr().expect("it is bound"));
    (listener, url)
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
fn a_broker_that_is_not_there_is_69_and_the_password_is_not_said() {
    let (listener, url) = silent_server();
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
    let (_listener, url) = silent_server();
    let limit = ("ANTISPOOFD__AMQP__CONNECT_TIMEOUT", "200ms");
    let output = run(&["watch"], &[("ANTISPOOFD__AMQP__URL", &url), limit]);
    assert_eq!(output.status.code(), Some(69), "{}", stderr(&output));
    assert!(stderr(&output).contains("amqp.connect_timeout"), "{}", stderr(&output));
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
    let (taken, broker) = silent_server();
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
    let (taken, broker) = silent_server();
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
fn a_pipe_is_read_as_long_as_a_process_writes_to_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo can be run");
    assert!(made.success());
    let pipe = pipe.to_str().expect("a plain path");
    // No process opens it for writing.
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
