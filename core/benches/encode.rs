//! What the work on every byte costs, per megabyte of image: `cargo bench -p antispoof-core --bench encode`.
//!
//! Plain wall-clock time on one thread: the median, and the least, which is what to look at on a machine that has other things to do. `docs/decisions/0002-base64-simd.md` is where the figures were put to use.
#![expect(clippy::print_stdout, reason = "the figures are what the program is for")]

use antispoof_core::encode::{Encoder, body_len};
use antispoof_core::image::{Facts, Format, Verify};
use antispoof_core::stream_digest::{DigestKind, StreamDigest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use base64_simd::{AsOut as _, STANDARD};
use std::hint::black_box;
use std::time::{Duration, Instant};

const IMAGE: usize = 8_000_000;
const IMAGE_MB: f64 = 8.0;
/// About what arrives from a socket at a time.
const CHUNK: usize = 64 * 1024;
const REPS: usize = 41;
const FACTS: Facts = Facts::upright(Format::Jpeg, 1, 1);

fn main() {
    let image = image();
    let mut whole = vec![0_u8; IMAGE.div_ceil(3) * 4];
    let mut block = vec![0_u8; CHUNK.div_ceil(3) * 4];

    println!("µs per MB of image, of {REPS} times {:>23} {:>8}\n", "median", "least");
    println!("base64 of a whole image into a buffer that is there");
    row("base64", || {
        BASE64_STANDARD.encode_slice(&image, &mut whole).expect("it fits");
        black_box(&whole);
    });
    row("base64-simd", || {
        black_box(STANDARD.encode(&image, whole.as_mut_slice().as_out()));
    });

    println!("\nbase64-simd by chunks of 64 KiB: where the output goes");
    row("one buffer, again and again", || {
        for chunk in chunks(&image) {
            black_box(STANDARD.encode(chunk, block.as_mut_slice().as_out()));
        }
    });
    row("a new block for each chunk (Encoder)", || {
        let mut encoder = Encoder::default();
        for chunk in image.chunks(CHUNK) {
            black_box(encoder.push(chunk));
        }
        black_box(encoder.finish());
    });
    row("a new zeroed block for each chunk", || {
        for chunk in chunks(&image) {
            let mut block = vec![0_u8; chunk.len().div_ceil(3) * 4];
            black_box(STANDARD.encode(chunk, block.as_mut_slice().as_out()));
            black_box(block);
        }
    });
    row("a new body for the whole image", || {
        let mut body = Vec::with_capacity(usize::try_from(body_len(IMAGE as u64)).expect("it fits"));
        STANDARD.encode_append(&image, &mut body);
        black_box(body);
    });
    row("… as a JSON string by serde_json", || {
        let text = STANDARD.encode_to_string(&image);
        black_box(serde_json::to_vec(&text).expect("a string is JSON"));
    });

    println!("\nEncoder and StreamDigest together, as a job does it");
    for (name, kind) in [("no digest", DigestKind::Off), ("blake3", DigestKind::Blake3), ("sha256", DigestKind::Sha256)]
    {
        row(name, || {
            let (mut encoder, mut digest) = (Encoder::default(), StreamDigest::new(kind, Verify::Structure, &FACTS));
            for chunk in image.chunks(CHUNK) {
                digest.chunk(chunk);
                black_box(encoder.push(chunk));
            }
            black_box(encoder.finish());
            digest.finish(IMAGE as u64).expect("the image has an end");
        });
    }

    println!("\nThe end of the image, as its bytes pass");
    let ways =
        [("header: two bytes are searched for", Verify::Header), ("structure: markers are walked", Verify::Structure)];
    for (name, verify) in ways {
        row(name, || {
            let mut digest = StreamDigest::new(DigestKind::Off, verify, &FACTS);
            for chunk in image.chunks(CHUNK) {
                digest.chunk(black_box(chunk));
            }
            digest.finish(IMAGE as u64).expect("the image has an end");
        });
    }
}

fn row(name: &str, mut work: impl FnMut()) {
    work();
    let mut times: Vec<Duration> = (0..REPS)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    let per_mb = |time: Duration| time.as_secs_f64() * 1e6 / IMAGE_MB;
    println!("  {name:<40} {:>8.1} {:>8.1}", per_mb(times[REPS / 2]), per_mb(times[0]));
}

/// Chunks of a length that needs no carry.
fn chunks(image: &[u8]) -> impl Iterator<Item = &[u8]> {
    image.chunks(CHUNK - CHUNK % 3)
}

/// Bytes as in the scan of a JPEG: nothing compresses, a zero follows every FF, the end marker is at the end.
fn image() -> Vec<u8> {
    let mut state = 0x5eed_u64;
    let mut after_ff = false;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let byte = if after_ff { 0 } else { state.to_be_bytes()[2] };
        after_ff = byte == 0xFF;
        byte
    });
    noise.take(IMAGE - 2).chain([0xFF, 0xD9]).collect()
}
