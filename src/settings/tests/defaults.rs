//! The defaults are what the contract says, and the compiled-in file is the whole list of keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use antispoof_core::image::Verify;
use antispoof_core::policy::{OnLedgerError, Reuse};
use antispoof_core::retry::InDoubt;
use antispoof_core::stream_digest::DigestKind;
use secrecy::ExposeSecret as _;

use super::super::keys::Keys;
use super::super::{
    ApiAuth, DEFAULT_TOML, LedgerBackend, LogFormat, ObjectKeys, OrientationPolicy, Settings, TopologyMode,
};
use super::{Given, rows};

#[test]
fn the_least_loads_without_a_warning() {
    assert_eq!(Given::least().warnings(), Vec::<String>::new());
}

#[test]
fn every_default_of_the_contract() {
    let settings = Given::nothing()
        .env("VIDEOSDK_API_KEY", "key")
        .env("VIDEOSDK_SECRET", "secret")
        .env("HOSTNAME", "worker-0")
        .env("ANTISPOOFD__S3__BUCKETS", "kyc-uploads")
        .settings();
    let second = Duration::from_secs;

    let amqp = settings.amqp;
    assert_eq!(amqp.url.expose(), "amqp://guest:guest@127.0.0.1:5672/%2f");
    assert_eq!(
        (amqp.url.host(), amqp.url.port(), amqp.url.vhost(), amqp.url.is_tls()),
        ("127.0.0.1", 5672, "/", false)
    );
    assert_eq!(amqp.prefix, "antispoof");
    assert_eq!(amqp.topology, TopologyMode::Declare);
    assert_eq!(amqp.heartbeat, second(30));
    assert_eq!(amqp.connect_timeout, second(10));
    assert_eq!(amqp.publish_timeout, second(10));
    assert_eq!(amqp.ack_timeout, second(5));
    assert_eq!(amqp.watchdog_interval, second(30));
    assert_eq!(amqp.ca_file, None);

    let worker = settings.worker;
    assert_eq!((worker.concurrency.max(), worker.drain_timeout, worker.threads), (16, second(30), 1));
    assert_eq!((worker.instance.as_str(), worker.termination_grace), ("worker-0", None));

    let s3 = settings.s3;
    assert_eq!((s3.region.as_str(), s3.endpoint_url, s3.path_style), ("us-east-1", None, false));
    assert_eq!((s3.allow_any_bucket, s3.default_bucket), (false, None));
    assert_eq!(s3.max_object_bytes, 10 * 1024 * 1024);
    assert_eq!((s3.connect_timeout, s3.timeout, s3.read_timeout), (second(3), second(10), second(10)));

    let image = settings.image;
    assert_eq!((image.convert, image.orientation), (vec![], OrientationPolicy::Pass));
    assert_eq!((image.max_side, image.quality, image.verify), (0, 90, Verify::Structure));
    assert_eq!(image.conversion_memory, 256 << 20);
    assert_eq!((image.min_side, image.max_pixels, image.digest), (0, 67_108_864, DigestKind::Sha256));

    let api = settings.api;
    assert_eq!(api.url, "https://api.videosdk.live/ai/v1/face-verification/detect-spoof");
    assert_eq!((api.timeout, api.connect_timeout), (second(30), second(5)));
    assert!(api.review_below == 0.0 && api.rate_limit == 0.0, "both are off");
    assert_eq!((api.rejection_streak, api.daily_call_limit), (20, 0));
    assert!(api.call_price == 0.0, "off");
    assert_eq!((api.in_doubt, api.idempotency_header), (InDoubt::Retry, None));
    assert_eq!((api.token_ttl, api.token_version), (second(30 * 60), 2));
    assert_eq!(
        (api.token_roles, api.token_permissions),
        (vec!["crawler".to_owned()], vec!["allow_join".to_owned(), "allow_mod".to_owned()])
    );
    assert_eq!((api.pool_idle_timeout, api.max_retry_after, api.probe_interval), (second(4), second(3600), second(5)));

    let retry = settings.retry;
    assert_eq!((retry.quick_attempts, retry.max_attempts), (3, 8));
    assert_eq!((retry.quick_min, retry.quick_max), (Duration::from_millis(200), second(5)));
    let delays: Vec<(&str, u64)> =
        retry.delays.iter().map(|delay| (delay.name.as_str(), delay.duration.as_secs())).collect();
    assert_eq!(delays, [("10s", 10), ("1m", 60), ("10m", 600), ("1h", 3600)]);

    let ledger = settings.ledger;
    assert_eq!(ledger.backend, LedgerBackend::Memory);
    assert_eq!((ledger.reuse, ledger.on_error), (Reuse::Job, OnLedgerError::Hold));
    assert_eq!(ledger.timeout, second(5));
    assert_eq!((ledger.ttl, ledger.max_entries), (second(7 * 24 * 3600), 100_000));

    assert_eq!(settings.admin.listen.to_string(), "127.0.0.1:9464");
    let log = settings.log;
    assert_eq!((log.format, log.level.as_str(), log.object_keys), (LogFormat::Auto, "info", ObjectKeys::Hash));
    assert!(log.hash_key.is_none() && log.rust_log.is_none());
}

#[test]
fn every_status_of_the_contract() {
    let by_code = [
        ("verdict", vec![200, 201]),
        ("api_rejected", vec![400, 413, 415, 422]),
        ("api_unauthorized", vec![401]),
        ("api_forbidden", vec![402, 403, 404]),
        ("api_rate_limited", vec![429]),
        ("api_unavailable", vec![406, 408, 425, 500, 502, 503, 504]),
    ];
    let expected: BTreeMap<u16, String> = by_code
        .into_iter()
        .flat_map(|(code, list)| list.into_iter().map(move |status| (status, code.to_owned())))
        .collect();
    assert_eq!(Given::least().settings().api.statuses, expected);
}

#[test]
fn the_default_file_and_the_types_have_the_same_keys() {
    let keys = Keys::known();
    let listed: BTreeSet<String> =
        keys.iter().map(|key| key.split('.').take(2).collect::<Vec<_>>().join(".")).collect();
    let schema = Settings::schema();
    let of_types = schema["properties"].as_object().expect("sections").iter().flat_map(|(section, fields)| {
        let fields = fields["properties"].as_object().expect("fields");
        fields.keys().map(move |field| format!("{section}.{field}"))
    });
    assert_eq!(of_types.collect::<BTreeSet<_>>(), listed);
}

#[test]
fn the_default_file_can_be_copied_and_filled_in() {
    let filled = DEFAULT_TOML
        .replace("buckets = []", "buckets = [\"kyc-uploads\"]")
        .replace("api_key = \"\"", "api_key = \"key\"")
        .replace("\nsecret = \"\"", "\nsecret = \"secret\"");
    let given = Given::nothing().file("copy.toml", &filled);
    assert_eq!(given.settings().s3.buckets, ["kyc-uploads"]);
    assert_eq!(given.warnings(), Vec::<String>::new());
}

#[test]
fn the_demo_loads() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo.toml");
    let mut given = Given::nothing().env("VIDEOSDK_API_KEY", "demo").env("VIDEOSDK_SECRET", "demo-secret");
    given.sources.files.push(demo);
    assert_eq!(given.warnings(), Vec::<String>::new());
    let settings = given.settings();
    let hosts = [settings.amqp.url.host(), settings.s3.endpoint_url.as_deref().unwrap_or_default(), &settings.api.url];
    assert!(hosts.iter().all(|host| host.contains("127.0.0.1")), "{hosts:?}");
}

#[test]
fn rows_are_the_effective_settings() {
    let loaded = Given::least()
        .env("HOSTNAME", "worker-0")
        .env("ANTISPOOFD__WORKER__CONCURRENCY", "4")
        .env("ANTISPOOFD__API__STATUSES__418", "api_forbidden")
        .env("ANTISPOOFD__S3__BUCKETS", "one-bucket, two-bucket")
        .flag("api.rate_limit", "0.5")
        .flag("s3.path_style", "true")
        .load()
        .expect("sound settings");
    let rows = rows(&loaded);
    assert_eq!(rows["worker.concurrency"], "4");
    assert_eq!(rows["worker.instance"], "\"worker-0\"");
    assert_eq!(rows["s3.buckets"], r#"["one-bucket", "two-bucket"]"#);
    assert_eq!(rows["s3.path_style"], "true");
    assert_eq!(rows["api.rate_limit"], "0.5");
    assert_eq!(rows["api.statuses.418"], "\"api_forbidden\"");
    assert_eq!(rows["amqp.url"], "\"amqp://***@rabbit:5672/%2f\"");
    assert_eq!((rows["api.api_key"], rows["api.secret"], rows["api.token"]), ("\"***\"", "\"***\"", "\"\""));
    let ApiAuth::Keys { api_key, secret } = loaded.settings.api.auth else { panic!("key and secret were given") };
    assert_eq!((api_key.now().expose_secret(), secret.now().expose_secret()), ("key", "secret"));
}
