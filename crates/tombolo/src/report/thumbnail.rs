//! Small pictures that travel inside the page.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use tombolo_data::dataset::ImageSource;
use tombolo_data::image::{Filter, Limits, Pixels, load, resize};

use super::markup::data_uri;

/// Longest side, in pixels.
const SIDE: usize = 160;
const QUALITY: u8 = 80;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A picture as a data URI; none if it cannot be read.
pub fn thumbnail(source: &ImageSource) -> Option<String> {
    match source {
        // Drawn with transparency, and smaller than a JPEG of it.
        ImageSource::Embedded { bytes, .. } if bytes.starts_with(PNG) => {
            Some(data_uri("image/png", bytes))
        }
        _ => {
            let jpeg = small_jpeg(&load(source, &Limits::default()).ok()?.pixels, SIDE)?;
            Some(data_uri("image/jpeg", &jpeg))
        }
    }
}

/// A JPEG neither side of which is longer than `side`; none if the picture is too large for JPEG.
pub fn small_jpeg(pixels: &Pixels, side: usize) -> Option<Vec<u8>> {
    let (width, height) = fitted(pixels.width, pixels.height, side);
    let small = resize(pixels, width, height, Filter::Bicubic);
    let mut bytes = Vec::new();
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .write_image(&small.rgb, width, height, ExtendedColorType::Rgb8)
        .ok()?;
    Some(bytes)
}

/// The size at which neither side is longer than `side`; small pictures stay as they are.
fn fitted(width: usize, height: usize, side: usize) -> (usize, usize) {
    let longest = width.max(height).max(side);
    ((width * side / longest).max(1), (height * side / longest).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_fitted_and_never_vanish() {
        assert_eq!(fitted(500, 375, 160), (160, 120));
        assert_eq!(fitted(72, 72, 160), (72, 72));
        assert_eq!(fitted(1, 60_000, 160), (1, 160));
    }

    #[test]
    fn a_picture_becomes_a_jpeg() {
        let jpeg = small_jpeg(&Pixels::new(400, 2, vec![90; 2400]), SIDE).unwrap();
        assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]));
    }

    #[test]
    fn what_cannot_be_read_has_none() {
        let missing = ImageSource::File("no such photo.jpg".into());
        assert_eq!(thumbnail(&missing), None);
        let broken = ImageSource::Embedded { name: "broken".into(), bytes: b"not a picture" };
        assert_eq!(thumbnail(&broken), None);
    }
}
