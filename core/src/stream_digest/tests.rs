use super::*;
use crate::image::Format;
use proptest::prelude::*;

fn run(kind: DigestKind, scan_from: u64, chunks: &[&[u8]], announced: u64) -> Result<Option<String>, Failure> {
    verified(Verify::Header, kind, scan_from, chunks, announced)
}

fn verified(
    verify: Verify,
    kind: DigestKind,
    scan_from: u64,
    chunks: &[&[u8]],
    announced: u64,
) -> Result<Option<String>, Failure> {
    let facts = Facts { scan_from, ..Facts::upright(Format::Jpeg, 1, 1) };
    let mut digest = StreamDigest::new(kind, verify, &facts);
    for chunk in chunks {
        digest.chunk(chunk);
    }
    digest.finish(announced)
}

#[test]
fn digests_are_named_and_known() {
    let end = &[0xFF, 0xD9][..];
    assert_eq!(
        run(DigestKind::Sha256, 0, &[end], 2).expect("ends"),
        Some("sha256:cde66e78e5419dea74df7cf43d9aa876b8c669d40067992e719cef90ac5f3fe0".to_owned())
    );
    assert_eq!(
        run(DigestKind::Blake3, 0, &[end], 2).expect("ends"),
        Some(hex("blake3:", blake3::hash(end).as_bytes()))
    );
    assert_eq!(run(DigestKind::Off, 0, &[end], 2).expect("ends"), None);
}

#[test]
fn a_short_stream_is_the_store_s_fault_and_a_missing_end_the_image_s() {
    let short = run(DigestKind::Off, 0, &[&[0xFF, 0xD9]], 3).expect_err("short");
    assert_eq!(short.code(), Code::StoreUnavailable);
    let cut = run(DigestKind::Off, 0, &[&[0xFF, 0x00, 0xD9]], 3).expect_err("cut");
    assert_eq!(cut.code(), Code::ImageCorrupt);
}

#[test]
fn the_end_of_a_thumbnail_in_the_header_does_not_count() {
    let image = [0xFF, 0xD8, 0xFF, 0xD9, 1, 2, 3];
    assert!(run(DigestKind::Off, 4, &[&image], 7).is_err());
    assert!(run(DigestKind::Off, 2, &[&image], 7).is_ok(), "a trailer behind the end is fine");
}

#[test]
fn an_end_inside_a_segment_behind_the_scan_counts_for_the_header_only() {
    let image = [1, 2, 0xFF, 0xE5, 0, 4, 0xFF, 0xD9, 7];
    assert!(verified(Verify::Header, DigestKind::Off, 0, &[&image], 9).is_ok());
    let cut = verified(Verify::Structure, DigestKind::Off, 0, &[&image], 9).expect_err("cut");
    assert_eq!(cut.code(), Code::ImageCorrupt);
    let whole = [&image[..], &[0xFF, 0xD9]].concat();
    assert!(verified(Verify::Structure, DigestKind::Off, 0, &[&whole], 11).is_ok());
}

/// SHA-256 and CRC32 of the two bytes of an end marker.
const END: [(Algorithm, &str); 2] =
    [(Algorithm::Sha256, "zeZueOVBnep033z0PZqodrjGadQAZ5kucZzvkKxfP+A="), (Algorithm::Crc32, "LfKF/Q==")];

fn expecting(kind: DigestKind, checksum: (Algorithm, &str), bytes: &[u8]) -> Result<Option<String>, Failure> {
    let facts = Facts::upright(Format::Jpeg, 1, 1);
    let checksum = Checksum::from_base64(checksum.0, checksum.1);
    assert!(checksum.is_some());
    let mut digest = StreamDigest::new(kind, Verify::Structure, &facts).expecting(checksum);
    digest.chunk(bytes);
    digest.finish(2)
}

#[test]
fn a_checksum_changes_no_digest() {
    for kind in [DigestKind::Sha256, DigestKind::Blake3, DigestKind::Off] {
        for checksum in END {
            let plain = run(kind, 0, &[&[0xFF, 0xD9]], 2);
            assert_eq!(expecting(kind, checksum, &[0xFF, 0xD9]), plain, "{kind:?} {checksum:?}");
        }
    }
}

#[test]
fn damaged_bytes_are_the_store_s_fault_before_they_are_the_image_s() {
    for kind in [DigestKind::Sha256, DigestKind::Blake3, DigestKind::Off] {
        for (algorithm, value) in END {
            let damaged = expecting(kind, (algorithm, value), &[0xFF, 0xD8]).expect_err("damaged");
            assert_eq!(damaged.code(), Code::StoreUnavailable, "{kind:?} {algorithm}");
            assert!(damaged.message().contains(&format!("keeps a {algorithm}")), "{damaged}");
            let short = expecting(kind, (algorithm, value), &[0xFF]).expect_err("short");
            assert!(short.message().contains("announced 2 bytes and sent 1"), "{short}");
        }
    }
}

#[test]
fn sha_256_is_computed_once() {
    let of = |kind| {
        let facts = Facts::upright(Format::Jpeg, 1, 1);
        StreamDigest::new(kind, Verify::Structure, &facts).expecting(Checksum::from_base64(END[0].0, END[0].1)).check
    };
    assert!(matches!(of(DigestKind::Sha256), Check::Digest(_)));
    assert!(matches!(of(DigestKind::Blake3), Check::Beside(_)));
}

proptest! {
    #[test]
    fn chunking_does_not_matter(bytes in prop::collection::vec(prop_oneof![Just(0xFFu8), Just(0xD9), Just(0u8)], 0..40),
                                cuts in prop::collection::vec(0usize..40, 0..6), scan_from in 0u64..40, structure: bool) {
        let verify = if structure { Verify::Structure } else { Verify::Header };
        let whole = verified(verify, DigestKind::Sha256, scan_from, &[&bytes], bytes.len() as u64);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(verified(verify, DigestKind::Sha256, scan_from, &pieces, bytes.len() as u64), whole);
    }
}
