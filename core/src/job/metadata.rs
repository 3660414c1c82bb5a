//! Whether metadata can be given back: it is passed on as it was written, so only this module looks into it.

use super::model::malformed;
use crate::failure::Failure;

/// Largest `metadata`, in bytes as written.
pub const MAX_METADATA_BYTES: usize = 4 * 1024;

/// How deep objects and arrays in `metadata` may be nested, its own braces counted. Many parsers give up somewhere above.
pub const MAX_METADATA_DEPTH: usize = 32;

/// Takes any JSON object that every consumer's parser can read. `text` is well-formed JSON.
pub fn check_metadata(text: &str) -> Result<(), Failure> {
    if !text.starts_with('{') {
        return Err(malformed("metadata: a JSON object"));
    }
    if text.len() > MAX_METADATA_BYTES {
        return Err(malformed(format!("metadata has {} bytes; at most {MAX_METADATA_BYTES}", text.len())));
    }
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = after_string(bytes, at)?;
                continue;
            }
            b'-' | b'0'..=b'9' => {
                at = after_number(text, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        if depth > MAX_METADATA_DEPTH {
            return Err(malformed(format!(
                "metadata is nested deeper than {MAX_METADATA_DEPTH} levels at its byte {at}; flatten it, or send the inner part as one string"
            )));
        }
        at += 1;
    }
    Ok(())
}

/// The place after the string that begins at `start`. Half of a surrogate pair is refused: it stands for no character.
fn after_string(bytes: &[u8], start: usize) -> Result<usize, Failure> {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return Ok(at + 1),
            b'\\' => match code_unit(bytes, at) {
                None => at += 2,
                Some(0xD800..=0xDBFF) if matches!(code_unit(bytes, at + 6), Some(0xDC00..=0xDFFF)) => at += 12,
                Some(0xD800..=0xDFFF) => {
                    return Err(malformed(format!(
                        "metadata has half of a surrogate pair (an escape of d800 to dfff by itself) at its byte {at}; \
                         send whole characters, or leave it out"
                    )));
                }
                Some(_) => at += 6,
            },
            _ => at += 1,
        }
    }
    Ok(at)
}

/// The place after the number that begins at `start`. What is beyond a double is infinite to some parsers and an error to others.
fn after_number(text: &str, start: usize) -> Result<usize, Failure> {
    let end = text[start..].find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
    let end = end.map_or(text.len(), |length| start + length);
    match text[start..end].parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(end),
        _ => Err(malformed(format!("metadata has a number beyond 1.8e308 at its byte {start}; send it as a string"))),
    }
}

/// The UTF-16 code unit of a `\uXXXX` that begins at `at`, if one does.
fn code_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(br"\u")?;
    u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        assert!(serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok(), "{text} is JSON");
        check_metadata(text).expect_err(text).message().to_owned()
    }

    #[test]
    fn depth_is_counted_outside_of_strings_only() {
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert_eq!(check_metadata(&nested(MAX_METADATA_DEPTH)), Ok(()));
        let refused = refusal(&nested(MAX_METADATA_DEPTH + 1));
        assert!(refused.contains("32 levels at its byte 160"), "{refused}");
        assert!(refusal(&format!("{{\"a\":{}{}}}", "[".repeat(32), "]".repeat(32))).contains("32 levels"));
        let brackets = format!(r#"{{"a":"{}","b":"\"{}"}}"#, "[".repeat(100), "{".repeat(100));
        assert_eq!(check_metadata(&brackets), Ok(()));
        let wide = format!("{{\"a\":[{}0]}}", "[],{},".repeat(500));
        assert_eq!(check_metadata(&wide), Ok(()));
    }

    #[test]
    fn numbers_that_no_double_holds_are_refused() {
        for held in [r#"{"a":1e308}"#, r#"{"a":[-0.0,1E-999,123456789012345678901234567890]}"#, r#"{"1e999":"1e999"}"#]
        {
            assert_eq!(check_metadata(held), Ok(()), "{held}");
            assert!(serde_json::from_str::<serde_json::Value>(held).is_ok(), "{held}");
        }
        assert!(refusal(r#"{"a":1e999}"#).contains("number beyond 1.8e308 at its byte 5"));
        assert!(refusal(&format!("{{\"a\":[1,-{}]}}", "9".repeat(400))).contains("at its byte 8"));
    }

    #[test]
    fn halves_of_characters_are_refused_and_whole_ones_are_not() {
        for whole in [
            r#"{"a":"\ud83d\ude00"}"#,
            r#"{"a":"\\ud800"}"#,
            r#"{"a":"\u00e9\\\ud83d\uDE00\""}"#,
            r#"{"\uD83D\uDE00":1}"#,
            r#"{"a":"ud800"}"#,
            r#"{"a":"\ud7ff\ue000"}"#,
        ] {
            assert_eq!(check_metadata(whole), Ok(()), "{whole}");
            assert!(serde_json::from_str::<serde_json::Value>(whole).is_ok(), "{whole}");
        }
        for half in [
            r#"{"a":"\ud800"}"#,
            r#"{"a":"jane\udc00"}"#,
            r#"{"a":"\ud800\ud800"}"#,
            r#"{"a":"\ud800x\udc00"}"#,
            r#"{"a":"\ud800\\udc00"}"#,
            r#"{"a":{"\uDFFF":1}}"#,
            r#"{"a":"\\\ud800"}"#,
        ] {
            let refused = refusal(half);
            assert!(refused.contains("surrogate") && refused.contains("at its byte"), "{half}: {refused}");
            assert!(!refused.contains("jane"), "{refused}");
            assert!(serde_json::from_str::<serde_json::Value>(half).is_err(), "{half}");
        }
    }
}
