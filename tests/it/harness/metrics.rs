//! Reading a metrics page.

use std::collections::BTreeMap;

/// The sum of the series of `page` that have the name of `wanted` and at least its labels. None when there is none.
pub(crate) fn sum(page: &str, wanted: &str) -> Option<f64> {
    let wanted = Series::parse(wanted);
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            // An exemplar may follow. A label's value may contain blanks, the value behind the series cannot.
            let line = line.split_once(" # ").map_or(line, |(line, _)| line);
            let (series, value) = line.rsplit_once(' ')?;
            let value = value.parse::<f64>().ok()?;
            Series::parse(series).covers(&wanted).then_some(value)
        })
        .reduce(|sum, value| sum + value)
}

#[derive(Debug)]
struct Series<'a> {
    name: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
}

impl<'a> Series<'a> {
    /// `name{label="value",…}`; the braces may be missing.
    fn parse(text: &'a str) -> Self {
        let (name, labels) = text.trim().split_once('{').unwrap_or((text.trim(), ""));
        let mut rest = labels.trim_end_matches('}');
        let mut labels = BTreeMap::new();
        while let Some((label, after)) = rest.split_once("=\"") {
            let Some((value, after)) = after.split_once('"') else {
                break;
            };
            labels.insert(label.trim_start_matches(',').trim(), value);
            rest = after;
        }
        Self { name, labels }
    }

    fn covers(&self, wanted: &Series<'_>) -> bool {
        self.name == wanted.name && wanted.labels.iter().all(|(label, value)| self.labels.get(label) == Some(value))
    }
}
