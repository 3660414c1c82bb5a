//! A process with a ledger in a file, killed in the middle of its work. The child is this test program, run again for one test.

use antispoof_core::event::{Check, JobResult, Report, VerdictResult};
use antispoof_core::ports::{ClaimOutcome, Intent, Ledger as _};
use antispoof_core::verdict::{Outcome, Verdict};
use antispoofd::ledger::{Clock, File};
use std::collections::HashMap;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const PATH: &str = "ANTISPOOF_TEST_LEDGER_PATH";
const CHILD: &str = "ledger::process::every_step_of_many_jobs_is_taken";
const DAY: Duration = Duration::from_hours(24);
const PATIENCE: Duration = Duration::from_secs(30);

async fn open(path: &Path) -> File {
    File::open(path, DAY, PATIENCE, Clock::system()).await.expect("the ledger opens")
}

fn verdict() -> JobResult {
    let report =
        Report { image: None, check: Check { attempts: 1, ..Check::default() }, at_ms: 1, replay: 0, after_ms: None };
    let verdict = Verdict { spoof_detected: false, accuracy: 0.989_906_817_674_636_8 };
    JobResult::Verdict(VerdictResult { outcome: Outcome::Live, verdict, report })
}

/// Jobs one after the other, until `jobs` are done; `say` is told of every step once it is durable.
async fn work(ledger: &File, jobs: usize, mut say: impl FnMut(&str, usize)) {
    for n in 0..jobs {
        let key = n.to_string();
        assert_eq!(ledger.begin(&key).await, Ok(ClaimOutcome::Fresh));
        assert_eq!(ledger.intent(&key).await, Ok(Intent::Recorded(None)));
        say("intent", n);
        // Every third is left in doubt.
        if n % 3 != 0 {
            ledger.conclude(&key, None, &verdict(), None).await.expect("recorded");
            say("verdict", n);
        }
    }
}

/// By itself, a test of its own; with the variable set, the child, which says what it has recorded and is killed for it.
#[tokio::test]
async fn every_step_of_many_jobs_is_taken() {
    if let Some(path) = env::var_os(PATH) {
        let ledger = open(Path::new(&path)).await;
        work(&ledger, usize::MAX, |step, n| {
            let mut out = std::io::stdout();
            writeln!(out, "recorded {step} {n}").and_then(|()| out.flush()).expect("somebody listens");
        })
        .await;
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = open(&folder.path().join("ledger.redb")).await;
    let mut steps = 0;
    work(&ledger, 30, |_, _| steps += 1).await;
    assert_eq!(steps, 50);
}

#[tokio::test]
async fn what_was_recorded_before_a_kill_is_there_after_it() {
    let folder = tempfile::tempdir().expect("a folder");
    // Right after an intent, right after a verdict, and after more than a handful.
    for kill_after in [1, 3, 40, 41, 150] {
        let path = folder.path().join(format!("{kill_after}.redb"));
        let told = tokio::task::spawn_blocking({
            let path = path.clone();
            move || killed(&path, kill_after)
        });
        let told = told.await.expect("no panic");
        assert!(told.len() * 2 >= kill_after / 2, "{told:?}");
        let ledger = open(&path).await;
        for (n, step) in told {
            let known = ledger.begin(&n.to_string()).await.expect("an answer");
            match (step.as_str(), known) {
                ("intent", ClaimOutcome::InDoubt { calls: 1 }) => {}
                // The verdict may have been recorded and not told.
                ("intent" | "verdict", ClaimOutcome::Concluded(end)) => assert_eq!(*end, verdict()),
                (step, known) => panic!("killed after {kill_after}: {step} of {n} was recorded, known is {known:?}"),
            }
        }
    }
}

/// Runs the child until it has said so much, kills it, and returns the last step it told of for each job.
fn killed(path: &Path, after: usize) -> HashMap<usize, String> {
    let mut child = Command::new(env::current_exe().expect("a program"))
        .args(["--exact", CHILD, "--nocapture", "--test-threads=1"])
        .env(PATH, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut told = HashMap::new();
    let mut count = 0;
    // What comes after the kill was in the pipe, and counts: it was recorded.
    for line in lines {
        let line = line.expect("text");
        // The runner's own words stand before the first one on its line.
        let Some((_, step)) = line.split_once("recorded ") else { continue };
        let (step, n) = step.split_once(' ').expect("a step and a number");
        told.insert(n.parse().expect("a number"), step.to_owned());
        count += 1;
        if count == after {
            child.kill().expect("ours");
        }
    }
    let status = child.wait().expect("it ends");
    assert!(count >= after && status.code().is_none(), "{status} after {count} steps");
    told
}
