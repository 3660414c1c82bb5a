//! What a file is that is no JPEG, from its first bytes. Sources: the formats' own specifications, and `file`'s magic where those are silent.

use super::exif::Tiff;
use super::facts::Format;
use super::name::Name::{self, Other, Picture};
use super::text;
use crate::failure::{Code, Failure};

/// As many first bytes as the names need: a tar archive is told by its 257th, an SVG by what follows its prolog.
pub(super) const SNIFF_BYTES: usize = 1024;

/// Bytes at an offset, and the name. The first row that fits decides.
const MAGIC: &[(usize, &[u8], Name)] = &[
    (0, b"\x89PNG\r\n\x1a\n", Picture("png")),
    (0, b"GIF87a", Picture("gif")),
    (0, b"GIF89a", Picture("gif")),
    (0, b"\xff\x0a", Picture("jpeg xl")),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", Picture("jpeg xl")),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", Picture("jpeg 2000")),
    (0, b"\xff\x4f\xff\x51", Picture("jpeg 2000 (a bare codestream)")),
    (0, b"II\xbc\x01", Picture("jpeg xr")),
    (0, b"II+\0\x08\0\0\0", Picture("tiff (BigTIFF)")),
    (0, b"MM\0+\0\x08\0\0", Picture("tiff (BigTIFF)")),
    (0, b"IIRO\x08\0", Picture("orf (an Olympus raw file)")),
    (0, b"IIRS\x08\0", Picture("orf (an Olympus raw file)")),
    (0, b"MMOR\0\0", Picture("orf (an Olympus raw file)")),
    (0, b"IIU\0", Picture("rw2 (a Panasonic raw file)")),
    (0, b"FUJIFILMCCD-RAW ", Picture("raf (a Fujifilm raw file)")),
    (0, b"II\x1a\0\0\0HEAPCCDR", Picture("crw (a Canon raw file)")),
    (0, b"FOVb", Picture("x3f (a Sigma raw file)")),
    (0, b"\0MRM", Picture("mrw (a Minolta raw file)")),
    (0, b"8BPS\0\x01", Picture("psd (Photoshop)")),
    (0, b"8BPS\0\x02", Picture("psb (Photoshop)")),
    (0, b"gimp xcf", Picture("xcf (GIMP)")),
    (0, b"BPG\xfb", Picture("bpg")),
    (0, b"qoif", Picture("qoi")),
    (0, b"\x76\x2f\x31\x01", Picture("openexr")),
    (0, b"DDS \x7c\0\0\0", Picture("dds")),
    (0, b"#?RADIANCE", Picture("radiance hdr")),
    (128, b"DICM", Picture("dicom")),
    (0, b"icns", Picture("icns (icons of macOS)")),
    (0, b"SIMPLE  =", Picture("fits")),
    (0, b"%PDF-", Picture("pdf")),
    (0, b"%!PS", Picture("postscript")),
    (0, b"\xc5\xd0\xd3\xc6", Picture("eps")),
    (4, b"moov", Picture("a QuickTime video")),
    (4, b"mdat", Picture("a QuickTime video")),
    (4, b"wide", Picture("a QuickTime video")),
    (0, b"FLV\x01", Picture("an flv video")),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Picture("a wmv or another ASF file")),
    (0, b"\0\0\x01\xba", Picture("an mpeg video")),
    (0, b"\0\0\x01\xb3", Picture("an mpeg video")),
    (0, b"OggS", Other("an ogg file")),
    (0, b"ID3", Other("an mp3 audio file")),
    (0, b"fLaC", Other("a flac audio file")),
    (0, b"PK\x03\x04", Other("a zip archive (or a document in one)")),
    (0, b"PK\x05\x06", Other("an empty zip archive")),
    (0, b"PK\x07\x08", Other("a zip archive in parts")),
    (0, b"\x1f\x8b", Other("gzip-compressed")),
    (0, b"7z\xbc\xaf\x27\x1c", Other("a 7z archive")),
    (0, b"Rar!\x1a\x07", Other("a rar archive")),
    (257, b"ustar", Other("a tar archive")),
    (0, b"\xfd7zXZ\0", Other("xz-compressed")),
    (0, b"\x28\xb5\x2f\xfd", Other("zstd-compressed")),
    (0, b"\x04\x22\x4d\x18", Other("lz4-compressed")),
    (0, b"\0\x05\x16\x07\0\x02\0\0", Other("the AppleDouble companion of a file (its name begins with ._ on macOS)")),
    (0, b"\0\x05\x16\0\0\x02\0\0", Other("an AppleSingle file")),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Other("an old Office document")),
    (0, b"bplist00", Other("a binary property list")),
    (0, b"SQLite format 3\0", Other("an SQLite database")),
    (0, b"\x7fELF", Other("a program")),
    (0, b"MZ\x90\0", Other("a program")),
];

/// Formats that are accepted where the settings ask for their conversion.
const CONVERTIBLE: [Format; 5] = [Format::Png, Format::WebP, Format::Bmp, Format::Tiff, Format::Gif];

/// Names a file by its first bytes.
type Test = fn(&[u8]) -> Option<Name>;

/// Formats that take more than bytes at one offset.
const TESTS: &[Test] = &[iso_media, riff, matroska, tiff, bmp, icon, pnm, pcx, bzip2, zeros, text::name];

/// The failure for a file of these first bytes; all of them, where there are fewer than [`SNIFF_BYTES`].
pub(super) fn refuse(first: &[u8]) -> Failure {
    match name(first) {
        Some(Picture(name)) if CONVERTIBLE.iter().any(|format| format.name() == name) => Failure::new(
            Code::UnsupportedFormat,
            format!("the object is {name}; add \"{name}\" to image.convert to have it converted"),
        ),
        Some(Picture(name)) => Failure::new(
            Code::UnsupportedFormat,
            format!("the object is {name}; it is neither sent nor converted: upload it as jpeg"),
        ),
        Some(Other(name)) => Failure::new(Code::NotAnImage, format!("the object is {name}, not an image")),
        None => Failure::new(Code::NotAnImage, "the first bytes are of no known image format"),
    }
}

/// Which of the formats that can be converted these are the first bytes of.
pub(super) fn format(first: &[u8]) -> Option<Format> {
    let Some(Picture(name)) = name(first) else { return None };
    CONVERTIBLE.iter().copied().find(|format| format.name() == name)
}

fn name(first: &[u8]) -> Option<Name> {
    if first.is_empty() {
        return Some(Other("empty"));
    }
    let magic = MAGIC.iter().find(|(at, magic, _)| first.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    magic.map(|&(_, _, name)| name).or_else(|| TESTS.iter().find_map(|test| test(first)))
}

/// ISO base media files (ISO/IEC 14496-12): the brands of the first box. Of those of HEIF (ISO/IEC 23008-12) the compatible ones tell AVIF from HEIC.
fn iso_media(first: &[u8]) -> Option<Name> {
    let rest = first.get(4..)?.strip_prefix(b"ftyp")?;
    let size = u32::from_be_bytes(first.get(..4)?.try_into().ok()?);
    let content = &rest[..rest.len().min(usize::try_from(size).ok()?.saturating_sub(8))];
    let major = content.get(..4);
    let compatible = || content.get(8..).unwrap_or_default().chunks_exact(4);
    let avif = |brand: &[u8]| matches!(brand, b"avif" | b"avis");
    let heic =
        |brand: &[u8]| matches!(brand, b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"hevm" | b"hevs");
    Some(match major {
        Some(brand) if avif(brand) => Picture("avif"),
        Some(brand) if heic(brand) => Picture("heic"),
        Some(b"mif1" | b"msf1" | b"mif2" | b"miaf" | b"mif3" | b"heif" | b"1pic") => {
            if compatible().any(avif) {
                Picture("avif")
            } else if compatible().any(heic) {
                Picture("heic")
            } else {
                Picture("heif")
            }
        }
        Some(b"crx ") => Picture("cr3 (a Canon raw file)"),
        Some(b"qt  ") => Picture("a QuickTime video"),
        Some(b"M4A " | b"M4B ") => Other("an m4a audio file"),
        Some([b'3', b'g', ..]) => Picture("a 3gp video"),
        Some(b"isom" | b"iso2" | b"iso4" | b"iso5" | b"iso6" | b"mp41" | b"mp42" | b"avc1" | b"M4V " | b"dash") => {
            Picture("an mp4 video")
        }
        _ => Picture("a video or another ISO media file"),
    })
}

fn riff(first: &[u8]) -> Option<Name> {
    match first.strip_prefix(b"RIFF")?.get(4..8)? {
        b"WEBP" => Some(Picture("webp")),
        b"AVI " => Some(Picture("an avi video")),
        b"WAVE" => Some(Other("a wav audio file")),
        _ => None,
    }
}

/// The `DocType` of an EBML header (RFC 8794) tells `WebM` from other Matroska.
fn matroska(first: &[u8]) -> Option<Name> {
    let header = first.strip_prefix(b"\x1a\x45\xdf\xa3")?;
    let webm = header[..header.len().min(64)].windows(7).any(|part| part == b"\x42\x82\x84webm");
    Some(Picture(if webm { "a webm video" } else { "a Matroska video" }))
}

/// TIFF, and the raw files that are one, by the maker's own tags.
fn tiff(first: &[u8]) -> Option<Name> {
    const MAKE: u16 = 0x010F;
    const SUB_DIRECTORIES: u16 = 0x014A;
    const DNG_VERSION: u16 = 0xC612;

    let tiff = Tiff::new(first)?;
    if first.get(8..10) == Some(b"CR") {
        return Some(Picture("cr2 (a Canon raw file)"));
    }
    if tiff.entry(DNG_VERSION).is_some() {
        return Some(Picture("dng (a raw file)"));
    }
    let make = tiff.entry(MAKE).and_then(|entry| tiff.text(&entry)).unwrap_or_default();
    let raw = tiff.entry(SUB_DIRECTORIES).is_some();
    Some(match make {
        [b'N', b'I', b'K', b'O', b'N', ..] if raw => Picture("nef (a Nikon raw file)"),
        [b'S', b'O', b'N', b'Y', ..] if raw => Picture("arw (a Sony raw file)"),
        _ => Picture("tiff"),
    })
}

/// Two letters are not enough: the length of the header behind them is that of one of its versions.
fn bmp(first: &[u8]) -> Option<Name> {
    let header = u32::from_le_bytes(first.strip_prefix(b"BM")?.get(12..16)?.try_into().ok()?);
    matches!(header, 12 | 16 | 40 | 52 | 56 | 64 | 108 | 124).then_some(Picture("bmp"))
}

/// Its version, whether it is compressed, and bits a pixel.
fn pcx(first: &[u8]) -> Option<Name> {
    matches!(first, [0x0A, 0 | 2..=5, 0 | 1, 1 | 2 | 4 | 8, ..]).then_some(Picture("pcx"))
}

/// Four bytes that are common elsewhere, then the number of pictures, and a reserved zero in the first of them.
fn icon(first: &[u8]) -> Option<Name> {
    let [0, 0, kind @ (1 | 2), 0, 1..=64, 0, _, _, _, 0, ..] = *first else {
        return None;
    };
    (first.len() >= 6 + 16).then_some(Picture(if kind == 1 { "ico" } else { "cur" }))
}

fn pnm(first: &[u8]) -> Option<Name> {
    let [b'P', b'1'..=b'7', b' ' | b'\t' | b'\n' | b'\r', ..] = *first else {
        return None;
    };
    Some(Picture("pnm (pbm, pgm, ppm)"))
}

fn bzip2(first: &[u8]) -> Option<Name> {
    let level = first.strip_prefix(b"BZh")?;
    (matches!(level.first(), Some(b'1'..=b'9')) && matches!(level.get(1), Some(b'1' | 0x17)))
        .then_some(Other("bzip2-compressed"))
}

/// Files that were made at their full size and never written.
fn zeros(first: &[u8]) -> Option<Name> {
    first.iter().all(|&byte| byte == 0).then_some(Other("zero bytes"))
}
