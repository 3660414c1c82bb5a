//! The request body: a JSON object with one data URI, base64 in any chunks, its exact length known before the first byte.

/// What stands before the base64. Only JPEG is documented by the vendor, so only JPEG is ever labelled so.
pub const PREFIX: &[u8] = br#"{"img":"data:image/jpeg;base64,"#;

/// What closes the body. Sent only after the image has ended cleanly: without it the body is not JSON and is not processed.
pub const SUFFIX: &[u8] = br#""}"#;

/// Exact length in bytes of the body for an image of `image_bytes`.
pub const fn body_len(image_bytes: u64) -> u64 {
    PREFIX.len() as u64 + image_bytes.div_ceil(3) * 4 + SUFFIX.len() as u64
}

/// Standard padded base64 (RFC 4648 section 4) over a stream; the cuts between chunks do not show in the output.
#[derive(Debug, Default)]
pub struct Encoder {
    carry: [u8; 2],
    carried: usize,
}

impl Encoder {
    /// The characters that are complete with this chunk. At most two bytes stay behind for the next.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        let total = self.carried + chunk.len();
        let mut out = Vec::with_capacity(total / 3 * 4);
        let mut rest = chunk;
        if self.carried > 0 {
            let wanted = 3 - self.carried;
            if chunk.len() < wanted {
                self.keep(chunk);
                return out;
            }
            let (head, tail) = chunk.split_at(wanted);
            let mut group = [0; 3];
            group[..self.carried].copy_from_slice(&self.carry[..self.carried]);
            group[self.carried..].copy_from_slice(head);
            base64_simd::STANDARD.encode_append(group, &mut out);
            self.carried = 0;
            rest = tail;
        }
        let (whole, left) = rest.split_at(rest.len() - rest.len() % 3);
        base64_simd::STANDARD.encode_append(whole, &mut out);
        self.keep(left);
        out
    }

    /// The padded rest, then [`SUFFIX`].
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + SUFFIX.len());
        base64_simd::STANDARD.encode_append(&self.carry[..self.carried], &mut out);
        out.extend_from_slice(SUFFIX);
        out
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.carry[self.carried..self.carried + bytes.len()].copy_from_slice(bytes);
        self.carried += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use proptest::prelude::*;

    fn body(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut encoder = Encoder::default();
        let mut body = PREFIX.to_vec();
        for chunk in chunks {
            let out = encoder.push(chunk);
            assert_eq!(out.len(), out.capacity(), "no reallocation, nothing to spare");
            body.extend(out);
        }
        body.extend(encoder.finish());
        body
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_body_of_the_announced_length(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..12)
        ) {
            let image: Vec<u8> = chunks.concat();
            let expected = format!(r#"{{"img":"data:image/jpeg;base64,{}"}}"#, BASE64_STANDARD.encode(&image));
            let body = body(&chunks);
            prop_assert_eq!(body.len() as u64, body_len(image.len() as u64));
            prop_assert_eq!(body, expected.into_bytes());
        }
    }

    #[test]
    fn single_bytes_and_nothing_at_all() {
        assert_eq!(body(&[]), br#"{"img":"data:image/jpeg;base64,"}"#);
        assert_eq!(
            body(&[b"f".to_vec(), b"o".to_vec(), vec![], b"ob".to_vec()]),
            br#"{"img":"data:image/jpeg;base64,Zm9vYg=="}"#
        );
    }
}
