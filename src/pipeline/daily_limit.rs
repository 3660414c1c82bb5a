//! Jobs that come when the day has had its calls (`api.daily_call_limit`).

use super::job_run::JobRun;
use antispoof_core::ports::{DailyCalls, Ports};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const DAY_SECONDS: u64 = 24 * 60 * 60;

impl<P: Ports> JobRun<'_, P> {
    /// Closes the gate for the rest of the day. The job is not to blame and spends nothing.
    pub(super) fn wait_for_the_next_day(&mut self, today: DailyCalls, resumes_in: Duration) {
        let DailyCalls { counted, limit, .. } = today;
        let message = format!(
            "{counted} calls are counted today and api.daily_call_limit is {limit}: the next is made from {} on",
            midnight_after(today.day)
        );
        self.delivery.record.waits(&message);
        self.pass.daily_limit_is_reached(resumes_in, &message);
    }
}

/// When the day after this one begins (UTC), as RFC 3339.
fn midnight_after(day: u64) -> String {
    let seconds = day.saturating_add(1).saturating_mul(DAY_SECONDS);
    let moment = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| "midnight UTC".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight() {
        assert_eq!(midnight_after(0), "1970-01-02T00:00:00Z");
        assert_eq!(midnight_after(20_786), "2026-11-30T00:00:00Z");
        assert_eq!(midnight_after(u64::MAX), "midnight UTC");
    }
}
