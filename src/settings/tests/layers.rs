//! What wins over what.

use std::path::PathBuf;

use secrecy::ExposeSecret as _;

use super::super::{ApiAuth, Concurrency, Origin};
use super::{Given, LEAST, rows};

#[test]
fn flag_over_variable_over_later_file_over_earlier_file_over_default() {
    let given = Given::least()
        .file("a.toml", "[worker]\nthreads = 2\nconcurrency = 2\n[s3]\nregion = \"a\"\nread_timeout = \"2s\"")
        .file("b.toml", "[worker]\nconcurrency = 3\n[s3]\nregion = \"b\"\nread_timeout = \"3s\"")
        .env("ANTISPOOFD__S3__REGION", "c")
        .env("ANTISPOOFD__S3__READ_TIMEOUT", "4s")
        .flag("s3.read_timeout", "5s")
        .flag("s3.read_timeout", "6s");
    let settings = given.settings();
    assert_eq!((settings.worker.threads, settings.worker.concurrency.max()), (2, 3));
    assert_eq!((settings.s3.region.as_str(), settings.s3.read_timeout.as_secs()), ("c", 6));

    let origins = given.load().expect("sound settings").origins;
    let path = |name: &str| given.dir.path().join(name);
    assert_eq!(origins["worker.threads"], Origin::File { path: path("a.toml"), line: 2, column: 11 });
    assert_eq!(origins["worker.concurrency"], Origin::File { path: path("b.toml"), line: 2, column: 15 });
    assert_eq!(origins["s3.region"], Origin::Env { name: "ANTISPOOFD__S3__REGION".to_owned() });
    assert_eq!(origins["s3.read_timeout"], Origin::Flag { key: "s3.read_timeout".to_owned() });
    assert_eq!(origins["s3.timeout"], Origin::Default);
}

#[test]
fn the_upper_one_of_a_number_and_a_table_wins() {
    const TABLE: &str = "[worker]\nconcurrency = { min = 4, max = 64 }";
    let bounds = |min, max| Concurrency::Adaptive(antispoof_core::overload::Bounds::try_new(min, max).expect("bounds"));
    let of = |given: Given| given.settings().worker.concurrency;
    assert_eq!(of(Given::least().file("a.toml", TABLE)), bounds(4, 64));
    assert_eq!(of(Given::least().file("a.toml", "[worker.concurrency]\nmin = 1\nmax = 1")), bounds(1, 1));
    assert_eq!(of(Given::least().file("a.toml", TABLE).flag("worker.concurrency", "8")), Concurrency::Fixed(8));
    let partly = Given::least().file("a.toml", TABLE).env("ANTISPOOFD__WORKER__CONCURRENCY__MAX", "32");
    assert_eq!(of(partly), bounds(4, 32));
    let given = Given::least()
        .file("a.toml", "[worker]\nconcurrency = 8")
        .env("ANTISPOOFD__WORKER__CONCURRENCY__MIN", "2")
        .flag("worker.concurrency.max", "20");
    let origins = given.load().expect("sound settings").origins;
    assert_eq!(origins["worker.concurrency.max"], Origin::Flag { key: "worker.concurrency.max".to_owned() });
    assert!(!origins.contains_key("worker.concurrency"), "it gave way");
    assert_eq!(of(given), bounds(2, 20));
}

#[test]
fn variables_have_the_type_of_their_key() {
    let settings = Given::least()
        .env("ANTISPOOFD__S3__BUCKETS", " kyc-uploads , kyc-archive")
        .env("ANTISPOOFD__S3__PATH_STYLE", "true")
        .env("ANTISPOOFD__S3__MAX_OBJECT_BYTES", "1 MiB")
        .env("ANTISPOOFD__IMAGE__MAX_PIXELS", "2_000_000")
        .env("ANTISPOOFD__API__REVIEW_BELOW", "0.75")
        .env("ANTISPOOFD__API__STATUSES__429", "api_unavailable")
        .env("ANTISPOOFD__RETRY__DELAYS", "5s,60s,90m")
        .settings();
    assert_eq!(settings.s3.buckets, ["kyc-uploads", "kyc-archive"]);
    assert!(settings.s3.path_style);
    assert_eq!(settings.s3.max_object_bytes, 1 << 20);
    assert_eq!(settings.image.max_pixels, 2_000_000);
    assert!((settings.api.review_below - 0.75).abs() < f64::EPSILON);
    assert_eq!(settings.api.statuses[&429], "api_unavailable");
    let names: Vec<String> = settings.retry.delays.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["5s", "1m", "1h30m"]);
}

#[test]
fn an_empty_variable_sets_to_empty() {
    let given = Given::least()
        .file("b.toml", "[s3]\nendpoint_url = \"http://127.0.0.1:9000\"\ndefault_bucket = \"kyc-uploads\"");
    let settings = given.env("ANTISPOOFD__S3__ENDPOINT_URL", "").env("ANTISPOOFD__API__TOKEN_ROLES", "").settings();
    assert_eq!(settings.s3.endpoint_url, None);
    assert_eq!(settings.s3.default_bucket.as_deref(), Some("kyc-uploads"));
    assert!(settings.api.token_roles.is_empty());

    let given = Given::least().env("ANTISPOOFD__WORKER__THREADS", "").env("ANTISPOOFD__API__TIMEOUT", "");
    assert_eq!(
        given.whats(),
        ["worker.threads: is empty, not a whole number", "api.timeout: is empty, not a duration"]
    );
}

#[test]
fn the_vendors_variables_are_a_fallback() {
    let auth = |given: Given| match given.settings().api.auth {
        ApiAuth::Keys { api_key, secret } => {
            format!("{} {}", api_key.now().expose_secret(), secret.now().expose_secret())
        }
        ApiAuth::Token(token) => token.now().expose_secret().to_owned(),
    };
    let vendor = |given: Given| given.env("VIDEOSDK_API_KEY", "vendor-key").env("VIDEOSDK_SECRET", "vendor-secret\n");
    let bucket = "[s3]\nbuckets = [\"kyc-uploads\"]";

    assert_eq!(auth(vendor(Given::least())), "key secret");
    assert_eq!(auth(vendor(Given::nothing()).file("a.toml", bucket)), "vendor-key vendor-secret");
    let one = format!("{bucket}\n[api]\nsecret = \"mine\"");
    assert_eq!(auth(vendor(Given::nothing()).file("a.toml", &one)), "vendor-key mine");
    let token = format!("{bucket}\n[api]\ntoken = \"a.b.c\"");
    assert_eq!(auth(vendor(Given::nothing()).file("a.toml", &token)), "a.b.c");
}

#[test]
fn the_upper_layer_wins_between_a_secret_and_its_file() {
    let url = |given: &Given| given.settings().amqp.url.host().to_owned();
    let given = Given::least();
    let mounted = given.write("amqp", "amqp://u:p@mounted/%2f\n").display().to_string();
    assert_eq!(url(&given), "rabbit");

    let given = given.env("ANTISPOOFD__AMQP__URL_FILE", &mounted);
    assert_eq!(url(&given), "mounted");
    let loaded = given.load().expect("sound settings");
    assert_eq!(loaded.origins["amqp.url"], Origin::SecretFile { path: PathBuf::from(&mounted) });
    assert_eq!(rows(&loaded)["amqp.url"], "\"amqp://***@mounted/%2f\"");

    let given = given.flag("amqp.url", "amqp://flag");
    assert_eq!(url(&given), "flag");
}

#[test]
fn an_empty_upper_layer_leaves_the_other_spelling_alone() {
    let given = Given::nothing();
    let secret = given.write("secret", "from-file").display().to_string();
    let least = LEAST.replace("secret = \"secret\"", &format!("secret_file = \"{secret}\""));
    let given = given.file("a.toml", &least).file("b.toml", "[api]\nsecret = \"\"");
    let ApiAuth::Keys { secret, .. } = given.settings().api.auth else { panic!("key and secret were given") };
    assert_eq!(secret.now().expose_secret(), "from-file");
}

#[test]
fn the_host_name_is_the_instance_unless_one_is_set() {
    let instance = |given: Given| given.settings().worker.instance;
    assert_eq!(instance(Given::least().env("HOSTNAME", "pod-7\n")), "pod-7");
    assert_eq!(instance(Given::least()), "localhost");
    assert_eq!(instance(Given::least().env("HOSTNAME", "pod-7").flag("worker.instance", "mine")), "mine");
    assert_eq!(
        Given::least().env("HOSTNAME", "a b").whats(),
        ["worker.instance: is not set, and the host name \"a b\" cannot stand in an event's source"]
    );
}

#[test]
fn clients_need_no_credentials_and_no_allow_list() {
    let given = Given::nothing().env("ANTISPOOFD__API__SECRET_FILE", "/nowhere/at/all");
    let loaded = given.client().expect("enough for a client");
    assert!(loaded.settings.s3.buckets.is_empty());
    let ApiAuth::Token(token) = loaded.settings.api.auth else { panic!("no key is read for a client") };
    assert_eq!(token.now().expose_secret(), "");
    // What is set is still looked at.
    let problems = given.env("ANTISPOOFD__S3__BUCKETS", "Bad").client().expect_err("a bad bucket name");
    assert_eq!(problems.len(), 1);
}

#[test]
fn the_process_is_read_with_its_flags() {
    let files = vec![PathBuf::from("a.toml"), PathBuf::from("b.toml")];
    let overrides = vec![("worker.threads".to_owned(), "2".to_owned())];
    let sources = super::Sources::from_process(files.clone(), overrides.clone());
    assert_eq!((sources.files, sources.overrides), (files, overrides));
    assert_eq!(sources.env.get("CARGO_MANIFEST_DIR").map(String::as_str), Some(env!("CARGO_MANIFEST_DIR")));
    assert!(sources.env.get("HOSTNAME").is_some_and(|name| !name.is_empty()));
}
