//! HEIC and AVIF by the system's libheif (feature `heif`).
//!
//! libheif turns and mirrors a picture as the file's own boxes say, so orientation is 1 here; EXIF's is about how the picture
//! was before (ISO/IEC 23008-12, annex A).

use image::error::{DecodingError, ImageFormatHint};
use image::{DynamicImage, RgbImage, RgbaImage};
use libheif_rs::{
    ColorSpace, HeifContext, HeifError, HeifErrorSubCode, ImageHandle, ItemId, RgbChroma,
};

use super::decode::{check_bytes, check_size, flatten};
use super::exif::Facts;
use super::{DecodeError, Decoded, Limits, Metadata};

/// Decodes the primary picture of a file. Its size is checked by the header, with and without the crop that the file asks
/// for; a stream that is larger than its header says is bound by libheif's own limit of 32,768 pixels a side, and refused.
pub(super) fn decode(
    format: &'static str,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Decoded, DecodeError> {
    let failed = |error| describe(format, error);
    let context = HeifContext::read_from_bytes(bytes).map_err(failed)?;
    let handle = context.primary_image_handle().map_err(failed)?;
    let (width, height) = (handle.width(), handle.height());
    let stored = [handle.ispe_width(), handle.ispe_height()];
    let [stored_width, stored_height] = stored.map(|side| u32::try_from(side).unwrap_or(0));
    check_size(width, height, limits)?;
    check_size(stored_width, stored_height, limits)?;
    let channels = if handle.has_alpha_channel() { 4 } else { 3 };
    let decoded = u64::from(stored_width) * u64::from(stored_height) * channels;
    check_bytes("once decoded", decoded, limits.max_decoded_bytes)?;
    let Facts { taken_at, camera, .. } = Facts::read(exif(&handle));
    let picture = pixels(format, &handle, [width, height])?;
    Ok(Decoded {
        pixels: flatten(picture),
        metadata: Metadata {
            format,
            stored_width,
            stored_height,
            orientation: 1,
            taken_at,
            camera,
        },
    })
}

fn pixels(
    format: &'static str,
    handle: &ImageHandle,
    [width, height]: [u32; 2],
) -> Result<DynamicImage, DecodeError> {
    let has_alpha = handle.has_alpha_channel();
    let chroma = if has_alpha { RgbChroma::Rgba } else { RgbChroma::Rgb };
    let image =
        handle.decode(ColorSpace::Rgb(chroma), None).map_err(|error| describe(format, error))?;
    let planes = image.planes();
    let plane = planes.interleaved.ok_or_else(|| damaged(format, "it has no pixels"))?;
    if [plane.width, plane.height] != [width, height] {
        return Err(damaged(format, "its pixels are of another size than its header says"));
    }
    let row = width as usize * if has_alpha { 4 } else { 3 };
    if plane.stride < row || plane.data.len() < plane.stride * height as usize {
        return Err(damaged(format, "it has too few pixels"));
    }
    let mut bytes = Vec::with_capacity(row * height as usize);
    for stored in plane.data.chunks_exact(plane.stride).take(height as usize) {
        bytes.extend_from_slice(&stored[..row]);
    }
    if has_alpha && handle.is_premultiplied_alpha() {
        bytes.chunks_exact_mut(4).for_each(unmultiply);
    }
    let picture = if has_alpha {
        RgbaImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgba8)
    } else {
        RgbImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgb8)
    };
    picture.ok_or_else(|| damaged(format, "it has too few pixels"))
}

/// Takes the opacity out of the colours of a pixel.
fn unmultiply(pixel: &mut [u8]) {
    let alpha = u16::from(pixel[3]);
    for value in &mut pixel[..3] {
        let full = (u16::from(*value) * 255 + alpha / 2).checked_div(alpha).unwrap_or(0);
        *value = u8::try_from(full).unwrap_or(u8::MAX);
    }
}

/// The EXIF block. Four bytes before it say where the TIFF header begins.
fn exif(handle: &ImageHandle) -> Option<Vec<u8>> {
    let mut ids: [ItemId; 1] = [0];
    if handle.metadata_block_ids(&mut ids, b"Exif") == 0 {
        return None;
    }
    // Damaged EXIF is no reason to refuse a picture.
    let block = handle.metadata(ids[0]).ok()?;
    let (before, rest) = block.split_first_chunk::<4>()?;
    let skip = usize::try_from(u32::from_be_bytes(*before)).ok()?;
    Some(rest.get(skip..)?.to_vec())
}

fn describe(format: &'static str, error: HeifError) -> DecodeError {
    match error.sub_code {
        HeifErrorSubCode::EndOfData => DecodeError::Truncated { format },
        HeifErrorSubCode::SecurityLimitExceeded => {
            DecodeError::BeyondDecoder { format, why: error.message }
        }
        _ => damaged(format, &error.message),
    }
}

fn damaged(format: &'static str, why: &str) -> DecodeError {
    let hint = ImageFormatHint::Name(format.to_owned());
    let source = image::ImageError::Decoding(DecodingError::new(hint, why.to_owned()));
    DecodeError::Damaged { format, source }
}

#[cfg(test)]
mod tests {
    use super::unmultiply;

    #[test]
    fn colours_become_what_they_were_before_opacity() {
        let mut pixels = [[100, 50, 0, 128], [9, 9, 9, 0], [255, 1, 2, 255], [200, 0, 0, 100]];
        pixels.iter_mut().for_each(|pixel| unmultiply(pixel));
        assert_eq!(pixels, [[199, 100, 0, 128], [0, 0, 0, 0], [255, 1, 2, 255], [255, 0, 0, 100]]);
    }
}
