//! The artefacts of JPEG.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::Strength;
use crate::image::{Limits, Pixels, decode};

/// Qualities, as libjpeg counts them.
const QUALITIES: [u8; 5] = [25, 18, 15, 10, 7];

/// The photo after it was stored as a JPEG; as it was if it is larger than a JPEG can be.
pub(super) fn jpeg(photo: &Pixels, strength: Strength) -> Pixels {
    stored(photo, strength.of(QUALITIES)).unwrap_or_else(|| photo.clone())
}

fn stored(photo: &Pixels, quality: u8) -> Option<Pixels> {
    let (width, height) = (u32::try_from(photo.width).ok()?, u32::try_from(photo.height).ok()?);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .write_image(&photo.rgb, width, height, ExtendedColorType::Rgb8)
        .ok()?;
    Some(decode(&bytes, &Limits::default()).ok()?.pixels)
}
