//! The words, as they stand in the terminal.

use super::super::LedgerBackend;
use super::{Given, LEAST};

#[test]
fn a_wrong_value_is_shown_with_its_line() {
    let given = Given::least().file("a.toml", "[api]\n\ntimeout = \"30\"   # seconds\n");
    assert_eq!(
        given.said(),
        r#"error: api.timeout: is "30", not a duration
  --> a.toml:3:11
   |
 3 | timeout = "30"
   |           ^^^^
  = help: write a number with its unit in double quotes, as "250ms", "30s", "10m" or "1h"

1 problem in the settings"#
    );
}

#[test]
fn a_wrong_variable_and_a_wrong_flag_are_named() {
    let given = Given::least().env("ANTISPOOFD__WORKER__CONCURRENCY", "many").flag("amqp.topology", "chek");
    assert_eq!(
        given.said(),
        r#"error: amqp.topology: "chek" is not a choice
  --> flag --set amqp.topology
  = help: did you mean check? write one of declare, check, none

error: worker.concurrency: is "many", not a whole number
  --> environment variable ANTISPOOFD__WORKER__CONCURRENCY
  = help: write a whole number from 1 to 1000

2 problems in the settings"#
    );
}

#[test]
fn bounds_that_cannot_be_used_are_shown_where_they_stand() {
    let said = |table: &str| Given::least().file("a.toml", &format!("[worker]\nconcurrency = {table}\n")).said();
    assert_eq!(
        said("{ min = 9, max = 8 }"),
        r"error: worker.concurrency.min: 9 is above max (8)
  --> a.toml:2:23
   |
 2 | concurrency = { min = 9
   |                       ^
  = help: write a min that is at most max

1 problem in the settings"
    );
    assert_eq!(
        said("{ max = 8 }"),
        r"error: worker.concurrency.max: is set without min
  --> a.toml:2:23
   |
 2 | concurrency = { max = 8
   |                       ^
  = help: set both, as { min = 4, max = 64 }, or a number instead of the table

1 problem in the settings"
    );
    assert!(said("{ min = 0, max = 8 }").contains("worker.concurrency.min: 0 is out of bounds"));
    assert!(said("{ min = 1, max = 8, start = 2 }").contains("worker.concurrency.start: there is no such key"));
    let both = Given::least()
        .env("ANTISPOOFD__WORKER__CONCURRENCY", "4")
        .env("ANTISPOOFD__WORKER__CONCURRENCY__MIN", "4")
        .env("ANTISPOOFD__WORKER__CONCURRENCY__MAX", "8");
    assert!(both.said().contains("worker.concurrency: is set together with worker.concurrency.m"), "{}", both.said());
}

#[test]
fn unknown_keys_come_with_what_was_probably_meant() {
    let given = Given::least()
        .file("a.toml", "[worker]\nconcurency = 4\nregion = \"eu\"\n[ampq]\nprefix = \"x\"\n[colours]\n[api.statuses]\n302 = \"api_rejected\"")
        .env("ANTISPOOFD__S3__BUCKET", "kyc")
        .env("ANTISPOOFD__S3__region", "eu")
        .env("ANTISPOOFD__NONSENSE__OF__ALL__KINDS", "1")
        .flag("retry.quick_atempts", "2");
    assert_eq!(
        given.said(),
        r#"error: worker.concurency: there is no such key
  --> a.toml:2:1
   |
 2 | concurency = ***
   | ^^^^^^^^^^
  = help: did you mean worker.concurrency?

error: worker.region: there is no such key
  --> a.toml:3:1
   |
 3 | region = ***
   | ^^^^^^
  = help: did you mean s3.region?

error: ampq: there is no such section
  --> a.toml:4:2
   |
 4 | [ampq
   |  ^^^^
  = help: did you mean [amqp]?

error: colours: there is no such section
  --> a.toml:6:2
   |
 6 | [colours
   |  ^^^^^^^
  = help: remove it; config/default.toml has every section

error: api.statuses.302: "302" is not an HTTP status that can be set
  --> a.toml:8:1
   |
 8 | 302 = ***
   | ^^^
  = help: use a status from 200 to 299 or from 400 to 599

error: nonsense.of.all.kinds: there is no such key
  --> environment variable ANTISPOOFD__NONSENSE__OF__ALL__KINDS
  = help: remove it; config/default.toml has every key

error: s3.bucket: there is no such key
  --> environment variable ANTISPOOFD__S3__BUCKET
  = help: did you mean ANTISPOOFD__S3__BUCKETS?

error: s3.region: there is no such key
  --> environment variable ANTISPOOFD__S3__region
  = help: did you mean ANTISPOOFD__S3__REGION?

error: retry.quick_atempts: there is no such key
  --> flag --set retry.quick_atempts
  = help: did you mean retry.quick_attempts?

9 problems in the settings"#
    );
}

#[test]
fn a_file_that_is_no_toml_names_every_line_and_stops_the_checks_that_need_it() {
    let given = Given::nothing()
        .file("a.toml", "[worker]\nconcurrency = many\n\n[s3]\nregion = eu west\n")
        .env("ANTISPOOFD__API__TIMEOUT", "soon");
    assert_eq!(
        given.said(),
        r#"error: not TOML: string values must be quoted, expected literal string
  --> a.toml:2:15
   |
 2 | concurrency = many
   |               ^
  = help: put the line right; strings, durations and sizes stand in double quotes

error: not TOML: string values must be quoted, expected literal string
  --> a.toml:5:10
   |
 5 | region = eu west
   |          ^
  = help: put the line right; strings, durations and sizes stand in double quotes

error: api.timeout: is "soon", not a duration
  --> environment variable ANTISPOOFD__API__TIMEOUT
  = help: write a number with its unit in double quotes, as "250ms", "30s", "10m" or "1h"

How the values fit together was not checked, because a settings file could not be read whole.
3 problems in the settings"#
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let mut given = Given::least();
    given.sources.files.push(given.dir.path().join("absent.toml"));
    assert_eq!(
        given.said(),
        "error: the settings file cannot be read: No such file or directory (os error 2)
  --> absent.toml
  = help: name an existing, readable TOML file with --config or ANTISPOOFD_CONFIG

How the values fit together was not checked, because a settings file could not be read whole.
1 problem in the settings"
    );
}

#[test]
fn nothing_set_says_what_the_daemon_needs() {
    assert_eq!(
        Given::nothing().said(),
        r#"error: s3.buckets: is empty, so that no job could name a bucket
  --> default
  = help: list the buckets that jobs may name, as ["kyc-uploads"]; or set s3.allow_any_bucket = true

error: api.api_key: is not set, nor are api.secret and api.token: there are no credentials for the API
  --> default
  = help: set api.api_key and api.secret (or their _file, or VIDEOSDK_API_KEY and VIDEOSDK_SECRET), or api.token

2 problems in the settings"#
    );
}

#[test]
fn values_that_contradict_each_other_are_shown_with_both_places() {
    let given =
        Given::least().file("a.toml", "[worker]\ndrain_timeout = \"20s\"\n").env("ANTISPOOFD__API__TIMEOUT", "25s");
    assert_eq!(
        given.said(),
        r#"error: worker.drain_timeout: 20s is shorter than api.timeout (25s): a stop could cut off a call that was already sent, and it would be paid for twice
  --> a.toml:2:17
   |
 2 | drain_timeout = "20s"
   |                 ^^^^^
  --> api.timeout: environment variable ANTISPOOFD__API__TIMEOUT
  = help: raise worker.drain_timeout to at least 25s (and the grace period of the pod above it), or lower api.timeout

1 problem in the settings"#
    );
}

#[test]
fn a_secret_and_its_file_in_one_layer_are_shown_masked() {
    let text = format!("{LEAST}\ntoken = \"\"\nsecret_file = \"/run/secrets/api\"\n");
    let given = Given::nothing().file("a.toml", &text);
    let said = given.said();
    assert!(
        said.starts_with(
            r#"error: api.secret: is set together with api.secret_file
  --> a.toml:8:10
   |
 8 | secret = ***
   |          ^^^
  --> api.secret_file: a.toml:11:15
    |
 11 | secret_file = "/run/secrets/api"
    |               ^^^^^^^^^^^^^^^^^^
  = help: keep one of the two
"#
        ),
        "{said}"
    );
    let given = Given::least().env("ANTISPOOFD__AMQP__URL", "amqp://a").env("ANTISPOOFD__AMQP__URL_FILE", "/b");
    assert_eq!(given.whats()[0], "amqp.url: is set together with amqp.url_file");
}

#[test]
fn what_is_converted_is_named() {
    let given = Given::least()
        .file("a.toml", "[image]\nconvert = [\"png\", \"jpeg\", \"wepb\"]\nmax_side = 100\nmin_side = 200\n");
    assert_eq!(
        given.said(),
        r#"error: image.convert: "jpeg" is what is converted to
  --> a.toml:2:19
   |
 2 | convert = ["png", "jpeg"
   |                   ^^^^^^
  = help: write some of png, webp, bmp, tiff, gif

error: image.convert: "wepb" is no format that is converted
  --> a.toml:2:27
   |
 2 | convert = ["png", "jpeg", "wepb"
   |                           ^^^^^^
  = help: did you mean webp? write some of png, webp, bmp, tiff, gif

error: image.max_side: scales to sides of at most 100 pixels what image.min_side wants at least 200 of
  --> a.toml:3:12
   |
 3 | max_side = 100
   |            ^^^
  --> image.min_side: a.toml:4:12
   |
 4 | min_side = 200
   |            ^^^
  = help: raise image.max_side or lower image.min_side

3 problems in the settings"#
    );
}

#[test]
fn a_ledger_says_what_it_needs() {
    let given = Given::least().file("a.toml", "[ledger]\nbackend = \"file\"\n");
    assert_eq!(
        given.said(),
        r#"error: ledger.path: is empty, and ledger.backend is "file"
  --> default
  --> ledger.backend: a.toml:2:11
   |
 2 | backend = "file"
   |           ^^^^^^
  = help: name a file on a disk that outlives the process, as /var/lib/antispoofd/ledger.redb

1 problem in the settings"#
    );
    let whats = |flags: &[(&str, &str)]| {
        flags.iter().fold(Given::least(), |given, (key, value)| given.flag(key, value)).whats()
    };
    assert_eq!(whats(&[("ledger.backend", "redis")]), ["ledger.url: is empty, and ledger.backend is \"redis\""]);
    assert_eq!(
        whats(&[("ledger.backend", "file"), ("ledger.path", "/no/such/folder/l.redb")]),
        ["ledger.path: is in a folder that does not exist: /no/such/folder"]
    );
    assert_eq!(whats(&[("ledger.backend", "file"), ("ledger.path", "/")]), ["ledger.path: is a folder"]);
    assert_eq!(whats(&[("ledger.backend", "s3")]), ["ledger.bucket: is empty, and ledger.backend is \"s3\""]);
    let images = Given::least().settings().s3.buckets[0].clone();
    assert_eq!(
        whats(&[("ledger.backend", "s3"), ("ledger.bucket", &images)]),
        ["ledger.bucket: is a bucket that jobs may name: a program that may put images there could put verdicts there"]
    );
    assert_eq!(
        whats(&[("ledger.backend", "s3"), ("ledger.bucket", "kyc-ledger"), ("amqp.prefix", ".kyc")]),
        ["ledger.prefix: is empty, and amqp.prefix cannot be the start of the records' names: a dot begins or ends it"]
    );
}

#[test]
fn records_begin_with_what_the_queues_begin_with() {
    let backend = |more: &[(&str, &str)]| {
        let least = Given::least().flag("ledger.backend", "s3").flag("ledger.bucket", "kyc-ledger");
        more.iter().fold(least, |given, (key, value)| given.flag(key, value)).settings().ledger.backend
    };
    let in_bucket = |prefix: &str| LedgerBackend::S3 { bucket: "kyc-ledger".to_owned(), prefix: prefix.to_owned() };
    assert_eq!(backend(&[]), in_bucket("antispoof"));
    assert_eq!(backend(&[("amqp.prefix", "kyc")]), in_bucket("kyc"));
    assert_eq!(backend(&[("amqp.prefix", "kyc"), ("ledger.prefix", "a/b")]), in_bucket("a/b"));
}

#[test]
fn every_wrong_item_of_a_list_has_its_own_mark() {
    let given = Given::least().file("a.toml", "[s3]\nbuckets = [\n  \"good-one\", \"Bad\",\n  7,\n]\n");
    assert_eq!(
        given.said(),
        r#"error: s3.buckets: "Bad" is not a bucket name: only lower-case letters, digits, "." and "-" are allowed
  --> a.toml:3:15
   |
 3 |   "good-one", "Bad"
   |               ^^^^^
  = help: write the bucket's name alone, as "kyc-uploads", without s3:// and without a key

error: s3.buckets: is a number, not a string in double quotes
  --> a.toml:4:3
   |
 4 |   7
   |   ^
  = help: write a string in double quotes

2 problems in the settings"#
    );
}

#[test]
fn sections_and_tables_that_are_none_are_said_to_be() {
    let given = Given::nothing()
        .file("a.toml", "amqp = 3\napi.statuses = 4\nthreads = 1\n[[s3]]\n[worker]\nthreads = { a = 1 }\n");
    assert_eq!(
        given.whats()[..5],
        [
            "amqp: is a section, not a number",
            "api.statuses: is a table, not a number",
            "threads: there is no such section",
            "s3: is a section, not a list",
            "worker.threads: is a table, not a whole number",
        ]
    );
}

#[test]
fn warnings_are_printed_beside_problems_and_counted() {
    let given = Given::least().env("ANTISPOOFD_API_TIMEOUT", "3s").flag("worker.threads", "0");
    assert_eq!(
        given.said(),
        "error: worker.threads: 0 is out of bounds
  --> flag --set worker.threads
  = help: write a whole number from 1 to 64

warning: ANTISPOOFD_API_TIMEOUT is not read
  --> environment variable ANTISPOOFD_API_TIMEOUT
  = help: rename it to ANTISPOOFD__API__TIMEOUT, in capitals and with two underscores, or remove it

1 problem in the settings, 1 warning"
    );
}

#[test]
fn what_kubernetes_injects_is_no_setting() {
    let given = Given::least().env("ANTISPOOFD_PORT", "tcp://10.0.0.1:9464").env("ANTISPOOFD_SERVICE_HOST", "10.0.0.1");
    assert_eq!(given.warnings(), Vec::<String>::new());
}
