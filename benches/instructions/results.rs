//! The vendor's answer, and what is made of it.

use crate::Part;
use crate::ports::{ANSWER, ENDPOINT, JobLease, PHOTO_KEY, job_log, now, retry_policy, runtime};
use antispoof_core::event::{Check, Event, ImageReport, JobResult, Report, VerdictResult};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::job::{Admission, Job, Properties};
use antispoof_core::plan::{Blame, plan as decide};
use antispoof_core::ports::{Answer, ClaimOutcome, Intent, Ledger as _};
use antispoof_core::retry::Attempt;
use antispoof_core::verdict::{Outcome, Verdict};
use antispoofd::ledger::{Clock, Memory};
use antispoofd::pipeline::ledger_key;
use antispoofd::settings::{Log, LogFormat, ObjectKeys};
use antispoofd::telemetry::{Settlement, logs};
use std::hint::black_box;
use std::time::Duration;

const ITERATIONS: u64 = 200;

/// Reading the vendor's answer.
pub(crate) fn verdict() -> Part {
    let read = |body| _ = black_box(Verdict::read(black_box(body)).expect("a verdict"));
    Part::new("read_verdict", ITERATIONS, |_| ANSWER, read)
}

/// The event of a verdict.
pub(crate) fn event() -> Part {
    let (job, result) = (a_job(), result());
    let make = move |()| drop(black_box(Event::new("antispoofd", job.origin(), &result).expect("an event")));
    Part::new("make_event", ITERATIONS, |_| (), make)
}

/// What becomes of a message whose job has failed, for each code; and the wait before the next try.
pub(crate) fn plan() -> Part {
    let policy = retry_policy();
    let failures: Vec<_> = Code::ALL.iter().map(|&code| Failure::new(code, "it failed")).collect();
    let decide = move |()| {
        for failure in &failures {
            black_box(policy.quick_wait(black_box(failure), 1, 0.5));
            black_box(decide(failure, Blame::Job, Attempt::spent(1), &policy));
        }
    };
    Part::new("plan_failures", ITERATIONS, |_| (), decide)
}

/// The steps of a job with a verdict, in memory.
pub(crate) fn ledger() -> Part {
    let ledger = Memory::new(10_000, Duration::from_hours(24), Clock::new(|| 1));
    let (result, runtime) = (result(), runtime());
    let steps = move |key: String| {
        runtime.block_on(async {
            assert_eq!(ledger.begin(&key).await, Ok(ClaimOutcome::Fresh));
            assert_eq!(ledger.intent(&key).await, Ok(Intent::Recorded(None)));
            ledger.conclude(&key, None, &result, None).await.expect("it takes the result");
            ledger.published(&key, true).await.expect("it takes the publish");
        });
    };
    let key = |number| ledger_key(&a_job(), &format!("{ENDPOINT}/{number}"));
    Part::new("ledger_steps", ITERATIONS, key, steps)
}

/// The record of a delivery with a verdict: its span, its metrics. There is no log yet.
pub(crate) fn delivery() -> Part {
    let (log, lease, job, runtime) = (job_log(), JobLease::new(0, PHOTO_KEY), a_job(), runtime());
    let answer = Answer {
        verdict: Verdict { spoof_detected: false, accuracy: 0.98 },
        http_status: 200,
        request_id: None,
        digest: None,
    };
    let JobResult::Verdict(verdict) = result() else { unreachable!("it is one") };
    let record = move |()| {
        let _clock = runtime.enter();
        let mut record = log.begin(&lease, job.origin(), Some(job.image()));
        record.fetched(Duration::from_millis(3), Ok(60_000));
        record.called(Duration::from_millis(400), Ok(&answer));
        record.verdict(&verdict);
        record.published("confirmed");
        record.settled(Settlement::Verdict(Outcome::Live));
    };
    Part::new("delivery_record", ITERATIONS, |_| (), record)
}

/// A line of the JSON log, from the call to the log's thread. From here on there is a log.
pub(crate) fn log_line() -> Part {
    let settings = Log {
        format: LogFormat::Json,
        level: "info".to_owned(),
        rust_log: None,
        object_keys: ObjectKeys::Hash,
        hash_key: None,
    };
    logs::install(&settings).expect("a log");
    let line = |()| {
        let span = tracing::error_span!("job", job.id = "kyc-7f3a", job.attempt = 1);
        let _entered = span.entered();
        tracing::info!(
            object.bucket = "kyc-uploads",
            object.key = "0f343b0931126a20",
            outcome = "live",
            detail = "accuracy 0.98",
            reused = false,
            api.duration_ms = 400,
            duration_ms = 412,
            "job kyc-7f3a: live (accuracy 0.98)"
        );
    };
    Part::new("log_line", ITERATIONS, |_| (), line)
}

fn a_job() -> Job {
    let body = include_bytes!("../../contract/examples/job.json");
    Job::decode(body, &Properties::default(), &Admission::default()).expect("a job")
}

fn result() -> JobResult {
    let job = a_job();
    let image = ImageReport {
        format: Some("jpeg".to_owned()),
        bytes: Some(60_000),
        width: Some(256),
        height: Some(256),
        digest: Some(format!("sha256:{:064}", 7)),
        ..ImageReport::of(job.image())
    };
    let check = Check { attempts: 1, api_duration_ms: Some(400), http_status: Some(200), ..Check::default() };
    let report = Report { check, ..Report::new(Some(image), Attempt::spent(1), now(), 0) };
    let verdict = Verdict { spoof_detected: false, accuracy: 0.98 };
    JobResult::Verdict(VerdictResult { outcome: Outcome::Live, verdict, report })
}
