//! A file's first bytes, in any pieces, and the digest behind them.

use antispoof_core::failure::{Class, Code, Stage};
use antispoof_core::image::{Inspection, MAX_HEADER_BYTES, inspect};
use antispoof_core::stream_digest::{DigestKind, StreamDigest};

/// The first six bytes choose the cuts, the rest is the file.
pub fn image_inspect(data: &[u8]) {
    let (cuts, file) = super::control::<6>(data);
    let pieces = super::pieces(&cuts, file);
    let whole = inspect(file, true);
    let scan_from = match &whole {
        Ok(Inspection::NeedMore) => panic!("there is no more"),
        Ok(Inspection::Found(facts)) => {
            assert!(facts.width > 0 && facts.height > 0 && (1..=8).contains(&facts.orientation), "{facts:?}");
            assert!(facts.scan_from < file.len() as u64, "{facts:?}");
            facts.scan_from
        }
        Err(failure) => {
            super::presentable(failure);
            assert_eq!((failure.code().stage(), failure.code().class()), (Stage::Inspect, Class::Permanent));
            0
        }
    };
    let mut seen = 0;
    for piece in &pieces {
        seen += piece.len();
        match inspect(&file[..seen], false) {
            Ok(Inspection::NeedMore) => assert!(seen < MAX_HEADER_BYTES + 16, "it has all that it will look at"),
            decided => assert_eq!(decided, whole, "the first {seen} of {} bytes said something else", file.len()),
        }
    }
    watched(file, &pieces, scan_from);
}

/// The digest sees the same whatever the pieces, and an end only where there is one.
fn watched(file: &[u8], pieces: &[&[u8]], scan_from: u64) {
    let announced = file.len() as u64;
    let watch = |pieces: &[&[u8]], announced| {
        let mut digest = StreamDigest::new(DigestKind::Sha256, scan_from);
        for piece in pieces {
            digest.chunk(piece);
        }
        digest.finish(announced)
    };
    let whole = watch(&[file], announced);
    assert_eq!(watch(pieces, announced), whole);
    let from = usize::try_from(scan_from).expect("within the file");
    let has_end = file[from..].windows(2).any(|pair| pair == [0xFF, 0xD9]);
    match whole {
        Ok(digest) => assert!(has_end && digest.is_some_and(|digest| digest.len() == 71)),
        Err(failure) => assert!(!has_end && failure.code() == Code::ImageCorrupt, "{failure}"),
    }
    let short = watch(pieces, announced + 1).expect_err("a byte is missing");
    assert_eq!(short.code(), Code::StoreUnavailable);
}
