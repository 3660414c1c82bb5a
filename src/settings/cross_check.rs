//! How the settings of different sections fit together.

use std::time::Duration;

use antispoof_core::policy::OnLedgerError;

use super::api::Api;
use super::findings::Findings;
use super::ledger::{Ledger, LedgerBackend};
use super::retry::Retry;
use super::s3::S3;
use super::units::plain;
use super::worker::Worker;

/// A program that may write images could write a verdict beside them.
pub(super) fn records(s3: &S3, ledger: &Ledger, findings: &mut Findings<'_>) {
    let LedgerBackend::S3 { bucket, .. } = &ledger.backend else { return };
    let what = "is a bucket that jobs may name: a program that may put images there could put verdicts there";
    let remedy = "name a bucket of its own, which the workers alone may write to";
    if s3.buckets.contains(bucket) || s3.default_bucket.as_ref() == Some(bucket) {
        findings.error(&["ledger.bucket", "s3.buckets"], what, remedy);
    } else if s3.allow_any_bucket {
        findings.warn(&["ledger.bucket", "s3.allow_any_bucket"], what, remedy);
    }
}

/// Half of what RabbitMQ gives a consumer to acknowledge (30 min), so that a slow clock or a full disk does not use it up.
const LONGEST_HOLD: Duration = Duration::from_mins(15);

/// After the drain the ledger is closed and the last acks go out, which takes milliseconds unless a disk or the broker is slow.
const AFTER_DRAIN: Duration = Duration::from_secs(15);

/// The connection is a part of the answer.
pub(super) fn connecting(s3: &S3, api: &Api, findings: &mut Findings<'_>) {
    let (connect, whole) = (plain(s3.connect_timeout), plain(s3.timeout));
    if s3.connect_timeout > s3.timeout {
        findings.error(
            &["s3.timeout", "s3.connect_timeout"],
            format!("{whole} is shorter than s3.connect_timeout ({connect}), which is a part of it"),
            "raise s3.timeout or lower s3.connect_timeout",
        );
    }
    let (connect, whole) = (plain(api.connect_timeout), plain(api.timeout));
    if api.connect_timeout >= api.timeout {
        findings.error(
            &["api.timeout", "api.connect_timeout"],
            format!("{whole} is not longer than api.connect_timeout ({connect}), which is a part of it"),
            "raise api.timeout or lower api.connect_timeout",
        );
    }
}

/// A call ends within the drain, and the drain before the process is killed.
pub(super) fn stopping(worker: &Worker, api: &Api, findings: &mut Findings<'_>) {
    let (drain, call) = (plain(worker.drain_timeout), plain(api.timeout));
    if worker.drain_timeout < api.timeout {
        findings.error(
            &["worker.drain_timeout", "api.timeout"],
            format!(
                "{drain} is shorter than api.timeout ({call}): a stop could cut off a call that was already sent, and it would be paid for twice"
            ),
            format!("raise worker.drain_timeout to at least {call} (and the grace period of the pod above it), or lower api.timeout"),
        );
    }
    let Some(termination) = worker.termination_grace else { return };
    let (keys, grace) = (["worker.termination_grace", "worker.drain_timeout"], plain(termination));
    let enough = plain(worker.drain_timeout + AFTER_DRAIN);
    if termination <= worker.drain_timeout {
        findings.error(
            &keys,
            format!(
                "{grace} is not longer than worker.drain_timeout ({drain}): the process would be killed in the middle of its stop, with calls that are paid for"
            ),
            format!("raise the grace period (and this setting) to at least {enough}, or lower worker.drain_timeout"),
        );
    } else if termination < worker.drain_timeout + AFTER_DRAIN {
        findings.warn(
            &keys,
            format!("{grace} leaves less than {} after worker.drain_timeout ({drain})", plain(AFTER_DRAIN)),
            format!("raise the grace period (and this setting) to at least {enough}"),
        );
    }
}

/// A job goes back to the broker before the broker takes it back.
pub(super) fn hold(s3: &S3, api: &Api, retry: &Retry, findings: &mut Findings<'_>) {
    let once = s3.timeout + s3.read_timeout + api.timeout + retry.quick_max;
    let hold = once * retry.quick_attempts;
    if hold >= LONGEST_HOLD {
        findings.error(
            &["retry.quick_attempts", "s3.timeout", "s3.read_timeout", "api.timeout", "retry.quick_max"],
            format!(
                "{} tries of up to {} each hold a job for {}; the limit is {}, half of what RabbitMQ waits for an acknowledgement",
                retry.quick_attempts,
                plain(once),
                plain(hold),
                plain(LONGEST_HOLD)
            ),
            "lower retry.quick_attempts, or one of s3.timeout, s3.read_timeout, api.timeout and retry.quick_max",
        );
    }
}

/// A limit holds for those that share its count, and as long as that lasts.
pub(super) fn daily_limit(api: &Api, ledger: &Ledger, findings: &mut Findings<'_>) {
    if api.daily_call_limit == 0 {
        return;
    }
    let keys = ["api.daily_call_limit", "ledger.backend", "ledger.on_error"];
    if matches!(ledger.backend, LedgerBackend::None | LedgerBackend::Memory) {
        findings.warn(
            &keys[..2],
            "is a limit of this process alone with this ledger.backend, and its count begins at 0 with each start",
            "set ledger.backend = \"redis\" or \"s3\", where all workers share one count; or \"file\" for a single worker",
        );
    } else if matches!(ledger.backend, LedgerBackend::Redis(_) | LedgerBackend::S3 { .. })
        && ledger.on_error == OnLedgerError::Proceed
    {
        findings.warn(
            &keys,
            "does not hold while the ledger is away: ledger.on_error = \"proceed\" makes calls then, and they are not counted",
            "set ledger.on_error = \"hold\"",
        );
    }
}

/// A result that is not published yet is still there when its job is redelivered: those in hand, and those of a session before it was lost.
pub(super) fn entries(worker: &Worker, ledger: &Ledger, findings: &mut Findings<'_>) {
    let least = 2 * usize::from(worker.concurrency.max());
    if matches!(ledger.backend, LedgerBackend::Memory) && ledger.max_entries < least {
        findings.error(
            &["ledger.max_entries", "worker.concurrency"],
            format!(
                "{} is less than twice worker.concurrency ({least}): a job that is redelivered could be forgotten by then, and paid for again",
                ledger.max_entries
            ),
            format!("raise ledger.max_entries to at least {least}"),
        );
    }
}

/// What was begun for a job is remembered while the job waits.
pub(super) fn memory(retry: &Retry, ledger: &Ledger, findings: &mut Findings<'_>) {
    let stays = (1..retry.max_attempts as usize)
        .filter_map(|stay| retry.delays.get(stay - 1).or(retry.delays.last()))
        .map(|delay| delay.duration);
    let away: Duration = stays.sum();
    if ledger.backend != LedgerBackend::None && ledger.ttl < away {
        let (ttl, away) = (plain(ledger.ttl), plain(away));
        findings.warn(
            &["ledger.ttl", "retry.delays", "retry.max_attempts", "ledger.backend"],
            format!(
                "{ttl} is shorter than a job can stay in the delay queues ({away}): what was begun for it is forgotten before"
            ),
            format!("raise ledger.ttl above {away}"),
        );
    }
}
