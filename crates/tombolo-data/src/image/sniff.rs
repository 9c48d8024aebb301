//! What bytes are, by their content and not by their name.

use image::ImageFormat;

use super::DecodeError;

/// The format of a picture that can be decoded.
pub(super) fn sniff(bytes: &[u8]) -> Result<ImageFormat, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let readable = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
    ];
    match image::guess_format(bytes) {
        Ok(format) if readable.contains(&format) => Ok(format),
        _ => Err(foreign(bytes)),
    }
}

/// `HEIC` or `AVIF`, by the brands of the file (ISO/IEC 14496-12, box `ftyp`).
pub(super) fn heif_format(bytes: &[u8]) -> Option<&'static str> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    // Files that say 0 or too much are damaged, and still of their kind.
    let brands = rest.get(..length.saturating_sub(4)).unwrap_or(rest).strip_prefix(b"ftyp")?;
    let brand = |known: &[&[u8]]| {
        // The second four bytes are the version of the first.
        let compatible = brands.get(8..).unwrap_or_default().chunks_exact(4);
        brands.get(..4).into_iter().chain(compatible.take(32)).any(|b| known.contains(&b))
    };
    if brand(&[b"avif", b"avis"]) {
        Some("AVIF")
    } else if brand(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"]) {
        Some("HEIC")
    } else {
        None
    }
}

/// The name of a format that [`sniff`] returns.
pub(super) fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
        _ => "image",
    }
}

fn foreign(bytes: &[u8]) -> DecodeError {
    let unsupported = |found| DecodeError::Unsupported { found };
    let not_a_picture = |found| DecodeError::NotAPicture { found };
    if bytes.len() >= 12 && &bytes[4..8] == b"ftyp" {
        return not_a_picture("a video");
    }
    if bytes.starts_with(b"\xff\x0a") || bytes.starts_with(b"\0\0\0\x0cJXL ") {
        return unsupported("JPEG XL");
    }
    if bytes.starts_with(b"%PDF") {
        return not_a_picture("a PDF");
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return not_a_picture("a zip archive");
    }
    match text(bytes) {
        Some(text) if text.contains("<svg") => unsupported("SVG"),
        Some(text) if text.trim_start().to_ascii_lowercase().starts_with("<!doctype html") => {
            not_a_picture("a web page")
        }
        Some(text) if text.starts_with("version https://git-lfs") => {
            not_a_picture("a Git LFS pointer: run `git lfs pull`")
        }
        Some(_) => not_a_picture("text"),
        None => not_a_picture("unknown data"),
    }
}

/// The beginning as text, if it is text.
fn text(bytes: &[u8]) -> Option<&str> {
    let head = &bytes[..bytes.len().min(1024)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character cut by the end of the window.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let printable = |c: char| !c.is_control() || c.is_whitespace();
    (!text.is_empty() && text.chars().all(printable)).then_some(text)
}

/// Whether the file is as long as its container says, for formats whose decoder would not tell.
pub(super) fn is_whole(format: ImageFormat, bytes: &[u8]) -> bool {
    match format {
        ImageFormat::Jpeg => jpeg_is_whole(bytes),
        ImageFormat::WebP => riff_is_whole(bytes),
        _ => true,
    }
}

/// Whether a RIFF container is as long as its header says.
fn riff_is_whole(bytes: &[u8]) -> bool {
    let Some(&[_, _, _, _, a, b, c, d]) = bytes.first_chunk() else { return false };
    bytes.len() as u64 >= u64::from(u32::from_le_bytes([a, b, c, d])) + 8
}

/// Whether a JPEG has an end-of-image marker after its first scan.
///
/// The decoder fills what is missing with grey rather than to say so.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let scan = bytes.get(first_scan(bytes)..).unwrap_or_default();
    scan.windows(2).rev().any(|pair| pair == [0xff, 0xd9])
}

/// Where the first scan begins. Thumbnails, with ends of their own, lie in segments before it.
fn first_scan(bytes: &[u8]) -> usize {
    const START_OF_SCAN: u8 = 0xda;
    let mut at = 2;
    loop {
        match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            Some(&[0xff, 0xff, _, _]) => at += 1,
            Some(&[0xff, marker, high, low]) => {
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
                if marker == START_OF_SCAN {
                    return at;
                }
            }
            _ => return at,
        }
    }
}
