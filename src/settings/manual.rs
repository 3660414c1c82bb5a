//! The compiled-in default as a manual: its comments, and the keys that each of them is about.

use super::keys::DEFAULT_TOML;

/// What `config/default.toml` says.
pub(super) struct Manual<'a> {
    /// The lines before the first section.
    pub(super) preamble: Vec<&'a str>,
    pub(super) sections: Vec<Section<'a>>,
}

/// One table of the file.
pub(super) struct Section<'a> {
    /// `amqp`, `api.statuses`
    pub(super) name: &'a str,
    pub(super) groups: Vec<Group<'a>>,
}

/// A comment and the keys below it, up to the next empty line.
#[derive(Default)]
pub(super) struct Group<'a> {
    /// The comment's lines.
    pub(super) words: Vec<&'a str>,
    /// Keys within the section, with their defaults as TOML.
    pub(super) entries: Vec<(&'a str, &'a str)>,
}

impl Manual<'static> {
    pub(super) fn read() -> Self {
        Manual::parse(DEFAULT_TOML)
    }
}

impl<'a> Manual<'a> {
    /// Of a file like ours: a key is one line, and an empty line ends what a comment is about.
    pub(super) fn parse(text: &'a str) -> Self {
        let mut manual = Self { preamble: Vec::new(), sections: Vec::new() };
        let mut group = Group::default();
        for line in text.lines().map(str::trim_end).chain([""]) {
            let name = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            if let Some(comment) = line.strip_prefix('#') {
                group.words.push(comment.strip_prefix(' ').unwrap_or(comment));
            } else if let Some(name) = name {
                manual.sections.push(Section { name, groups: Vec::new() });
            } else if let Some((key, value)) = line.split_once(" = ") {
                group.entries.push((key, value));
            } else {
                manual.put(std::mem::take(&mut group));
            }
        }
        manual
    }

    fn put(&mut self, group: Group<'a>) {
        match self.sections.last_mut() {
            None => self.preamble.extend(group.words),
            Some(section) if !group.entries.is_empty() => section.groups.push(group),
            Some(_) => {}
        }
    }
}
