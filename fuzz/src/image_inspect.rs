//! A file's first bytes, in any pieces, and the digest behind them.

use antispoof_core::failure::{Class, Code, Failure, Stage};
use antispoof_core::image::{Facts, Format, Inspector, JpegScan, MAX_HEADER_BYTES, Verify, inspect};
use antispoof_core::stream_digest::{DigestKind, StreamDigest};

/// The first six bytes choose the cuts, the rest is the file.
pub fn image_inspect(data: &[u8]) {
    let (cuts, file) = super::control::<6>(data);
    let pieces = super::pieces(&cuts, file);
    let whole = inspect(file);
    assert_eq!(piecewise(&pieces), whole);
    match &whole {
        Ok(facts) => {
            assert!(facts.width > 0 && facts.height > 0 && (1..=8).contains(&facts.orientation), "{facts:?}");
            assert!(facts.scan_from <= file.len().min(MAX_HEADER_BYTES) as u64, "{facts:?}");
            let mut walk = JpegScan::default();
            for piece in &pieces {
                walk.push(piece);
            }
            let followed = watch(Verify::Structure, facts, &pieces, file.len() as u64);
            assert_eq!(walk.finish().is_ok(), followed.is_ok(), "one walk, and one in two parts");
        }
        Err(failure) => {
            super::presentable(failure);
            assert_eq!((failure.code().stage(), failure.code().class()), (Stage::Inspect, Class::Permanent));
        }
    }
    let nothing = Facts::upright(Format::Jpeg, 1, 1);
    watched(file, &pieces, &whole.unwrap_or(nothing));
}

fn piecewise(pieces: &[&[u8]]) -> Result<Facts, Failure> {
    let mut inspector = Inspector::default();
    for piece in pieces {
        if let Some(facts) = inspector.push(piece)? {
            return Ok(facts);
        }
    }
    inspector.finish()
}

fn watch(verify: Verify, facts: &Facts, pieces: &[&[u8]], announced: u64) -> Result<Option<String>, Failure> {
    let mut digest = StreamDigest::new(DigestKind::Sha256, verify, facts);
    for piece in pieces {
        digest.chunk(piece);
    }
    digest.finish(announced)
}

/// The digest sees the same whatever the pieces, and an end only where there is one.
fn watched(file: &[u8], pieces: &[&[u8]], facts: &Facts) {
    let announced = file.len() as u64;
    let from = usize::try_from(facts.scan_from).expect("within the file");
    let has_end = file[from..].windows(2).any(|pair| pair == [0xFF, 0xD9]);
    let whole = watch(Verify::Structure, facts, &[file], announced);
    assert_eq!(watch(Verify::Structure, facts, pieces, announced), whole);
    assert!(whole.is_err() || has_end);
    let whole = watch(Verify::Header, facts, &[file], announced);
    assert_eq!(watch(Verify::Header, facts, pieces, announced), whole);
    match whole {
        Ok(digest) => assert!(has_end && digest.is_some_and(|digest| digest.len() == 71)),
        Err(failure) => assert!(!has_end && failure.code() == Code::ImageCorrupt, "{failure}"),
    }
    let short = watch(Verify::Structure, facts, pieces, announced + 1).expect_err("a byte is missing");
    assert_eq!(short.code(), Code::StoreUnavailable);
}
