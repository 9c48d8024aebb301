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
        _ => jpeg(&load(source, &Limits::default()).ok()?.pixels),
    }
}

fn jpeg(pixels: &Pixels) -> Option<String> {
    let (width, height) = fitted(pixels.width, pixels.height);
    let small = resize(pixels, width, height, Filter::Bicubic);
    let mut bytes = Vec::new();
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .write_image(&small.rgb, width, height, ExtendedColorType::Rgb8)
        .ok()?;
    Some(data_uri("image/jpeg", &bytes))
}

/// The size at which neither side is longer than [`SIDE`]; small pictures stay as they are.
fn fitted(width: usize, height: usize) -> (usize, usize) {
    let longest = width.max(height).max(SIDE);
    ((width * SIDE / longest).max(1), (height * SIDE / longest).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_fitted_and_never_vanish() {
        assert_eq!(fitted(500, 375), (160, 120));
        assert_eq!(fitted(72, 72), (72, 72));
        assert_eq!(fitted(1, 60_000), (1, 160));
    }

    #[test]
    fn a_picture_becomes_a_jpeg() {
        let uri = jpeg(&Pixels::new(400, 2, vec![90; 2400])).unwrap();
        assert!(uri.starts_with("data:image/jpeg;base64,/9j/"), "{uri}");
    }

    #[test]
    fn what_cannot_be_read_has_none() {
        let missing = ImageSource::File("no such photo.jpg".into());
        assert_eq!(thumbnail(&missing), None);
        let broken = ImageSource::Embedded { name: "broken".into(), bytes: b"not a picture" };
        assert_eq!(thumbnail(&broken), None);
    }
}
