//! A settings file with the place of every value, for what is reported about it.
//!
//! Any line may hold a secret: the value itself, the rest of an inline table, a comment with the old password.
//! So a line is shown up to the end of the value that the message is about, with every hidden value masked; of a file
//! that is no TOML, where it cannot be told what belongs to which key, only a line that is harmless on its face.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{CONCURRENCY, Keys};
use super::origin::{Origin, Place, Snippet, printable};
use super::problem::Problem;

const MASK: &str = "***";
/// Longer lines are cut before the marked part, so that they fit a terminal.
const MAX_BEFORE: usize = 100;

/// A file with what the parser made of it, best effort where it is wrong.
pub(super) struct Spans<'a> {
    text: &'a str,
    path: &'a Path,
    keys: &'a Keys,
    root: DeTable<'a>,
    errors: Vec<toml::de::Error>,
    /// What no message may show.
    hidden: Vec<Range<usize>>,
}

impl<'a> Spans<'a> {
    pub(super) fn of(text: &'a str, path: &'a Path, keys: &'a Keys) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let (root, mut hidden) = (root.into_inner(), Vec::new());
        hide(&root, "", keys, &mut hidden);
        Self { text, path, keys, root, errors, hidden }
    }

    pub(super) fn root(&self) -> &DeTable<'a> {
        &self.root
    }

    /// Where `key`, or an item of its list, is set.
    pub(super) fn place(&self, key: &str, item: Option<usize>) -> Place {
        let of_item = |value: &Spanned<DeValue<'_>>| Some(value.get_ref().as_array()?.get(item?)?.span());
        match find(&self.root, key).map(|(_, value)| of_item(value).unwrap_or_else(|| value.span())) {
            Some(span) => self.marked(key, &span, span.end),
            None => Place::new(key, self.origin(0, 0)),
        }
    }

    /// Where a name stands that is none of a setting.
    pub(super) fn misplaced(&self, key: &str) -> Place {
        match find(&self.root, key) {
            // Of a section its keys are below.
            Some((name, value)) if key.contains('.') => self.marked(key, &name.span(), value.span().end),
            Some((name, _)) => self.marked(key, &name.span(), name.span().end),
            None => Place::new(key, self.origin(0, 0)),
        }
    }

    /// Why the file is no TOML.
    pub(super) fn syntax(&self) -> impl Iterator<Item = Problem> {
        self.errors.iter().map(|error| {
            let (line, column, snippet) = self.broken_line(error.span().map_or(0, |span| span.start));
            let place = Place { key: String::new(), origin: self.origin(line, column), snippet };
            // The parser's message names what it expected; it never repeats the text, which may be a secret.
            let what = format!("not TOML: {}", error.message().replace('\n', "; "));
            Problem::error(place, what, "put the line right; strings, durations and sizes stand in double quotes")
        })
    }

    fn origin(&self, line: usize, column: usize) -> Origin {
        Origin::File { path: self.path.to_owned(), line, column }
    }

    /// The line of `mark` up to `until`, with the mark under it. A mark that goes on in the next line ends with its first line.
    fn marked(&self, key: &str, mark: &Range<usize>, until: usize) -> Place {
        let (line, start) = self.line_at(mark.start);
        let end = self.text[start..].find('\n').map_or(self.text.len(), |n| start + n).min(until.max(mark.end));
        let column = self.text[start..mark.start].chars().count() + 1;

        let hidden: Vec<_> = self.hidden.iter().filter(|range| range.start < end && start < range.end).collect();
        let mut shown: Vec<char> = Vec::new();
        let mut marked: Option<(usize, usize)> = None;
        let mut masked_to = None;
        for (offset, c) in self.text[start..end].char_indices() {
            let (at, begin) = (start + offset, shown.len());
            match hidden.iter().find(|range| range.contains(&at)) {
                None => shown.push(c),
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
        let snippet = Snippet::new(line, text, Some((from - cut, (to - from).min(MAX_BEFORE))));
        Place { key: key.to_owned(), origin: self.origin(line, column), snippet: Some(snippet) }
    }

    /// Line and column of the place where a text stops being TOML, and its line where that is harmless: `key = value` with a known key
    /// that shares its name with no secret, one `=`, no comment, and no multi-line string before it.
    fn broken_line(&self, at: usize) -> (usize, usize, Option<Snippet>) {
        let at = self.text.floor_char_boundary(at);
        let (line, start) = self.line_at(at);
        let end = self.text[start..].find('\n').map_or(self.text.len(), |n| start + n);
        let column = self.text[start..at].chars().count() + 1;
        let shown = &self.text[start..end];
        let harmless = shown.split_once('=').is_some_and(|(name, value)| {
            let leaf = |key: &str| key.rsplit('.').next() == Some(name.trim());
            self.keys.iter().any(leaf)
                && !self.keys.secrets().any(leaf)
                && !value.contains(['=', '#', '@', '?', ','])
                && !["\"\"\"", "'''"].iter().any(|quotes| self.text[..end].contains(quotes))
        });
        let snippet = harmless.then(|| {
            let text: String = shown.trim_end().chars().take(2 * MAX_BEFORE).collect();
            let text = printable(&text);
            Snippet::new(line, text, (column <= 2 * MAX_BEFORE).then_some((column - 1, 1)))
        });
        (line, column, snippet)
    }

    /// The line number, from 1, and where the line starts.
    fn line_at(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..at];
        (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |n| n + 1))
    }
}

/// Collects the values that no message may show: whatever is not the value of a known key that is no secret, since a
/// misspelt key may well belong to a secret; and URLs with something before an `@` or after a `?`.
fn hide(table: &DeTable<'_>, prefix: &str, keys: &Keys, hidden: &mut Vec<Range<usize>>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        if let Some(inner) = value.get_ref().as_table().filter(|_| !keys.contains(&key) || key == CONCURRENCY) {
            hide(inner, &key, keys, hidden);
        } else if !keys.contains(&key) || keys.is_secret(&key) || may_hold_credentials(value.get_ref()) {
            hidden.push(value.span());
        }
    }
}

fn may_hold_credentials(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(text) => text.contains(['@', '?']),
        DeValue::Array(items) => items.iter().any(|item| may_hold_credentials(item.get_ref())),
        DeValue::Table(_) => true,
        _ => false,
    }
}

/// The name and the value of a dotted key.
fn find<'a>(table: &'a DeTable<'a>, key: &str) -> Option<(&'a Spanned<Cow<'a, str>>, &'a Spanned<DeValue<'a>>)> {
    table.iter().find_map(|(name, value)| {
        let rest = key.strip_prefix(name.get_ref().as_ref())?;
        if rest.is_empty() { Some((name, value)) } else { find(value.get_ref().as_table()?, rest.strip_prefix('.')?) }
    })
}
