//! The arrows of ARCHITECTURE.md, held against the code: which module may name which.

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/sources.rs"]
mod sources;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module of `src/` may name of the others. What is not in a row is an arrow that does not exist.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli", "settings"]),
    ("cli", &["amqp", "api", "app", "s3", "settings", "simulator", "telemetry", "worker", "cli"]),
    (
        "app",
        &[
            "admin",
            "amqp",
            "api",
            "gate",
            "health",
            "ledger",
            "lifecycle",
            "pipeline",
            "s3",
            "settings",
            "telemetry",
            "worker",
        ],
    ),
    ("worker", &["amqp", "gate", "health", "lifecycle", "pipeline"]),
    ("pipeline", &["gate", "lifecycle", "telemetry", "pipeline"]),
    ("admin", &["gate", "health", "telemetry"]),
    ("health", &["gate", "lifecycle"]),
    ("amqp", &["settings", "amqp"]),
    ("s3", &["http_client", "settings", "s3"]),
    ("api", &["http_client", "settings", "api"]),
    ("http_client", &[]),
    ("ledger", &["settings", "ledger"]),
    ("telemetry", &["settings", "telemetry"]),
    ("gate", &[]),
    ("lifecycle", &[]),
    ("settings", &["settings"]),
    ("simulator", &["simulator"]),
];

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
    ("prometheus_client", &["telemetry"]),
    ("toml", &["settings"]),
    ("redb", &["ledger"]),
    ("redis", &["ledger"]),
];

#[test]
fn modules_name_only_what_they_may() {
    let known: BTreeSet<&str> = ARROWS.iter().map(|(module, _)| *module).collect();
    let mut wrong = Vec::new();
    for (module, file, text) in sources(Path::new("src")) {
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: module {module} has no row in ARROWS", file.display()));
            continue;
        };
        for named in named(&text).filter(|name| known.contains(name.as_str())) {
            if !allowed.contains(&named.as_str()) && named != module {
                wrong.push(format!("{}: {module} → {named}", file.display()));
            }
        }
        for (owned, owners) in OWNED {
            if text.contains(&format!("{owned}::")) && !owners.contains(&module.as_str()) {
                wrong.push(format!("{}: {module} names the crate {owned}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that do not exist:\n{}", wrong.join("\n"));
}

#[test]
fn the_core_does_no_io() {
    let manifest = fs::read_to_string("core/Cargo.toml").expect("the core's manifest");
    let dependencies =
        manifest.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).expect("a section");
    for crate_name in ["tokio", "lapin", "reqwest", "hyper", "aws", "tracing", "rand", "fastrand"] {
        assert!(!dependencies.contains(crate_name), "core depends on {crate_name}");
    }
    for (_, file, text) in sources(Path::new("core/src")) {
        for ambient in ["std::fs", "std::net", "std::env", "SystemTime::now", "Instant::now", "now_utc()"] {
            assert!(!text.contains(ambient), "{} uses {ambient}", file.display());
        }
    }
}

/// Every source file below a folder with the name of its top-level module, tests left out.
fn sources(root: &Path) -> Vec<(String, PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && path.file_stem().is_some_and(|stem| stem != "tests")
            {
                let inside = path.strip_prefix(root).expect("below the root");
                let top = inside.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
                let text = fs::read_to_string(&path).expect("a source file");
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
                found.push((top.trim_end_matches(".rs").to_owned(), path, text));
            }
        }
    }
    found
}

/// The modules that a file names by `crate::x`, `crate::{x, …}` or `use antispoofd::x`, in code, not in comments.
fn named(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| {
        let paths = line.match_indices("crate::").map(|(at, found)| at + found.len());
        let paths = paths.chain(line.match_indices("use antispoofd::").map(|(at, found)| at + found.len()));
        paths
            .flat_map(|at| {
                let rest = &line[at..];
                let list = rest.strip_prefix('{').map_or(rest, |inside| inside.split('}').next().unwrap_or(inside));
                let many = rest.starts_with('{');
                list.split(',')
                    .take(if many { usize::MAX } else { 1 })
                    .map(|item| {
                        item.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
                    })
                    .collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    })
}
