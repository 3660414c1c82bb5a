//! Requested items that cannot be jobs: they do not hold up the rest, and are printed at the end.

use super::super::terminal::plain;
use std::fmt;

/// So many are named. A list of any length must not be kept whole.
const NAMED: usize = 1000;

/// What cannot be a job, and why.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    lines: Vec<String>,
    count: u64,
}

impl Skipped {
    pub(super) fn add(&mut self, place: &str, why: &impl fmt::Display) {
        self.count += 1;
        if self.lines.len() < NAMED {
            self.lines.push(format!("  {}: {}", plain(place), plain(&why.to_string())));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.count == 1 { "cannot be a job and was" } else { "cannot be jobs and were" };
        write!(f, "{} {noun} left out:", self.count)?;
        for line in &self.lines {
            write!(f, "\n{line}")?;
        }
        let rest = self.count.saturating_sub(self.lines.len() as u64);
        if rest > 0 {
            write!(f, "\n  and {rest} more")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_named_with_its_reason_up_to_a_number() {
        let mut skipped = Skipped::default();
        assert!(skipped.is_empty());
        skipped.add("s3://bucket/a\u{1b}[2J/../b", &"key: rename the object");
        assert_eq!(
            skipped.to_string(),
            "1 cannot be a job and was left out:\n  s3://bucket/a\u{fffd}[2J/../b: key: rename the object"
        );
        for number in 1..1003 {
            skipped.add(&format!("line {number}"), &"no");
        }
        let said = skipped.to_string();
        assert!(said.starts_with("1003 cannot be jobs and were left out:\n"), "{said}");
        assert!(said.ends_with("  line 999: no\n  and 3 more"), "{said}");
    }
}
