//! Lists as OpenTelemetry writes them in variables: those of W3C Baggage without its properties.

use percent_encoding::percent_decode_str;

/// `name=value,name=value`, the values percent-encoded. The last of a name counts. `None` where a part is no pair.
pub(super) fn read(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=')?;
        let (name, value) = (name.trim(), percent_decode_str(value.trim()).decode_utf8().ok()?);
        if name.is_empty() {
            return None;
        }
        pairs.retain(|(earlier, _)| earlier != name);
        pairs.push((name.to_owned(), value.into_owned()));
    }
    Some(pairs)
}
