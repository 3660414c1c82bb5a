//! The compiled-in default as a manual.

use super::super::keys::Keys;
use super::super::manual::Manual;

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
