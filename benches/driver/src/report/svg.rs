//! Plots of lines, written as SVG: text is text, and light or dark follows the reader.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// Of what is written above and beside the area with the lines, and of that area.
const EDGE: f64 = 16.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 700.0;
const BOTTOM: f64 = 346.0;
/// Between two lines of text.
const LINE: f64 = 20.0;

/// Without variables, which not every program knows that shows such files.
const STYLE: &str = "\
text{fill:#1f2328;font:13px system-ui,sans-serif}.title{font-weight:600;font-size:15px}\
.paper{fill:#fff}.grid{stroke:#d8dee4}.limit{stroke:#1f2328;stroke-dasharray:2 4}.line{fill:none;stroke-width:2}\
.s0{stroke:#0a62c9}.s1{stroke:#b35900}.s2{stroke:#1a7f37}.s3{stroke:#8250df}\
.m0{fill:#0a62c9}.m1{fill:#b35900}.m2{fill:#1a7f37}.m3{fill:#8250df}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117}.grid{stroke:#30363d}.limit{stroke:#e6edf3}\
.s0{stroke:#58a6ff}.s1{stroke:#f0883e}.s2{stroke:#3fb950}.s3{stroke:#bc8cff}\
.m0{fill:#58a6ff}.m1{fill:#f0883e}.m2{fill:#3fb950}.m3{fill:#bc8cff}}";

/// Told from each other without colours, too.
const DASHES: [&str; 4] = ["", "7 4", "2 3", "10 3 2 3"];

pub(super) struct Plot {
    pub(super) title: String,
    /// What is measured, and its unit.
    pub(super) y_label: String,
    pub(super) x_label: String,
    /// Ascending: each value that has points, and how it is written.
    pub(super) x_ticks: Vec<(f64, String)>,
    /// Distances along the axis are those of logarithms; all values are above zero then.
    pub(super) x_log: bool,
    pub(super) y_log: bool,
    /// At most four.
    pub(super) series: Vec<Series>,
    /// A line across, and what it says.
    pub(super) limit: Option<(f64, String)>,
}

pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// From values to places.
struct Axis {
    log: bool,
    from: f64,
    to: f64,
    begin: f64,
    end: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let scaled = |value: f64| if self.log { value.ln() } else { value };
        let (from, to) = (scaled(self.from), scaled(self.to));
        let share = if to > from { (scaled(value) - from) / (to - from) } else { 0.5 };
        self.begin + share * (self.end - self.begin)
    }
}

impl Plot {
    pub(super) fn render(&self) -> String {
        let values: Vec<f64> = self.series.iter().flat_map(|series| &series.points).map(|(_, y)| *y).collect();
        let limit = self.limit.as_ref().map(|(value, _)| *value);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().chain(limit).fold(0.0, f64::max);
        let y_ticks = if self.y_log { log_ticks(least, most) } else { linear_ticks(most) };
        let end = |tick: Option<&f64>| tick.copied().unwrap_or(1.0);
        let legend = self.legend();
        let below_legend = legend.last().map_or(0.0, |(_, y)| *y) + LINE;
        let (from, to) = (end(y_ticks.first()), end(y_ticks.last()));
        let y = Axis { log: self.y_log, from, to, begin: BOTTOM, end: below_legend + 15.0 };
        let end = |tick: Option<&(f64, String)>| tick.map_or(1.0, |(value, _)| *value);
        let (from, to) = (end(self.x_ticks.first()), end(self.x_ticks.last()));
        let x = Axis { log: self.x_log, from, to, begin: LEFT + 20.0, end: RIGHT - 20.0 };

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"paper\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\n",
            title = escaped(&self.title)
        );
        text(&mut svg, (EDGE, 26.0), "start", " class=\"title\"", &self.title);
        text(&mut svg, (EDGE, below_legend), "start", "", &self.y_label);
        text(&mut svg, (f64::midpoint(LEFT, RIGHT), HEIGHT - 12.0), "middle", "", &self.x_label);
        for tick in &y_ticks {
            line(&mut svg, "grid", (LEFT, y.at(*tick)), (RIGHT, y.at(*tick)));
            text(&mut svg, (LEFT - 8.0, y.at(*tick) + 4.5), "end", "", &number(*tick));
        }
        for (value, label) in &self.x_ticks {
            line(&mut svg, "grid", (x.at(*value), BOTTOM), (x.at(*value), BOTTOM + 5.0));
            text(&mut svg, (x.at(*value), BOTTOM + 21.0), "middle", "", label);
        }
        if let Some((value, label)) = &self.limit {
            line(&mut svg, "limit", (LEFT, y.at(*value)), (RIGHT, y.at(*value)));
            text(&mut svg, (RIGHT - 4.0, y.at(*value) - 5.0), "end", "", label);
        }
        self.write_series(&mut svg, &x, &y, &legend);
        svg + "</svg>\n"
    }

    /// Where each name stands, in as many lines as they need.
    fn legend(&self) -> Vec<(f64, f64)> {
        let (mut x, mut y) = (EDGE, 50.0);
        let mut places = Vec::new();
        for series in &self.series {
            // As wide as its text is in wide fonts.
            let letters = u32::try_from(series.name.chars().count()).unwrap_or_default();
            let width = 34.0 + 7.1 * f64::from(letters);
            if x + width > WIDTH - EDGE && x > EDGE {
                (x, y) = (EDGE, y + LINE);
            }
            places.push((x, y));
            x += width + 20.0;
        }
        places
    }

    fn write_series(&self, svg: &mut String, x: &Axis, y: &Axis, legend: &[(f64, f64)]) {
        for (number, (series, (legend_x, legend_y))) in self.series.iter().zip(legend).enumerate() {
            let dash = DASHES[number % DASHES.len()];
            let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
            let stroke = format!("class=\"line s{number}\"{dash}");
            let places = series.points.iter().map(|(value, height)| (x.at(*value), y.at(*height)));
            let points: Vec<String> = places.clone().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            put(svg, format_args!("<polyline {stroke} points=\"{}\"/>\n", points.join(" ")));
            for ((place_x, place_y), (_, value)) in places.zip(&series.points) {
                let what = escaped(&format!("{}: {}", series.name, self::number(*value)));
                put(
                    svg,
                    format_args!(
                        "<circle class=\"m{number}\" cx=\"{place_x:.1}\" cy=\"{place_y:.1}\" r=\"3.5\"><title>{what}</title></circle>\n"
                    ),
                );
            }
            put(svg, format_args!("<path {stroke} d=\"M{legend_x:.0} {:.0}h28\"/>\n", legend_y - 4.0));
            text(svg, (legend_x + 34.0, *legend_y), "start", "", &series.name);
        }
    }
}

fn line(svg: &mut String, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    put(svg, format_args!("<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>\n"));
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, attributes: &str, words: &str) {
    let words = escaped(words);
    put(svg, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{attributes}>{words}</text>\n"));
}

fn put(svg: &mut String, what: std::fmt::Arguments<'_>) {
    // A String takes everything.
    svg.write_fmt(what).ok();
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// With as many digits as say something.
fn number(value: f64) -> String {
    let decimals = if value >= 100.0 || value.fract() == 0.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        3
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// From zero to at least `most`, four to eight of them.
fn linear_ticks(most: f64) -> Vec<f64> {
    let decade = 10_f64.powf((most.max(1e-9) / 5.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    let step = steps.into_iter().find(|step| most / step <= 7.0).unwrap_or(steps[3]);
    let mut ticks = vec![0.0];
    while ticks.last().is_some_and(|last| *last < most) {
        ticks.push(step * f64::from(u32::try_from(ticks.len()).unwrap_or(u32::MAX)));
    }
    ticks
}

/// 1, 2 and 5 of each decade, from at most `low` to at least `high`.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let (low, high) = if low > 0.0 && low.is_finite() { (low, high.max(low)) } else { (1.0, 10.0) };
    let mut decade = 10_f64.powf(low.log10().floor());
    let mut ticks = Vec::new();
    while decade <= high * 10.0 {
        ticks.extend([1.0, 2.0, 5.0].map(|step| step * decade));
        decade *= 10.0;
    }
    let first = ticks.iter().rposition(|tick| *tick <= low * 1.000_001).unwrap_or_default();
    let last = ticks.iter().position(|tick| *tick >= high / 1.000_001).unwrap_or(ticks.len() - 1);
    ticks[first..=last.max(first)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_xml_is_escaped() {
        assert_eq!(escaped("a < b & \"c\" > d"), "a &lt; b &amp; &quot;c&quot; &gt; d");
    }

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        assert_eq!(linear_ticks(61.0), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0]);
        assert_eq!(linear_ticks(1.3).len(), 8);
        assert_eq!(linear_ticks(3600.0), [0.0, 1000.0, 2000.0, 3000.0, 4000.0]);
        let near = |ticks: &[f64], expected: &[f64]| {
            assert_eq!(ticks.len(), expected.len(), "{ticks:?}");
            assert!(ticks.iter().zip(expected).all(|(tick, other)| (tick / other - 1.0).abs() < 1e-9), "{ticks:?}");
        };
        near(&log_ticks(0.15, 7.3), &[0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]);
        near(&log_ticks(1.0, 1.0), &[1.0]);
        assert_eq!([0.1, 0.25, 2.0, 12.34, 1500.2].map(number), ["0.1", "0.25", "2", "12.3", "1500"]);
    }

    #[test]
    fn a_plot_has_its_words_and_its_points() {
        let plot = Plot {
            title: "CPU & more".to_owned(),
            y_label: "ms".to_owned(),
            x_label: "image".to_owned(),
            x_ticks: vec![(64_000.0, "64 kB".to_owned()), (1e6, "1 MB".to_owned())],
            x_log: true,
            y_log: true,
            series: vec![Series { name: "floor".to_owned(), points: vec![(64_000.0, 0.2), (1e6, 1.0)] }],
            limit: Some((0.5, "0.5 ms".to_owned())),
        };
        let svg = plot.render();
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
        for part in [">CPU &amp; more</text>", ">64 kB</text>", ">0.5 ms</text>", "points=\"84.0,346.0 680.0,85.0\""] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 2);
    }
}
