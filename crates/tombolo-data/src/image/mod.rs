//! From encoded bytes to normalised pixels.
//!
//! [`decode()`] goes from bytes to [`Pixels`] within [`Limits`], [`Preprocess`] from pixels to what a
//! backbone takes, and [`Loader`] does both for many images on its own threads, in order.

mod decode;
mod error;
mod exif;
mod extension;
#[cfg(feature = "heif")]
mod heif;
mod load;
mod preprocess;
mod resize;
mod sniff;

pub use decode::{Decoded, Limits, Metadata, decode};
pub use error::{DecodeError, ImageError};
pub use extension::{EXTENSIONS, is_called_a_photo, is_photo, not_built};
pub use load::{Loader, LoaderConfig, load};
pub use preprocess::{Fit, Preprocess};
pub use resize::{Filter, center_crop, resize};

/// An upright picture in 8-bit sRGB.
#[derive(Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Columns, at least 1.
    pub width: usize,
    /// Rows, at least 1.
    pub height: usize,
    /// `[height, width, 3]`, row by row.
    pub rgb: Vec<u8>,
}

impl Pixels {
    /// A picture from its rows.
    ///
    /// # Panics
    /// If it has no pixels, or `rgb` is not `width · height · 3` bytes.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0, "expected at least one pixel, found {width}×{height}");
        assert_eq!(rgb.len(), width * height * 3, "bytes of {width}×{height} RGB pixels");
        Self { width, height, rgb }
    }

    /// The three channels of a pixel.
    ///
    /// # Panics
    /// If it lies outside.
    pub fn at(&self, x: usize, y: usize) -> [u8; 3] {
        assert!(x < self.width, "column {x} of {}", self.width);
        let start = (y * self.width + x) * 3;
        [self.rgb[start], self.rgb[start + 1], self.rgb[start + 2]]
    }
}

// Derived, a failing test would print every pixel.
impl std::fmt::Debug for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pixels({}×{})", self.width, self.height)
    }
}
