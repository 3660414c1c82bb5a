use super::*;
use antispoof_core::image::{Formats, inspect};
use futures_util::FutureExt as _;
use image::ImageEncoder as _;

const PHOTO: &[u8] = include_bytes!("../../tests/samples/astronaut-face.jpg");
const LIMITS: Limits = Limits { min_side: 0, max_pixels: 1 << 26, upright_only: false, convert: Formats::NONE };
const OPTIONS: Options =
    Options { upright: true, decode: false, max_side: 0, quality: 90, memory: 16 << 20, limits: LIMITS };

/// The photo, 640 by 640, as if it lay on its side.
fn lying() -> Facts {
    Facts { orientation: 6, ..inspect(PHOTO).expect("a jpeg") }
}

fn free(converter: &Converter) -> bool {
    converter.budget.try_share(OPTIONS.memory).is_some()
}

#[test]
fn work_is_what_the_settings_ask_for_and_the_image_needs() {
    let upright = Facts { orientation: 1, ..lying() };
    let progressive_arithmetic =
        Facts { coding: antispoof_core::image::Coding { arithmetic: true, ..upright.coding }, ..upright };
    let aim = |options, facts: &Facts| Converter::new(options).work(facts, 1000).map(|work| work.map(|work| work.aim));
    let pass = Options { upright: false, ..OPTIONS };
    let decode = Options { decode: true, ..pass };
    for (options, facts, expected) in [
        (OPTIONS, upright, None),
        (OPTIONS, lying(), Some(Aim::Convert)),
        (pass, lying(), None),
        (Options { max_side: 640, ..pass }, upright, None),
        (Options { max_side: 639, ..pass }, upright, Some(Aim::Convert)),
        (decode, upright, Some(Aim::Check)),
        (decode, progressive_arithmetic, None),
        (pass, Facts { format: Format::Png, ..upright }, Some(Aim::Convert)),
    ] {
        assert_eq!(aim(options, &facts), Ok(expected), "{options:?} {facts:?}");
    }
    let arithmetic = Facts { orientation: 3, ..progressive_arithmetic };
    assert_eq!(aim(OPTIONS, &arithmetic).expect_err("not decoded here").code(), Code::UnsupportedFormat);
}

#[test]
fn what_never_fits_says_what_it_takes() {
    let converter = Converter::new(OPTIONS);
    let facts = Facts { width: 4000, height: 3000, ..lying() };
    let failure = converter.work(&facts, 3_000_000).expect_err("too large");
    assert_eq!(failure.code(), Code::ImageDimensions);
    assert_eq!(
        failure.message(),
        "4000x3000 as jpeg takes 64 MiB to decode, and image.conversion_memory is 16 MiB: raise it where such images are to pass"
    );
}

#[tokio::test]
async fn an_image_is_turned_and_its_memory_follows_its_bytes() {
    let converter = Converter::new(OPTIONS);
    let work = converter.work(&lying(), PHOTO.len() as u64).expect("it fits").expect("it lies");
    let share = converter.try_share(&work).expect("free");
    let made = converter.run(PHOTO.to_vec(), work, share).await.expect("a jpeg");
    assert_eq!(made.steps, ["turned 6"]);
    assert_eq!((made.facts.width, made.facts.height, made.facts.orientation), (640, 640, 1));
    assert_eq!(inspect(&made.bytes), Ok(made.facts));
    assert!(!free(&converter), "its bytes are counted while they are there");
    assert!(converter.budget.try_share(OPTIONS.memory - made.bytes.len() as u64 - 1024).is_some(), "and no more");
    drop(made);
    assert!(free(&converter));
}

#[tokio::test]
async fn an_image_that_is_only_decoded_is_sent_as_it_is() {
    let converter = Converter::new(Options { decode: true, ..OPTIONS });
    let facts = inspect(PHOTO).expect("a jpeg");
    let work = converter.work(&facts, PHOTO.len() as u64).expect("it fits").expect("to be decoded");
    let share = converter.try_share(&work).expect("free");
    let made = converter.run(PHOTO.to_vec(), work, share).await.expect("a jpeg");
    assert_eq!((&made.bytes[..], made.facts, made.steps), (PHOTO, facts, vec![]));
}

#[tokio::test]
async fn a_damaged_image_gives_back_its_memory() {
    let converter = Converter::new(OPTIONS);
    let work = converter.work(&lying(), PHOTO.len() as u64).expect("it fits").expect("it lies");
    let share = converter.try_share(&work).expect("free");
    let not_made = converter.run(PHOTO[..300].to_vec(), work, share).await;
    let Err(NotMade::Failed(failure)) = not_made else { panic!("{not_made:?}, though it is cut in its header") };
    assert_eq!(failure.code(), Code::ImageCorrupt);
    assert!(failure.message().starts_with("the object is a jpeg, but it cannot be decoded: "), "{failure}");
    assert!(free(&converter));
}

#[tokio::test]
async fn a_decoder_that_panics_fails_its_image_alone() {
    let converter = Converter::new(OPTIONS);
    let share = converter.budget.try_share(1 << 20).expect("free");
    let permit = converter.threads.clone().acquire_owned().await.expect("open");
    let threads = converter.threads.available_permits();
    let ended = on_thread(permit, share, move |_share| assert_eq!(threads, usize::MAX)).expect("a thread").await;
    assert!(ended.is_err());
    assert!(free(&converter));
    assert_eq!(converter.threads.available_permits(), threads + 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_waits_for_its_share_in_order_and_not_for_ever() {
    let converter = Converter::new(OPTIONS);
    let work = Work { memory: 12 << 20, ..converter.work(&lying(), 1000).expect("it fits").expect("it lies") };
    let first = converter.share(&work).await.expect("free");
    assert!(converter.try_share(&work).is_none() && converter.share(&work).now_or_never().is_none());
    let (second, ()) = tokio::join!(converter.share(&work), async {
        tokio::time::sleep(LIMIT / 2).await;
        drop(first);
    });
    let second = second.expect("the first is gone");
    assert!(matches!(converter.share(&work).await, Err(NotMade::Busy)), "the second stays");
    drop(second);
}

/// How large a TIFF is shows when it is there. With too little memory for it, it is to be asked for again, and nothing is held meanwhile.
#[tokio::test]
async fn a_tiff_asks_for_what_it_takes_once_that_is_known() {
    let mut file = std::io::Cursor::new(Vec::new());
    let encoder = image::codecs::tiff::TiffEncoder::new(&mut file);
    encoder.write_image(&vec![7; 600 * 600], 600, 600, image::ExtendedColorType::L8).expect("a picture");
    let file = file.into_inner();
    let converter = Converter::new(OPTIONS);
    let facts = Facts::upright(Format::Tiff, 0, 0);
    let work = converter.work(&facts, file.len() as u64).expect("it fits").expect("to be converted");
    let others = converter.budget.try_share(10 << 20).expect("free");
    let share = converter.try_share(&work).expect("its bytes fit beside the others");
    let Err(NotMade::More(more)) = converter.run(file.clone(), work, share).await else {
        panic!("there is too little for the picture");
    };
    assert!(more.memory > work.memory && converter.try_share(&more).is_none());
    assert!(converter.budget.try_share(5 << 20).is_some(), "what it had is free");
    drop(others);
    let share = converter.try_share(&more).expect("free");
    let made = converter.run(file, more, share).await.expect("a jpeg");
    assert_eq!((made.of_object.width, made.facts.height, made.steps), (600, 600, vec!["tiff→jpeg".to_owned()]));
}
