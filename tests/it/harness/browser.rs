//! A real browser without a window, for one look at a page.

use std::process::Command;

use super::services;
use super::wait::EVENTUALLY;

/// How long scripts of the page run, in the browser's own time: a request and what is made of its answer.
const SCRIPT_TIME_MS: u32 = 4_000;

/// The page as it is after its scripts have run: markup, and what the browser complained of.
pub(crate) async fn look(url: &str, width: u32, height: u32) -> String {
    let profile = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(services::program("browser").await);
    command
        // As root, and in containers, there is no sandbox to be had.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--virtual-time-budget={SCRIPT_TIME_MS}"))
        .args(["--dump-dom", url]);
    let looking = tokio::task::spawn_blocking(move || command.output());
    let output = tokio::time::timeout(EVENTUALLY, looking).await.expect("the browser ends").expect("no panic");
    let output = output.expect("the browser can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
