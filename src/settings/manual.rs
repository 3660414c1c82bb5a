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
    fn parse(text: &'a str) -> Self {
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

#[cfg(test)]
mod tests {
    use super::super::keys::Keys;
    use super::*;

    #[test]
    fn every_key_has_words() {
        let manual = Manual::read();
        let mut described = Vec::new();
        for section in &manual.sections {
            for group in &section.groups {
                described.extend(group.entries.iter().map(|(key, _)| format!("{}.{key}", section.name)));
                // Below the header of a section, a key may speak for itself: its name, its value, and the section's.
                let named = group.entries.iter().all(|(key, _)| ["region", "url"].contains(key));
                assert!(!group.words.is_empty() || named, "{}: {:?}", section.name, group.entries);
            }
        }
        described.sort();
        assert_eq!(described, Keys::known().iter().map(str::to_owned).collect::<Vec<_>>());
        assert!(manual.preamble.len() > 5);
    }

    #[test]
    fn a_comment_is_about_what_stands_below_it() {
        let manual = Manual::parse("# intro\n#\n#   1. one\n\n[a]\n# words\nk = 1\nl = \"x = y\"\n\n# more\nm = []\n");
        assert_eq!(manual.preamble, ["intro", "", "  1. one"]);
        let groups = &manual.sections[0].groups;
        assert_eq!((manual.sections[0].name, groups.len()), ("a", 2));
        assert_eq!(groups[0].entries, [("k", "1"), ("l", "\"x = y\"")]);
        assert_eq!((groups[1].words.as_slice(), groups[1].entries[0]), (&["more"][..], ("m", "[]")));
    }
}
