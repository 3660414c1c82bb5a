//! No secret is ever shown, whatever is wrong; and no text makes the loader panic.

use std::path::Path;

use proptest::prelude::*;

use super::super::keys::Keys;
use super::super::spans::Spans;
use super::super::{Needs, Sources, load_for};
use super::{Given, LEAST};

const CANARY: &str = "C4naryC4nary";

/// Everything that a load says to anyone.
fn everything_said(sources: &Sources) -> String {
    let said = |needs| match load_for(needs, sources.clone()) {
        Ok(loaded) => format!("{loaded:?}{:?}{:?}", loaded.settings, loaded.redacted()),
        Err(problems) => format!("{problems}{problems:?}"),
    };
    said(Needs::Worker) + &said(Needs::Client)
}

#[track_caller]
fn keeps_quiet(given: &Given) {
    let said = everything_said(&given.sources);
    assert!(!said.contains(CANARY), "{said}");
}

#[test]
fn sound_secrets_are_in_no_debug_and_no_row() {
    let urls = format!(
        "[amqp]\nurl = \"amqp://{CANARY}:{CANARY}@h/%2f?channel_max=33\"\n[ledger]\nbackend = \"redis\"\nurl = \"redis://{CANARY}:{CANARY}@h\"\n"
    );
    let keys = format!("[s3]\nbuckets = [\"abc\"]\n[api]\napi_key = \"{CANARY}\"\nsecret = \"{CANARY}\"");
    let given = Given::nothing().file("a.toml", &urls).file("b.toml", &keys);
    assert!(given.load().is_ok());
    keeps_quiet(&given);
    let token = Given::nothing().file("a.toml", &format!("[s3]\nbuckets = [\"abc\"]\n[api]\ntoken = \"{CANARY}.b.c\""));
    assert!(token.load().is_ok());
    keeps_quiet(&token);
}

/// Values that are wrong for one reason or another, for every key that is a secret.
fn wrong_values() -> Vec<String> {
    vec![
        CANARY.to_owned(),
        format!("Bearer {CANARY}"),
        format!("{CANARY} {CANARY}"),
        format!("{CANARY}://h"),
        format!("amqp://u:{CANARY}@"),
        format!("amqp://u:{CANARY}@h/a/b"),
        format!("amqp://h/%2f?{CANARY}={CANARY}"),
        format!("amqp://h:{CANARY}/"),
        format!("amqp://h/%2f#{CANARY}"),
        format!("redis://:{CANARY}@"),
        format!("redis://:{CANARY}@h?db={CANARY}"),
        format!("rediss://h/{CANARY}"),
        format!("{CANARY}é"),
    ]
}

#[test]
fn wrong_secrets_are_in_no_message() {
    for key in Keys::known().secrets() {
        let (section, leaf) = key.split_once('.').expect("a dotted key");
        for value in wrong_values() {
            let line = format!("[{section}]\n{leaf} = {}\n", toml::Value::from(value.as_str()));
            keeps_quiet(&Given::least().file("a.toml", &line));
            keeps_quiet(&Given::least().env(&super::super::keys::variable(key), &value));
            keeps_quiet(&Given::least().flag(key, &value));
            let given = Given::least();
            let path = given.write("secret", &value).display().to_string();
            keeps_quiet(&given.flag(&format!("{key}_file"), &path));
        }
    }
}

#[test]
fn a_line_with_a_problem_does_not_show_the_secrets_around_it() {
    let lines = [
        format!("api = {{ secret = \"{CANARY}\", timeout = 3 }}"),
        format!("api = {{ timeout = 3, secret = \"{CANARY}\" }}"),
        format!("api = {{ timeout = 3 }} # was {CANARY}"),
        format!("api.timeout = 3 # {CANARY}"),
        format!("api.secret = [\"{CANARY}\"]"),
        format!("api.secret = {{ a = \"{CANARY}\" }}"),
        format!("api.secert = \"{CANARY}\""),
        format!("secret = \"{CANARY}\""),
        format!("apy = {{ secret = \"{CANARY}\", x = [[\"{CANARY}\"]] }}"),
        format!("[[api]]\nsecret = \"{CANARY}\""),
        format!("api.secret = \"\"\"\n{CANARY}\n{CANARY} x\"\"\""),
        format!("s3.endpoint_url = \"http://u:{CANARY}@h\""),
        format!("api.url = \"https://h/?key={CANARY}\""),
        format!("s3.buckets = [{{ secret = \"{CANARY}\" }}]"),
    ];
    for line in lines {
        let given = Given::nothing().file("a.toml", &line);
        assert!(given.load().is_err(), "{line}");
        keeps_quiet(&given);
    }
}

#[test]
fn a_file_that_is_no_toml_shows_no_line_that_may_hold_a_secret() {
    let lines = [
        format!("[api]\nsecret = {CANARY}"),
        format!("[api]\nsecret = \"{CANARY}"),
        format!("[api]\nsecret = \"{CANARY}\" x"),
        format!("[api]\nsecret \"{CANARY}\""),
        format!("[api]\nsecret =\n{CANARY}\n"),
        format!("[api]\nsecret = \"\"\"\n{CANARY}\ntimeout = {CANARY}"),
        format!("[api]\ntimeout = 3s secret = \"{CANARY}\""),
        format!("[api]\ntimeout = 3s # {CANARY}"),
        format!("[api]\nsecert = {CANARY}"),
        format!("api = {{ secret = \"{CANARY}\" timeout = 3 }}"),
        format!("[amqp]\nurl = amqp://u:{CANARY}@h"),
        format!("[{CANARY}"),
    ];
    for line in lines {
        let given = Given::nothing().file("a.toml", &line);
        assert!(given.said().contains("not TOML"), "{line}");
        keeps_quiet(&given);
    }
}

#[test]
fn a_hash_key_that_could_be_guessed_is_refused() {
    let with = |value: &str| Given::least().env("ANTISPOOFD__LOG__HASH_KEY", value);
    let just = with("0123456789abcdef");
    assert!(just.settings().log.hash_key.is_some());
    assert_eq!(super::rows(&just.load().expect("it fits"))["log.hash_key"], "\"***\"");
    assert_eq!(with("0123456789abcde").whats(), ["log.hash_key: has fewer than 16 bytes, so that it could be guessed"]);
    let unset = with("");
    assert!(unset.settings().log.hash_key.is_none());
    assert_eq!(super::rows(&unset.load().expect("it fits"))["log.hash_key"], "\"\"");
}

#[test]
fn secrets_are_trimmed_and_refused_with_the_remedy() {
    let said = |value: &str| Given::least().env("ANTISPOOFD__API__SECRET", value).load().err().map(|p| p.to_string());
    assert_eq!(said(" secret \n"), None);
    for bearer in ["Bearer abc", "bearer abc", "BEARER abc"] {
        let said = said(bearer).expect("a refusal");
        assert!(said.contains("api.secret: starts with \"Bearer \""), "{said}");
        assert!(said.contains("remove the word and keep what follows it"), "{said}");
    }
    assert!(said("two words").is_some());
}

#[test]
fn secret_files_that_are_none() {
    let given = Given::least();
    given.write("empty", " \n");
    given.write("large", &"x".repeat(70_000));
    std::fs::write(given.dir.path().join("bytes"), [0xff, 0xfe]).expect("a file in the temporary directory");
    for (name, what) in [
        ("empty", "the secret's file is empty"),
        ("large", "the secret's file is larger than 64 KiB"),
        ("bytes", "the secret's file is not UTF-8 text"),
        ("absent", "the secret's file cannot be read: No such file or directory (os error 2)"),
    ] {
        let mut given =
            Given { dir: tempfile::tempdir_in(given.dir.path()).expect("a directory"), sources: given.sources.clone() };
        given
            .sources
            .overrides
            .push(("api.secret_file".to_owned(), format!("{}/../{name}", given.dir.path().display())));
        assert_eq!(given.whats(), [format!("api.secret: {what}")]);
    }
}

#[test]
fn a_secret_file_that_all_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let given = Given::least();
    let path = given.write("secret", "s");
    let given = given.env("ANTISPOOFD__API__SECRET_FILE", &path.display().to_string());
    assert_eq!(given.warnings(), Vec::<String>::new());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("its mode");
    assert_eq!(given.warnings(), ["api.secret: every user of the machine may read the secret's file (mode 0644)"]);
}

#[test]
fn credentials_are_refused_as_flags() {
    let given = Given::least().flag("api.secret", "s").flag("api.token", "").flag("amqp.url", "amqp://u:p@h");
    assert_eq!(given.whats(), ["api.secret: is a secret, and flags can be read by every user of the machine"]);
    assert_eq!(
        given.problems().warnings()[0].what(),
        "holds credentials, and flags can be read by every user of the machine"
    );
}

#[test]
fn a_token_that_does_not_look_like_one_is_warned_of() {
    let text = LEAST.replace("api_key = \"key\"\nsecret = \"secret\"", "token = \"raw-api-key\"");
    let warnings = Given::nothing().file("a.toml", &text).warnings();
    assert_eq!(warnings, ["api.token: does not look like a token, which has three parts with dots between them"]);
}

#[test]
fn a_token_that_has_expired_is_refused_unless_its_file_may_hold_another() {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    // {"exp":1000000000}
    const TOKEN: &str = "e30.eyJleHAiOjEwMDAwMDAwMDB9.AAAA";
    let at = |mut given: Given, now: Option<SystemTime>| {
        given.sources.now = now;
        given
    };
    let text = LEAST.replace("api_key = \"key\"\nsecret = \"secret\"", &format!("token = \"{TOKEN}\""));
    let written = |now| at(Given::nothing().file("a.toml", &text), now);
    let (before, after) =
        (UNIX_EPOCH + Duration::from_secs(999_999_999), UNIX_EPOCH + Duration::from_secs(1_000_000_005));
    for now in [None, Some(before)] {
        assert_eq!(written(now).warnings(), Vec::<String>::new());
    }
    let given = written(Some(after));
    assert_eq!(given.whats(), ["api.token: has expired: 2001-09-09T01:46:40Z (5s ago)"]);
    assert!(given.said().contains("\n  --> a.toml:7:9\n") && !given.said().contains(TOKEN), "{}", given.said());
    // A command that only decodes it, or has nothing to do with it.
    for needs in [Needs::Token, Needs::Client] {
        assert!(load_for(needs, given.sources.clone()).is_ok());
    }

    let given = Given::nothing();
    let path = given.write("token", TOKEN);
    let text = LEAST.replace("api_key = \"key\"\nsecret = \"secret\"", &format!("token_file = {path:?}"));
    let warnings = at(given.file("a.toml", &text), Some(after)).warnings();
    assert_eq!(
        warnings,
        [
            "api.token: has expired: 2001-09-09T01:46:40Z (5s ago); the API refuses it, and no job is judged, until the file holds another"
        ]
    );
}

#[test]
fn variables_that_are_not_utf8_are_refused() {
    let given = Given::least().env("ANTISPOOFD__API__SECRET", "a\u{FFFD}b");
    assert_eq!(given.whats(), ["api.secret: is not UTF-8 text"]);
}

#[test]
fn no_depth_of_nesting_overflows_the_stack() {
    let deep = 100_000;
    for text in [
        format!("api.secret = {}1{}", "[".repeat(deep), "]".repeat(deep)),
        format!("x = {}1{}", "{a=".repeat(deep), "}".repeat(deep)),
        format!("{}a = 1", "a.".repeat(deep)),
        format!("[{}a]", "a.".repeat(deep)),
    ] {
        assert!(Given::least().file("a.toml", &text).load().is_err());
    }
}

/// Text that is almost a settings file: known and unknown names with sound and broken values, cut anywhere.
fn almost_toml() -> impl Strategy<Value = String> {
    let keys: Vec<String> = Keys::known().iter().map(str::to_owned).collect();
    let name = prop_oneof![proptest::sample::select(keys), "[a-z_.]{1,12}", r"\PC{0,6}"];
    let value = prop_oneof![
        Just("3".to_owned()),
        Just("\"30s\"".to_owned()),
        Just("[\"a\", 'b', 3]".to_owned()),
        Just("{ a = 1, secret = \"x\" }".to_owned()),
        Just("\"\"\"\na\n\"\"\"".to_owned()),
        Just("1979-05-27".to_owned()),
        Just("-nan".to_owned()),
        r"\PC{0,20}",
        "\"[^\"\\\\]{0,20}\"",
    ];
    let line = prop_oneof![
        4 => (name, value).prop_map(|(name, value)| format!("{name} = {value}")),
        1 => "\\[{0,2}[a-z0-9.]{0,9}\\]{0,2}",
        1 => r"\PC{0,30}",
    ];
    (proptest::collection::vec(line, 0..12), proptest::bool::ANY, any::<prop::sample::Index>()).prop_map(
        |(lines, crlf, cut)| {
            let text = lines.join(if crlf { "\r\n" } else { "\n" });
            let whole = cut.index(4) > 0;
            if whole { text } else { text.chars().take(cut.index(text.chars().count() + 1)).collect() }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_loader_panic(text in prop_oneof![almost_toml(), any::<String>()]) {
        let given = Given::least().file("a.toml", &text);
        // The verdict does not matter, that there is one does; all of it is formatted.
        let _: String = everything_said(&given.sources);
    }

    #[test]
    fn no_variable_makes_the_loader_panic(index in any::<prop::sample::Index>(), value in any::<String>()) {
        let keys = Keys::known();
        let all: Vec<&str> = keys.iter().collect();
        let given = Given::nothing().env(&super::super::keys::variable(all[index.index(all.len())]), &value);
        let _: String = everything_said(&given.sources);
    }

    #[test]
    fn no_key_around_it_makes_a_secret_show(before in almost_toml(), after in almost_toml(), place in 0..4_usize) {
        let key = ["api.secret", "api.token", "amqp.url", "ledger.url"][place];
        let text = format!("{before}\n{key} = \"{CANARY}\"\n{after}");
        let keys = Keys::known();
        let spans = Spans::of(&text, Path::new("a.toml"), &keys);
        for problem in spans.syntax() {
            prop_assert!(!format!("{problem}{problem:?}").contains(CANARY), "{problem}");
        }
        let given = Given::nothing().file("a.toml", &text);
        prop_assert!(!everything_said(&given.sources).contains(CANARY));
    }
}
