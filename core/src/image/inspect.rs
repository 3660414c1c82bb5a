//! What the first bytes of a file say, as they come.

use super::facts::{Facts, Format};
use super::formats::Formats;
use super::jpeg::JpegScan;
use super::{names, raster};
use crate::failure::{Code, Failure};

/// How far into a file the header of its first scan may reach, in bytes. Large EXIF, ICC, depth and XMP segments come first: of 2,377 public JPEGs the frame
/// header of the middle one lay at 14 KB, that of the last hundredth beyond 594 KB, the farthest at 1.68 MB. Two and a half times that.
pub const MAX_HEADER_BYTES: usize = 4 * 1024 * 1024;

/// How every JPEG begins for those who tell formats apart: the start marker, and the FF of the next.
const JPEG: &[u8] = &[0xFF, 0xD8, 0xFF];

/// Looks at the first bytes of a file, in chunks of any size: the same bytes give the same answer, wherever they are cut.
#[derive(Debug, Default)]
pub struct Inspector {
    /// Of what does not begin like a JPEG: as much as tells formats apart.
    first: Vec<u8>,
    jpeg: Option<JpegScan>,
    seen: usize,
    formats: Formats,
}

impl Inspector {
    /// Accepts JPEG and these.
    pub fn accepting(formats: Formats) -> Self {
        Self { formats, ..Self::default() }
    }

    /// Takes the next bytes. `None`: it takes more to tell. Not to be asked again after another answer.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Option<Facts>, Failure> {
        if self.jpeg.is_some() {
            return self.walk(chunk);
        }
        let before = self.first.len();
        let wanted = chunk.len().min(names::SNIFF_BYTES - before);
        self.first.extend_from_slice(&chunk[..wanted]);
        if self.first.starts_with(JPEG) {
            self.jpeg = Some(JpegScan::default());
            let held = std::mem::take(&mut self.first);
            // Up to two bytes.
            self.walk(&held[..before])?;
            return self.walk(chunk);
        }
        if self.first.len() < names::SNIFF_BYTES { Ok(None) } else { self.other().map(Some) }
    }

    /// The answer, where the file ends before there is one.
    pub fn finish(&self) -> Result<Facts, Failure> {
        match self.jpeg.as_ref().map(JpegScan::finish) {
            Some(Err(reason)) => Err(corrupt("jpeg", reason)),
            Some(Ok(())) | None => self.other(),
        }
    }

    fn other(&self) -> Result<Facts, Failure> {
        match names::format(&self.first) {
            Some(format) if self.formats.contains(format) => {
                raster::facts(format, &self.first).map_err(|why| corrupt(format.name(), why))
            }
            _ => Err(names::refuse(&self.first)),
        }
    }

    fn walk(&mut self, bytes: &[u8]) -> Result<Option<Facts>, Failure> {
        let Some(jpeg) = &mut self.jpeg else {
            return Ok(None);
        };
        let within = bytes.len().min(MAX_HEADER_BYTES - self.seen);
        let (taken, found) = jpeg.header(&bytes[..within]).map_err(|why| corrupt("jpeg", why))?;
        self.seen += taken;
        match found {
            Some(header) => Ok(Some(Facts {
                format: Format::Jpeg,
                width: u32::from(header.frame.width),
                height: u32::from(header.frame.height),
                orientation: header.orientation,
                scan_from: self.seen as u64,
                restarts: header.restarts,
                coding: header.coding,
            })),
            None if self.seen == MAX_HEADER_BYTES => Err(corrupt("jpeg", "there is no scan within the first 4 MiB")),
            None => Ok(None),
        }
    }
}

/// What the inspection of a whole file says, where JPEG alone is accepted.
pub fn inspect(file: &[u8]) -> Result<Facts, Failure> {
    let mut inspector = Inspector::default();
    inspector.push(file)?.map_or_else(|| inspector.finish(), Ok)
}

fn corrupt(format: &str, why: &str) -> Failure {
    Failure::new(Code::ImageCorrupt, format!("looks like a {format}, but {why}"))
}
