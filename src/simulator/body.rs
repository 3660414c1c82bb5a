//! The request body, read as it comes: JSON around a data URI around base64 around an image.

use base64_simd::{AsOut, STANDARD, STANDARD_NO_PAD};
use http::StatusCode;
use sha2::{Digest, Sha256};

use antispoof_core::image::JpegScan;

use super::refusal::Refusal;

/// What comes before the base64 text. White space and escapes that JSON would allow are not accepted: they would hide a
/// client that sends something else than it means to.
const PREFIX: &[u8] = br#"{"img":"data:image/jpeg;base64,"#;

/// What comes after the base64 text.
const SUFFIX: &[u8] = br#""}"#;

/// Base64 characters decoded at a time; a multiple of four. Two such buffers' worth stays in a first-level cache.
const BLOCK: usize = 16 * 1024;

/// The SHA-256 of an image's bytes.
pub(super) type ImageDigest = [u8; 32];

/// Reads one body in chunks of any size, keeping nothing but the state of a parser and one block.
pub(super) struct Scanner {
    at: At,
    /// Bytes of the body that have been dealt with; a failure is reported by this place.
    offset: u64,
    quad: [u8; 4],
    held: usize,
    block: Vec<u8>,
    digest: Sha256,
    walk: JpegScan,
}

enum At {
    Prefix(usize),
    Image,
    /// After a padded group, where nothing but the closing quote may come.
    Padded,
    Suffix(usize),
    End,
    Failed(String),
}

// === impl Scanner ===

impl Scanner {
    pub(super) fn new() -> Self {
        Self {
            at: At::Prefix(0),
            offset: 0,
            quad: [0; 4],
            held: 0,
            block: vec![0; BLOCK / 4 * 3],
            digest: Sha256::new(),
            walk: JpegScan::default(),
        }
    }

    pub(super) fn push(&mut self, mut chunk: &[u8]) {
        while !chunk.is_empty() {
            let taken = match self.at {
                At::Failed(_) => return,
                At::Image if self.held == 0 && chunk.len() >= 4 => self.block(chunk),
                At::Image | At::Prefix(_) | At::Padded | At::Suffix(_) | At::End => self.byte(chunk[0]),
            };
            self.offset += taken as u64;
            chunk = &chunk[taken..];
        }
    }

    /// The digest of the image once no more bytes will come, or 400 for a wrong body and 422 for a wrong image.
    pub(super) fn finish(self) -> Result<ImageDigest, Refusal> {
        let bad = |message: String| Refusal::new(StatusCode::BAD_REQUEST, message);
        match self.at {
            At::End => {}
            At::Failed(reason) => return Err(bad(reason)),
            At::Prefix(0) => return Err(bad("the body is empty".to_owned())),
            At::Prefix(_) | At::Image | At::Padded | At::Suffix(_) => {
                return Err(bad(format!("the body ends early, after {} bytes", self.offset)));
            }
        }
        self.walk.finish().map_err(|reason| {
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, format!("image could not be decoded: {reason}"))
        })?;
        Ok(self.digest.finalize().into())
    }

    /// Takes as many whole groups of four as there are before anything that is not base64.
    fn block(&mut self, chunk: &[u8]) -> usize {
        let whole = &chunk[..chunk.len().min(BLOCK) / 4 * 4];
        if self.absorb(whole) {
            return whole.len();
        }
        let plain = whole.iter().position(|&byte| !is_base64(byte)).unwrap_or(0) / 4 * 4;
        if plain > 0 && self.absorb(&whole[..plain]) {
            return plain;
        }
        self.byte(chunk[0])
    }

    /// Decodes groups without padding; false, and nothing done, when there is something else among them.
    fn absorb(&mut self, groups: &[u8]) -> bool {
        let Ok(decoded) = STANDARD_NO_PAD.decode(groups, self.block.as_mut_slice().as_out()) else {
            return false;
        };
        self.digest.update(&*decoded);
        self.walk.push(decoded);
        true
    }

    /// Takes one byte, whatever it is.
    fn byte(&mut self, byte: u8) -> usize {
        let offset = self.offset;
        self.at = match self.at {
            At::Prefix(seen) if byte != PREFIX[seen] => At::Failed(format!(
                "at byte {offset}: the body must begin with {{\"img\":\"data:image/jpeg;base64, without white space"
            )),
            At::Prefix(seen) if seen + 1 == PREFIX.len() => At::Image,
            At::Prefix(seen) => At::Prefix(seen + 1),
            At::Image => self.character(byte),
            At::Padded if byte == b'"' => At::Suffix(1),
            At::Padded => At::Failed(format!("at byte {offset}: the base64 text goes on after its padding")),
            At::Suffix(seen) if byte != SUFFIX[seen] => {
                At::Failed(format!("at byte {offset}: the body must end with \"}} and have no other field"))
            }
            At::Suffix(seen) if seen + 1 == SUFFIX.len() => At::End,
            At::Suffix(seen) => At::Suffix(seen + 1),
            At::End => At::Failed(format!("at byte {offset}: there is something after the closing brace")),
            At::Failed(_) => return 1,
        };
        1
    }

    /// Takes one byte of the base64 text, or its closing quote.
    fn character(&mut self, byte: u8) -> At {
        let offset = self.offset;
        match byte {
            b'"' if self.held == 0 => return At::Suffix(1),
            b'"' => {
                return At::Failed(format!("at byte {offset}: the base64 text is not padded to groups of four"));
            }
            b' ' | b'\t' | b'\r' | b'\n' | b'\\' => {
                return At::Failed(format!(
                    "at byte {offset}: a line break, white space or an escape in the base64 text"
                ));
            }
            b'-' | b'_' => {
                return At::Failed(format!("at byte {offset}: base64 of the URL-safe kind; it must be standard"));
            }
            b'=' => {}
            byte if !is_base64(byte) => {
                return At::Failed(format!("at byte {offset}: not a base64 character"));
            }
            _ => {}
        }
        self.quad[self.held] = byte;
        self.held += 1;
        if self.held < self.quad.len() {
            return At::Image;
        }
        self.held = 0;
        let Ok(decoded) = STANDARD.decode(&self.quad, self.block.as_mut_slice().as_out()) else {
            return At::Failed(format!("at byte {offset}: base64 padding in the wrong place, or left-over bits"));
        };
        self.digest.update(&*decoded);
        self.walk.push(decoded);
        if byte == b'=' { At::Padded } else { At::Image }
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PHOTO: &[u8] = include_bytes!("../../tests/samples/astronaut.jpg");

    fn scan<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<ImageDigest, (u16, String)> {
        let mut scanner = Scanner::new();
        chunks.into_iter().for_each(|chunk| scanner.push(chunk));
        scanner.finish().map_err(|refusal| (refusal.status.as_u16(), refusal.message.into_owned()))
    }

    fn body(image: &[u8]) -> Vec<u8> {
        [PREFIX, STANDARD.encode_to_string(image).as_bytes(), SUFFIX].concat()
    }

    /// A JPEG as small as the scanner accepts, `extra` bytes longer, so that every padding occurs.
    fn tiny(extra: usize) -> Vec<u8> {
        let mut image =
            [b"\xff\xd8\xff\xdb\0\x43\0", &[1; 64][..], b"\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0"].concat();
        image.extend(b"\xff\xda\0\x08\x01\x01\0\0?\0");
        image.resize(image.len() + extra, 0x55);
        image.extend([0xff, 0xd9]);
        image
    }

    #[test]
    fn a_body_in_one_piece_gives_the_digest_of_the_image() {
        for image in [PHOTO.to_vec(), tiny(0), tiny(1), tiny(2)] {
            assert_eq!(scan([body(&image).as_slice()]), Ok(Sha256::digest(&image).into()));
        }
    }

    #[test]
    fn every_two_cuts_of_a_small_body_give_the_same() {
        for extra in 0..3 {
            let body = body(&tiny(extra));
            let whole = scan([body.as_slice()]);
            assert!(whole.is_ok());
            for first in 0..=body.len() {
                for second in first..=body.len() {
                    assert_eq!(
                        scan([&body[..first], &body[first..second], &body[second..]]),
                        whole,
                        "{first} {second}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_truncation_is_a_wrong_body() {
        let body = body(&tiny(1));
        for end in 0..body.len() {
            assert_eq!(scan([&body[..end]]).unwrap_err().0, 400, "cut after {end} bytes");
        }
    }

    #[test]
    fn a_wrong_body_is_refused_with_the_place_and_the_reason() {
        let around = |text: &str| format!("{{\"img\":\"data:image/jpeg;base64,{text}\"}}");
        for (body, status, message) in [
            (String::new(), 400, "the body is empty"),
            ("{\"img\": \"data".to_owned(), 400, "at byte 7: the body must begin"),
            ("{\"img\":\"data:image/png;base64,AAAA\"}".to_owned(), 400, "at byte 19: the body must begin"),
            ("[]".to_owned(), 400, "at byte 0: the body must begin"),
            (around("/9j/4A"), 400, "at byte 37: the base64 text is not padded"),
            (around("/9j/\n4AA="), 400, "at byte 35: a line break"),
            (around("/9j/4A\\/="), 400, "at byte 37: a line break"),
            (around("_9j_"), 400, "at byte 31: base64 of the URL-safe kind"),
            (around("/9j/4A!A"), 400, "at byte 37: not a base64 character"),
            (around("A==="), 400, "at byte 34: base64 padding in the wrong place"),
            (around("AA=A"), 400, "at byte 34: base64 padding in the wrong place"),
            (around("AB=="), 400, "at byte 34: base64 padding in the wrong place, or left-over bits"),
            (around("AA==AAAA"), 400, "at byte 35: the base64 text goes on"),
            (around("AAAA").replace('}', ",\"x\":1}"), 400, "at byte 36: the body must end"),
            (around("AAAA") + "\n", 400, "at byte 37: there is something after"),
            (around(""), 422, "image could not be decoded: it has no bytes"),
            (around("AAAA"), 422, "image could not be decoded: it does not begin"),
        ] {
            let (got, text) = scan([body.as_bytes()]).unwrap_err();
            assert_eq!(got, status, "{body}");
            assert!(text.starts_with(message), "{body}: {text}");
            let singly = body.as_bytes().chunks(1);
            assert_eq!(scan(singly), Err((got, text)), "{body} byte by byte");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_chunking_gives_the_same_digest(cuts in prop::collection::vec(0usize..100_000, 0..40)) {
            let body = body(PHOTO);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut % body.len()).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let chunks = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]);
            prop_assert_eq!(scan(chunks), Ok(Sha256::digest(PHOTO).into()));
        }

        #[test]
        fn one_wrong_byte_is_refused_alike_in_any_chunking(place in 0usize..100, wrong in any::<u8>(), size in 1usize..90) {
            let mut body = body(&tiny(30));
            let place = place % body.len();
            body[place] = wrong;
            prop_assert_eq!(scan(body.chunks(size)), scan([body.as_slice()]));
        }
    }
}
