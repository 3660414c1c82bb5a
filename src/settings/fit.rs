//! How the settings of different sections fit together.

use std::time::Duration;

use super::reader::Reader;
use super::units::plain;
use super::{LedgerBackend, Settings};

/// Half of what RabbitMQ gives a consumer to acknowledge (30 min), so that a slow clock or a full disk does not use it up.
const LONGEST_HOLD: Duration = Duration::from_mins(15);

/// After the drain the ledger is closed and the last acks go out, which takes milliseconds unless a disk or the broker is slow.
const AFTER_DRAIN: Duration = Duration::from_secs(15);

/// Notes what does not fit. Only values without a problem of their own are compared.
pub(super) fn check(settings: &Settings, r: &mut Reader<'_>) {
    connecting_is_a_part(settings, r);
    drain(settings, r);
    grace(settings, r);
    hold(settings, r);
    memory_of_verdicts(settings, r);
}

fn connecting_is_a_part(settings: &Settings, r: &mut Reader<'_>) {
    let (s3, api) = (&settings.s3, &settings.api);
    if r.sound(&["s3.timeout", "s3.connect_timeout"]) && s3.connect_timeout > s3.timeout {
        r.error_with(
            "s3.timeout",
            &["s3.connect_timeout"],
            format!(
                "{} is shorter than s3.connect_timeout ({}), which is a part of it",
                plain(s3.timeout),
                plain(s3.connect_timeout)
            ),
            "raise s3.timeout or lower s3.connect_timeout",
        );
    }
    if r.sound(&["api.timeout", "api.connect_timeout"]) && api.connect_timeout >= api.timeout {
        r.error_with(
            "api.timeout",
            &["api.connect_timeout"],
            format!(
                "{} is not longer than api.connect_timeout ({}), which is a part of it",
                plain(api.timeout),
                plain(api.connect_timeout)
            ),
            "raise api.timeout or lower api.connect_timeout",
        );
    }
}

fn drain(settings: &Settings, r: &mut Reader<'_>) {
    let (drain, call) = (settings.worker.drain_timeout, settings.api.timeout);
    if r.sound(&["worker.drain_timeout", "api.timeout"]) && drain < call {
        r.error_with(
            "worker.drain_timeout",
            &["api.timeout"],
            format!(
                "{} is shorter than api.timeout ({}): a stop could cut off a call that was already sent, and it would be paid for twice",
                plain(drain),
                plain(call)
            ),
            format!("raise worker.drain_timeout to at least {} (and the grace period of the pod above it), or lower api.timeout", plain(call)),
        );
    }
}

fn grace(settings: &Settings, r: &mut Reader<'_>) {
    const KEYS: [&str; 2] = ["worker.termination_grace", "worker.drain_timeout"];
    let (Some(grace), drain) = (settings.worker.termination_grace, settings.worker.drain_timeout) else { return };
    if !r.sound(&KEYS) || grace >= drain + AFTER_DRAIN {
        return;
    }
    let enough = plain(drain + AFTER_DRAIN);
    if grace <= drain {
        r.error_with(
            KEYS[0],
            &KEYS[1..],
            format!(
                "{} is not longer than worker.drain_timeout ({}): the process would be killed in the middle of its stop, with calls that are paid for",
                plain(grace),
                plain(drain)
            ),
            format!("raise the grace period (and this setting) to at least {enough}, or lower worker.drain_timeout"),
        );
    } else {
        r.warn(
            KEYS[0],
            format!(
                "{} leaves less than {} after worker.drain_timeout ({})",
                plain(grace),
                plain(AFTER_DRAIN),
                plain(drain)
            ),
            format!("raise the grace period (and this setting) to at least {enough}"),
        );
    }
}

fn hold(settings: &Settings, r: &mut Reader<'_>) {
    const PARTS: [&str; 4] = ["s3.timeout", "s3.read_timeout", "api.timeout", "retry.quick_max"];
    let (s3, api, retry) = (&settings.s3, &settings.api, &settings.retry);
    let once = s3.timeout + s3.read_timeout + api.timeout + retry.quick_max;
    let hold = once * retry.quick_attempts;
    if r.sound(&PARTS) && r.sound(&["retry.quick_attempts"]) && hold >= LONGEST_HOLD {
        r.error_with(
            "retry.quick_attempts",
            &PARTS,
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

fn memory_of_verdicts(settings: &Settings, r: &mut Reader<'_>) {
    let (retry, ledger) = (&settings.retry, &settings.ledger);
    let keys = ["retry.delays", "retry.max_attempts", "ledger.backend", "ledger.ttl"];
    if !r.sound(&keys) || ledger.backend == LedgerBackend::None {
        return;
    }
    let away: Duration = (1..retry.max_attempts as usize)
        .filter_map(|stay| retry.delays.get(stay - 1).or(retry.delays.last()))
        .map(|delay| delay.duration)
        .sum();
    if ledger.ttl < away {
        r.warn(
            "ledger.ttl",
            format!(
                "{} is shorter than a job can stay in the delay queues ({}): what was begun for it is forgotten before",
                plain(ledger.ttl),
                plain(away)
            ),
            format!("raise ledger.ttl above {}", plain(away)),
        );
    }
}
