//! What may be shown of a line of a settings file.
//!
//! Any line may hold a secret: the value itself, the rest of an inline table, a comment with the old password.
//! So a line is shown up to the end of the value that the message is about, with every hidden value masked; of a file
//! that is no TOML, where nobody can say what belongs to which key, only a line that is harmless on its face.

use std::ops::Range;

use super::keys::Keys;
use super::origin::Snippet;

const MASK: &str = "***";
/// Longer lines are cut before the marked part; nobody reads them in a terminal.
const MAX_BEFORE: usize = 100;

/// A text with the byte ranges of it that are masked.
pub(super) struct Shown<'a> {
    text: &'a str,
    hidden: Vec<Range<usize>>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(text: &'a str, hidden: Vec<Range<usize>>) -> Self {
        Self { text, hidden }
    }

    /// Line and column of `mark`, and its line up to `until`, with the mark under it. A mark that goes on in the next line ends with
    /// its first line.
    pub(super) fn line(&self, mark: &Range<usize>, until: usize) -> (usize, usize, Snippet) {
        let (line, start) = line_at(self.text, mark.start);
        let end = self.text[start..].find('\n').map_or(self.text.len(), |n| start + n).min(until.max(mark.end));
        let column = self.text[start..mark.start].chars().count() + 1;

        let mut shown: Vec<char> = Vec::new();
        let mut marked: Option<(usize, usize)> = None;
        let mut masked_to = None;
        for (offset, c) in self.text[start..end].char_indices() {
            let (at, begin) = (start + offset, shown.len());
            match self.hidden.iter().find(|range| range.contains(&at)) {
                None => shown.push(printable(c)),
                Some(range) if masked_to == Some(range.end) => {}
                Some(range) => {
                    masked_to = Some(range.end);
                    shown.extend(MASK.chars());
                }
            }
            if mark.contains(&at) && shown.len() > begin {
                marked = Some((marked.map_or(begin, |(from, _)| from), shown.len()));
            }
        }
        while shown.last().is_some_and(|c| c.is_whitespace()) {
            shown.pop();
        }

        let (from, to) = marked.unwrap_or((shown.len(), shown.len()));
        let cut = from.saturating_sub(MAX_BEFORE);
        let text: String = shown.iter().skip(cut).take(to.saturating_sub(cut).max(MAX_BEFORE) + MAX_BEFORE).collect();
        (line, column, Snippet::new(line, text, Some((from - cut, (to - from).min(MAX_BEFORE)))))
    }
}

/// Line and column of the place where a text stops being TOML, and its line where that is harmless: `key = value` with a known key
/// that shares its name with no secret, one `=`, no comment, and no multi-line string before it.
pub(super) fn line_of_broken(text: &str, at: usize, keys: &Keys) -> (usize, usize, Option<Snippet>) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let (line, start) = line_at(text, at);
    let end = text[start..].find('\n').map_or(text.len(), |n| start + n);
    let column = text[start..at].chars().count() + 1;
    let shown = &text[start..end];
    let harmless = shown.split_once('=').is_some_and(|(name, value)| {
        let name = name.trim();
        let leaf = |key: &str| key.rsplit('.').next() == Some(name);
        keys.iter().any(leaf)
            && !keys.secrets().any(leaf)
            && !value.contains(['=', '#', '@', '?', ','])
            && !["\"\"\"", "'''"].iter().any(|quotes| text[..end].contains(quotes))
    });
    let snippet = harmless.then(|| {
        let text: String = shown.trim_end().chars().take(2 * MAX_BEFORE).map(printable).collect();
        Snippet::new(line, text, (column <= 2 * MAX_BEFORE).then_some((column - 1, 1)))
    });
    (line, column, snippet)
}

/// The line number, from 1, and where the line starts.
fn line_at(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |n| n + 1))
}

/// Keeps the mark below its place, and escape sequences out of the terminal.
fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}
