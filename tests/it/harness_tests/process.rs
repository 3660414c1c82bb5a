//! A program's output is kept, its signals arrive, its end is seen, and it does not outlive its handle.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use crate::harness::process::Process;
use crate::harness::wait::{SOON, eventually, eventually_equals};

#[tokio::test]
async fn output_and_exit_code_are_kept() {
    let process = shell("echo data; echo talk >&2; exit 7");
    assert_eq!(process.wait_exit(SOON).await.code(), Some(7));
    eventually_equals("the output", SOON, (vec!["data".to_owned()], vec!["talk".to_owned()]), async || {
        (process.stdout(), process.stderr())
    })
    .await;
    assert!(process.said("talk") && !process.said("silence"));
}

#[tokio::test]
async fn a_signal_can_be_handled() {
    let process = shell("trap 'echo drained; exit 3' TERM; echo up; while :; do :; done");
    wait_said(&process, "up").await;
    process.signal(Signal::TERM);
    assert_eq!(process.wait_exit(SOON).await.code(), Some(3));
    wait_said(&process, "drained").await;
}

#[tokio::test]
async fn a_stopped_process_goes_on_where_it_was() {
    let process = shell("trap 'exit 0' TERM; echo $$; while :; do :; done");
    let pid = eventually("the shell's number", SOON, async || {
        process.stdout().first().cloned().ok_or_else(|| "no output".to_owned())
    })
    .await;

    process.signal(Signal::STOP);
    eventually_equals("the shell to be stopped", SOON, Some('T'), async || state(&pid)).await;
    process.signal(Signal::TERM);
    assert_eq!(process.status(), None, "a stopped process handles nothing");
    process.signal(Signal::CONT);
    assert_eq!(process.wait_exit(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn it_does_not_outlive_its_handle() {
    let process = shell("echo $$; while :; do :; done");
    let pid = eventually("the shell's number", SOON, async || {
        process.stdout().first().cloned().ok_or_else(|| "no output".to_owned())
    })
    .await;
    assert!(state(&pid).is_some());
    drop(process);
    assert_eq!(state(&pid), None);
}

#[tokio::test]
#[should_panic(expected = "a shell cannot be sent")]
async fn a_process_that_has_ended_is_not_signalled() {
    let process = shell("exit 0");
    process.wait_exit(SOON).await;
    process.signal(Signal::TERM);
}

fn shell(script: &str) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Process::start("a shell", command)
}

async fn wait_said(process: &Process, text: &str) {
    eventually(text, SOON, async || if process.said(text) { Ok(()) } else { Err(format!("{:?}", process.stdout())) })
        .await;
}

/// The letter the kernel has for what a process is doing. None when there is no such process.
fn state(pid: &str) -> Option<char> {
    let stat = std::fs::read_to_string(PathBuf::from("/proc").join(pid).join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
