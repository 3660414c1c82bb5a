//! A settings file as a layer, with the place of every value.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::entry::{Entry, Layer, Value};
use super::keys::{Keys, nearest, variable};
use super::origin::{Origin, Place};
use super::problem::Problem;
use super::source_line::{Shown, line_of_broken};
use super::whole_file;

/// Far above any settings file; guards against naming a device or an image by mistake.
const MAX_BYTES: u64 = 1 << 20;

/// What was read of a file.
pub(super) struct Contents {
    pub(super) layer: Layer,
    pub(super) problems: Vec<Problem>,
    /// Nothing of the file is in the layer: it could not be read, or is no TOML.
    pub(super) broken: bool,
}

/// TOML text with what the parser made of it, best effort where it is wrong.
pub(super) struct Document<'a> {
    text: &'a str,
    root: Spanned<DeTable<'a>>,
    errors: Vec<toml::de::Error>,
}

/// Reads one settings file.
pub(super) fn read(path: &Path, keys: &Keys) -> Contents {
    let whole = |what: String, remedy: &str| Contents {
        layer: Layer::new(),
        problems: vec![Problem::error(Place::new("", file_origin(path, 0, 0)), what, remedy)],
        broken: true,
    };
    match whole_file::read(path, MAX_BYTES) {
        Err(error) => whole(
            format!("the settings file cannot be read: {error}"),
            "name an existing, readable TOML file with --config or ANTISPOOFD_CONFIG",
        ),
        Ok(bytes) if bytes.len() as u64 > MAX_BYTES => {
            whole("the settings file is larger than 1 MiB".to_owned(), "name a TOML file with settings")
        }
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => parse(&text, path, keys),
            Err(_) => whole("the settings file is not UTF-8 text".to_owned(), "save it as UTF-8, which TOML demands"),
        },
    }
}

/// The compiled-in defaults.
pub(super) fn defaults(text: &str, keys: &Keys) -> Layer {
    let document = Document::parse(text);
    let mut flat = Flat { path: None, shown: document.shown(keys), keys, layer: Layer::new(), problems: Vec::new() };
    flat.root(document.root());
    flat.layer
}

/// `path` is only for the origins.
pub(super) fn parse(text: &str, path: &Path, keys: &Keys) -> Contents {
    let document = Document::parse(text);
    if !document.errors.is_empty() {
        let problems = document.errors.iter().map(|error| syntax_problem(error, text, path, keys)).collect();
        return Contents { layer: Layer::new(), problems, broken: true };
    }
    let mut flat =
        Flat { path: Some(path), shown: document.shown(keys), keys, layer: Layer::new(), problems: Vec::new() };
    flat.root(document.root());
    // The parser sorts by key; a person reads from the top.
    flat.problems.sort_by_key(|problem| match problem.origins().next() {
        Some(Origin::File { line, column, .. }) => (*line, *column),
        _ => (0, 0),
    });
    Contents { layer: flat.layer, problems: flat.problems, broken: false }
}

fn syntax_problem(error: &toml::de::Error, text: &str, path: &Path, keys: &Keys) -> Problem {
    let at = error.span().map_or(0, |span| span.start);
    let (line, column, snippet) = line_of_broken(text, at, keys);
    let mut place = Place::new("", file_origin(path, line, column));
    place.snippet = snippet;
    // The parser's message names what it expected; it never repeats the text, which may be a secret.
    Problem::error(
        place,
        format!("not TOML: {}", error.message().replace('\n', "; ")),
        "put the line right; strings, durations and sizes stand in double quotes",
    )
}

fn file_origin(path: &Path, line: usize, column: usize) -> Origin {
    Origin::File { path: path.to_owned(), line, column }
}

/// The tables of a document, flattened to dotted keys.
struct Flat<'a> {
    /// None: the compiled-in defaults.
    path: Option<&'a Path>,
    shown: Shown<'a>,
    keys: &'a Keys,
    layer: Layer,
    problems: Vec<Problem>,
}

// === impl Document ===

impl<'a> Document<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        Self { text, root, errors }
    }

    pub(super) fn root(&self) -> &DeTable<'a> {
        self.root.get_ref()
    }

    fn shown(&self, keys: &Keys) -> Shown<'a> {
        let mut hidden = Vec::new();
        hide(self.root(), "", keys, &mut hidden);
        Shown::new(self.text, hidden)
    }
}

/// Collects the values that no message may show: whatever is not the value of a known key that is no secret, since a
/// misspelt key may well belong to a secret; and URLs with something before an `@` or after a `?`.
fn hide(table: &DeTable<'_>, prefix: &str, keys: &Keys, hidden: &mut Vec<Range<usize>>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        if let Some(inner) = value.get_ref().as_table() {
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

// === impl Flat ===

impl Flat<'_> {
    fn root(&mut self, root: &DeTable<'_>) {
        for (name, value) in root {
            let section: &str = name.get_ref();
            if !self.keys.is_section(section) {
                let remedy = match self.keys.nearest_section(section) {
                    Some(near) => format!("did you mean [{near}]?"),
                    None => match self.keys.nearest(section) {
                        Some(near) => format!("did you mean {near}? keys stand in their section, as [{}]", head(near)),
                        None => "remove it; config/default.toml has every section".to_owned(),
                    },
                };
                let place = self.place(section, &name.span(), &name.span());
                self.problems.push(Problem::error(place, "there is no such section", remedy));
            } else if let Some(table) = value.get_ref().as_table() {
                self.section(section, table);
            } else {
                let place = self.place(section, &name.span(), &name.span());
                let what = format!("is a section, not {}", kind_of(value.get_ref()));
                self.problems.push(Problem::error(place, what, format!("write [{section}] and its keys below it")));
            }
        }
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = format!("{section}.{}", name.get_ref());
            match (Keys::is_table(&key), value.get_ref().as_table()) {
                (true, Some(inner)) => {
                    for (leaf, value) in inner {
                        self.leaf(format!("{key}.{}", leaf.get_ref()), &leaf.span(), value);
                    }
                }
                (true, None) => {
                    let place = self.place(&key, &name.span(), &value.span());
                    let what = format!("is a table, not {}", kind_of(value.get_ref()));
                    self.problems.push(Problem::error(place, what, format!("write [{key}] and its entries below it")));
                }
                (false, _) => self.leaf(key, &name.span(), value),
            }
        }
    }

    fn leaf(&mut self, key: String, name: &Range<usize>, value: &Spanned<DeValue<'_>>) {
        if self.keys.contains(&key) {
            let entry = self.entry(&key, value);
            self.layer.insert(key, entry);
        } else {
            let place = self.place(&key, name, &value.span());
            self.problems.push(unknown(place, self.keys, str::to_owned));
        }
    }

    fn entry(&self, key: &str, spanned: &Spanned<DeValue<'_>>) -> Entry {
        let value = match spanned.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(int) => i64::from_str_radix(int.as_str(), int.radix())
                .map_or(Value::Other("a number beyond 64 bits"), Value::Int),
            DeValue::Float(float) => {
                float.as_str().parse().map_or(Value::Other("a number that cannot be read"), Value::Float)
            }
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.item(key, item)).collect()),
            other => Value::Other(kind_of(other)),
        };
        Entry { value, place: self.place(key, &spanned.span(), &spanned.span()) }
    }

    /// Lists hold no lists: an inner one is not followed, so that no depth of nesting costs stack.
    fn item(&self, key: &str, item: &Spanned<DeValue<'_>>) -> Entry {
        if item.get_ref().is_array() {
            return Entry { value: Value::Other("a list"), place: self.place(key, &item.span(), &item.span()) };
        }
        self.entry(key, item)
    }

    fn place(&self, key: &str, mark: &Range<usize>, until: &Range<usize>) -> Place {
        let Some(path) = self.path else { return Place::new(key, Origin::Default) };
        let (line, column, snippet) = self.shown.line(mark, until.end);
        Place { key: key.to_owned(), origin: file_origin(path, line, column), snippet: Some(snippet) }
    }
}

/// The problem of a key that does not exist. `spell` turns the key that was probably meant into what would be written here.
pub(super) fn unknown(place: Place, keys: &Keys, spell: impl Fn(&str) -> String) -> Problem {
    if let Some(status) = place.key.strip_prefix("api.statuses.") {
        let what = format!("{status:?} is not an HTTP status that can be set");
        return Problem::error(place, what, "use a status from 200 to 299 or from 400 to 599");
    }
    let remedy = match keys.nearest(&place.key) {
        Some(near) => format!("did you mean {}?", spell(near)),
        None => "remove it; config/default.toml has every key".to_owned(),
    };
    Problem::error(place, "there is no such key", remedy)
}

/// The problem of a variable that names no key.
pub(super) fn unknown_variable(name: &str, key: &str, keys: &Keys) -> Problem {
    let place = Place::new(key, Origin::Env { name: name.to_owned() });
    let all: Vec<String> = keys.iter().map(variable).collect();
    match nearest(name, all.iter().map(String::as_str)) {
        Some(near) => Problem::error(place, "there is no such key", format!("did you mean {near}?")),
        None => unknown(place, keys, variable),
    }
}

fn head(key: &str) -> &str {
    key.split('.').next().unwrap_or(key)
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
