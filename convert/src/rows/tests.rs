use super::*;

/// The eight orientations as CIPA DC-008 defines them: which pixel of the source stands at (x, y) of the upright picture.
fn source_of(orientation: u8, x: usize, y: usize, width: usize, height: usize) -> (usize, usize) {
    match orientation {
        1 => (x, y),
        2 => (width - 1 - x, y),
        3 => (width - 1 - x, height - 1 - y),
        4 => (x, height - 1 - y),
        5 => (y, x),
        6 => (y, height - 1 - x),
        7 => (width - 1 - y, height - 1 - x),
        _ => (width - 1 - y, x),
    }
}

#[test]
fn every_pixel_comes_to_its_place_in_all_eight_orientations() {
    for (colour, channels) in [(Colour::Grey, 1), (Colour::Ycc, 3)] {
        for (width, height) in [(1, 1), (1, 40), (40, 1), (16, 16), (17, 33), (50, 31)] {
            let data: Vec<u8> =
                (0..width * height * channels).map(|at| u8::try_from(at * 7 % 251).expect("a byte")).collect();
            let size = |side: usize| u32::try_from(side).expect("small");
            let pixels = Pixels { data, width: size(width), height: size(height), colour };
            for orientation in 1..=8 {
                let turned = Turned::new(&pixels, orientation).expect("small");
                let (across, down) = (usize::from(turned.width), usize::from(turned.height));
                // The encoder asks for the last row more than once.
                for y in (0..down).chain([down - 1]) {
                    let mut buffers = [const { Vec::new() }; 4];
                    turned.fill_buffers(u16::try_from(y).expect("small"), &mut buffers);
                    for (channel, buffer) in buffers.iter().enumerate().take(channels) {
                        let expected: Vec<u8> = (0..across)
                            .map(|x| source_of(orientation, x, y, width, height))
                            .map(|(x, y)| pixels.data[(y * width + x) * channels + channel])
                            .collect();
                        assert_eq!(*buffer, expected, "{width}x{height}, orientation {orientation}, row {y}");
                    }
                }
            }
        }
    }
}

#[test]
fn red_green_and_blue_become_what_a_jpeg_has() {
    let pixels = Pixels { data: vec![255, 0, 0, 255, 255, 255], width: 2, height: 1, colour: Colour::Rgb };
    for orientation in 1..=8 {
        let turned = Turned::new(&pixels, orientation).expect("small");
        let mut planes = [const { Vec::new() }; 4];
        for y in 0..turned.height {
            turned.fill_buffers(y, &mut planes);
        }
        let mut found: Vec<_> = (0..2).map(|at| (planes[0][at], planes[1][at], planes[2][at])).collect();
        found.sort_unstable();
        assert_eq!(found, [(76, 85, 255), (255, 128, 128)], "orientation {orientation}");
    }
}

#[test]
fn a_side_longer_than_a_jpeg_can_have_is_refused() {
    let pixels = Pixels { data: vec![0; 65_536], width: 65_536, height: 1, colour: Colour::Grey };
    assert!(Turned::new(&pixels, 1).is_none() && Turned::new(&pixels, 6).is_none());
}
