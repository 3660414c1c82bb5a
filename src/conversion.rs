//! Makes of an image what is sent, where that is not the image itself: on threads of its own, within one budget of memory for all jobs.

mod memory;
mod work;

pub use memory::Share;
pub use work::{Aim, Work};

use antispoof_convert::{ConvertError, Wish};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::image::{Facts, Format, Limits, orientation, webp_lossless_bytes};
use bytes::Bytes;
use memory::Budget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

/// How long a job may wait for memory, and again for a thread, and how long its conversion may take. The largest image that fits takes two seconds of CPU.
pub const LIMIT: Duration = Duration::from_mins(2);

/// What the settings ask for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Turn what EXIF says lies on its side.
    pub upright: bool,
    /// Decode every JPEG before it is sent.
    pub decode: bool,
    /// Most pixels of the longer side; 0 is no limit.
    pub max_side: u32,
    /// Quality of what is encoded.
    pub quality: u8,
    /// Bytes for all jobs together.
    pub memory: u64,
    /// What is held against the image once its size is known.
    pub limits: Limits,
}

/// Converts images.
#[derive(Debug)]
pub struct Converter {
    options: Options,
    budget: Budget,
    threads: Arc<Semaphore>,
}

/// What is sent, and what was done for it.
#[derive(Debug)]
pub struct Made {
    /// Its bytes, with the memory that they take.
    pub bytes: Bytes,
    /// What its header says.
    pub facts: Facts,
    /// What the header of the object says, as far as it takes the whole file to know.
    pub of_object: Facts,
    /// The steps, as [`ImageReport`](antispoof_core::event::ImageReport) has them; none where the object's own bytes are sent.
    pub steps: Vec<String>,
}

/// Why nothing was made.
#[derive(Debug)]
pub enum NotMade {
    /// All memory or all threads were taken for too long. Nothing is wrong with the job: it is for another time.
    Busy,
    /// The work takes more memory than its header told, and that is not free at the moment: it is to be done again with a share for this.
    More(Work),
    /// The image cannot be converted, or its conversion does not come to an end.
    Failed(Failure),
}

impl From<Failure> for NotMade {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Converter {
    /// One with this budget, and as many threads as the process has cores.
    pub fn new(options: Options) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { options, budget: Budget::new(options.memory), threads: Arc::new(Semaphore::new(cores)) }
    }

    /// What has to be done before an image of `bytes` bytes can be sent; `None` where it is sent as it is. The failure is the image's: it never fits.
    pub fn work(&self, facts: &Facts, bytes: u64) -> Result<Option<Work>, Failure> {
        let Some(aim) = self.aim(facts)? else { return Ok(None) };
        let memory = memory(facts, bytes, aim, self.wish(), self.options.memory)?;
        Ok(Some(Work { facts: *facts, bytes, aim, memory }))
    }

    /// The share that the work takes, if it is free.
    pub fn try_share(&self, work: &Work) -> Option<Share> {
        self.budget.try_share(work.memory)
    }

    /// Waits for the share that the work takes, in the order of asking. Hold none meanwhile. Cancel safe.
    pub async fn share(&self, work: &Work) -> Result<Share, NotMade> {
        timeout(LIMIT, self.budget.share(work.memory)).await.map_err(|_| NotMade::Busy)
    }

    /// Does the work on the whole file. When dropped, what has begun goes on to its end, and gives back its memory then.
    pub async fn run(&self, file: Vec<u8>, work: Work, share: Share) -> Result<Made, NotMade> {
        let (options, wish) = (self.options, self.wish());
        let waiting = timeout(LIMIT, self.threads.clone().acquire_owned()).await;
        let permit = waiting.ok().and_then(Result::ok).ok_or(NotMade::Busy)?;
        let running = on_thread(permit, share, move |share| made(file, work, wish, &options, share))?;
        let format = work.facts.format.name();
        match timeout(LIMIT, running).await {
            Ok(Ok(made)) => made,
            Ok(Err(_)) => {
                let message = format!("the decoder of {format} failed on the object: a fault of the decoder");
                Err(Failure::new(Code::UnsupportedFormat, message).into())
            }
            Err(_) => {
                let message = format!("the object is a {format}, but its conversion did not end within {LIMIT:?}");
                Err(Failure::new(Code::ImageCorrupt, message).into())
            }
        }
    }

    fn aim(&self, facts: &Facts) -> Result<Option<Aim>, Failure> {
        let Options { upright, decode, max_side, .. } = self.options;
        let lies = upright && facts.orientation != 1;
        let large = max_side > 0 && facts.width.max(facts.height) > max_side;
        if facts.format != Format::Jpeg || lies || large {
            if facts.coding.arithmetic {
                let message = "the object is a jpeg with arithmetic coding, which is sent as it is but cannot be turned or scaled";
                return Err(Failure::new(Code::UnsupportedFormat, message));
            }
            return Ok(Some(Aim::Convert));
        }
        // What cannot be decoded here is no worse for that.
        Ok((decode && !facts.coding.arithmetic).then_some(Aim::Check))
    }

    fn wish(&self) -> Wish {
        Wish { max_side: self.options.max_side, quality: self.options.quality }
    }
}

/// What is made of a whole file. Decoders run here: on a thread of its own, which may panic.
fn made(file: Vec<u8>, work: Work, wish: Wish, options: &Options, mut share: Share) -> Result<Made, NotMade> {
    let of_object = whole(&file, &work, &options.limits)?;
    let memory = memory(&of_object, work.bytes, work.aim, wish, options.memory)?;
    if !share.keep_or_grow(memory) {
        return Err(NotMade::More(Work { memory, ..work }));
    }
    let done = work.aim.run(file, &of_object, wish).map_err(|error| refused(&error, of_object.format))?;
    share.keep(done.bytes.len() as u64);
    Ok(Made { bytes: share.hold(done.bytes), facts: done.facts, of_object, steps: done.steps })
}

/// What takes the whole file to know: the size of a TIFF, the orientation of all but JPEG. Held against the limits.
fn whole(file: &[u8], work: &Work, limits: &Limits) -> Result<Facts, Failure> {
    let mut facts = work.facts;
    if facts.format == Format::Jpeg {
        return Ok(facts);
    }
    if facts.format == Format::Tiff {
        let size = antispoof_convert::dimensions(file).map_err(|error| refused(&error, facts.format))?;
        (facts.width, facts.height) = size;
    }
    if facts.format == Format::WebP {
        facts.coding.lossless_bytes = webp_lossless_bytes(file);
    }
    facts.orientation = orientation(facts.format, file);
    facts.admit(limits)?;
    Ok(facts)
}

/// What the work takes; a failure where it is more than there is.
fn memory(facts: &Facts, bytes: u64, aim: Aim, wish: Wish, most: u64) -> Result<u64, Failure> {
    let needed = match aim {
        Aim::Convert => antispoof_convert::memory(facts, bytes, wish),
        Aim::Check => antispoof_convert::decoding_memory(facts, bytes),
    };
    if needed <= most {
        return Ok(needed);
    }
    let (width, height, mib) = (facts.width, facts.height, |bytes: u64| bytes.div_ceil(1 << 20));
    let message = format!(
        "{width}x{height} as {} takes {} MiB to decode, and image.conversion_memory is {} MiB: raise it where such images are to pass",
        facts.format.name(),
        mib(needed),
        most >> 20
    );
    Err(Failure::new(Code::ImageDimensions, message))
}

/// Runs it on a thread of its own; busy where there is none to be had. What comes of it is dropped where it panicked. The permit is given back when it
/// has ended, waited for or not.
fn on_thread<T: Send + 'static>(
    permit: OwnedSemaphorePermit,
    share: Share,
    run: impl FnOnce(Share) -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, NotMade> {
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("convert".to_owned()).spawn(move || {
        // The share goes with the panic, before the sender, which tells that it has ended.
        let result = catch_unwind(AssertUnwindSafe(|| run(share)));
        drop(permit);
        if let Ok(result) = result {
            drop(sender.send(result));
        }
    });
    thread.map_err(|error| {
        tracing::warn!(%error, "no thread can be started to convert an image: {error}");
        NotMade::Busy
    })?;
    Ok(receiver)
}

fn refused(error: &ConvertError, format: Format) -> Failure {
    let code = match error {
        ConvertError::Corrupt(_) => Code::ImageCorrupt,
        ConvertError::Unsupported(_) => Code::UnsupportedFormat,
        ConvertError::TooLarge(_) => Code::ImageDimensions,
    };
    Failure::new(code, format!("the object is a {}, but {error}", format.name()))
}

#[cfg(test)]
mod tests;
