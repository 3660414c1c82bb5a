//! Which parked jobs are meant.

use crate::amqp::Entry;
use antispoof_core::failure::Code;
use clap::Args;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What is written for a message without a failure code: the broker moved it into the queue by itself.
const NO_CODE: &str = "none";

/// Which jobs; without any of these, all. A job has to meet each that is given.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filter")]
pub(super) struct Filter {
    /// With one of these failure codes ("none": the broker parked it by itself)
    #[arg(long, value_name = "CODE", value_delimiter = ',', num_args = 1.., value_parser = code)]
    code: Vec<String>,
    /// With one of these ids
    #[arg(long, value_name = "ID", value_delimiter = ',', num_args = 1..)]
    job: Vec<String>,
    /// Whose object is in this bucket
    #[arg(long, value_name = "B")]
    bucket: Option<String>,
    /// Whose object's key begins so
    #[arg(long, value_name = "P")]
    key_prefix: Option<String>,
    /// Parked at or after this time: RFC 3339, or a duration before now, as 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<OffsetDateTime>,
    /// Parked before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<OffsetDateTime>,
    /// With at least so many attempts
    #[arg(long, value_name = "N")]
    min_attempts: Option<u32>,
    /// With a call that may have been paid for and brought no verdict
    #[arg(long)]
    in_doubt: bool,
}

impl Filter {
    /// Jobs with these ids.
    pub(super) fn of_jobs(job: Vec<String>) -> Self {
        Self { job, ..Self::default() }
    }

    /// True when nothing is filtered out.
    pub(super) fn is_empty(&self) -> bool {
        let Self { code, job, bucket, key_prefix, since, until, min_attempts, in_doubt } = self;
        code.is_empty()
            && job.is_empty()
            && bucket.is_none()
            && key_prefix.is_none()
            && since.is_none()
            && until.is_none()
            && min_attempts.is_none()
            && !in_doubt
    }

    pub(super) fn matches(&self, entry: &Entry) -> bool {
        let code = entry.code.as_deref().unwrap_or(NO_CODE);
        // A message that no worker parked has no time.
        let in_time = match (entry.parked_at_ms, self.since.or(self.until)) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(at), Some(_)) => {
                self.since.is_none_or(|since| at >= millis(since)) && self.until.is_none_or(|until| at < millis(until))
            }
        };
        in_time
            && (self.code.is_empty() || self.code.iter().any(|wanted| wanted == code))
            && (self.job.is_empty() || self.job.contains(&entry.job_id))
            && self.bucket.as_ref().is_none_or(|bucket| entry.bucket.as_ref() == Some(bucket))
            && self
                .key_prefix
                .as_ref()
                .is_none_or(|prefix| entry.key.as_ref().is_some_and(|key| key.starts_with(prefix.as_str())))
            && self.min_attempts.is_none_or(|least| entry.attempts >= least)
            && (!self.in_doubt || entry.in_doubt > 0)
    }
}

fn millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn code(text: &str) -> Result<String, String> {
    if text == NO_CODE || Code::from_name(text).is_some() {
        return Ok(text.to_owned());
    }
    let names = || Code::ALL.iter().map(|code| code.name()).chain([NO_CODE]);
    let nearest = names().max_by(|a, b| strsim::jaro_winkler(a, text).total_cmp(&strsim::jaro_winkler(b, text)));
    Err(format!("there is no such failure code; did you mean {}?", nearest.unwrap_or_default()))
}

/// A time that has passed, or is yet to come.
fn moment(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(at);
    }
    let ago: Duration = humantime::parse_duration(text)
        .map_err(|_| "write a duration before now, as 2h or 30m, or a time as 2026-11-29T02:14:00Z".to_owned())?;
    OffsetDateTime::now_utc()
        .checked_sub(ago.try_into().unwrap_or(time::Duration::MAX))
        .ok_or_else(|| "is before the beginning of time".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            job_id: "kyc-1".to_owned(),
            code: Some("api_in_doubt".to_owned()),
            attempts: 3,
            in_doubt: 1,
            parked_at_ms: Some(1_764_000_000_500),
            bucket: Some("kyc".to_owned()),
            key: Some("2026/11/a.jpg".to_owned()),
            ..Entry::default()
        }
    }

    fn at(ms: i64) -> Option<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()
    }

    #[test]
    fn a_job_has_to_meet_each_condition() {
        let all = Filter {
            code: vec!["job_expired".to_owned(), "api_in_doubt".to_owned()],
            job: vec!["kyc-1".to_owned()],
            bucket: Some("kyc".to_owned()),
            key_prefix: Some("2026/".to_owned()),
            since: at(1_764_000_000_500),
            until: at(1_764_000_000_501),
            min_attempts: Some(3),
            in_doubt: true,
        };
        assert!(all.matches(&entry()) && Filter::default().matches(&entry()));
        for misses in [
            Filter { code: vec!["job_expired".to_owned()], ..all.clone() },
            Filter { job: vec!["kyc-10".to_owned()], ..all.clone() },
            Filter { bucket: Some("ky".to_owned()), ..all.clone() },
            Filter { key_prefix: Some("2025".to_owned()), ..all.clone() },
            Filter { since: at(1_764_000_000_501), ..all.clone() },
            Filter { until: at(1_764_000_000_500), ..all.clone() },
            Filter { min_attempts: Some(4), ..all.clone() },
        ] {
            assert!(!misses.matches(&entry()), "{misses:?}");
        }
        assert!(!all.matches(&Entry { in_doubt: 0, ..entry() }));
    }

    #[test]
    fn a_message_that_no_worker_parked_has_no_code_and_no_time() {
        let dropped = Entry { job_id: "x".to_owned(), ..Entry::default() };
        assert!(Filter { code: vec!["none".to_owned()], ..Filter::default() }.matches(&dropped));
        assert!(!Filter { since: at(0), ..Filter::default() }.matches(&dropped));
        assert!(!Filter { bucket: Some("kyc".to_owned()), ..Filter::default() }.matches(&dropped));
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        assert_eq!(code("api_in_doubt").as_deref(), Ok("api_in_doubt"));
        assert!(code("object_notfound").is_err_and(|error| error.ends_with("did you mean object_not_found?")));
        let two_hours_ago = moment("2h").unwrap();
        assert!((OffsetDateTime::now_utc() - two_hours_ago - time::Duration::hours(2)).abs() < time::Duration::MINUTE);
        assert_eq!(moment("1970-01-01T00:00:01Z").map(millis), Ok(1000));
        assert!(moment("yesterday").is_err());
        assert!(moment("300000y").is_err());
    }
}
