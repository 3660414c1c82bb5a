//! What `--version` says besides the number: the commit and its date, so that two builds of one commit are the same, whenever they are made.
//!
//! They come from `ANTISPOOFD_REVISION` and `ANTISPOOFD_REVISION_DATE` where the checkout is not there (an image, a package), else from git, and only for a
//! release: a build for development would be made anew after each commit.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of a commit's hash so much is shown.
const SHOWN: usize = 12;

/// A commit, and the files that change when another takes its place.
pub(crate) struct Head {
    pub(crate) revision: String,
    pub(crate) date: String,
    pub(crate) watched: Vec<PathBuf>,
}

fn main() {
    let variable = |name: &str| {
        println!("cargo::rerun-if-env-changed={name}");
        env::var(name).unwrap_or_default()
    };
    println!("cargo::rerun-if-changed=build.rs");
    let (revision, date) = (variable("ANTISPOOFD_REVISION"), variable("ANTISPOOFD_REVISION_DATE"));
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let build = if !revision.is_empty() && revision != "unknown" {
        shown(&revision, &date)
    } else if env::var("PROFILE").as_deref() == Ok("release") {
        let checkout = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
        match head(&checkout) {
            Some(head) => {
                for path in &head.watched {
                    println!("cargo::rerun-if-changed={}", path.display());
                }
                shown(&head.revision, &head.date)
            }
            None => "commit unknown".to_owned(),
        }
    } else {
        "a build for development".to_owned()
    };
    println!("cargo::rustc-env=ANTISPOOFD_VERSION={version} ({build})");
}

/// `0123456789ab 2026-11-28`; of a variable nothing but what a hash and a date are made of.
pub(crate) fn shown(revision: &str, date: &str) -> String {
    let revision: String = revision.chars().filter(char::is_ascii_alphanumeric).take(SHOWN).collect();
    let date: String = date.chars().filter(|c| c.is_ascii_digit() || *c == '-').take(10).collect();
    if date.is_empty() { revision } else { format!("{revision} {date}") }
}

/// What is checked out at `checkout`. None: no git, or a checkout of something else, in which the sources lie.
pub(crate) fn head(checkout: &Path) -> Option<Head> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(checkout).args(arguments).output().ok()?;
        let said = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        Some(said.trim_end().to_owned())
    };
    let top = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != checkout.canonicalize().ok()? {
        return None;
    }
    let said = git(&["show", "--no-patch", "--format=%H %cs", "HEAD"])?;
    let (revision, date) = said.split_once(' ')?;
    // In a worktree `.git` is a file, so git is asked where they are. One that is not there would have cargo build anew each time.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref());
    let paths = names.filter_map(|name| git(&["rev-parse", "--git-path", name]));
    let watched = paths.map(|path| checkout.join(path)).filter(|path| path.exists()).collect();
    Some(Head { revision: revision.to_owned(), date: date.to_owned(), watched })
}
