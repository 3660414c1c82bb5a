//! Each rule on its edge: the last value that is allowed, and the first that is not.

use super::Given;

/// What is wrong when `key` is `value`; nothing for a fit.
#[track_caller]
fn with(settings: &[(&str, &str)]) -> Vec<String> {
    let given = settings.iter().fold(Given::least(), |given, (key, value)| given.flag(key, value));
    match given.load() {
        Ok(_) => Vec::new(),
        Err(_) => given.whats(),
    }
}

#[track_caller]
fn warned(settings: &[(&str, &str)]) -> Vec<String> {
    settings.iter().fold(Given::least(), |given, (key, value)| given.flag(key, value)).warnings()
}

#[test]
fn a_drain_lets_a_sent_call_finish() {
    assert_eq!(with(&[("worker.drain_timeout", "30s")]), Vec::<String>::new());
    assert_eq!(with(&[("worker.drain_timeout", "29999ms")]).len(), 1);
}

#[test]
fn the_grace_period_is_longer_than_the_drain() {
    assert_eq!(with(&[("worker.termination_grace", "")]), Vec::<String>::new());
    assert_eq!(warned(&[("worker.termination_grace", "45s")]), Vec::<String>::new());
    assert_eq!(
        warned(&[("worker.termination_grace", "44s")]),
        ["worker.termination_grace: 44s leaves less than 15s after worker.drain_timeout (30s)"]
    );
    assert_eq!(
        with(&[("worker.termination_grace", "30s")]),
        [
            "worker.termination_grace: 30s is not longer than worker.drain_timeout (30s): the process would be killed in the middle of its stop, with calls that are paid for"
        ]
    );
    assert_eq!(with(&[("worker.termination_grace", "30")]), ["worker.termination_grace: is \"30\", not a duration"]);
}

#[test]
fn a_job_is_held_less_than_half_of_the_consumer_timeout() {
    // Once: 10 s + 10 s + 30 s + quick_max.
    assert_eq!(with(&[("retry.quick_attempts", "15"), ("retry.quick_max", "9s")]), Vec::<String>::new());
    assert_eq!(
        with(&[("retry.quick_attempts", "15"), ("retry.quick_max", "10s")]),
        [
            "retry.quick_attempts: 15 tries of up to 1m each hold a job for 15m; the limit is 15m, half of what RabbitMQ waits for an acknowledgement"
        ]
    );
}

#[test]
fn connecting_is_a_part_of_the_whole() {
    assert_eq!(with(&[("api.connect_timeout", "29s")]), Vec::<String>::new());
    assert_eq!(
        with(&[("api.connect_timeout", "30s")]),
        ["api.timeout: 30s is not longer than api.connect_timeout (30s), which is a part of it"]
    );
    assert_eq!(with(&[("s3.connect_timeout", "10s")]), Vec::<String>::new());
    assert_eq!(
        with(&[("s3.connect_timeout", "11s")]),
        ["s3.timeout: 10s is shorter than s3.connect_timeout (11s), which is a part of it"]
    );
}

#[test]
fn pauses_are_in_order() {
    assert_eq!(with(&[("retry.quick_min", "5s")]), Vec::<String>::new());
    assert_eq!(with(&[("retry.quick_min", "5001ms")]), ["retry.quick_min: 5s1ms is longer than retry.quick_max (5s)"]);
    assert_eq!(with(&[("retry.delays", "10s,1m,60s")]), ["retry.delays: has 1m twice, which would be one queue"]);
    assert_eq!(
        with(&[("retry.delays", "1m,10s")]),
        ["retry.delays: has 10s after 1m: jobs would come back sooner the longer they fail"]
    );
    assert_eq!(with(&[("retry.delays", "")]), ["retry.delays: has 0 delays"]);
    assert_eq!(with(&[("retry.delays", "1s,2s,3s,4s,5s,6s,7s,8s")]), Vec::<String>::new());
    assert_eq!(with(&[("retry.delays", "1s,2s,3s,4s,5s,6s,7s,8s,9s")]), ["retry.delays: has 9 delays"]);
}

#[test]
fn buckets_are_a_list_or_any() {
    let any = ("s3.allow_any_bucket", "true");
    assert_eq!(with(&[("s3.buckets", "")]), ["s3.buckets: is empty, so that no job could name a bucket"]);
    assert_eq!(with(&[("s3.buckets", ""), any]), Vec::<String>::new());
    assert_eq!(with(&[any]), ["s3.allow_any_bucket: is true although s3.buckets lists buckets"]);
    assert_eq!(with(&[("s3.default_bucket", "kyc-uploads")]), Vec::<String>::new());
    assert_eq!(with(&[("s3.default_bucket", "other")]), ["s3.default_bucket: \"other\" is not one of s3.buckets"]);
    assert_eq!(with(&[("s3.buckets", ""), any, ("s3.default_bucket", "other")]), Vec::<String>::new());
}

#[test]
fn some_image_passes() {
    assert_eq!(with(&[("image.min_side", "10"), ("image.max_pixels", "100")]), Vec::<String>::new());
    assert_eq!(
        with(&[("image.min_side", "10"), ("image.max_pixels", "99")]),
        ["image.min_side: asks for at least 100 pixels, and image.max_pixels allows 99: no image passes"]
    );
}

#[test]
fn a_ledger_in_memory_has_room_for_the_jobs_in_hand() {
    let with_entries = |entries: &str, backend: &str| {
        with(&[("worker.concurrency", "64"), ("ledger.max_entries", entries), ("ledger.backend", backend)])
    };
    assert_eq!(with_entries("128", "memory"), Vec::<String>::new());
    assert_eq!(
        with_entries("127", "memory"),
        [
            "ledger.max_entries: 127 is less than twice worker.concurrency (128): a job that is redelivered could be forgotten by then, and paid for again"
        ]
    );
    assert_eq!(with_entries("1", "none"), Vec::<String>::new());
}

#[test]
fn the_ledger_outlasts_the_delay_queues() {
    // Seven stays: 10 s, 1 m, 10 m and four times 1 h.
    assert_eq!(warned(&[("ledger.ttl", "4h11m10s")]), Vec::<String>::new());
    assert_eq!(
        warned(&[("ledger.ttl", "4h11m9s")]),
        [
            "ledger.ttl: 4h11m9s is shorter than a job can stay in the delay queues (4h11m10s): what was begun for it is forgotten before"
        ]
    );
    assert_eq!(warned(&[("ledger.ttl", "1m"), ("ledger.backend", "none")]), Vec::<String>::new());
}

#[test]
fn a_daily_limit_that_does_not_hold_for_all_is_warned_of() {
    let limit = ("api.daily_call_limit", "1000");
    let alone = "api.daily_call_limit: is a limit of this process alone with this ledger.backend, and its count begins at 0 with each start";
    assert_eq!(warned(&[limit]), [alone]);
    assert_eq!(warned(&[limit, ("ledger.backend", "none")]), [alone]);
    assert_eq!(warned(&[("ledger.backend", "none")]), Vec::<String>::new());
    let shared = [limit, ("ledger.backend", "redis"), ("ledger.url", "redis://127.0.0.1/")];
    assert_eq!(warned(&shared), Vec::<String>::new());
    assert_eq!(
        warned(&[&shared[..], &[("ledger.on_error", "proceed")]].concat()),
        [
            "api.daily_call_limit: does not hold while the ledger is away: ledger.on_error = \"proceed\" makes calls then, and they are not counted"
        ]
    );
}

#[test]
fn exactly_one_way_to_be_known() {
    let said = |given: Given| given.whats();
    let bucket = || Given::nothing().env("ANTISPOOFD__S3__BUCKETS", "kyc-uploads");
    assert_eq!(said(bucket().env("VIDEOSDK_API_KEY", "k")), ["api.secret: is not set although api.api_key is"]);
    assert_eq!(said(bucket().env("ANTISPOOFD__API__SECRET", "s")), ["api.api_key: is not set although api.secret is"]);
    let both = Given::least().env("ANTISPOOFD__API__TOKEN", "a.b.c");
    assert_eq!(said(both), ["api.token: is set together with api.api_key and api.secret"]);
    let moved = Given::least()
        .env("ANTISPOOFD__API__TOKEN", "a.b.c")
        .env("ANTISPOOFD__API__API_KEY", "")
        .env("ANTISPOOFD__API__SECRET", "");
    assert_eq!(moved.warnings(), Vec::<String>::new());
}

#[test]
fn what_travels_readable_is_warned_of() {
    for quiet in ["https://api.example/x", "http://localhost:1/x", "http://127.8.8.8/x", "http://[::1]:9/x"] {
        assert_eq!(warned(&[("api.url", quiet)]), Vec::<String>::new(), "{quiet}");
    }
    for loud in ["http://api.example/x", "http://10.0.0.1/x", "http://localhost.example/x"] {
        assert_eq!(
            warned(&[("api.url", loud)]),
            ["api.url: is plain http to another machine: token and image travel readable"],
            "{loud}"
        );
    }
}

#[test]
fn settings_without_effect_are_warned_of() {
    let given = Given::least();
    let ca = given.write("ca.pem", super::authorities::AUTHORITY).display().to_string();
    assert_eq!(
        given.flag("ledger.path", "/x").flag("amqp.ca_file", &ca).warnings(),
        [
            "amqp.ca_file: is not used, because amqp.url is not amqps://",
            "ledger.path: is not used by this ledger.backend"
        ]
    );
}
