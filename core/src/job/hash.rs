//! Names that follow from content.

use crate::stream_digest::hex;
use sha2::{Digest as _, Sha256};

/// `prefix` and 32 hexadecimal digits over length-prefixed parts, so that no two lists of parts collide by concatenation.
pub(crate) fn short_hash(prefix: &str, parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hex(prefix, &hasher.finalize()[..16])
}

/// A name of fixed length for a list of texts: 32 hexadecimal digits.
pub fn stable_key(parts: &[&str]) -> String {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    short_hash("", &parts)
}
