//! Parked jobs that have something in common.

use super::super::table::{aligned, shortened};
use super::super::terminal::plain;
use super::json::short_time;
use crate::amqp::Entry;
use clap::ValueEnum;
use std::cmp::Reverse;
use std::collections::HashMap;

const MESSAGE_WIDTH: usize = 70;

/// What jobs are grouped by.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum By {
    /// The failure code
    #[default]
    Code,
    /// Where they failed
    Stage,
    /// The bucket of the object
    Bucket,
    /// The hour in which they were parked
    Hour,
}

/// Counts as jobs are added.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by: By,
    groups: HashMap<String, Group>,
}

#[derive(Debug, Default)]
struct Group {
    jobs: u32,
    in_doubt: u32,
    oldest: Option<i64>,
    newest: Option<i64>,
    /// Of the newest.
    message: String,
}

impl Groups {
    pub(super) fn new(by: By) -> Self {
        Self { by, groups: HashMap::new() }
    }

    pub(super) fn add(&mut self, entry: &Entry) {
        let name = match self.by {
            By::Code => entry.code.clone().unwrap_or_else(|| "none".to_owned()),
            By::Stage => entry.stage.clone().unwrap_or_else(|| "-".to_owned()),
            By::Bucket => entry.bucket.clone().unwrap_or_else(|| "-".to_owned()),
            By::Hour => entry.parked_at_ms.map_or_else(
                || "-".to_owned(),
                |at| short_time(Some(at.div_euclid(3_600_000) * 3_600_000)).replace(":00:00Z", "h UTC"),
            ),
        };
        let group = self.groups.entry(name).or_default();
        group.jobs += 1;
        group.in_doubt += u32::from(entry.in_doubt > 0);
        group.oldest = match (group.oldest, entry.parked_at_ms) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        // Without times, the last one in the queue.
        if group.newest <= entry.parked_at_ms {
            group.newest = entry.parked_at_ms;
            group.message = entry.message.clone().unwrap_or_default();
        }
    }

    /// A line for each group, the largest first; hours in their order.
    pub(super) fn table(&self) -> String {
        let title = match self.by {
            By::Code => "CODE",
            By::Stage => "STAGE",
            By::Bucket => "BUCKET",
            By::Hour => "HOUR",
        };
        let mut groups: Vec<_> = self.groups.iter().collect();
        match self.by {
            By::Hour => groups.sort_by_key(|(name, _)| name.as_str()),
            _ => groups.sort_by_key(|(name, group)| (Reverse(group.jobs), name.as_str())),
        }
        let rows: Vec<_> = groups
            .into_iter()
            .map(|(name, group)| {
                [
                    plain(name),
                    group.jobs.to_string(),
                    group.in_doubt.to_string(),
                    short_time(group.oldest),
                    short_time(group.newest),
                    shortened(&plain(&group.message), MESSAGE_WIDTH),
                ]
            })
            .collect();
        let titles = [title, "JOBS", "IN DOUBT", "OLDEST", "NEWEST", "MESSAGE OF THE NEWEST"];
        aligned(titles, [false, true, true, false, false, false], &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(code: &str, at: i64, message: &str) -> Entry {
        Entry {
            code: Some(code.to_owned()),
            parked_at_ms: Some(at * 1000),
            message: Some(message.to_owned()),
            in_doubt: u32::from(code == "api_in_doubt"),
            ..Entry::default()
        }
    }

    #[test]
    fn the_largest_group_comes_first_with_its_newest_message() {
        let mut groups = Groups::new(By::Code);
        groups.add(&entry("api_in_doubt", 10, "no answer"));
        groups.add(&entry("object_not_found", 30, "gone\u{1b}[2J"));
        groups.add(&entry("object_not_found", 20, "earlier"));
        groups.add(&Entry::default());
        let expected = "\
CODE              JOBS  IN DOUBT  OLDEST                NEWEST                MESSAGE OF THE NEWEST
object_not_found     2         0  1970-01-01T00:00:20Z  1970-01-01T00:00:30Z  gone\u{fffd}[2J
api_in_doubt         1         1  1970-01-01T00:00:10Z  1970-01-01T00:00:10Z  no answer
none                 1         0  -                     -
";
        assert_eq!(groups.table(), expected);
    }

    #[test]
    fn hours_stay_in_their_order() {
        let mut groups = Groups::new(By::Hour);
        for at in [7200, 3599, 7201] {
            groups.add(&entry("job_expired", at, "late"));
        }
        let table = groups.table();
        let hours: Vec<_> = table.lines().skip(1).map(|line| &line[..19]).collect();
        assert_eq!(hours, ["1970-01-01T00h UTC ", "1970-01-01T02h UTC "], "{table}");
    }
}
