//! The whole list of names.

use super::*;

const UNSUPPORTED: Code = Code::UnsupportedFormat;
const NO_IMAGE: Code = Code::NotAnImage;

/// A box that names its brands.
fn brands(major: &str, compatible: &[&str]) -> Vec<u8> {
    let content = format!("ftyp{major}\0\0\0\0{}", compatible.concat());
    let length = u32::try_from(content.len() + 4).expect("small");
    [&length.to_be_bytes()[..], content.as_bytes(), b"\0\0\0\x10mdatavif"].concat()
}

/// A TIFF with these tags in its first directory; a text stands behind it.
fn tiff(tags: &[u16], make: &str) -> Vec<u8> {
    let mut file = [b"II*\0\x08\0\0\0", &u16::try_from(tags.len() + 1).expect("few").to_le_bytes()[..]].concat();
    let behind = 8 + 2 + 12 * (tags.len() + 1) + 4;
    file.extend([0x0F, 0x01, 2, 0]);
    file.extend(u32::try_from(make.len()).expect("short").to_le_bytes());
    file.extend(u32::try_from(behind).expect("small").to_le_bytes());
    for tag in tags {
        file.extend(tag.to_le_bytes());
        file.extend([4, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    }
    file.extend([0; 4]);
    file.extend(make.as_bytes());
    file
}

fn archive_of_tar() -> Vec<u8> {
    let mut file = vec![0; 1024];
    file[..8].copy_from_slice(b"face.jpg");
    file[257..262].copy_from_slice(b"ustar");
    file
}

fn list() -> Vec<(Vec<u8>, Code, &'static str)> {
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>";
    let late = [b"<?xml version='1.0'?><!-- made by a program -->\n<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'x' [\n<!ENTITY a 'b'>\n]>\n", &svg[..]].concat();
    let dicom = [&[0; 128][..], b"DICM"].concat();
    let mut list = vec![
        (brands("heic", &["mif1", "heic"]), UNSUPPORTED, "is heic;"),
        (brands("heix", &[]), UNSUPPORTED, "is heic;"),
        (brands("mif1", &["mif1", "heic", "hevc"]), UNSUPPORTED, "is heic;"),
        (brands("mif1", &["mif1", "avif", "miaf"]), UNSUPPORTED, "is avif;"),
        (brands("mif1", &["mif1", "miaf"]), UNSUPPORTED, "is heif;"),
        (brands("msf1", &["msf1", "avis"]), UNSUPPORTED, "is avif;"),
        (brands("avif", &["mif1", "heic"]), UNSUPPORTED, "is avif;"),
        (brands("avis", &[]), UNSUPPORTED, "is avif;"),
        (brands("crx ", &["crx ", "isom"]), UNSUPPORTED, "is cr3"),
        (brands("mp42", &[]), UNSUPPORTED, "mp4 video"),
        (brands("isom", &["iso2", "avc1", "mp41"]), UNSUPPORTED, "mp4 video"),
        (brands("qt  ", &["qt  "]), UNSUPPORTED, "QuickTime video"),
        (brands("3gp4", &[]), UNSUPPORTED, "3gp video"),
        (brands("wxyz", &[]), UNSUPPORTED, "video or another ISO media file"),
        (brands("M4A ", &[]), NO_IMAGE, "m4a audio"),
        (tiff(&[], "a scanner"), UNSUPPORTED, "is tiff;"),
        (tiff(&[0x014A], "NIKON CORPORATION"), UNSUPPORTED, "is nef"),
        (tiff(&[], "NIKON CORPORATION"), UNSUPPORTED, "is tiff;"),
        (tiff(&[0x014A], "SONY\0"), UNSUPPORTED, "is arw"),
        (tiff(&[0x014A, 0xC612], "Apple"), UNSUPPORTED, "is dng"),
        (b"II*\0\x10\0\0\0CR\x02\0".to_vec(), UNSUPPORTED, "is cr2"),
        (late, UNSUPPORTED, "is svg;"),
        (svg.to_vec(), UNSUPPORTED, "is svg;"),
        (archive_of_tar(), NO_IMAGE, "tar archive"),
        (dicom, UNSUPPORTED, "is dicom;"),
        (vec![0; 5_000], NO_IMAGE, "zero bytes"),
        (Vec::new(), NO_IMAGE, "is empty"),
    ];
    list.extend(STARTS.iter().map(|&(start, code, words)| (start.to_vec(), code, words)));
    list
}

/// Told by their first bytes.
const STARTS: &[(&[u8], Code, &str)] = &[
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", UNSUPPORTED, "is png;"),
    (b"GIF87a\x01\0\x01\0", UNSUPPORTED, "is gif;"),
    (b"GIF89a\x01\0\x01\0\0\0\0\0\0\0", UNSUPPORTED, "is gif;"),
    (b"RIFF\x24\0\0\0WEBPVP8 ", UNSUPPORTED, "is webp;"),
    (b"RIFF\x24\0\0\0AVI LIST", UNSUPPORTED, "avi video"),
    (b"RIFF\x24\0\0\0WAVEfmt ", NO_IMAGE, "wav audio"),
    (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", UNSUPPORTED, "is bmp;"),
    (b"BM\x36\0\0\0\x05\0\x07\0\x1a\0\0\0\x0c\0\0\0", UNSUPPORTED, "is bmp;"),
    (b"\x0a\x05\x01\x08\0\0\0\0", UNSUPPORTED, "is pcx;"),
    (b"icns\0\0\x10\0", UNSUPPORTED, "is icns"),
    (b"SIMPLE  =                    T", UNSUPPORTED, "is fits;"),
    (b"MM\0*\0\0\0\x08\0\0\0\0", UNSUPPORTED, "is tiff;"),
    (b"II+\0\x08\0\0\0\0\0\0\0", UNSUPPORTED, "BigTIFF"),
    (b"MM\0+\0\x08\0\0\0\0\0\0", UNSUPPORTED, "BigTIFF"),
    (b"\xff\x0a\xfa\x7f\x01", UNSUPPORTED, "is jpeg xl;"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", UNSUPPORTED, "is jpeg xl;"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", UNSUPPORTED, "is jpeg 2000;"),
    (b"\xff\x4f\xff\x51\0\x2f", UNSUPPORTED, "is jpeg 2000"),
    (b"II\xbc\x01\x08\0\0\0", UNSUPPORTED, "is jpeg xr;"),
    (b"IIRO\x08\0\0\0", UNSUPPORTED, "is orf"),
    (b"MMOR\0\0\0\x08", UNSUPPORTED, "is orf"),
    (b"IIU\0\x18\0\0\0", UNSUPPORTED, "is rw2"),
    (b"FUJIFILMCCD-RAW 0201", UNSUPPORTED, "is raf"),
    (b"II\x1a\0\0\0HEAPCCDR", UNSUPPORTED, "is crw"),
    (b"FOVb\0\0\x02\0", UNSUPPORTED, "is x3f"),
    (b"8BPS\0\x01\0\0", UNSUPPORTED, "is psd"),
    (b"8BPS\0\x02\0\0", UNSUPPORTED, "is psb"),
    (b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0\x68\x04\0\0\x16\0\0\0", UNSUPPORTED, "is ico;"),
    (b"P6\n640 480\n255\n", UNSUPPORTED, "is pnm"),
    (b"qoif\0\0\x02\x80", UNSUPPORTED, "is qoi;"),
    (b"\x76\x2f\x31\x01\x02\0\0\0", UNSUPPORTED, "is openexr;"),
    (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", UNSUPPORTED, "is pdf;"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n", UNSUPPORTED, "is postscript;"),
    (b"\0\0\0\x08wide\0\0\x10\0mdat", UNSUPPORTED, "QuickTime video"),
    (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm", UNSUPPORTED, "webm video"),
    (b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska", UNSUPPORTED, "Matroska video"),
    (b"FLV\x01\x05\0\0\0\x09", UNSUPPORTED, "flv video"),
    (b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", NO_IMAGE, "HTML page"),
    (b"\xef\xbb\xbf\r\n<HTML><head>", NO_IMAGE, "HTML page"),
    (b"<!-- cached --><!doctype HTML>", NO_IMAGE, "HTML page"),
    (b"<?xml version=\"1.0\"?><!DOCTYPE html><html>", NO_IMAGE, "HTML page"),
    (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", NO_IMAGE, "is XML,"),
    (b"<Error><Code>AccessDenied</Code></Error>", NO_IMAGE, "is XML,"),
    (b"<?xml never ends", NO_IMAGE, "is XML,"),
    (b"{\"error\":\"expired\"}", NO_IMAGE, "is JSON,"),
    (b" \n[ {\"a\": 1} ]", NO_IMAGE, "is JSON,"),
    (b"{}", NO_IMAGE, "is JSON,"),
    (b"data:image/jpeg;base64,/9j/4AAQSkZJRg==", NO_IMAGE, "data URI"),
    (b"/9j/4AAQSkZJRgABAQ", NO_IMAGE, "base64"),
    (b"------x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n\xc3\xbf", NO_IMAGE, "multipart form"),
    (b"just some text!!", NO_IMAGE, "is text,"),
    (b"{ this is no JSON }", NO_IMAGE, "is text,"),
    ("Gr\u{fc}\u{df}e".as_bytes(), NO_IMAGE, "is text,"),
    (b"\xff\xfeh\0i\0", NO_IMAGE, "UTF-16"),
    (b"PK\x03\x04\x14\0", NO_IMAGE, "zip archive"),
    (b"PK\x05\x06\0\0", NO_IMAGE, "empty zip archive"),
    (b"\x1f\x8b\x08\0", NO_IMAGE, "gzip-compressed"),
    (b"7z\xbc\xaf\x27\x1c\0\x04", NO_IMAGE, "7z archive"),
    (b"Rar!\x1a\x07\x01\0", NO_IMAGE, "rar archive"),
    (b"\xfd7zXZ\0\0\x04", NO_IMAGE, "xz-compressed"),
    (b"\x28\xb5\x2f\xfd\x04\0", NO_IMAGE, "zstd-compressed"),
    (b"BZh91AY&SY", NO_IMAGE, "bzip2-compressed"),
    (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", NO_IMAGE, "AppleDouble"),
    (b"\x7fELF\x02\x01\x01\0", NO_IMAGE, "a program"),
    (b"\x12\x34\x80\xfe", NO_IMAGE, "no known image format"),
    (b"\xff\xd8", NO_IMAGE, "no known image format"),
    (b"BM, said the text", NO_IMAGE, "is text,"),
];

#[test]
fn every_format_is_named() {
    for (file, code, words) in list() {
        let failure = inspect(&file).expect_err("refused");
        assert_eq!(failure.code(), code, "{words}: {failure}");
        assert!(failure.message().contains(words), "{words}: {failure}");
        if file.iter().any(|&byte| byte != 0) {
            let longer = inspect(&[&file[..], &[b' '; 2_000]].concat());
            assert_eq!(longer, Err(failure.clone()), "{words}: what follows changes nothing");
        }
        assert_eq!(judge(&file.chunks(1).collect::<Vec<_>>()), Err(failure), "{words}: byte by byte");
    }
}
