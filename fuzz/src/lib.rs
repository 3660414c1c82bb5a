//! What each fuzz target does with its bytes. The fuzzer and `tests/fuzz_smoke.rs` share it, so that what one finds the other keeps.
//!
//! A target panics where something does not hold that must hold for every input.

mod image_inspect;
mod job_decode;
mod request_body;
mod settings_load;
mod vendor_answer;

pub use image_inspect::image_inspect;
pub use job_decode::job_decode;
pub use request_body::request_body;
pub use settings_load::settings_load;
pub use vendor_answer::vendor_answer;

use antispoof_core::failure::{Code, Failure, MAX_MESSAGE_BYTES};

/// What every failure owes to those who read it: it may stand in a header and in a log line.
fn presentable(failure: &Failure) {
    let message = failure.message();
    assert!(!message.is_empty() && message.len() <= MAX_MESSAGE_BYTES, "{} bytes: {message}", message.len());
    assert!(!message.contains(char::is_control), "{message:?}");
    assert_eq!(Code::from_name(failure.code().name()), Some(failure.code()));
}

/// The bytes in up to four pieces, cut where the first bytes say; some pieces may be empty.
fn pieces<'a>(cuts: &[u8], bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)) % (bytes.len() + 1))
        .collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// The first `N` bytes, zeros where there are none, and the rest.
fn control<const N: usize>(data: &[u8]) -> ([u8; N], &[u8]) {
    let mut control = [0; N];
    let taken = data.len().min(N);
    control[..taken].copy_from_slice(&data[..taken]);
    (control, &data[taken..])
}
