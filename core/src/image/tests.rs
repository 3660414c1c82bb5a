use super::*;
use crate::failure::Failure;
use crate::stream_digest::{DigestKind, StreamDigest};
use made::{Expected, Made, made};
use proptest::prelude::*;

mod made;
mod named;

const LIMITS: Limits = Limits { min_side: 0, max_pixels: 1 << 26, upright_only: false, convert: Formats::NONE };

/// What the inspection says, and then the digest, of a file that comes in these pieces.
fn judge(pieces: &[&[u8]]) -> Result<Facts, Failure> {
    let mut inspector = Inspector::default();
    let mut found = None;
    for piece in pieces {
        found = inspector.push(piece)?;
        if found.is_some() {
            break;
        }
    }
    let facts = found.map_or_else(|| inspector.finish(), Ok)?;
    facts.admit(&LIMITS)?;
    let mut digest = StreamDigest::new(DigestKind::Off, Verify::Structure, &facts);
    for piece in pieces {
        digest.chunk(piece);
    }
    let length = pieces.iter().map(|piece| piece.len() as u64).sum();
    digest.finish(length).map(|_| facts)
}

fn cut_at<'a>(file: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (file.len() + 1)).collect();
    cuts.extend([0, file.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &file[pair[0]..pair[1]]).collect()
}

#[test]
fn every_made_file_gets_what_is_right_for_it() {
    let files = made();
    assert!(files.len() >= 100, "{}", files.len());
    for Made { name, bytes, expected } in files {
        match (judge(&[&bytes]), expected) {
            (Ok(facts), Expected::Verdict { size, orientation }) => {
                assert_eq!((facts.width, facts.height, facts.orientation), (size.0, size.1, orientation), "{name}");
                let scan = usize::try_from(facts.scan_from).expect("small");
                assert!(bytes[..scan].windows(2).any(|pair| pair == [0xFF, 0xDA]), "{name}");
            }
            (Err(failure), Expected::Failure(code, words)) => {
                assert_eq!(failure.code().name(), code, "{name}: {failure}");
                assert!(failure.message().contains(words), "{name}: {failure}");
            }
            (got, expected) => panic!("{name}: {got:?}, not {expected:?}"),
        }
    }
}

/// Each byte of a header alone, and pieces of the lengths in which bytes come.
#[test]
fn pieces_of_any_one_length_say_the_same() {
    for Made { name, bytes, .. } in made() {
        let whole = judge(&[&bytes]);
        let lengths = if bytes.len() < 200_000 { &[1, 2, 3, 7, 4096, 16_384][..] } else { &[4096, 65_536] };
        for &length in lengths {
            let pieces: Vec<&[u8]> = bytes.chunks(length).collect();
            assert_eq!(judge(&pieces), whole, "{name} in pieces of {length}");
        }
    }
}

/// A digest that begins its walk behind the header says what a walk over all of it says.
#[test]
fn one_walk_and_two_halves_of_it_agree() {
    for Made { name, bytes, .. } in made() {
        let mut walk = JpegScan::default();
        walk.push(&bytes);
        let judged = judge(&[&bytes]);
        if judged
            .as_ref()
            .is_err_and(|failure| failure.code() != Code::ImageCorrupt || failure.message().contains("4 MiB"))
        {
            continue;
        }
        assert_eq!(walk.finish().is_ok(), judged.is_ok(), "{name}: {:?}, {judged:?}", walk.finish());
    }
}

#[test]
fn limits_are_held_and_named() {
    let file = made().into_iter().find(|file| file.name == "orientation-short-little.jpg").expect("a file");
    let image = inspect(&file.bytes).expect("a jpeg");
    let free = Limits { min_side: 0, max_pixels: 50_000_000, upright_only: false, convert: Formats::NONE };
    assert_eq!(image.admit(&free), Ok(()));
    assert_eq!(image.admit(&Limits { min_side: 640, max_pixels: 640 * 640, ..free }), Ok(()));
    for (limits, word) in [
        (Limits { min_side: 641, ..free }, "min_side"),
        (Limits { max_pixels: 640 * 640 - 1, ..free }, "max_pixels"),
        (Limits { upright_only: true, ..free }, "orientation"),
    ] {
        let failure = image.admit(&limits).expect_err("refused");
        assert_eq!(failure.code(), Code::ImageDimensions);
        assert!(failure.message().contains(word), "{failure}");
    }
}

#[test]
fn an_endless_header_is_refused_at_one_place() {
    let segment = [&[0xFF, 0xE2, 0xFF, 0xFF][..], &vec![0; 65_533]].concat();
    let endless = [vec![0xFF, 0xD8], segment.repeat(70)].concat();
    for length in [1_000, 65_536, endless.len()] {
        let mut inspector = Inspector::default();
        let refused =
            endless.chunks(length).enumerate().find_map(|(at, piece)| Some((at, inspector.push(piece).err()?)));
        let (at, failure) = refused.expect("refused");
        assert_eq!(at, MAX_HEADER_BYTES.div_ceil(length) - 1, "pieces of {length}");
        assert_eq!(failure.code(), Code::ImageCorrupt);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_pieces_of_a_made_file_say_the_same(
        which in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(0usize..5_000_000, 0..12),
        early in prop::collection::vec(0usize..800, 0..12),
    ) {
        thread_local!(static FILES: Vec<Made> = made());
        FILES.with(|files| {
            let bytes = &which.get(files).bytes;
            let cuts = [&cuts[..], &early].concat();
            prop_assert_eq!(judge(&cut_at(bytes, &cuts)), judge(&[bytes]));
            Ok(())
        })?;
    }

    #[test]
    fn any_pieces_of_a_damaged_file_say_the_same(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((0usize..1_500, prop_oneof![Just(0xFFu8), Just(0xD9), Just(0xDA), any::<u8>()]), 1..6),
        cuts in prop::collection::vec(0usize..1_600, 0..12),
    ) {
        thread_local!(static FILES: Vec<Made> = made().into_iter().filter(|file| file.bytes.len() < 200_000).collect());
        FILES.with(|files| {
            let mut bytes = which.get(files).bytes.clone();
            for (at, byte) in damage {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            prop_assert_eq!(judge(&cut_at(&bytes, &cuts)), judge(&[&bytes]));
            Ok(())
        })?;
    }

    #[test]
    fn any_bytes_say_the_same_in_any_pieces(
        start in prop_oneof![
            Just(vec![]),
            Just(vec![0xFF, 0xD8, 0xFF]),
            Just(b"\xff\xd8\xff\xe1\x01\x00Exif\0\0II*\0".to_vec()),
            Just(b"\xff\xd8\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0?\0".to_vec()),
            Just(b"<?xml".to_vec()),
            Just(b"II*\0\x08\0\0\0".to_vec()),
            Just(b"\0\0\0\x20ftyp".to_vec()),
        ],
        tail in prop::collection::vec(prop_oneof![3 => Just(0xFFu8), 1 => Just(0xD9), 1 => Just(0xE1), 1 => Just(0), 4 => any::<u8>()], 0..1_200),
        cuts in prop::collection::vec(0usize..1_200, 0..8),
    ) {
        let file = [start, tail].concat();
        prop_assert_eq!(judge(&cut_at(&file, &cuts)), judge(&[&file]));
    }
}
