#!/usr/bin/env bash
# What was seen: a JPEG cut in half, baseline and progressive, is Ok for Rust's image 0.25.10 and zune-jpeg 0.5.15 in
# their default settings: full size, no error, no warning, the missing rows in one colour. Pillow 13.0.0, sharp 0.35.5 (libvips), Go 1.26
# image/jpeg and Rust's jpeg-decoder 0.3.2 all report the cut. zune-jpeg in strict mode reports it too.
#
# Expected: decode() -> Result; every other decoder that was tried, among them the one that `image` used before it took
#   zune-jpeg (jpeg-decoder), gives an error for a file without its second half. The guess was an error from all.
# Seen: as above; `image` hands on what zune-jpeg gives. The opposite case differs as well: with only the
#   last two bytes (EOI) missing, where every pixel is there, Go and jpeg-decoder refuse, Pillow, sharp and strict zune
#   take a baseline file and refuse a progressive one, image and zune take both.
# Why it matters: "it decodes" is no proof of a whole file. A worker that validates or converts by `image` sends half a
#   face to a paid API, and gets a verdict for it. antispoofd looks for the end of the picture itself.
# Needs: python3, node 18+, go 1.24+, cargo. Some 2 minutes, most of it the build of `image`.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
fail() { printf 'CHANGED: %s\n' "$*" >&2; exit 1; }
cd "$work"

timeout 240 python3 -m venv venv
timeout 240 venv/bin/pip -q --disable-pip-version-check install pillow==13.0.0
timeout 240 npm install --silent --no-fund --no-audit --prefix node sharp@0.35.5 >/dev/null

# Noise, so that the picture's data are spread evenly over the file.
cat >make.py <<'PY'
import io, random
from PIL import Image
random.seed(1)
noise = Image.frombytes("RGB", (300, 200), random.randbytes(300 * 200 * 3))
for name, progressive in (("baseline", False), ("progressive", True)):
    out = io.BytesIO()
    noise.save(out, "JPEG", quality=90, progressive=progressive)
    whole = out.getvalue()
    assert whole[-2:] == b"\xff\xd9"
    for cut, size in (("whole", len(whole)), ("no-eoi", len(whole) - 2), ("half", len(whole) // 2)):
        open(f"{name}-{cut}.jpg", "wb").write(whole[:size])
PY
timeout 60 venv/bin/python make.py
cat >look.py <<'PY'
import sys
from PIL import Image
for file in sys.argv[1:]:
    try:
        Image.open(file).load()
        print(file, "pillow ok")
    except OSError:
        print(file, "pillow error")
PY
cat >node/look.mjs <<'JS'
import sharp from 'sharp'
for (const file of process.argv.slice(2)) {
  const seen = await sharp(file).raw().toBuffer().then(() => 'ok', () => 'error')
  console.log(file, 'sharp', seen)
}
JS
mkdir go && cat >go/go.mod <<'GO'
module look
go 1.24
GO
cat >go/main.go <<'GO'
package main

import (
	"fmt"
	"image/jpeg"
	"os"
)

func main() {
	for _, name := range os.Args[1:] {
		file, _ := os.Open(name)
		seen := "ok"
		if _, err := jpeg.Decode(file); err != nil {
			seen = "error"
		}
		fmt.Println(name, "go", seen)
	}
}
GO
mkdir -p rust/src && cat >rust/Cargo.toml <<'TOML'
[package]
name = "look"
version = "0.0.0"
edition = "2024"
[dependencies]
image = { version = "=0.25.10", default-features = false, features = ["jpeg"] }
zune-jpeg = "=0.5.15"
jpeg-decoder = { version = "=0.3.2", default-features = false }
[profile.dev]
debug = false
TOML
cat >rust/src/main.rs <<'RS'
use std::io::Cursor;
use zune_jpeg::{JpegDecoder, zune_core::options::DecoderOptions};
fn main() {
    for file in std::env::args().skip(1) {
        let data = std::fs::read(&file).expect("a file");
        let say = |name: &str, good: bool| println!("{file} {name} {}", if good { "ok" } else { "error" });
        say("image", image::load_from_memory(&data).is_ok_and(|picture| picture.width() == 300 && picture.height() == 200));
        say("zune", JpegDecoder::new(Cursor::new(&data)).decode().is_ok());
        let strict = DecoderOptions::default().set_strict_mode(true);
        say("zune-strict", JpegDecoder::new_with_options(Cursor::new(&data), strict).decode().is_ok());
        say("jpeg-decoder", jpeg_decoder::Decoder::new(&data[..]).decode().is_ok());
    }
}
RS
(cd go && timeout 240 go build -o look .)
(cd rust && CARGO_BUILD_JOBS=1 CARGO_TARGET_DIR="$work/target" timeout 580 cargo build --quiet)

files=({baseline,progressive}-{whole,no-eoi,half}.jpg)
{
  timeout 60 venv/bin/python look.py "${files[@]}"
  timeout 60 node node/look.mjs "${files[@]}"
  timeout 60 go/look "${files[@]}"
  timeout 60 target/debug/look "${files[@]}"
} >seen
for file in "${files[@]}"; do
  printf '%-22s' "${file%.jpg}"
  for name in pillow sharp go jpeg-decoder zune-strict zune image; do
    printf ' %s:%s' "$name" "$(awk -v f="$file" -v n="$name" '$1 == f && $2 == n { print $3 }' seen)"
  done
  echo
done | tee table

of() { awk -v f="$1.jpg" -v n="$2" '$1 == f && $2 == n { print $3 }' seen; }
for kind in baseline progressive; do
  for name in pillow sharp go jpeg-decoder zune-strict zune image; do
    [[ $(of "$kind-whole" "$name") == ok ]] || fail "$name no longer reads the whole $kind picture"
  done
  for name in zune image; do [[ $(of "$kind-half" "$name") == ok ]] || fail "$name now reports half a $kind picture"; done
  for name in pillow sharp go jpeg-decoder zune-strict; do
    [[ $(of "$kind-half" "$name") == error ]] || fail "$name now takes half a $kind picture"
  done
  for name in zune image; do [[ $(of "$kind-no-eoi" "$name") == ok ]] || fail "$name now wants the EOI"; done
  for name in go jpeg-decoder; do [[ $(of "$kind-no-eoi" "$name") == error ]] || fail "$name no longer wants the EOI"; done
done
for name in pillow sharp zune-strict; do
  [[ $(of baseline-no-eoi "$name") == ok && $(of progressive-no-eoi "$name") == error ]] || fail "$name treats a missing EOI otherwise"
done
echo 'As stated: half a JPEG is Ok for image and zune-jpeg, and an error for the others.'
