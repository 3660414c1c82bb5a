//! Rust sources as far as these tests have to understand them: no comments, no strings, no tests; modules, imports, definitions and paths.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Where in the module tree something is: the crate's name, then the modules.
pub(crate) type Module = Vec<String>;

/// A source file that is not a test.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) module: Module,
    /// Identifiers and punctuation; `::` is one token.
    pub(crate) tokens: Vec<String>,
}

/// What a file says of names.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) defined: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    /// Paths in code: at least two segments, as written.
    pub(crate) paths: BTreeSet<Vec<String>>,
    /// Single identifiers in code.
    pub(crate) idents: BTreeSet<String>,
}

/// A leaf of a `use`.
#[derive(Clone)]
pub(crate) struct Import {
    /// What it is called in this file; `*` for all that is there.
    pub(crate) name: String,
    pub(crate) path: Vec<String>,
    pub(crate) exported: bool,
}

/// The sources of both crates, without their tests.
pub(crate) fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for (krate, root) in [("antispoofd", "src"), ("antispoof_core", "core/src")] {
        let mut files = BTreeMap::new();
        collect(Path::new(root), &mut files);
        let tests: BTreeSet<Module> =
            files.iter().flat_map(|(path, text)| test_modules(&module(krate, root, path), text)).collect();
        for (path, text) in files {
            let module = module(krate, root, &path);
            if !tests.iter().any(|test| module.starts_with(test)) {
                found.push(Source { tokens: without_tests(&tokens(&text)), path, module });
            }
        }
    }
    found
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(path.clone(), fs::read_to_string(&path).expect("a source file"));
        }
    }
}

fn module(krate: &str, root: &str, path: &Path) -> Module {
    let inside = path.strip_prefix(root).expect("below the root").with_extension("");
    let names = inside.iter().map(|name| name.to_string_lossy().into_owned());
    let mut module: Module = std::iter::once(krate.to_owned()).chain(names).collect();
    if module.last().is_some_and(|name| name == "lib") {
        module.pop();
    }
    module
}

/// The modules that a file declares for tests only.
fn test_modules(module: &Module, text: &str) -> Vec<Module> {
    let tokens = tokens(text);
    let declared = tokens.iter().enumerate().filter(|&(at, _)| is_test_item(&tokens, at)).filter_map(|(at, _)| {
        let item = &tokens[at + CFG_TEST.len()..];
        let at = item.iter().position(|token| token == "mod").filter(|&at| at <= 4)?;
        (item.get(at + 2)? == ";").then(|| module.iter().cloned().chain([item[at + 1].clone()]).collect())
    });
    declared.collect()
}

/// Stands for a string.
const STRING: &str = "\"\"";

const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

fn is_test_item(tokens: &[String], at: usize) -> bool {
    tokens.len() >= at + CFG_TEST.len() && CFG_TEST.iter().zip(&tokens[at..]).all(|(wanted, token)| wanted == token)
}

/// Leaves out each item behind `#[cfg(test)]`, to its `;` or the end of its braces.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !is_test_item(tokens, at) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += CFG_TEST.len();
        let mut depth = 0;
        while at < tokens.len() {
            match tokens[at].as_str() {
                "{" | "(" | "[" => depth += 1,
                ")" | "]" => depth -= 1,
                "}" => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                ";" if depth == 0 => break,
                _ => {}
            }
            at += 1;
        }
        at += 1;
    }
    kept
}

/// How many calls of a function `spawn` have no name, a string, as their first argument.
pub(crate) fn nameless_spawns(tokens: &[String]) -> usize {
    let calls = tokens.windows(4).filter(|at| matches!(at[0].as_str(), "." | "::") && at[1] == "spawn" && at[2] == "(");
    calls.filter(|call| call[3] != STRING).count()
}

/// Comments, characters and lifetimes left out, strings without what they hold. Macros are taken as if they were code.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let next = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = string(rest) {
            tokens.extend(rest.starts_with('"').then(|| STRING.to_owned()));
            length
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else if bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_' {
            let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..word].to_owned());
            word
        } else {
            let one = rest.chars().next().expect("not at the end");
            if !one.is_whitespace() {
                tokens.push(one.to_string());
            }
            one.len_utf8()
        };
        at += next;
    }
    tokens
}

/// The length of the string, character or lifetime that the text begins with.
fn string(rest: &str) -> Option<usize> {
    let prefix = ["br", "b", "r", "c", ""].into_iter().find(|prefix| {
        let behind = rest.strip_prefix(prefix).map(|behind| behind.trim_start_matches('#'));
        behind.is_some_and(|behind| behind.starts_with('"'))
            && (prefix.contains('r') || !rest[prefix.len()..].starts_with('#'))
    });
    if let Some(prefix) = prefix {
        let behind = &rest[prefix.len()..];
        let hashes = behind.len() - behind.trim_start_matches('#').len();
        let body = prefix.len() + hashes + 1;
        if prefix.contains('r') {
            let end = format!("\"{}", "#".repeat(hashes));
            return Some(rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len()));
        }
        let mut escaped = false;
        for (at, c) in rest[body..].char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Some(body + at + 1),
                _ => {}
            }
        }
        return Some(rest.len());
    }
    let behind = rest.strip_prefix('\'')?;
    let mut inside = behind.chars();
    match inside.next()? {
        '\\' => behind[2..].find('\'').map(|at| at + 4),
        c if inside.next() == Some('\'') => Some(2 + c.len_utf8()),
        // A lifetime: the name goes as a word, which names nothing.
        _ => Some(1 + behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len())),
    }
}

/// Reads a file's names.
pub(crate) fn names(tokens: &[String]) -> Names {
    let mut names = Names::default();
    let (mut at, mut depth) = (0, 0_i32);
    while at < tokens.len() {
        let token = tokens[at].as_str();
        match token {
            "use" => {
                let before = &tokens[..at];
                let exported =
                    before.last().is_some_and(|last| last == "pub" || (last == ")" && is_visibility(before)));
                let end = at + tokens[at..].iter().position(|token| token == ";").unwrap_or(tokens.len() - at);
                leaves(&tokens[at + 1..end], &mut Vec::new(), exported, &mut names.imports);
                at = end;
            }
            "{" => depth += 1,
            "}" => depth -= 1,
            // A declaration names no dependency.
            "mod" => at += 1,
            "struct" | "enum" | "trait" | "fn" | "const" | "static" | "type" | "union" if depth == 0 => {
                let name = tokens[at + 1..].iter().find(|token| token.as_str() != "fn" && token.as_str() != "async");
                names.defined.extend(name.cloned());
                at += 1;
            }
            "macro_rules" => {
                names.defined.extend(tokens.get(at + 2).cloned());
                at += 2;
            }
            _ if is_word(token) => {
                let path = path(&tokens[at..]);
                let follows = at.checked_sub(1).is_some_and(|before| matches!(tokens[before].as_str(), "." | "::"));
                at += path.len() * 2 - 2;
                if path.len() > 1 && !follows {
                    names.paths.insert(path);
                } else if !follows {
                    names.idents.extend(path);
                }
            }
            _ => {}
        }
        at += 1;
    }
    names
}

fn is_visibility(before: &[String]) -> bool {
    before.iter().rev().take(5).any(|token| token == "pub")
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// `a::b::c`, as far as it is words.
fn path(tokens: &[String]) -> Vec<String> {
    let mut path = vec![tokens[0].clone()];
    for pair in tokens[1..].chunks(2) {
        match pair {
            [colons, word] if colons == "::" && is_word(word) => path.push(word.clone()),
            _ => break,
        }
    }
    path
}

/// The leaves of a tree like `a::{self, b::c as d, e::*}`.
fn leaves(tree: &[String], prefix: &mut Vec<String>, exported: bool, imports: &mut Vec<Import>) {
    let depth_before = prefix.len();
    let mut at = 0;
    let mut alias = None;
    while at < tree.len() {
        match tree[at].as_str() {
            "::" => {}
            "{" => {
                let inside = &tree[at + 1..tree.len() - 1];
                for branch in branches(inside) {
                    leaves(branch, prefix, exported, imports);
                }
                prefix.truncate(depth_before);
                return;
            }
            "as" => {
                alias = tree.get(at + 1).cloned();
                at += 1;
            }
            "self" if !prefix.is_empty() => {}
            word => prefix.push(word.to_owned()),
        }
        at += 1;
    }
    if let Some(last) = prefix.last().cloned() {
        imports.push(Import { name: alias.unwrap_or(last), path: prefix.clone(), exported });
    }
    prefix.truncate(depth_before);
}

/// The parts between the commas that are in no inner braces.
fn branches(inside: &[String]) -> Vec<&[String]> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, token) in inside.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 0 => {
                parts.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_read() {
        let text = r##"
            // use super::comment;
            /* super::block */
            use super::{a::B, c as d};
            pub(crate) use e::*;
            const S: &str = "super::text \" super::more"; const R: &str = r#"super::raw"#; const C: char = '"';
            fn f<'a>(x: &'a str) { super::g(x); tasks.spawn("name", 1); tokio::spawn(2) }
            #[cfg(test)]
            mod tests { use super::tested; }
        "##;
        let tokens = without_tests(&tokens(text));
        let names = names(&tokens);
        let imports: Vec<(String, String, bool)> =
            names.imports.iter().map(|import| (import.name.clone(), import.path.join("::"), import.exported)).collect();
        let import = |name: &str, path: &str, exported| (name.to_owned(), path.to_owned(), exported);
        assert_eq!(
            imports,
            [import("B", "super::a::B", false), import("d", "super::c", false), import("*", "e::*", true)]
        );
        let paths: Vec<String> = names.paths.iter().map(|path| path.join("::")).collect();
        assert_eq!(paths, ["super::g", "tokio::spawn"]);
        assert!(["S", "R", "C", "f"].iter().all(|name| names.defined.contains(*name)));
        assert_eq!(nameless_spawns(&tokens), 1);
    }

    #[test]
    fn what_a_module_has_for_tests_only_is_left_out() {
        let module = vec!["krate".to_owned(), "a".to_owned()];
        let text = "mod b;\n#[cfg(test)]\nmod c;\n#[cfg(test)]\nmod tests { }\n#[cfg(test)]\npub(crate) mod d;";
        let tests: Vec<String> = test_modules(&module, text).iter().map(|module| module.join("::")).collect();
        assert_eq!(tests, ["krate::a::c", "krate::a::d"]);
    }
}
