//! Aligned columns, and the counts below them.

use super::view::View;
use std::collections::BTreeMap;

/// Wide enough for an id that people chose; the ones made here are told apart by their ends.
const JOB_WIDTH: usize = 20;
const OBJECT_WIDTH: usize = 40;
/// The last column, and the only one with sentences in it.
const REASON_WIDTH: usize = 90;

const TITLES: [&str; 7] = ["JOB", "OBJECT", "OUTCOME", "ACCURACY", "ATTEMPTS", "MS", "REASON"];
/// Numbers line up at their ends.
const RIGHT: [bool; 7] = [false, false, false, true, true, true, false];

/// The table, with a line above it that says what all objects begin with, if there is more than one.
pub(super) fn render(views: &[View]) -> String {
    let below = common_folder(views.iter().map(|view| view.object.as_str()).filter(|object| !object.is_empty()));
    let rows: Vec<[String; 7]> = views.iter().map(|view| row(view, below)).collect();
    let mut out = String::new();
    if !below.is_empty() {
        out = format!("objects below s3://{below}\n");
    }
    out + &aligned(TITLES, RIGHT, &rows)
}

/// The rows below their titles; a column that is `right` lines up at its end.
pub(super) fn aligned<const N: usize>(titles: [&str; N], right: [bool; N], rows: &[[String; N]]) -> String {
    let titles = titles.map(str::to_owned);
    let widths: [usize; N] = std::array::from_fn(|at| {
        std::iter::once(&titles).chain(rows).map(|row| width(&row[at])).max().unwrap_or_default()
    });
    let mut out = String::new();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let fill = " ".repeat(widths[at] - width(cell));
            line.push_str(if at == 0 { "" } else { "  " });
            line.push_str(&if right[at] { fill + cell } else { cell.clone() + &fill });
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// How many ended how, the most frequent first: `26 live, 4 spoof, 3 unsupported_format`.
pub(super) fn counts<'a>(outcomes: impl IntoIterator<Item = (&'a str, usize)>) -> String {
    let mut sums = BTreeMap::<&str, usize>::new();
    for (outcome, count) in outcomes {
        *sums.entry(outcome).or_default() += count;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|&(outcome, count)| (std::cmp::Reverse(count), outcome));
    let parts: Vec<_> = sums.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    parts.join(", ")
}

/// `text` in at most `width` characters, what is too much cut out of the middle.
pub(super) fn shortened(text: &str, width: usize) -> String {
    let length = self::width(text);
    if length <= width {
        return text.to_owned();
    }
    let head = (width - 1) / 2;
    let tail = width - 1 - head;
    let (head, tail): (String, String) =
        (text.chars().take(head).collect(), text.chars().skip(length - tail).collect());
    format!("{head}…{tail}")
}

fn row(view: &View, below: &str) -> [String; 7] {
    let object = view.object.strip_prefix(below).unwrap_or(&view.object);
    [
        shortened(&view.job, JOB_WIDTH),
        if object.is_empty() { "-".to_owned() } else { shortened(object, OBJECT_WIDTH) },
        view.outcome.clone(),
        view.accuracy.map_or_else(|| "-".to_owned(), |accuracy| format!("{accuracy:.4}")),
        view.attempts.to_string(),
        view.api_ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string()),
        shortened(&view.reason, REASON_WIDTH),
    ]
}

/// What all of them begin with, up to a slash; empty for fewer than two.
fn common_folder<'a>(mut objects: impl Iterator<Item = &'a str>) -> &'a str {
    let (Some(first), Some(second)) = (objects.next(), objects.next()) else { return "" };
    let shared = std::iter::once(second).chain(objects).fold(first, |shared, object| {
        let same = shared.bytes().zip(object.bytes()).take_while(|(a, b)| a == b).count();
        // Two keys may differ within a character.
        &shared[..(0..=same).rev().find(|&at| shared.is_char_boundary(at)).unwrap_or_default()]
    });
    &shared[..shared.rfind('/').map_or(0, |slash| slash + 1)]
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(job: &str, object: &str, outcome: &str, accuracy: Option<f64>, reason: &str) -> View {
        View {
            job: job.to_owned(),
            time: String::new(),
            object: object.to_owned(),
            outcome: outcome.to_owned(),
            failed: accuracy.is_none(),
            accuracy,
            attempts: 1,
            api_ms: accuracy.map(|_| 12),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn columns_line_up_and_the_common_folder_is_said_once() {
        let table = render(&[
            view("a", "bucket/run/face.jpg", "live", Some(0.98996), ""),
            view("b-2", "bucket/run/ä.jpg", "unsupported_format", None, "is a png"),
            view("c", "", "malformed_job", None, "no key"),
        ]);
        let expected = "\
objects below s3://bucket/run/
JOB  OBJECT    OUTCOME             ACCURACY  ATTEMPTS  MS  REASON
a    face.jpg  live                  0.9900         1  12
b-2  ä.jpg     unsupported_format         -         1   -  is a png
c    -         malformed_job              -         1   -  no key
";
        assert_eq!(table, expected);
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shortened("abcdefghij", 10), "abcdefghij");
        assert_eq!(shortened("abcdefghijk", 10), "abcd…ghijk");
        assert_eq!(shortened("äöüäöüäöüäö", 5), "äö…äö");
    }

    #[test]
    fn a_single_object_keeps_its_name() {
        let table = render(&[view("a", "bucket/face.jpg", "live", Some(1.0), "")]);
        assert!(table.contains(" bucket/face.jpg "), "{table}");
        assert_eq!(common_folder(["b/é/x", "b/è/x"].into_iter()), "b/");
        assert_eq!(common_folder(["b/x", "c/x"].into_iter()), "");
    }

    #[test]
    fn the_most_frequent_come_first() {
        assert_eq!(counts([("spoof", 1), ("live", 1), ("live", 2)]), "3 live, 1 spoof");
        assert_eq!(counts([]), "");
    }
}
