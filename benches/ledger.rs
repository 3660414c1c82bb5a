//! What a ledger adds to a job in processor time of the worker: the steps of a job, sixteen jobs at a time on one thread, with the pauses in which a
//! real one fetches and calls. `cargo bench --bench ledger`; Redis where `ANTISPOOF_TEST_REDIS_URL` says, else it is left out.

#![expect(clippy::print_stdout, reason = "it is a report")]

use antispoof_core::event::{Check, ImageReport, JobResult, Report, VerdictResult};
use antispoof_core::ports::{ClaimOutcome, Intent, Ledger};
use antispoof_core::verdict::{Outcome, Verdict};
use antispoofd::ledger::{AnyLedger, Clock, File, LocalCount, Memory, Redis, RedisOptions};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const JOBS: u64 = 10_000;
const IN_FLIGHT: usize = 16;
const ROUNDS: usize = 5;
const DAY: Duration = Duration::from_hours(24);
const PATIENCE: Duration = Duration::from_secs(30);
/// Fetching and calling: together about what a saturated worker with sixteen jobs takes.
const FETCH: Duration = Duration::from_millis(2);
const CALL: Duration = Duration::from_millis(4);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir_in(".").expect("a folder");
        let mut ledgers = vec![
            ("none", AnyLedger::Nothing(LocalCount::default())),
            ("memory", AnyLedger::Memory(Box::new(Memory::new(100_000, DAY, Clock::system())))),
            ("file", AnyLedger::File(Box::new(open(&folder.path().join("ledger.redb")).await))),
        ];
        if let Ok(url) = std::env::var("ANTISPOOF_TEST_REDIS_URL") {
            let options =
                RedisOptions { url: &url, prefix: "bench", ttl: PATIENCE, claim_life: PATIENCE, patience: PATIENCE };
            let redis = Redis::new(&options, Clock::system()).expect("a URL");
            ledgers.push(("redis", AnyLedger::Redis(Box::new(redis))));
        }
        println!(
            "{JOBS} jobs, {IN_FLIGHT} at a time; processor time of the whole process a job, median of {ROUNDS} rounds"
        );
        let ledgers: Vec<_> = ledgers.into_iter().map(|(name, ledger)| (name, Arc::new(ledger), Vec::new())).collect();
        let ledgers = rounds(ledgers).await;
        let base = median(&ledgers[0].2).0;
        for (name, ledger, rounds) in ledgers {
            let (cpu, jobs) = median(&rounds);
            println!("{name:>7}: {cpu:6.1} us, {:6.1} us more than none, {jobs:5.0} jobs/s", cpu - base);
            ledger.close().await;
        }
    });
}

type Measured = (&'static str, Arc<AnyLedger>, Vec<(f64, f64)>);

/// In turns, so that whatever else the machine does meets all of them.
async fn rounds(mut ledgers: Vec<Measured>) -> Vec<Measured> {
    for round in 0..ROUNDS {
        for (_, ledger, rounds) in &mut ledgers {
            let (cpu, started) = (processor_time(), Instant::now());
            jobs(ledger, round).await;
            #[expect(clippy::cast_precision_loss, reason = "a report")]
            let count = JOBS as f64;
            rounds.push(((processor_time() - cpu) * 1e6 / count, count / started.elapsed().as_secs_f64()));
        }
    }
    ledgers
}

fn median(rounds: &[(f64, f64)]) -> (f64, f64) {
    let mut rounds = rounds.to_vec();
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    rounds[rounds.len() / 2]
}

async fn open(path: &Path) -> File {
    File::open(path, DAY, PATIENCE, Clock::system()).await.expect("a new ledger")
}

async fn jobs(ledger: &Arc<AnyLedger>, round: usize) {
    let next = Arc::new(AtomicU64::new(0));
    let run = fastrand::u64(..);
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (ledger, next) = (ledger.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= JOBS {
                        return;
                    }
                    job(&ledger, &format!("{run:016x}{round:02}{n:014}")).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}

async fn job(ledger: &AnyLedger, key: &str) {
    assert_eq!(ledger.begin(key).await, Ok(ClaimOutcome::Fresh));
    tokio::time::sleep(FETCH).await;
    assert_eq!(ledger.intent(key).await, Ok(Intent::Recorded(None)));
    tokio::time::sleep(CALL).await;
    ledger.conclude(key, None, &verdict(), None).await.expect("recorded");
    ledger.published(key, true).await.expect("noted");
}

fn verdict() -> JobResult {
    let report = Report {
        image: Some(ImageReport {
            bucket: "kyc-uploads".to_owned(),
            key: "2026/11/7f3a/selfie.jpg".to_owned(),
            etag: Some("9b2cf535f27731c974343645a3985328".to_owned()),
            format: Some("jpeg".to_owned()),
            bytes: Some(200_436),
            width: Some(1080),
            height: Some(1440),
            digest: Some(format!("sha256:{}", "0".repeat(64))),
            ..ImageReport::default()
        }),
        check: Check { attempts: 1, api_duration_ms: Some(214), http_status: Some(200), ..Check::default() },
        at_ms: 1_795_384_799_123,
        replay: 0,
        after_ms: None,
    };
    let verdict = Verdict { spoof_detected: false, accuracy: 0.989_906_817_674_636_8 };
    JobResult::Verdict(VerdictResult { outcome: Outcome::Live, verdict, report })
}

/// Seconds that all threads have run for; they all live as long as this program.
fn processor_time() -> f64 {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .sum::<f64>()
        / 1e9
}
