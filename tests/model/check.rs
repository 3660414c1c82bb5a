//! What must hold when the dust has settled.

use crate::plan::{Backend, Fault, Plan};
use crate::records::{JobRecord, Kind};
use crate::world::State;
use antispoof_core::failure::{Class, Code};
use std::collections::BTreeMap;

/// Faults that are no reason for a job not to get its verdict.
const BLAMELESS: [Fault; 7] =
    [Fault::Account, Fault::Refusal, Fault::Unbound, Fault::Alarm, Fault::Duplicate, Fault::Replay, Fault::Pause];

/// Everything that is wrong.
pub(crate) fn problems(state: &State) -> Vec<String> {
    let mut problems = Vec::new();
    if !state.queues.empty() {
        problems.push(format!("something is left: {}", state.queues.describe()));
    }
    let blameless = blameless(state);
    let deadly = state.records.jobs.iter().any(|job| job.kind == Kind::Deadly);
    for job in &state.records.jobs {
        let mut wrong = |what: String| problems.push(format!("{} ({:?}): {what}\n    {job:?}", job.id, job.kind));
        if matches!(job.kind, Kind::Several | Kind::Nothing) {
            no_job(job, state, &mut wrong);
            continue;
        }
        let whole = job.whole.map(|number| &state.records.jobs[number]);
        if job.submitted == 0 && whole.is_some_and(|whole| whole.parked_by_broker > 0) {
            // It lies in the parked queue with what it is a part of.
            continue;
        }
        ended(job, &mut wrong);
        agreed(job, &mut wrong);
        paid(job, &state.plan, &mut wrong);
        parked(job, &mut wrong);
        rightly(job, &state.plan, deadly, blameless, &mut wrong);
    }
    problems
}

/// A message that is no job has no end of its own: what it asks for has.
fn no_job(message: &JobRecord, state: &State, wrong: &mut impl FnMut(String)) {
    if !message.events.is_empty() || !message.parked.is_empty() {
        wrong("it is no job, and ends like one".to_owned());
    }
    let submitted = |part: &usize| state.records.jobs[*part].submitted > 0;
    if message.parked_by_broker == 0 && !message.parts.iter().all(submitted) {
        wrong("a part of it was never sent".to_owned());
    }
}

/// Every job has a terminal event, unless the broker parked it.
fn ended(job: &JobRecord, wrong: &mut impl FnMut(String)) {
    if job.events.is_empty() && job.parked_by_broker == 0 {
        wrong("it has no terminal event".to_owned());
    }
}

/// Events with one id say the same.
fn agreed(job: &JobRecord, wrong: &mut impl FnMut(String)) {
    let mut said = BTreeMap::new();
    for (id, key) in &job.events {
        let first = said.entry(id).or_insert(key);
        // That the object cannot be looked at is no end of the job and nobody keeps it: two copies may say it in different words. Nor is it when the broker drops
        // such a copy.
        let about_the_copy =
            |key: &String| key.starts_with("failure.store_") || job.dropped > 0 && key == "failure.job_expired";
        let unseen = job.submitted > 1 && [*first, key].into_iter().all(about_the_copy);
        if *first != key && !job.forgotten && !unseen {
            wrong(format!("event {id} says {first} and {key}"));
        }
    }
}

/// How often it may have been tried once more after it had ended in a failure.
fn rounds(job: &JobRecord) -> u32 {
    job.replays + job.submitted.saturating_sub(1)
}

/// A second bill only for other content, or where the verdict of the first could not be known.
fn paid(job: &JobRecord, plan: &Plan, wrong: &mut impl FnMut(String)) {
    let contents = u32::try_from(job.contents.len()).unwrap_or(u32::MAX).max(1);
    let most = contents + job.doubts;
    if job.billed > most {
        wrong(format!("it was billed {} times, with {} calls in doubt", job.billed, job.doubts));
    }
    // Who would rather ask a person pays again only when told to try again.
    let most = contents + rounds(job);
    if plan.park_in_doubt && plan.backend == Backend::Durable && job.billed > most {
        wrong(format!("it was billed {} times, although what is in doubt is to be parked", job.billed));
    }
}

/// In the parked queue are the jobs that failed.
fn parked(job: &JobRecord, wrong: &mut impl FnMut(String)) {
    let failures: Vec<_> = job.events.iter().filter_map(|(_, key)| key.strip_prefix("failure.")).collect();
    let verdicts = job.events.len() - failures.len();
    if let Some(code) = job.parked.iter().find(|code| !failures.contains(code)) {
        wrong(format!("it is parked as {code}, and no event says so"));
    }
    // A copy of a job whose object has changed meanwhile is about what is there now, and has an end of its own.
    let other_content = job.kind == Kind::Changing;
    let parked = !job.parked.is_empty() || job.parked_by_broker > 0;
    if rounds(job) == 0 && !failures.is_empty() && !parked && !((job.forgotten || other_content) && verdicts > 0) {
        wrong("it failed and is not parked".to_owned());
    }
    if verdicts == 0 && !parked {
        wrong("it has no verdict and is not parked".to_owned());
    }
    if verdicts > 0 && !job.parked.is_empty() && rounds(job) == 0 && !job.forgotten && !other_content {
        wrong("it has a verdict and is parked".to_owned());
    }
}

/// Whether nothing happened that can be the end of a good job. A pause that the vendor asks for costs one job an attempt.
fn blameless(state: &State) -> bool {
    let plan = &state.plan;
    let faults = Fault::ALL.iter().all(|fault| !plan.seed.has(*fault) || BLAMELESS.contains(fault));
    faults && state.pauses < plan.max_attempts
}

/// The end fits the job.
fn rightly(job: &JobRecord, plan: &Plan, deadly: bool, blameless: bool, wrong: &mut impl FnMut(String)) {
    let own = match job.kind {
        Kind::Good | Kind::Last | Kind::Changing | Kind::Deadly | Kind::Several | Kind::Nothing => None,
        Kind::Late | Kind::Missing => Some(Code::ObjectNotFound),
        Kind::NoImage => Some(Code::NotAnImage),
        Kind::CutOff => Some(Code::ImageCorrupt),
        Kind::Rejected => Some(Code::ApiRejected),
        Kind::Malformed => Some(Code::MalformedJob),
        Kind::Expired => Some(Code::JobExpired),
        Kind::Foreign => Some(Code::BucketNotAllowed),
    };
    let judged = matches!(job.kind, Kind::Good | Kind::Last | Kind::Changing | Kind::Late);
    for (_, key) in &job.events {
        let Some(name) = key.strip_prefix("failure.") else {
            if !judged {
                wrong(format!("it cannot have been judged, and {key} is told"));
            }
            continue;
        };
        let Some(code) = Code::from_name(name) else {
            wrong(format!("{name} is no code"));
            continue;
        };
        let possible = match code.class() {
            _ if Some(code) == own => true,
            Class::Transient => job.kind != Kind::Malformed,
            Class::Permanent if code == Code::ApiRejected => plan.seed.has(Fault::Mood),
            Class::Permanent if code == Code::JobExpired => job.dropped > 0,
            Class::Permanent => code == Code::DeliveryLimit && job.deliveries >= 19,
            Class::Systemic => false,
        };
        if !possible {
            wrong(format!("{code} is no end for it"));
        }
        // Another job's end of the worker can leave this one's call in doubt, and a person is asked. It is no reason for any other end.
        let cut_off = deadly && plan.park_in_doubt && code == Code::ApiInDoubt;
        if job.kind == Kind::Last && !cut_off || job.kind == Kind::Good && blameless && !cut_off {
            wrong(format!("it failed ({code}), and nothing stood in its way"));
        }
    }
}
