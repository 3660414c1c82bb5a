//! The commit and the date that `--version` names, wherever the sources lie.

#[expect(dead_code, clippy::print_stdout, reason = "its main is for cargo, and speaks to it")]
#[path = "../build.rs"]
mod build;

use std::path::Path;
use std::process::Command;

/// A day on which nobody was, so that it can only be the commit's.
const DATE: &str = "2001-02-03";

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=it", "-c", "user.email=it@example.org"]).args(arguments);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.envs(["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"].map(|name| (name, format!("{DATE}T04:05:06Z"))));
    let output = command.output().expect("git can be run");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// A checkout with a commit; the paths have no links in them, as git says them.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    git(folder.path(), &["init", "--quiet", "--initial-branch", "main"]);
    git(folder.path(), &["commit", "--quiet", "--allow-empty", "--message", "first"]);
    folder
}

/// The times of what is watched, by which cargo sees that something has changed.
fn stamp(head: &build::Head) -> Vec<std::time::SystemTime> {
    head.watched.iter().map(|path| path.metadata().and_then(|file| file.modified()).expect("it is there")).collect()
}

#[test]
fn the_commit_of_a_checkout_is_named_and_the_next_is_noticed() {
    let checkout = checkout();
    let first = build::head(checkout.path()).expect("a commit");
    assert_eq!(
        (first.revision.as_str(), first.date.as_str()),
        (git(checkout.path(), &["rev-parse", "HEAD"]).as_str(), DATE)
    );
    let before = stamp(&first);
    git(checkout.path(), &["commit", "--quiet", "--allow-empty", "--message", "second"]);
    let second = build::head(checkout.path()).expect("a commit");
    assert_ne!(second.revision, first.revision);
    assert_ne!(stamp(&first), before, "{:?}", first.watched);
}

#[test]
fn in_a_worktree_it_is_the_worktree_s() {
    let (checkout, beside) = (checkout(), tempfile::tempdir().expect("a folder"));
    let worktree = beside.path().join("worktree");
    git(checkout.path(), &["worktree", "add", "--quiet", worktree.to_str().expect("text"), "-b", "other"]);
    git(&worktree, &["commit", "--quiet", "--allow-empty", "--message", "there"]);
    assert!(worktree.join(".git").is_file());
    let head = build::head(&worktree).expect("a commit");
    assert_eq!(head.revision, git(&worktree, &["rev-parse", "HEAD"]));
    assert_ne!(head.revision, build::head(checkout.path()).expect("a commit").revision);
    let before = stamp(&head);
    git(&worktree, &["commit", "--quiet", "--allow-empty", "--message", "there again"]);
    assert_ne!(stamp(&head), before, "{:?}", head.watched);
}

#[test]
fn sources_that_are_no_checkout_have_no_commit() {
    let (outside, around) = (tempfile::tempdir().expect("a folder"), checkout());
    assert!(build::head(outside.path()).is_none());
    let vendored = around.path().join("vendor");
    std::fs::create_dir(&vendored).expect("a folder");
    assert!(build::head(&vendored).is_none(), "that commit is of something else");
}

#[test]
fn what_is_shown_is_short_and_harmless() {
    let full = "0123456789abcdef0123456789abcdef01234567";
    assert_eq!(build::shown(full, DATE), format!("0123456789ab {DATE}"));
    assert_eq!(build::shown("v1\ncargo::x", "today"), "v1cargox");
}

#[test]
fn the_program_says_its_number_first() {
    let output = Command::new(env!("CARGO_BIN_EXE_antispoofd")).arg("--version").output().expect("it starts");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(
        said.starts_with(concat!("antispoofd ", env!("CARGO_PKG_VERSION"), " (")) && said.ends_with(")\n"),
        "{said}"
    );
}
