//! What ARCHITECTURE.md says, held against the code: which module may name which, that files form no circles, and who watches over tasks.

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/sources.rs"]
mod sources;

use sources::{nameless_spawns, names, sources};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Crates that only one room may name (the simulator plays the vendor's side of the same protocols).
const OWNED: &[(&str, &[&str])] = &[
    ("lapin", &["amqp", "cli"]),
    ("aws_sdk_s3", &["s3"]),
    ("aws_config", &["s3"]),
    ("aws_sigv4", &["s3"]),
    ("reqwest", &["amqp"]),
    ("hyper", &["http_client", "admin", "simulator"]),
    ("tokio_rustls", &["http_client"]),
    ("jsonwebtoken", &["api", "simulator"]),
    ("antispoof_convert", &["conversion"]),
    ("prometheus_client", &["telemetry"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("opentelemetry_proto", &["telemetry"]),
    ("prost", &["telemetry"]),
    ("toml", &["settings"]),
    ("schemars", &["settings"]),
    ("serde_path_to_error", &["settings"]),
    ("redb", &["ledger"]),
    ("redis", &["ledger"]),
];

/// Files that start tasks or threads without a name in `lifecycle::Tasks`: how many, and why nothing has to notice their end.
const UNTRACKED: &[(&str, usize, &str)] = &[
    ("src/admin.rs", 1, "one connection of the admin port, bounded in time"),
    ("src/amqp/acks.rs", 1, "the writing of acks, which ends with its session, and the session with it"),
    ("src/amqp/supervisor.rs", 1, "the closing of a dead session, bounded in time"),
    ("src/conversion.rs", 1, "one conversion, which ends with its image"),
    ("src/cli/submit/feed.rs", 1, "a command, which ends with what it reads"),
    ("src/http_client/pool.rs", 2, "one connection; and the closing of idle ones, which ends when there are none"),
    ("src/http_client/proxy.rs", 1, "one connection"),
    (
        "src/ledger/file/writer.rs",
        2,
        "a thread and the way back from it; `writer_ended` tells of both, and that is tracked",
    ),
    ("src/lifecycle/tasks.rs", 3, "the tracker"),
    ("src/s3/credentials.rs", 2, "one search for credentials, bounded in time"),
    ("src/s3/credentials/chain.rs", 1, "one search for credentials, bounded in time"),
    ("src/settings/whole_file.rs", 1, "one read of a pipe, at the start"),
    ("src/simulator/call.rs", 2, "the rest of one request's body"),
    ("src/simulator/server.rs", 1, "one connection of the simulator"),
    ("src/telemetry/logs/writer.rs", 1, "a thread; `writer_ended` tells of its end, and that is tracked"),
    ("src/worker.rs", 1, "one job, whose lease goes back to the broker if it panics"),
    ("src/worker/alone.rs", 1, "one job, whose lease goes back to the broker if it panics"),
    ("src/worker/job_slots.rs", 1, "one job, whose lease goes back to the broker if it panics"),
];

#[test]
fn modules_name_what_architecture_md_says() {
    let said = arrows_of_the_document();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    let sources: Vec<_> = sources().into_iter().filter(|source| source.path.starts_with("src")).collect();
    let modules: BTreeSet<&String> = sources.iter().filter_map(|source| source.module.get(1)).collect();
    for source in &sources {
        let Some(module) = source.module.get(1) else { continue };
        let row = found.entry(module.clone()).or_default();
        let names = names(&source.tokens);
        for path in names.imports.iter().map(|import| &import.path).chain(&names.paths) {
            if let [root, named, ..] = path.as_slice()
                && ["crate", "antispoofd"].contains(&root.as_str())
                && named != module
                && modules.contains(named)
            {
                row.insert(named.clone());
            }
            let owner = OWNED.iter().find(|(owned, _)| path[0] == *owned);
            if let Some((owned, owners)) = owner
                && !owners.contains(&module.as_str())
            {
                wrong.push(format!("{}: {module} names the crate {owned}", source.path.display()));
            }
        }
    }
    for (module, row) in &found {
        match said.get(module) {
            None => wrong.push(format!("{module} has no row; it names {row:?}")),
            Some(said) if said != row => wrong.push(format!("{module} is said to name {said:?} and names {row:?}")),
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "not as ARCHITECTURE.md says in \"Arrows\":\n{}", wrong.join("\n"));
}

#[test]
fn every_long_lived_task_has_a_name() {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources() {
        let count = nameless_spawns(&source.tokens);
        if count > 0 {
            found.insert(source.path.to_string_lossy().into_owned(), count);
        }
    }
    let known: BTreeMap<String, usize> = UNTRACKED.iter().map(|&(file, count, _)| (file.to_owned(), count)).collect();
    assert_eq!(found, known, "start long-lived tasks by lifecycle::Tasks; short ones have a row in UNTRACKED");
}

/// The rows of the first block under "Arrows": `module → modules that it may name`.
fn arrows_of_the_document() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string("ARCHITECTURE.md").expect("the document");
    let (_, section) = text.split_once("\n## Arrows\n").expect("a section \"Arrows\"");
    let block = section.split("```").nth(1).expect("a block in it");
    let rows = block.lines().filter_map(|line| line.split_once('→'));
    let row =
        |names: &str| names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    rows.map(|(module, names)| (module.trim().to_owned(), row(names))).collect()
}

/// Cargo (1.95) forgets `strip` for a package that has an entry of its own in the profile, and the symbols are 4 MB.
#[test]
fn nothing_keeps_the_symbols_in_the_released_program() {
    let manifest = fs::read_to_string("Cargo.toml").expect("the manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let release = &manifest["profile"]["release"];
    assert_eq!(release["strip"].as_str(), Some("symbols"));
    assert!(release["package"].get("antispoofd").is_none(), "[profile.release.package.antispoofd]");
}

#[test]
fn the_core_does_no_io() {
    let manifest = fs::read_to_string("core/Cargo.toml").expect("the core's manifest");
    let dependencies =
        manifest.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).expect("a section");
    for crate_name in ["tokio", "lapin", "reqwest", "hyper", "aws", "tracing", "rand", "fastrand"] {
        assert!(!dependencies.contains(crate_name), "core depends on {crate_name}");
    }
    for source in sources().iter().filter(|source| source.path.starts_with("core")) {
        let code = source.tokens.concat();
        for ambient in ["std::fs", "std::net", "std::env", "SystemTime::now", "Instant::now", "now_utc()"] {
            assert!(!code.contains(ambient), "{} uses {ambient}", source.path.display());
        }
    }
}
