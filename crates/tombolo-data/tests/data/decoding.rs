use std::fs;

use tombolo_data::image::{DecodeError, Decoded, Filter, Limits, Pixels, decode, resize};

use super::pillow;

fn golden(name: &str) -> Decoded {
    let bytes = fs::read(pillow(name)).unwrap();
    decode(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn refused(bytes: &[u8]) -> DecodeError {
    decode(bytes, &Limits::default()).unwrap_err()
}

fn farthest(a: &Pixels, b: &Pixels) -> u8 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    a.rgb.iter().zip(&b.rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// Red and green over blue and yellow, 32 × 16, as `make.py` draws them.
fn assert_quadrants(name: &str, tolerance: u8) {
    let pixels = golden(name).pixels;
    assert_eq!((pixels.width, pixels.height), (32, 16), "{name}");
    let expected =
        [(8, 4, [255, 0, 0]), (24, 4, [0, 255, 0]), (8, 12, [0, 0, 255]), (24, 12, [255, 255, 0])];
    for (x, y, color) in expected {
        let found = pixels.at(x, y);
        let near = found.iter().zip(color).all(|(a, b)| a.abs_diff(b) <= tolerance);
        assert!(near, "{name} at {x}, {y}: expected {color:?}, found {found:?}");
    }
}

#[test]
fn resampling_is_within_one_level_of_pillow() {
    let filters = [
        ("bicubic", Filter::Bicubic),
        ("bilinear", Filter::Bilinear),
        ("lanczos3", Filter::Lanczos3),
    ];
    let mut apart = Vec::new();
    for input in ["rgb", "grey", "alpha"] {
        let source = golden(&format!("{input}.png")).pixels;
        for (name, filter) in filters {
            for (width, height) in [(16, 16), (53, 20), (40, 61)] {
                let file = format!("{input}.{name}.{width}x{height}.png");
                let difference =
                    farthest(&resize(&source, width, height, filter), &golden(&file).pixels);
                if difference > 1 {
                    apart.push((file, difference));
                }
            }
        }
    }
    assert!(apart.is_empty(), "more than one level apart: {apart:?}");
}

#[test]
fn all_eight_orientations_come_out_upright() {
    for orientation in 1..=8 {
        let name = format!("exif-{orientation}.jpg");
        assert_quadrants(&name, 40);
        let metadata = golden(&name).metadata;
        assert_eq!(metadata.orientation, orientation);
        let stored = (metadata.stored_width, metadata.stored_height);
        assert_eq!(stored, if orientation < 5 { (32, 16) } else { (16, 32) });
    }
}

#[test]
fn the_time_of_exposure_is_iso() {
    let taken_at = |name| golden(name).metadata.taken_at;
    assert_eq!(taken_at("exif-6.jpg").as_deref(), Some("2024-05-31T18:03:59+02:00"));
    assert_eq!(taken_at("exif-1.jpg"), None);
}

#[test]
fn the_camera_is_named_once() {
    let camera = |name| golden(name).metadata.camera;
    assert_eq!(camera("exif-5.jpg").as_deref(), Some("Canon PowerShot G9"));
    assert_eq!(camera("exif-6.jpg").as_deref(), Some("NIKON D90"));
    assert_eq!(camera("exif-1.jpg"), None);
}

#[test]
fn every_format_gives_the_same_picture() {
    for name in ["webp", "bmp", "tiff", "gif"].map(|format| format!("quadrants.{format}")) {
        assert_quadrants(&name, 0);
        let format = golden(&name).metadata.format;
        assert!(name.ends_with(&format.to_lowercase()), "{name}: {format}");
    }
    assert_quadrants("quadrants-palette.png", 0);
    assert_quadrants("quadrants-cmyk.jpg", 40);
}

#[test]
fn sixteen_bits_become_eight_by_scaling() {
    let pixels = golden("grey16.png").pixels;
    for (n, pixel) in pixels.rgb.chunks(3).enumerate() {
        let expected = n as f64 * 255.0 / 511.0;
        assert!((f64::from(pixel[0]) - expected).abs() <= 0.51, "{n}: {pixel:?}");
        assert!(pixel[0] == pixel[1] && pixel[1] == pixel[2]);
    }
}

#[test]
fn content_counts_and_not_the_name() {
    assert_eq!(refused(b"").to_string(), "the file is empty");
    assert_eq!(
        refused(b"A dog runs. \xf0\x9f\x90\x95\n").to_string(),
        "expected a picture, found text"
    );
    assert_eq!(refused(b"%PDF-1.7 \0").to_string(), "expected a picture, found a PDF");
    assert_eq!(
        refused(b"\0\0\0\x18ftypisom\0\0\0\0mp42avc1").to_string(),
        "expected a picture, found a video"
    );
    assert_eq!(refused(&[7; 40]).to_string(), "expected a picture, found unknown data");
}

#[test]
fn a_file_cut_short_says_so_in_every_format() {
    let names = [
        "exif-1.jpg",
        "rgb.png",
        "quadrants.webp",
        "quadrants.gif",
        "quadrants.bmp",
        "quadrants.tiff",
    ];
    for name in names {
        let bytes = fs::read(pillow(name)).unwrap();
        // Both frames of the GIF are small, and only the first is read.
        let cut = if name.ends_with("gif") { bytes.len() / 4 } else { bytes.len() * 3 / 4 };
        let error = refused(&bytes[..cut]);
        assert!(matches!(error, DecodeError::Truncated { .. }), "{name}: {error:?}");
    }
}

#[test]
fn cutting_anywhere_never_panics() {
    for name in ["exif-6.jpg", "grey.png", "quadrants.webp", "quadrants.gif", "quadrants.tiff"] {
        let bytes = fs::read(pillow(name)).unwrap();
        for end in 0..bytes.len() {
            let _ = decode(&bytes[..end], &Limits::default());
        }
    }
}

#[test]
fn a_huge_header_is_refused_before_memory_is_taken() {
    let mut bmp = fs::read(pillow("quadrants.bmp")).unwrap();
    bmp[18..22].copy_from_slice(&60_000_u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000_u32.to_le_bytes());
    assert_eq!(refused(&bmp).to_string(), "expected at most 178956970 pixels, found 60000 × 60000");
    let mut jpeg = fs::read(pillow("exif-1.jpg")).unwrap();
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    assert!(matches!(refused(&jpeg), DecodeError::TooManyPixels { width: 60_000, .. }));
}

#[test]
fn limits_count_pixels_file_bytes_and_decoded_bytes() {
    let bytes = fs::read(pillow("quadrants.webp")).unwrap();
    let with = |limits: Limits| decode(&bytes, &limits);
    let all = Limits::default();
    assert!(with(Limits { max_pixels: 512, ..all }).is_ok());
    assert!(matches!(
        with(Limits { max_pixels: 511, ..all }),
        Err(DecodeError::TooManyPixels { width: 32, height: 16, max: 511 })
    ));
    assert!(matches!(
        with(Limits { max_file_bytes: 9, ..all }),
        Err(DecodeError::TooManyBytes { what: "in the file", .. })
    ));
    assert!(matches!(
        with(Limits { max_decoded_bytes: 1_000, ..all }),
        Err(DecodeError::TooManyBytes { what: "once decoded", max: 1_000, .. })
    ));
}
