//! From encoded bytes to upright 8-bit RGB, within limits that are checked before any pixel is.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use serde::{Deserialize, Serialize};

use super::exif::Facts;
#[cfg(feature = "heif")]
use super::heif::decode as decode_heif;
use super::sniff::{heif_format, is_whole, name, sniff};
use super::{DecodeError, Pixels};

/// What a picture may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most pixels by the header; by default Pillow's 178,956,970, half a GiB of RGB.
    pub max_pixels: u64,
    /// Most bytes of the encoded picture; by default 256 MiB.
    pub max_file_bytes: u64,
    /// Most bytes that the decoder may fill; by default 1 GiB.
    pub max_decoded_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_pixels: 178_956_970, max_file_bytes: 256 << 20, max_decoded_bytes: 1 << 30 }
    }
}

/// What is known of a picture beside its pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// `JPEG`, `PNG`, `WebP`, `GIF`, `BMP`, `TIFF`, `HEIC` or `AVIF`.
    pub format: &'static str,
    /// Columns as stored, before the orientation was applied.
    pub stored_width: u32,
    /// Rows as stored.
    pub stored_height: u32,
    /// EXIF orientation, 1 (upright) to 8.
    pub orientation: u8,
    /// EXIF time of exposure in ISO 8601, as in `2024-05-31T18:03:59+02:00`.
    pub taken_at: Option<String>,
    /// Make and model of the camera, from EXIF.
    pub camera: Option<String>,
}

/// A picture and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Upright, opaque, 8 bits a channel.
    pub pixels: Pixels,
    /// Format, stored size, orientation, time.
    pub metadata: Metadata,
}

/// Decodes a JPEG, PNG, WebP, GIF (first frame), BMP or TIFF, told apart by content; with the feature `heif` also HEIC and
/// AVIF.
///
/// EXIF orientation is applied, transparency is laid on white, grey, CMYK, palettes and 16 bits
/// become 8-bit RGB.
///
/// # Errors
/// [`DecodeError`]; limits are checked against the header, before memory is taken.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    let size = bytes.len() as u64;
    check_bytes("in the file", size, limits.max_file_bytes)?;
    if let Some(format) = heif_format(bytes) {
        return decode_heif(format, bytes, limits);
    }
    let format = sniff(bytes)?;
    let failed = |error| describe(format, error);
    if !is_whole(format, bytes) {
        return Err(DecodeError::Truncated { format: name(format) });
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(decoder_limits(limits));
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, limits)?;
    check_bytes("once decoded", decoder.total_bytes(), limits.max_decoded_bytes)?;

    let exif = match format {
        // The tags of a TIFF file are its EXIF.
        ImageFormat::Tiff => Some(bytes.to_vec()),
        // Damaged EXIF is no reason to refuse a picture.
        _ => decoder.exif_metadata().ok().flatten(),
    };
    let Facts { orientation, taken_at, camera } = Facts::read(exif);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
    if let Some(turn) = Orientation::from_exif(orientation) {
        picture.apply_orientation(turn);
    }
    Ok(Decoded {
        pixels: flatten(picture),
        metadata: Metadata {
            format: name(format),
            stored_width: width,
            stored_height: height,
            orientation,
            taken_at,
            camera,
        },
    })
}

#[cfg(not(feature = "heif"))]
fn decode_heif(format: &'static str, _: &[u8], _: &Limits) -> Result<Decoded, DecodeError> {
    Err(DecodeError::NotBuilt { format })
}

fn decoder_limits(limits: &Limits) -> image::Limits {
    let mut inner = image::Limits::no_limits();
    // Decoders count scratch space too, so this is their backstop; ours are the clear errors.
    inner.max_alloc = Some(limits.max_decoded_bytes.saturating_mul(2));
    inner
}

pub(super) fn check_size(width: u32, height: u32, limits: &Limits) -> Result<(), DecodeError> {
    if width == 0 || height == 0 {
        return Err(DecodeError::NoPixels { width, height });
    }
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(DecodeError::TooManyPixels { width, height, max: limits.max_pixels });
    }
    Ok(())
}

pub(super) fn check_bytes(what: &'static str, found: u64, max: u64) -> Result<(), DecodeError> {
    if found > max { Err(DecodeError::TooManyBytes { what, found, max }) } else { Ok(()) }
}

fn describe(format: ImageFormat, error: image::ImageError) -> DecodeError {
    let format = name(format);
    if ends_early(&error) {
        DecodeError::Truncated { format }
    } else {
        DecodeError::Damaged { format, source: error }
    }
}

/// Whether an end of file is at the bottom of an error; decoders that keep no cause say it in words.
fn ends_early(error: &image::ImageError) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::UnexpectedEof) {
            return true;
        }
        cause = error.source();
    }
    let words = error.to_string().to_lowercase();
    ["unexpected end", "unexpected eof", "failed to fill whole buffer", "truncated"]
        .iter()
        .any(|phrase| words.contains(phrase))
}

/// Lays transparency on white and drops to 8-bit RGB.
pub(super) fn flatten(picture: DynamicImage) -> Pixels {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let rgb = if picture.color().has_alpha() {
        let rgba = picture.into_rgba8().into_raw();
        let mut rgb = Vec::with_capacity(width * height * 3);
        for pixel in rgba.chunks_exact(4) {
            let alpha = u32::from(pixel[3]);
            let on_white = |value: u8| {
                let sum = u32::from(value) * alpha + 255 * (255 - alpha);
                u8::try_from((sum + 127) / 255).expect("a mean of two bytes is a byte")
            };
            rgb.extend([on_white(pixel[0]), on_white(pixel[1]), on_white(pixel[2])]);
        }
        rgb
    } else {
        picture.into_rgb8().into_raw()
    };
    Pixels::new(width, height, rgb)
}
