//! Texts that are stored where an image should be: error pages, answers of an API, pictures that are written as text.

use super::name::Name::{self, Other, Picture};

/// What a text is, by how it begins.
pub(super) fn name(first: &[u8]) -> Option<Name> {
    if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
        return Some(Other("text in UTF-16"));
    }
    let text = readable(first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first))?.trim_start();
    let begins = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if begins("data:image/") {
        return Some(Other("a data URI as text (store the bytes that it encodes)"));
    }
    if begins("/9j/") {
        return Some(Other("a jpeg in base64, as text (store the bytes that it encodes)"));
    }
    if text.starts_with('<') {
        return Some(markup(text));
    }
    if is_json(text) {
        return Some(Other("JSON"));
    }
    if text.starts_with("--") && text.to_ascii_lowercase().contains("\ncontent-disposition:") {
        return Some(Other("a whole multipart form (store the file that is in it)"));
    }
    Some(Other("text"))
}

/// UTF-8 without control characters, but for a character that is cut at the end.
fn readable(bytes: &[u8]) -> Option<&str> {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => str::from_utf8(&bytes[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let plain = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x1b');
    (!text.is_empty() && text.chars().all(plain)).then_some(text)
}

/// By the root element, which stands behind declarations and comments.
fn markup(text: &str) -> Name {
    const HTML: [&str; 8] = ["html", "head", "body", "title", "script", "meta", "div", "p"];

    let mut rest = text;
    let xml = rest.starts_with("<?xml");
    loop {
        rest = rest.trim_start();
        let end = if rest.starts_with("<?") {
            "?>"
        } else if rest.starts_with("<!--") {
            "-->"
        } else if rest.starts_with("<!") {
            // An SVG of Illustrator declares entities there.
            let declared = rest.find('[').filter(|open| !rest[..*open].contains('>'));
            if declared.is_some() { "]>" } else { ">" }
        } else {
            break;
        };
        if rest.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype html")) {
            return Other("an HTML page");
        }
        let Some(at) = rest.find(end) else {
            return Other("XML");
        };
        rest = &rest[at + end.len()..];
    }
    let root = rest.strip_prefix('<').unwrap_or_default();
    let root = root.split(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).next().unwrap_or_default();
    let root = root.rsplit(':').next().unwrap_or_default();
    if root == "svg" {
        return Picture("svg");
    }
    if !xml && HTML.iter().any(|name| root.eq_ignore_ascii_case(name)) || root.eq_ignore_ascii_case("html") {
        return Other("an HTML page");
    }
    if xml || root.starts_with(|c: char| c.is_alphabetic() || c == '_') { Other("XML") } else { Other("text") }
}

/// An object, or a list, as far as its first two characters tell.
fn is_json(text: &str) -> bool {
    let mut rest = text.chars().filter(|c| !c.is_whitespace());
    match rest.next() {
        Some('{') => matches!(rest.next(), Some('"' | '}') | None),
        Some('[') => matches!(rest.next(), Some('{' | '[' | '"' | ']' | '-' | 't' | 'f' | 'n' | '0'..='9') | None),
        _ => false,
    }
}
