//! The fuzz targets on their seeds and on thousands of inputs made from them: the same inputs on every run, and no fuzzer needed.
//!
//! `make fuzz` runs the same targets for as long as is wanted.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a library to the fuzzer, a module here")]
mod targets;

/// Pieces of the formats that random bytes hardly ever make.
const WORDS: &[&[u8]] = &[
    b"\xff\xd8\xff",
    b"\xff\xd9",
    b"\xff\xc0\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00",
    b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00",
    b"\xff\xdd\x00\x04\x00\x01",
    // A Huffman table of one code.
    b"\xff\xc4\x00\x14\x00\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    // A quantisation table, up to its values.
    b"\xff\xdb\x00\x43\x00",
    b"Exif\0\0II*\0",
    b"<?xml",
    b"<svg",
    b"ftyp",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"null",
    b"true",
    b"false",
    b"1e999",
    b"-0",
    b"\\u0000",
    b"\\ud800",
    b"\"spoof_detected\":",
    b"\"accuracy\":",
    b"\"key\":\"..\"",
    b"\"metadata\":{",
    b"\"Records\":[",
    b"\"eventName\":\"s3:ObjectCreated:",
    b"\"specversion\":\"1.0\",",
    b"\"data\":",
    b"%2F",
    b"%zz",
    b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
    b"\x78\x9c",
    b"\0Sw\xa1",
    b"\0Su\xa0",
    b"\xef\xbb\xbf",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"{\"img\":\"data:image/jpeg;base64,",
    b"=\"}",
    b"/9j/",
    b"\nsecret = \"",
    b"\n[api]\n",
    b"\n[[s3]]\n",
    b"'''",
    b"\"\"\"",
    b"9999999999999999999999",
];

#[test]
fn job_decode() {
    smoke("job_decode", targets::job_decode, 20_000);
}

#[test]
fn image_inspect() {
    smoke("image_inspect", targets::image_inspect, 6_000);
}

#[test]
fn vendor_answer() {
    smoke("vendor_answer", targets::vendor_answer, 40_000);
}

#[test]
fn settings_load() {
    smoke("settings_load", targets::settings_load, 150);
}

#[test]
fn request_body() {
    smoke("request_body", targets::request_body, 4_000);
}

fn smoke(name: &str, target: fn(&[u8]), rounds: usize) {
    let seeds = seeds(name);
    for seed in &seeds {
        run(target, seed);
    }
    let mut dice = fastrand::Rng::with_seed(0x5eed);
    for _ in 0..rounds {
        let mut input = dice.choice(&seeds).expect("a seed").clone();
        for _ in 0..dice.usize(1..=4) {
            mutate(&mut dice, &mut input, &seeds);
        }
        run(target, &input);
    }
}

/// A panic names the input, so that it can be put among the seeds.
fn run(target: fn(&[u8]), input: &[u8]) {
    let held = catch_unwind(AssertUnwindSafe(|| target(input))).is_ok();
    assert!(held, "with the input b\"{}\"", input.escape_ascii());
}

fn mutate(dice: &mut fastrand::Rng, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = dice.usize(0..=input.len());
    let end = dice.usize(at..=input.len());
    match dice.u8(0..7) {
        0 => input.insert(at, dice.u8(..)),
        1 if at < input.len() => input[at] ^= 1 << dice.u8(0..8),
        2 if at < input.len() => input[at] = dice.u8(..),
        3 => drop(input.drain(at..end)),
        4 => drop(input.splice(at..at, dice.choice(WORDS).expect("a word").iter().copied())),
        5 => {
            let again = input[at..end].to_vec();
            drop(input.splice(at..at, again));
        }
        _ => {
            let other = dice.choice(seeds).expect("a seed");
            let from = dice.usize(0..=other.len());
            drop(input.splice(at..end, other[from..].iter().copied()));
        }
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new("fuzz/seeds").join(target);
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("the seeds").map(|entry| entry.expect("a seed").path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{} has hardly any seeds", folder.display());
    files.iter().map(|file| fs::read(file).expect("a seed")).collect()
}
