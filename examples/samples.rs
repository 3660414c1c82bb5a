//! Writes the sample images and their `manifest.json` into a directory: `cargo run --example samples -- OUT_DIR`.
//!
//! The manifest has, for each file, its name, what kind it is, what is expected of it (`verdict` or a failure code) with the
//! default settings and with those of the demo, width and
//! height in pixels and EXIF orientation (null where the file has none), and the SHA-256 of its bytes.
#![expect(clippy::print_stdout, reason = "an example is a command; what it wrote is its output")]

#[path = "../tests/it/images.rs"]
#[expect(dead_code, reason = "what only the tests use of it")]
mod images;

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context, bail};
use serde_json::json;

fn main() -> anyhow::Result<()> {
    let mut arguments = env::args_os().skip(1);
    let (Some(dir), None) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        bail!("usage: samples OUT_DIR");
    };
    fs::create_dir_all(&dir).with_context(|| format!("failed to create {}", dir.display()))?;

    let mut manifest = Vec::new();
    for sample in images::catalogue() {
        let bytes = sample.bytes();
        let path = dir.join(sample.name);
        fs::write(&path, &bytes).with_context(|| format!("failed to write {}", path.display()))?;
        manifest.push(json!({
            "name": sample.name,
            "kind": sample.kind,
            "expected": sample.expected.as_str(),
            "expected_in_demo": sample.expected_in_demo().as_str(),
            "width": sample.size.map(|(width, _)| width),
            "height": sample.size.map(|(_, height)| height),
            "orientation": sample.orientation,
            "sha256": images::sha256(&bytes),
        }));
    }

    let path = dir.join("manifest.json");
    fs::write(&path, serde_json::to_string_pretty(&manifest)? + "\n")
        .with_context(|| format!("failed to write {}", path.display()))?;
    println!("{} files and {}", manifest.len(), path.display());
    Ok(())
}
