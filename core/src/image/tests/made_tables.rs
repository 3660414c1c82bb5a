//! Tables and the scans that need them, right and wrong. Asked were the decoders that [`super`] names, and zune-jpeg 0.5.15.

use super::{Expected, Made, PHOTO, Parts, Segment, bad, framed, good, join, segment};

const DHT: u8 = 0xC4;
const DAC: u8 = 0xCC;
const DQT: u8 = 0xDB;
const DRI: u8 = 0xDD;
const BASELINE: u8 = 0xC0;
const PROGRESSIVE: u8 = 0xC2;

/// What decoders read.
pub(super) fn readable() -> Vec<Made> {
    let with = |marker: u8, content: Vec<u8>| before(marker, content);
    let half = PHOTO.len() / 2;
    vec![
        // As frames of a video come.
        good("no-huffman-tables.jpg", without(DHT)),
        good("huffman-table-without-codes.jpg", with(DHT, huffman(0x03, &[]))),
        // Three codes of one bit: no decoder minds as long as no scan needs it.
        good("impossible-huffman-table-unused.jpg", with(DHT, huffman(0x03, &[3]))),
        good("segment-of-no-huffman-tables.jpg", with(DHT, vec![])),
        good("segment-of-no-quantisation-tables.jpg", with(DQT, vec![])),
        good("quantisation-table-of-16-bits.jpg", with(DQT, [&[0x13][..], &[0, 1].repeat(64)].concat())),
        good("two-tables-in-a-segment.jpg", with(DQT, [quantisation(2), quantisation(3)].concat())),
        good("conditioning.jpg", with(DAC, vec![0x00, 0x10, 0x1F, 0x3F])),
        good("scan-without-parameters.jpg", scan_header(|header| header[7..].fill(0))),
        tiny("scan-for-each-component.jpg", several(BASELINE, &[])),
        tiny("progressive.jpg", several(PROGRESSIVE, &[])),
        tiny("table-between-scans.jpg", several(PROGRESSIVE, &[(DHT, huffman(0x10, &[1]))])),
        tiny("impossible-table-between-scans-unused.jpg", several(PROGRESSIVE, &[(DHT, huffman(0x11, &[3]))])),
        // libjpeg and zune-jpeg forgive that; the end marker lies in the segment.
        good("segment-longer-than-the-file.jpg", [&PHOTO[..half], b"\xff\xe5\xff\xff", &PHOTO[half..]].concat()),
    ]
}

/// What at least djpeg, Pillow and one of Go and zune-jpeg do not read.
pub(super) fn unreadable() -> Vec<Made> {
    let corrupt = |name, bytes, words| bad(name, bytes, "image_corrupt", words);
    let with = |marker: u8, content: Vec<u8>| before(marker, content);
    let longer = |mut content: Vec<u8>| {
        content.push(0);
        content
    };
    let shorter = |mut content: Vec<u8>| {
        content.pop();
        content
    };
    let progressive = |change: fn(&mut Vec<u8>)| {
        let mut scans = SCANS_OF_PROGRESSIVE.map(|(header, data)| (header.to_vec(), data));
        change(&mut scans[0].0);
        picture(PROGRESSIVE, &tables(), &[], &scans)
    };
    let between = |marker: u8, content: Vec<u8>| several(PROGRESSIVE, &[(marker, content)]);
    vec![
        corrupt("huffman-class-2.jpg", with(DHT, huffman(0x20, &[1])), "impossible class"),
        corrupt("huffman-table-4.jpg", with(DHT, huffman(0x04, &[1])), "impossible class"),
        corrupt("huffman-table-and-a-byte.jpg", with(DHT, longer(huffman(0x00, &[1]))), "longer than the segment"),
        corrupt("huffman-table-cut.jpg", with(DHT, shorter(huffman(0x00, &[1]))), "longer than the segment"),
        corrupt("huffman-counts-cut.jpg", with(DHT, vec![0; 9]), "longer than the segment"),
        corrupt(
            "huffman-table-of-257.jpg",
            with(DHT, huffman(0x03, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 2])),
            "256 codes",
        ),
        corrupt("huffman-codes-too-many.jpg", behind(DHT, &[huffman(0x00, &[3])]), "impossible"),
        corrupt("huffman-code-of-ones.jpg", behind(DHT, &[huffman(0x10, &[0, 4])]), "impossible"),
        corrupt(
            "huffman-symbol-of-dc-16.jpg",
            behind(DHT, &[[&huffman(0x00, &[1])[..17], &[16]].concat()]),
            "impossible",
        ),
        corrupt(
            "no-huffman-tables-progressive.jpg",
            picture(PROGRESSIVE, &tables()[..1], &[], &SCANS_OF_PROGRESSIVE),
            "Huffman table",
        ),
        corrupt("no-quantisation-tables.jpg", without(DQT), "quantisation table that was not defined"),
        corrupt(
            "quantisation-table-not-there.jpg",
            framed(|frame| frame[8] = 3),
            "quantisation table that was not defined",
        ),
        corrupt("quantisation-table-7.jpg", framed(|frame| frame[8] = 7), "quantisation table that was not defined"),
        corrupt("quantisation-table-4.jpg", with(DQT, quantisation(4)), "impossible number"),
        corrupt("quantisation-table-cut.jpg", with(DQT, shorter(quantisation(0))), "longer than the segment"),
        corrupt("quantisation-table-and-a-byte.jpg", with(DQT, longer(quantisation(0))), "longer than the segment"),
        corrupt("restart-interval-of-three-bytes.jpg", with(DRI, vec![0; 3]), "restart interval"),
        corrupt("restart-interval-of-none.jpg", with(DRI, vec![]), "restart interval"),
        corrupt("conditioning-of-table-32.jpg", with(DAC, vec![32, 0]), "impossible table for arithmetic"),
        corrupt("conditioning-upside-down.jpg", with(DAC, vec![0, 1]), "impossible value for arithmetic"),
        corrupt("conditioning-cut.jpg", with(DAC, vec![0]), "longer than the segment"),
        corrupt("scan-needs-dc-table-2.jpg", scan_header(|header| header[2] = 0x20), "Huffman table"),
        corrupt("scan-needs-ac-table-2.jpg", scan_header(|header| header[2] = 0x02), "Huffman table"),
        corrupt("scan-needs-ac-table-4.jpg", scan_header(|header| header[2] = 0x04), "Huffman table"),
        corrupt("scan-names-a-component-twice.jpg", scan_header(|header| header[3] = header[1]), "does not have"),
        corrupt("sampling-too-large.jpg", framed(|frame| frame[7] = 0x44), "too large for a scan"),
        corrupt(
            "sampling-of-three-halves.jpg",
            framed(|frame| {
                frame[7] = 0x31;
                frame[10] = 0x21;
            }),
            "no multiple",
        ),
        corrupt("side-of-65501.jpg", framed(|frame| frame[1..5].copy_from_slice(&[0, 16, 0xFF, 0xDD])), "65500 pixels"),
        corrupt("progressive-band-of-both-kinds.jpg", progressive(|header| header[8] = 62), "progressive picture"),
        corrupt(
            "progressive-band-of-three.jpg",
            progressive(|header| header[7..9].copy_from_slice(&[1, 63])),
            "progressive picture",
        ),
        corrupt("progressive-shift-of-14.jpg", progressive(|header| header[9] = 0x0E), "progressive picture"),
        corrupt("progressive-refines-twice.jpg", progressive(|header| header[9] = 0x31), "progressive picture"),
        // Behind the first scan: what has been sent by then is broken off.
        corrupt("impossible-table-between-scans.jpg", between(DHT, huffman(0x10, &[3])), "a scan in it needs"),
        corrupt("cut-table-between-scans.jpg", between(DHT, vec![0x10]), "longer than the segment"),
        corrupt("quantisation-table-7-between-scans.jpg", between(DQT, quantisation(7)), "impossible number"),
        corrupt("restart-interval-of-a-byte-between-scans.jpg", between(DRI, vec![0]), "restart interval"),
        corrupt("scan-of-nothing-between-scans.jpg", between(0xDA, vec![0, 0, 63, 0]), "number of components"),
    ]
}

/// Class and number, how many codes there are of each length, and so many symbols.
fn huffman(head: u8, counts: &[u8]) -> Vec<u8> {
    let mut table = vec![head];
    table.extend(counts);
    table.resize(17, 0);
    table.resize(17 + counts.iter().map(|&count| usize::from(count)).sum::<usize>(), 0);
    table
}

fn quantisation(number: u8) -> Vec<u8> {
    [&[number][..], &[1; 64]].concat()
}

fn before(marker: u8, content: Vec<u8>) -> Vec<u8> {
    super::before(&[(marker, content)])
}

/// The photo with these segments behind its own tables.
fn behind(marker: u8, contents: &[Vec<u8>]) -> Vec<u8> {
    let mut parts = Parts::photo();
    parts.segments.extend(contents.iter().map(|content| (marker, content.clone())));
    join(&parts)
}

fn without(marker: u8) -> Vec<u8> {
    let mut parts = Parts::photo();
    parts.segments.retain(|segment| segment.0 != marker);
    join(&parts)
}

/// The photo with another scan header: the number of components, two bytes for each, first and last coefficient, shifts.
fn scan_header(change: fn(&mut [u8])) -> Vec<u8> {
    let mut parts = Parts::photo();
    change(&mut parts.scan[4..14]);
    join(&parts)
}

/// The header of a scan, and its data.
type Scan<'a> = (&'a [u8], u8);

/// Each component by itself: no difference in brightness, nothing else.
const SCANS_OF_BASELINE: [Scan; 3] =
    [(&[1, 1, 0, 0, 63, 0], 0x3F), (&[1, 2, 0, 0, 63, 0], 0x3F), (&[1, 3, 0, 0, 63, 0], 0x3F)];
/// The brightness of all, then the rest of each.
const SCANS_OF_PROGRESSIVE: [Scan; 4] = [
    (&[3, 1, 0, 2, 0, 3, 0, 0, 0, 0], 0x1F),
    (&[1, 1, 0, 1, 63, 0], 0x7F),
    (&[1, 2, 0, 1, 63, 0], 0x7F),
    (&[1, 3, 0, 1, 63, 0], 0x7F),
];

/// One code of one bit in each Huffman table, for the symbol 0.
fn tables() -> [Segment; 3] {
    [(DQT, quantisation(0)), (DHT, huffman(0x00, &[1])), (DHT, huffman(0x10, &[1]))]
}

/// A grey picture in several scans, with segments between the first and the second.
fn several(frame: u8, between: &[Segment]) -> Vec<u8> {
    let scans: &[Scan] = if frame == PROGRESSIVE { &SCANS_OF_PROGRESSIVE } else { &SCANS_OF_BASELINE };
    picture(frame, &tables(), between, scans)
}

/// A picture of 8 by 8 pixels and three components.
fn picture<H: AsRef<[u8]>>(frame: u8, tables: &[Segment], between: &[Segment], scans: &[(H, u8)]) -> Vec<u8> {
    let mut file = vec![0xFF, 0xD8];
    file.extend(tables.iter().flat_map(segment));
    file.extend(segment(&(frame, vec![8, 0, 8, 0, 8, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])));
    for (at, (header, data)) in scans.iter().enumerate() {
        if at == 1 {
            file.extend(between.iter().flat_map(segment));
        }
        file.extend(segment(&(0xDA, header.as_ref().to_vec())));
        file.push(*data);
    }
    file.extend([0xFF, 0xD9]);
    file
}

fn tiny(name: &'static str, bytes: Vec<u8>) -> Made {
    Made { name, bytes, expected: Expected::Verdict { size: (8, 8), orientation: 1 } }
}
