//! What a conversion costs, per megapixel, beside the bare crates and other programs: `cargo bench -p antispoof-convert -- [DIR]`.
//!
//! DIR has photos (JPEG; others are left out); without one, a picture of noise and gradients stands for them. CPU time of this thread, and of the programs
//! that are started where they are installed: `vips` and `convert` (`ImageMagick`). All in one run, in turns: compare columns, not runs.
#![expect(clippy::print_stdout, reason = "the figures are what the program is for")]

use antispoof_convert::{Wish, convert, memory};
use antispoof_core::image::{Facts, Format, Formats, Inspector};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, hint};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::options::DecoderOptions;

const AS_IT_IS: Wish = Wish { max_side: 0, quality: 90 };
const REPS: usize = 3;

/// A file, and the directory that programs read it from.
struct File {
    bytes: Vec<u8>,
    path: PathBuf,
    facts: Facts,
}

fn main() {
    let folder = env::temp_dir().join(format!("antispoof-convert-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let photos = photos();
    let kinds: [(&str, Vec<Vec<u8>>); 3] = [
        ("jpeg", photos.clone()),
        ("png", photos.iter().map(|photo| png(&pixels(photo))).collect()),
        ("webp (lossless)", photos.iter().map(|photo| webp(&pixels(photo))).collect()),
    ];
    println!("ms of CPU per megapixel, quality 90, least of {REPS}\n");
    println!("{:<28} {:>8} {:>8} {:>8} {:>8}", "", "ours", "crates", "vips", "convert");
    for (name, files) in &kinds {
        let files: Vec<File> = files.iter().enumerate().map(|(at, bytes)| file(&folder, at, bytes)).collect();
        let upright = least(&files, |file| ours(file, 1, AS_IT_IS));
        let bare = least(&files, |file| measured(|| bare(file)));
        let vips = program(&files, |file, to| command("vips", &["copy"], file, &[&format!("{to}[Q=90,strip]")]));
        let magick = program(&files, |file, to| command("convert", &[], file, &["-strip", "-quality", "90", to]));
        println!("{name:<28} {upright:>8.1} {bare:>8.1} {} {}", shown(vips), shown(magick));
        if *name == "jpeg" {
            for orientation in 2..=8 {
                let turned = least(&files, |file| ours(file, orientation, AS_IT_IS));
                println!("{:<28} {turned:>8.1}", format!("jpeg, turned {orientation}"));
            }
            let scaled = least(&files, |file| ours(file, 1, Wish { max_side: 1024, ..AS_IT_IS }));
            println!("{:<28} {scaled:>8.1}", "jpeg, scaled to 1024");
            let checked = least(&files, |file| {
                measured(|| antispoof_convert::check(&file.bytes, &file.facts).expect("a picture"))
            });
            println!("{:<28} {checked:>8.1}", "jpeg, decoded only");
        }
        let reckoned = files.iter().map(|file| memory(&file.facts, file.bytes.len() as u64, AS_IT_IS));
        println!("{:<28} {:>7.1} bytes a pixel reckoned", "", per_pixel(&files, reckoned.sum()));
    }
    fs::remove_dir_all(&folder).expect("it is ours");
}

fn ours(file: &File, orientation: u8, wish: Wish) -> f64 {
    let facts = Facts { orientation, ..file.facts };
    let bytes = file.bytes.clone();
    measured(|| drop(hint::black_box(convert(bytes, &facts, wish).expect("a picture"))))
}

/// As a program would that knows nothing but the crates: decoded to RGB, encoded from it, as the encoder does unless it is told otherwise.
fn bare(file: &File) {
    let (width, height) = (file.facts.width, file.facts.height);
    let rgb = match file.facts.format {
        Format::Jpeg => pixels(&file.bytes).2,
        Format::Png => {
            let mut reader = png::Decoder::new(std::io::Cursor::new(&file.bytes)).read_info().expect("a header");
            let mut data = vec![0; reader.output_buffer_size().expect("small")];
            reader.next_frame(&mut data).expect("a picture");
            data
        }
        _ => {
            let mut decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(&file.bytes)).expect("a header");
            let mut data = vec![0; decoder.output_buffer_size().expect("small")];
            decoder.read_image(&mut data).expect("a picture");
            data
        }
    };
    let mut out = Vec::new();
    let side = |side: u32| u16::try_from(side).expect("small");
    let mut encoder = Encoder::new(&mut out, 90);
    if file.facts.coding.coarse_colour && file.facts.format == Format::Jpeg {
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
    }
    encoder.encode(&rgb, side(width), side(height), ColorType::Rgb).expect("a jpeg");
    hint::black_box(out);
}

fn photos() -> Vec<Vec<u8>> {
    // `cargo bench` adds an argument of its own.
    let folder = env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let Some(folder) = folder else { return vec![drawn()] };
    let listed = fs::read_dir(&folder).unwrap_or_else(|problem| panic!("{folder}: {problem}"));
    let files = listed.map(|entry| fs::read(entry.expect("an entry").path()).unwrap_or_default());
    files.filter(|file| antispoof_core::image::inspect(file).is_ok()).collect()
}

/// Twelve megapixels, with edges and some noise.
fn drawn() -> Vec<u8> {
    let (width, height) = (4_000_u32, 3_000_u32);
    let mut seed = 1_u32;
    let mut noise = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 29
    };
    let values = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let rgb: Vec<u8> = values
        .flat_map(|(x, y)| {
            let base = (x / 16 + y / 8) % 200 + if (x / 300 + y / 200) % 2 == 0 { 40 } else { 0 };
            [base + noise(), base / 2 + noise(), 200 - base / 2 + noise()].map(|value| value.to_le_bytes()[0])
        })
        .collect();
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, 90);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(&rgb, 4_000, 3_000, ColorType::Rgb).expect("a jpeg");
    out
}

/// Width, height and RGB.
fn pixels(jpeg: &[u8]) -> (u32, u32, Vec<u8>) {
    let options = DecoderOptions::default().set_max_width(65_535).set_max_height(65_535);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    let data = decoder.decode().expect("a picture");
    let info = decoder.info().expect("a header");
    (u32::from(info.width), u32::from(info.height), data)
}

fn png((width, height, rgb): &(u32, u32, Vec<u8>)) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, *width, *height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(rgb).expect("pixels");
    writer.finish().expect("an end");
    file
}

fn webp((width, height, rgb): &(u32, u32, Vec<u8>)) -> Vec<u8> {
    let mut file = Vec::new();
    let encoder = image_webp::WebPEncoder::new(&mut file);
    encoder.encode(rgb, *width, *height, image_webp::ColorType::Rgb8).expect("pixels");
    file
}

fn file(folder: &Path, at: usize, bytes: &[u8]) -> File {
    let formats: Formats = [Format::Png, Format::WebP].into_iter().collect();
    let mut inspector = Inspector::accepting(formats);
    let facts = inspector.push(bytes).expect("a picture").expect("a whole header");
    let path = folder.join(format!("{at}.{}", facts.format.name()));
    fs::write(&path, bytes).expect("there is room");
    File { bytes: bytes.to_vec(), path, facts: Facts { orientation: 1, ..facts } }
}

/// A program that reads the file and writes to the last of the arguments behind it.
fn command(name: &str, before: &[&str], file: &File, behind: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(before).arg(&file.path).args(behind).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// CPU of a program that converts each file; `None` where it is not there, or refuses.
fn program(files: &[File], build: impl Fn(&File, &str) -> Command) -> Option<f64> {
    let to = files.first()?.path.with_file_name("out.jpg");
    let mut sums = Vec::new();
    for _ in 0..REPS {
        let before = children();
        for file in files {
            let mut command = build(file, to.to_str()?);
            command.status().ok().filter(std::process::ExitStatus::success)?;
        }
        sums.push((children() - before) / megapixels(files));
    }
    sums.into_iter().reduce(f64::min)
}

fn shown(figure: Option<f64>) -> String {
    figure.map_or_else(|| format!("{:>8}", "-"), |figure| format!("{figure:>8.1}"))
}

/// The least of some rounds over all files.
fn least(files: &[File], measure: impl Fn(&File) -> f64) -> f64 {
    let round = || files.iter().map(&measure).sum::<f64>() / megapixels(files);
    (0..REPS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn megapixels(files: &[File]) -> f64 {
    files.iter().map(|file| f64::from(file.facts.width) * f64::from(file.facts.height) / 1e6).sum()
}

#[expect(clippy::cast_precision_loss, reason = "a figure to be read")]
fn per_pixel(files: &[File], bytes: u64) -> f64 {
    bytes as f64 / megapixels(files) / 1e6
}

fn measured(run: impl FnOnce()) -> f64 {
    let before = cpu();
    run();
    cpu() - before
}

/// CPU time of this thread, in milliseconds.
fn cpu() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).expect("a number") / 1e6
}

/// CPU time of the programs that have ended, in milliseconds: ticks of a hundredth of a second.
fn children() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = text.rsplit_once(") ").expect("a name");
    let ticks = |at: usize| fields.split(' ').nth(at).and_then(|ticks| ticks.parse::<f64>().ok()).expect("a number");
    (ticks(13) + ticks(14)) * 10.0
}
