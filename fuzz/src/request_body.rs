//! The simulator's reading of a request body, against the encoder that writes it.

use antispoof_core::encode::{self, Encoder};
use antispoofd::simulator::read_body;
use base64_simd::STANDARD;
use sha2::{Digest as _, Sha256};

/// The first six bytes choose the cuts, the rest is a body; and then an image that is put into one.
pub fn request_body(data: &[u8]) {
    let (cuts, body) = super::control::<6>(data);
    let pieces = super::pieces(&cuts, body);
    let whole = read_body([body]);
    assert_eq!(read_body(pieces.iter().copied()), whole, "the cuts show");
    match whole {
        Ok(digest) => {
            let text = body
                .strip_prefix(encode::PREFIX)
                .and_then(|rest| rest.strip_suffix(encode::SUFFIX))
                .expect("nothing else is accepted");
            let image = STANDARD.decode_to_vec(text).expect("base64");
            assert_eq!(digest[..], Sha256::digest(&image)[..]);
            assert_eq!(encoded(&[&image]), body, "there is one way to write an image");
        }
        Err((status, message)) => {
            assert!(matches!(status, 400 | 422), "{status}");
            assert!(!message.is_empty() && message.len() <= 200, "{message}");
            assert!(!message.contains(char::is_control), "{message:?}");
        }
    }

    let written = encoded(&pieces);
    assert_eq!(written.len() as u64, encode::body_len(body.len() as u64));
    match read_body(super::pieces(&cuts, &written)) {
        Ok(digest) => assert_eq!(digest[..], Sha256::digest(body)[..]),
        Err((status, message)) => assert_eq!(status, 422, "the encoder's own body is refused: {message}"),
    }
}

fn encoded(pieces: &[&[u8]]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut body = encode::PREFIX.to_vec();
    for piece in pieces {
        body.extend(encoder.push(piece));
    }
    body.extend(encoder.finish());
    body
}
