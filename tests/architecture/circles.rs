//! Circles between files: what has to be read together to be understood.
//!
//! A file depends on another when its code names something that is defined there: by a path, an import, or a name that a module on the way re-exports. Declaring
//! a module and re-exporting from it are no dependencies; using what was re-exported is one, on the file that defines it.

use crate::sources::{Module, Names, Source, names, sources, tokens};
use std::collections::{BTreeMap, BTreeSet};

struct Tree {
    files: BTreeMap<Module, (String, Names)>,
}

impl Tree {
    fn new(sources: Vec<Source>) -> Self {
        let file =
            |source: Source| (source.module, (source.path.to_string_lossy().into_owned(), names(&source.tokens)));
        Self { files: sources.into_iter().map(file).collect() }
    }

    /// The module whose file defines what `path` names, said in `from`. `None` for what is none of ours, and for a module itself.
    fn definer(&self, from: &Module, path: &[String], seen: &mut BTreeSet<(Module, String)>) -> Option<Module> {
        let (mut module, rest) = self.start(from, path)?;
        for (at, name) in rest.iter().enumerate() {
            let child: Module = module.iter().cloned().chain([name.clone()]).collect();
            if self.files.contains_key(&child) {
                module = child;
                continue;
            }
            let (_, names) = self.files.get(&module)?;
            if name == "super" {
                module.pop();
                continue;
            }
            if names.defined.contains(name) || !seen.insert((module.clone(), name.clone())) {
                return Some(module);
            }
            if let Some(import) = names.imports.iter().find(|import| import.name == *name) {
                let whole: Vec<String> = import.path.iter().chain(&rest[at + 1..]).cloned().collect();
                return self.definer(&module, &whole, seen);
            }
            let globs = names.imports.iter().filter(|import| import.name == "*" && import.exported);
            for glob in globs {
                let whole: Vec<String> = glob.path[..glob.path.len() - 1].iter().chain(&rest[at..]).cloned().collect();
                let found = self.definer(&module, &whole, seen);
                if found.is_some() {
                    return found;
                }
            }
            return Some(module);
        }
        None
    }

    /// Where a path begins, and what is left of it.
    fn start<'p>(&self, from: &Module, path: &'p [String]) -> Option<(Module, &'p [String])> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some((vec![from.first()?.clone()], rest)),
            "self" => Some((from.clone(), rest)),
            "super" => Some((from[..from.len().checked_sub(1)?].to_vec(), rest)),
            "antispoof_core" | "antispoofd" => Some((vec![first.clone()], rest)),
            _ => {
                let child: Module = from.iter().cloned().chain([first.clone()]).collect();
                let known = self.files.contains_key(&child) || self.imports(from, first);
                known.then(|| (from.clone(), path))
            }
        }
    }

    fn imports(&self, module: &Module, name: &str) -> bool {
        self.files.get(module).is_some_and(|(_, names)| names.imports.iter().any(|import| import.name == *name))
    }

    /// What each file depends on, with the names to blame.
    fn arrows(&self) -> BTreeMap<&str, BTreeMap<&str, BTreeSet<String>>> {
        let mut arrows: BTreeMap<&str, BTreeMap<&str, BTreeSet<String>>> = BTreeMap::new();
        for (module, (file, names)) in &self.files {
            let imported =
                names.imports.iter().filter(|import| !import.exported || names.idents.contains(&import.name));
            let paths = imported.map(|import| &import.path).chain(&names.paths);
            for path in paths {
                if let Some(definer) = self.definer(module, path, &mut BTreeSet::new())
                    && definer != *module
                    && let Some((to, _)) = self.files.get(&definer)
                {
                    arrows.entry(file).or_default().entry(to).or_default().insert(path.join("::"));
                }
            }
        }
        arrows
    }
}

#[test]
fn files_depend_on_each_other_in_one_direction() {
    let tree = Tree::new(sources());
    let arrows = tree.arrows();
    let circles = circles(&arrows);
    let mut report = Vec::new();
    for circle in &circles {
        report.push("a circle:".to_owned());
        for file in circle {
            for (to, names) in arrows[file].iter().filter(|(to, _)| circle.contains(*to)) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                report.push(format!("  {file} → {to}: {}", names.join(", ")));
            }
        }
    }
    assert!(report.is_empty(), "\n{}", report.join("\n"));
}

/// Sets of files each of which leads to each other one.
fn circles<'t>(arrows: &BTreeMap<&'t str, BTreeMap<&'t str, BTreeSet<String>>>) -> BTreeSet<BTreeSet<&'t str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = arrows.keys().map(|file| (*file, reach(arrows, file))).collect();
    let circle = |file: &'t str| -> BTreeSet<&'t str> {
        let others = reached[file].iter().copied();
        others.filter(|other| reached.get(other).is_some_and(|back| back.contains(file))).collect()
    };
    arrows.keys().map(|file| circle(file)).filter(|circle| circle.len() > 1).collect()
}

fn reach<'t>(arrows: &BTreeMap<&'t str, BTreeMap<&'t str, BTreeSet<String>>>, file: &str) -> BTreeSet<&'t str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = vec![file];
    while let Some(file) = open.pop() {
        for to in arrows.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(*to) {
                open.push(to);
            }
        }
    }
    reached
}

#[test]
fn a_re_export_is_a_dependency_on_what_it_re_exports() {
    let source = |module: &str, text: &str| Source {
        path: format!("{module}.rs").into(),
        module: std::iter::once("k")
            .chain(module.split('/').filter(|name| *name != "lib"))
            .map(str::to_owned)
            .collect(),
        tokens: tokens(text),
    };
    let arrows = |tree: &Tree| -> Vec<String> {
        let arrows = tree.arrows();
        arrows.iter().flat_map(|(from, to)| to.keys().map(move |to| format!("{from} {to}"))).collect()
    };
    let tree = Tree::new(vec![
        source(
            "a",
            "mod b; mod c; mod d; pub use b::B; pub use c::C as Other; use d::D; pub struct A; fn f(_: Other) {}",
        ),
        source("a/b", "use super::Other; use crate::a; pub struct B; fn f() { a::Other::new(); }"),
        source("a/c", "pub struct C;"),
        source("a/d", "use super::{A, B}; pub struct D;"),
    ]);
    assert_eq!(arrows(&tree), ["a.rs a/c.rs", "a.rs a/d.rs", "a/b.rs a/c.rs", "a/d.rs a.rs", "a/d.rs a/b.rs"]);
    let found = tree.arrows();
    assert_eq!(circles(&found), BTreeSet::from([BTreeSet::from(["a.rs", "a/d.rs"])]));
}
