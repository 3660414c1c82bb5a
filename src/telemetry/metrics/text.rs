//! From the one format to the other. The library writes `OpenMetrics`, where a counter's `TYPE` lacks the `_total` of its series, and which ends with a line
//! that other formats do not have. What asks without naming a format (curl, `promtool check metrics`, many agents) means Prometheus's own, and all that read `OpenMetrics` read it, too.

/// The type of the answer.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The same page as Prometheus's text format, version 0.0.4.
pub(super) fn prometheus(open_metrics: &str) -> String {
    let mut page = String::with_capacity(open_metrics.len() + open_metrics.len() / 16);
    let mut help = None;
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            // Its name depends on the type, which comes behind it.
            (Some("#"), Some("HELP"), Some(_), text) => help = text,
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let suffix = if kind == "counter" { "_total" } else { "" };
                if let Some(help) = help.take() {
                    page.extend(["# HELP ", name, suffix, " ", help, "\n"]);
                }
                page.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
            }
            (Some("#"), ..) => {}
            _ => page.extend([line, "\n"]),
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_one_name_and_nothing_is_left_of_the_other_format() {
        let open = "# HELP jobs Jobs that ended.\n# TYPE jobs counter\njobs_total{outcome=\"a b\"} 0\n# HELP wait_seconds A wait.\n# TYPE wait_seconds gauge\n\
                    # UNIT wait_seconds seconds\nwait_seconds 0.5\n# EOF\n";
        let text = "# HELP jobs_total Jobs that ended.\n# TYPE jobs_total counter\njobs_total{outcome=\"a b\"} 0\n# HELP wait_seconds A wait.\n\
                    # TYPE wait_seconds gauge\nwait_seconds 0.5\n";
        assert_eq!(prometheus(open), text);
    }
}
