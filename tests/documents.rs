//! The documents: their links lead somewhere, their pages stay short, every page is in the index, and the code names pages that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest page of `docs/`, in words. What is between two spaces is a word.
const PAGE: usize = 1500;
/// Written by a program, or by a rule that a test holds, and as long as that makes them.
const GENERATED: [&str; 1] = ["docs/configuration.md"];
const README_WORDS: usize = 900;
const README_LINE: usize = 100;
const INDEX_LINES: usize = 60;
const GLOSSARY_LINES: usize = 20;

fn file(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()))
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// The files below a folder whose names end with one of these, without what builds and tools leave behind.
fn files(folder: &Path, ends: &[&str]) -> Vec<PathBuf> {
    const LEFT_BEHIND: [&str; 4] = ["target", "node_modules", "corpus", "__pycache__"];
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("text");
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            if !LEFT_BEHIND.contains(&name) && (!name.starts_with('.') || name == ".github") {
                found.extend(files(&path, ends));
            }
        } else if ends.iter().any(|end| name.ends_with(end)) {
            found.push(path.strip_prefix("./").unwrap_or(&path).to_owned());
        }
    }
    found.sort();
    found
}

fn pages() -> Vec<PathBuf> {
    files(Path::new("."), &[".md"])
}

/// The lines of a page that are not between fences.
fn prose(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let outside = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    outside.collect()
}

/// What a heading is linked as, on the sites that show these pages.
fn anchor(heading: &str) -> String {
    let shown = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(|c| shown(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

/// Text and target of each link of a page.
fn links(text: &str) -> Vec<(String, String)> {
    let text = prose(text).join("\n");
    let mut found = Vec::new();
    for (at, _) in text.match_indices("](") {
        let start = text[..at].rfind('[').map_or(0, |start| start + 1);
        let Some((target, _)) = text[at + 2..].split_once(')') else { continue };
        found.push((text[start..at].replace('\n', " "), target.to_owned()));
    }
    found
}

/// The name of a test, where the text of a link is one.
fn test_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix('`')?.strip_suffix('`')?;
    let identifier = name.contains('_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    identifier.then_some(name)
}

/// What is wrong with a link of a page.
fn fault(page: &Path, text: &str, target: &str) -> Option<String> {
    if target.contains("://") {
        return None;
    }
    let (path, wanted) = target.split_once('#').unwrap_or((target, ""));
    let folder = page.parent().unwrap_or(Path::new(""));
    let path = if path.is_empty() { page.to_owned() } else { folder.join(path) };
    if !path.exists() {
        return Some(format!("{}: {target} does not exist", page.display()));
    }
    if path.extension().is_some_and(|end| end == "md") && !wanted.is_empty() && !anchors(&file(&path)).contains(wanted)
    {
        return Some(format!("{}: {target} has no such heading", page.display()));
    }
    let name = test_name(text).filter(|_| path.extension().is_some_and(|end| end == "rs"))?;
    let there = file(&path).contains(&format!("fn {name}"));
    (!there).then(|| format!("{}: there is no {name} in {}", page.display(), path.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    assert!(pages.len() > 40, "{pages:?}");
    let mut faults = Vec::new();
    let mut count = 0;
    for page in &pages {
        for (text, target) in links(&file(page)) {
            count += 1;
            faults.extend(fault(page, &text, &target));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 200, "{count} links");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = Path::new("docs/README.md");
    for (text, target, found) in [
        ("a", "getting-started.md", None),
        ("a", "getting-started.md#commands", None),
        ("a", "https://example.com/nothing#here", None),
        ("a", "no-such-page.md", Some("does not exist")),
        ("a", "getting-started.md#no-such-heading", Some("no such heading")),
        ("`no_such_test`", "../tests/documents.rs", Some("there is no no_such_test")),
        ("`a_link_that_leads_nowhere_is_found`", "../tests/documents.rs", None),
    ] {
        let fault = fault(page, text, target);
        assert_eq!(fault.is_some(), found.is_some(), "{target}: {fault:?}");
        assert!(found.is_none_or(|part| fault.expect("one").contains(part)), "{target}");
    }
    let text = "See [the\npage](a.md#b), `[not](this)`.\n```text\n[nor](that)\n```\n[`x_y`](z.rs)";
    let targets: Vec<String> = links(text).into_iter().map(|(_, target)| target).collect();
    assert_eq!(targets, ["a.md#b", "this", "z.rs"], "only fences hide links");
    assert_eq!(
        anchor("While the ledger cannot be asked: `ledger.on_error`"),
        "while-the-ledger-cannot-be-asked-ledgeron_error"
    );
}

#[test]
fn pages_are_short() {
    for page in files(Path::new("docs"), &[".md"]) {
        let count = words(&file(&page));
        let generated = GENERATED.iter().any(|path| page == Path::new(path));
        assert!(generated || count <= PAGE, "{}: {count} words, at most {PAGE}", page.display());
    }
    let readme = file("README.md");
    let count = words(&readme);
    assert!(count <= README_WORDS, "README.md: {count} words, at most {README_WORDS}");
    for line in readme.lines() {
        assert!(line.chars().count() <= README_LINE, "README.md, a line above {README_LINE} characters: {line}");
    }
    let architecture = file("ARCHITECTURE.md");
    let (before, rest) = architecture.split_once("\n## Glossary\n").expect("a glossary");
    let (glossary, after) = rest.split_once("\n## ").expect("a section behind it");
    let lines = glossary.lines().filter(|line| !line.is_empty()).count();
    assert!(lines <= GLOSSARY_LINES, "the glossary has {lines} lines, at most {GLOSSARY_LINES}");
    let count = words(before) + words(after);
    assert!(count <= PAGE, "ARCHITECTURE.md: {count} words beside its glossary, at most {PAGE}");
}

#[test]
fn every_page_is_in_the_index() {
    let index = file("docs/README.md");
    assert!(index.lines().count() <= INDEX_LINES, "docs/README.md has more than {INDEX_LINES} lines");
    let linked: BTreeSet<String> = links(&index).into_iter().map(|(_, target)| target).collect();
    for page in files(Path::new("docs"), &[".md"]) {
        let name = page.strip_prefix("docs").expect("a page of docs").to_str().expect("text");
        if !name.contains('/') && name != "README.md" {
            assert!(linked.contains(name), "{name} is not in docs/README.md");
        }
    }
}

#[test]
fn the_decisions_are_numbered_without_holes() {
    let linked: BTreeSet<String> =
        links(&file("docs/decisions/README.md")).into_iter().map(|(_, target)| target).collect();
    let records = files(Path::new("docs/decisions"), &[".md"]);
    let records = records.iter().filter(|path| !path.ends_with("README.md"));
    for (number, path) in (1..).zip(records) {
        let name = path.file_name().and_then(|name| name.to_str()).expect("text");
        assert!(name.starts_with(&format!("{number:04}-")), "{name} should have the number {number}");
        assert!(file(path).starts_with(&format!("# {number}. ")), "{name} should begin with its number");
        assert!(linked.contains(name), "{name} is not in the index");
    }
}

/// Words like `docs/parked.md` and `docs/decisions/0015` in code, settings, messages and scripts.
#[test]
fn pages_that_the_code_names_exist() {
    let mut count = 0;
    for folder in ["src", "core", "tests", "config", "deploy", "scripts", "benches", "examples", "fuzz/src", ".github"]
    {
        for path in
            files(Path::new(folder), &[".rs", ".toml", ".yaml", ".yml", ".tpl", ".txt", ".sh", ".py", ".json", ".mjs"])
        {
            if path.ends_with("documents.rs") {
                continue;
            }
            let text = file(&path);
            for (at, _) in text.match_indices("docs/") {
                let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '.' | '_');
                let named: String = text[at..].chars().take_while(|c| part(*c)).collect();
                let named = named.trim_end_matches('.');
                let record = named.strip_prefix("docs/decisions/").filter(|number| number.len() == 4);
                if record.is_some() || Path::new(named).extension().is_some_and(|end| end == "md") {
                    count += 1;
                    let all = files(Path::new("docs"), &[".md"]);
                    let there = all.iter().any(|page| page.to_str().is_some_and(|page| page.starts_with(named)));
                    assert!(there, "{} names {named}, which does not exist", path.display());
                }
            }
        }
    }
    assert!(count > 10, "{count} names");
}
