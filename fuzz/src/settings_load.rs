//! Any text as a settings file and as a secret: all that is wrong is said, and no secret with it.

use antispoofd::settings::{Needs, Sources, load_for};
use std::collections::BTreeMap;
use std::path::PathBuf;

const CANARY: &str = "C4naryC4nary";

/// The first byte chooses where the secret stands, the rest is a file.
pub fn settings_load(data: &[u8]) {
    let ([choice], text) = super::control(data);
    let text = String::from_utf8_lossy(text).replace(CANARY, "");
    // Paths that the text names would be read, devices and pipes among them.
    if text.contains("_file") || text.contains("path") {
        return;
    }
    let tail: String = text.chars().filter(|c| !c.is_control()).take(usize::from(choice >> 4)).collect();
    let secret = format!("{CANARY}{tail}");
    let path = file(&with_secrets(&text, &secret));
    let mut sources = Sources { files: vec![path], ..Sources::default() };
    match choice % 8 {
        0 => place(&mut sources.env, "ANTISPOOFD__API__SECRET", secret),
        1 => place(&mut sources.env, "ANTISPOOFD__API__TOKEN", format!("{secret}.b.c")),
        2 => place(&mut sources.env, "ANTISPOOFD__AMQP__URL", format!("amqp://user:{secret}@rabbit/%2f")),
        3 => place(&mut sources.env, "ANTISPOOFD__LEDGER__URL", format!("redis://:{secret}@redis")),
        4 => place(&mut sources.env, "VIDEOSDK_SECRET", secret),
        5 => sources.overrides.push(("api.secret".to_owned(), secret)),
        6 => sources.overrides.push(("amqp.url".to_owned(), format!("{secret}@rabbit"))),
        _ => {}
    }
    for needs in [Needs::Worker, Needs::Client] {
        let said = match load_for(needs, sources.clone()) {
            Ok(loaded) => format!("{loaded:?}{:?}{:?}", loaded.settings, loaded.redacted()),
            Err(problems) => {
                assert!(problems.len() > 0);
                for problem in problems.iter().chain(problems.warnings()) {
                    assert!(!problem.what().is_empty() && !problem.remedy().is_empty());
                }
                format!("{problems}{problems:?}")
            }
        };
        assert!(!said.contains(CANARY), "a secret is shown:\n{said}");
        assert!(!said.contains('\u{1b}'), "a terminal would obey:\n{said:?}");
    }
}

/// The canary as the value of every secret that the text sets on a line of its own. In a string of many lines such a line would be no setting.
fn with_secrets(text: &str, secret: &str) -> String {
    let (literal, quoted) = (text.contains("'''"), text.contains("\"\"\""));
    let safe = secret.replace(['"', '\\'], "");
    let lines = text.lines().map(|line| {
        let is_secret = ["secret = \"", "token = \"", "api_key = \""].into_iter().find(|start| line.starts_with(start));
        match is_secret {
            Some(start) if !literal && !quoted => line.replacen(start, &format!("{start}{safe}"), 1),
            _ => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn place(env: &mut BTreeMap<String, String>, name: &str, value: String) {
    env.insert(name.to_owned(), value);
}

/// One file for each thread that runs this, written anew each time.
fn file(text: &str) -> PathBuf {
    let name = format!("antispoofd-fuzz-{}-{:?}.toml", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).expect("a temporary file can be written");
    path
}
