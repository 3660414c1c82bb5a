//! Answers in forms that the request did not accept.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

/// A `Content-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    /// Which is zlib's format, as RFC 9110 has it.
    Deflate,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// `text` in this encoding, behind a byte order mark if `mark`.
pub(super) fn encode(text: &[u8], encoding: Option<Encoding>, mark: bool) -> Vec<u8> {
    let mark = if mark { BYTE_ORDER_MARK } else { &[] };
    let plain = [mark, text].concat();
    match encoding {
        None => plain,
        Some(Encoding::Gzip) => written(GzEncoder::new(Vec::new(), Compression::fast()), &plain, GzEncoder::finish),
        Some(Encoding::Deflate) => {
            written(ZlibEncoder::new(Vec::new(), Compression::fast()), &plain, ZlibEncoder::finish)
        }
    }
}

fn written<W: Write>(mut encoder: W, plain: &[u8], finish: fn(W) -> io::Result<Vec<u8>>) -> Vec<u8> {
    // Writing to memory does not fail.
    encoder.write_all(plain).and_then(|()| finish(encoder)).unwrap_or_default()
}

// === impl Encoding ===

impl Encoding {
    /// As the header says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::{GzDecoder, ZlibDecoder};

    use super::*;

    #[test]
    fn what_is_encoded_reads_back() {
        let text = b"{\"spoof_detected\":false}".as_slice();
        let mut read = Vec::new();
        GzDecoder::new(encode(text, Some(Encoding::Gzip), true).as_slice()).read_to_end(&mut read).unwrap();
        assert_eq!(read, [BYTE_ORDER_MARK, text].concat());
        read.clear();
        ZlibDecoder::new(encode(text, Some(Encoding::Deflate), false).as_slice()).read_to_end(&mut read).unwrap();
        assert_eq!(read, text);
        assert_eq!(encode(text, None, true), [BYTE_ORDER_MARK, text].concat());
    }
}
