//! A bar on stderr, where that is a terminal; nothing anywhere else.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// `total` is how many jobs it will be, where that is known.
    pub(super) fn new(total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let style = if total.is_some() { Self::bounded("published") } else { Self::unbounded() };
        bar.set_style(style);
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar }
    }

    /// `total` things to be done, whose bar says what was done to so many.
    pub(super) fn counting(total: u64, what: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        bar.set_style(Self::bounded(what));
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar }
    }

    /// So many are out.
    pub(super) fn published(&self, count: u64) {
        self.bar.set_position(count);
    }

    /// From here on, the events of so many jobs are counted.
    pub(super) fn waiting(&self, jobs: u64) {
        // In this order, so that the last count of the jobs is never shown as one of events.
        self.bar.set_position(0);
        self.bar.set_length(jobs);
        self.bar.set_style(Self::bounded("ended"));
    }

    /// So many have ended.
    pub(super) fn ended(&self, count: u64) {
        self.bar.set_position(count);
    }

    /// Does something that may write to the terminal, with the bar out of the way.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn bounded(what: &str) -> ProgressStyle {
        styled(&format!("{what} {{pos}} of {{len}} [{{bar:30}}] {{elapsed}}"))
    }

    fn unbounded() -> ProgressStyle {
        styled("published {pos} {spinner} {elapsed}")
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A template that cannot be read is a mistake of this file, which its test finds; the plain bar is as good then.
fn styled(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_can_be_read() {
        for template in ["ended {pos} of {len} [{bar:30}] {elapsed}", "published {pos} {spinner} {elapsed}"] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
