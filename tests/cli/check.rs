//! `check`, and how it says what is wrong.

use super::*;

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

    let (listener, url) = silent_server();
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
    let (listener, url) = silent_server();
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
fn a_system_without_certificate_authorities_is_told_so() {
    let none = tempfile::tempdir().expect("a folder");
    let folder = none.path().to_str().expect("text");
    let file = none.path().join("none.pem");
    let file = file.to_str().expect("text");
    let environment = [
        ("SSL_CERT_FILE", file),
        ("SSL_CERT_DIR", folder),
        ("VIDEOSDK_API_KEY", "key"),
        ("VIDEOSDK_SECRET", "secret"),
        ("ANTISPOOFD__S3__BUCKETS", "kyc-uploads"),
        ("ANTISPOOFD__S3__ENDPOINT_URL", "http://127.0.0.1:1"),
        ("ANTISPOOFD__AMQP__URL", "amqp://guest:guest@127.0.0.1:1/%2f"),
        ("ANTISPOOFD__ADMIN__LISTEN", "127.0.0.1:0"),
    ];
    let started = run(&["run"], &environment);
    assert_eq!(started.status.code(), Some(1), "{}", stderr(&started));
    for said in ["certificate authorities", "SSL_CERT_FILE"] {
        assert!(stderr(&started).contains(said), "{}", stderr(&started));
    }
    let checked = run(&["check", "--connect"], &environment);
    assert!(stdout(&checked).contains("failed  bucket    build the S3 client: "), "{}", stdout(&checked));
    assert!(!stderr(&started).contains("panicked") && !stderr(&checked).contains("panicked"));
}

#[test]
fn a_url_at_a_wrong_key_and_the_characters_of_a_key_are_not_printed_as_they_are() {
    let environment = [("ANTISPOOFD__ADMIN__LISTEN", "amqp://u:hunter2@h"), ("ANTISPOOFD__A\u{1b}[31m", "1")];
    let output = run(&["check"], &environment);
    assert_eq!(output.status.code(), Some(78));
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert!(said.contains("admin.listen: a URL with credentials is not a socket address"), "{said}");
    assert!(!said.contains("hunter2") && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn a_log_level_that_is_none_is_refused_in_every_form() {
    for level in ["info;warn", "info debug", "inf-o", "info.."] {
        let output = run(&["check"], &[KEYS[0], KEYS[1], ("ANTISPOOFD__LOG__LEVEL", level)]);
        assert_eq!(output.status.code(), Some(78), "{level}");
        assert!(stderr(&output).contains("is not a level"), "{level}: {}", stderr(&output));
    }
}
