//! What each kind of value takes and refuses.

use super::super::AmqpUrl;
use super::Given;

/// Whether `key` takes `value`. A value that it refuses must be the only problem.
#[track_caller]
fn takes(key: &str, value: &str) -> bool {
    let given = Given::least().env(&super::super::keys::variable(key), value);
    match given.load() {
        Ok(_) => true,
        Err(problems) => {
            let keys: Vec<&str> = problems.iter().map(super::super::Problem::key).collect();
            assert_eq!(keys, [key], "{problems}");
            false
        }
    }
}

#[track_caller]
fn edges(key: &str, good: &[&str], bad: &[&str]) {
    for value in good {
        assert!(takes(key, value), "{key} = {value}");
    }
    for value in bad {
        assert!(!takes(key, value), "{key} = {value}");
    }
}

#[test]
fn numbers() {
    edges("worker.concurrency", &["1", "1000", "1_000"], &["0", "1001", "-1", "1.5", "99999999999999999999"]);
    edges("worker.threads", &["1", "64"], &["0", "65"]);
    edges("image.min_side", &["0", "7071"], &["65536"]);
    edges("api.review_below", &["0", "1", "0.5"], &["1.01", "-0.1", "NaN", "inf"]);
    edges("api.rate_limit", &["0", "0.1", "10000"], &["10001", "-1"]);
    edges("retry.quick_attempts", &["1", "16"], &["0", "21"]);
    edges("retry.max_attempts", &["1", "100"], &["0", "101"]);
}

#[test]
fn durations() {
    edges("amqp.heartbeat", &["1s", "10m"], &["0s", "1500ms", "601s", "30", "-1s", "1 fortnight"]);
    edges("amqp.publish_timeout", &["1ms", "5m"], &["0s", "301s"]);
    edges("api.token_ttl", &["2m", "30d"], &["119s", "31d"]);
    edges("ledger.timeout", &["100ms", "1m"], &["99ms", "61s"]);
    edges("ledger.ttl", &["1s", "366d"], &["0s", "367d"]);
    edges("retry.delays", &["1s", "24h", "1m30s", "1d"], &["500ms", "1500ms", "25h", "0s", "x"]);
    edges("worker.drain_timeout", &["1h"], &["61m"]);
}

#[test]
fn ledgers() {
    edges("ledger.reuse", &["job", "object", "off"], &["on", ""]);
    edges("ledger.on_error", &["hold", "proceed"], &["stop"]);
    let long = "a".repeat(101);
    edges(
        "ledger.prefix",
        &["", "kyc", "kyc/ledger.2", "A-1_b"],
        &["/kyc", "kyc/", "kyc//a", "..", "kyc/../a", ".kyc", "a b", "é", &long],
    );
    edges("ledger.bucket", &["", "kyc-ledger"], &["s3://kyc-ledger", "KYC", "a"]);
    edges(
        "api.idempotency_header",
        &["", "Idempotency-Key", "x_call"],
        &["a b", "a:", "ä", "Authorization", "content-length", &"a".repeat(65)],
    );
    edges(
        "ledger.url",
        &["redis://h", "redis://u:p%40@h:1/3", "rediss://h:6380/", "redis://[::1]:6379"],
        &[
            "redis://",
            "http://h",
            "h:6379",
            "redis://h/x",
            "redis://h/0?protocol=resp3",
            "redis://:%ff@h",
            "redis://:a#b@h",
        ],
    );
}

#[test]
fn sizes() {
    edges("s3.max_object_bytes", &["1", "10MiB", "10 MB", "1GiB", "1.5MiB"], &["0", "2GiB", "ten", "-1", "10MiX", ""]);
}

#[test]
fn names() {
    let long = "a".repeat(64);
    edges("amqp.prefix", &["a", "Anti-spoof_2.x", &long], &["", "a b", "a/b", "ä", &format!("{long}a")]);
    edges("worker.instance", &["", "pod-0", "a~b"], &[".", "..", "a/b", "a b", &"a".repeat(129)]);
    edges("s3.region", &["eu-central-1", "garage"], &["", "eu west", "eu.west"]);
    edges(
        "s3.buckets",
        &["abc", "a.b-c", "123", &"a".repeat(63)],
        &[
            "ab",
            "Abc",
            "a_b",
            "-abc",
            "abc-",
            "a..b",
            "10.0.0.1",
            "xn--abc",
            "abc-s3alias",
            "s3://abc",
            "abc,",
            &"a".repeat(64),
        ],
    );
    edges("admin.listen", &["0.0.0.0:9464", "[::]:0"], &["", "9464", "localhost:9464", "127.0.0.1"]);
    edges(
        "log.level",
        &["debug", "WARN", "info,antispoofd::amqp=debug", "off,h2=trace"],
        &["", "inof", "verbose", "info,lapin=loud", "info,debgu"],
    );
    edges("api.statuses.429", &["api_unavailable", "api_rejected"], &["", "api_in_doubt", "verdict", "429"]);
    edges("api.statuses.202", &["verdict", "api_bad_response"], &["", "api_unavailable", "live"]);
    edges("s3.path_style", &["true", "false"], &["yes", "1", ""]);
}

#[test]
fn http_urls() {
    for key in ["api.url", "s3.endpoint_url"] {
        edges(
            key,
            &["https://h/p", "http://127.0.0.1:9000", "https://[::1]:1"],
            &[
                "h/p",
                "ftp://h/p",
                "https://",
                "https://u:p@h/",
                "https://u@h/",
                "https://h/?k=v",
                "https://h/#f",
                "https://h:99999/",
            ],
        );
    }
    assert!(!takes("api.url", ""));
    assert!(takes("s3.endpoint_url", ""), "the empty endpoint is AWS");
}

#[test]
fn amqp_urls() {
    edges(
        "amqp.url",
        &[
            "amqp://h",
            "amqps://h:1/%2f",
            "amqp://u:p%40ss@h/vhost",
            "amqp://h/a%2fb",
            "amqps://h?auth_mechanism=external&channel_max=4&frame_max=8192",
            "amqp://h?channel_max=0&frame_max=1048576",
        ],
        &[
            "",
            "h:5672",
            "http://h",
            "amqp://",
            "amqp:///vhost",
            "amqp://h/",
            "amqp://h/a/b",
            "amqp://h/%ff",
            "amqp://%ff@h",
            "amqp://[::1]:5672",
            "amqp://h/v#x",
            "amqp://h?heartbeat=3",
            "amqp://h?connection_timeout=3",
            "amqp://h?frame_max=big",
            "amqp://h?frame_max=8191",
            "amqp://h?frame_max=0",
            "amqp://h?frame_max=1048577",
            "amqp://h?channel_max=3",
            "amqp://h?cacertfile=x",
            "amqp://h:99999",
        ],
    );
}

#[test]
fn the_parts_of_an_amqp_url() {
    let parse = |text| AmqpUrl::parse(text).map_err(|_| text).expect("a sound URL");
    let url = parse("amqps://us%40er:pa%2fss@rabbit.example/a%2fb?channel_max=7");
    assert_eq!((url.host(), url.port(), url.vhost(), url.is_tls()), ("rabbit.example", 5671, "a/b", true));
    assert_eq!(url.expose(), "amqps://us%40er:pa%2fss@rabbit.example/a%2fb?channel_max=7");
    assert_eq!(url.to_string(), "amqps://***@rabbit.example/a%2fb");
    assert_eq!(format!("{url:?}"), "AmqpUrl(amqps://***@rabbit.example/a%2fb)");
    assert_eq!(parse("amqp://h").vhost(), "/");
    assert_eq!(parse("amqp://h:5673/v").to_string(), "amqp://h:5673/v");
}
