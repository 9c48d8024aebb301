//! What can be wrong with a picture.

use std::path::PathBuf;

/// Why bytes are not a picture that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are no bytes.
    #[error("the file is empty")]
    Empty,
    /// The bytes are something else, whatever the file's name says.
    #[error("expected a picture, found {found}")]
    NotAPicture {
        /// What they look like.
        found: &'static str,
    },
    /// A picture in a format that is not read.
    #[error("expected JPEG, PNG, WebP, GIF, BMP or TIFF, found {found}")]
    Unsupported {
        /// The format.
        found: &'static str,
    },
    /// A picture in a format that is read by programs that are built to.
    #[error("{format} pictures are not read: this program was built without `heif`")]
    NotBuilt {
        /// `HEIC` or `AVIF`.
        format: &'static str,
    },
    /// The file ends before the picture does.
    #[error("the {format} file is truncated")]
    Truncated {
        /// The format.
        format: &'static str,
    },
    /// More pixels than allowed; nothing was decoded.
    #[error("expected at most {max} pixels, found {width} × {height}")]
    TooManyPixels {
        /// Columns, by the header.
        width: u32,
        /// Rows, by the header.
        height: u32,
        /// [`Limits::max_pixels`](super::Limits).
        max: u64,
    },
    /// More than the decoder itself takes; nothing was decoded.
    #[error("the {format} picture is larger than its decoder takes: {why}")]
    BeyondDecoder {
        /// The format.
        format: &'static str,
        /// In the decoder's words.
        why: String,
    },
    /// More memory than allowed; nothing was decoded.
    #[error("expected at most {max} bytes {what}, found {found}")]
    TooManyBytes {
        /// Of the file, or once decoded.
        what: &'static str,
        /// As many as there are.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// The header names a picture without pixels.
    #[error("expected at least one pixel, found {width} × {height}")]
    NoPixels {
        /// Columns, by the header.
        width: u32,
        /// Rows, by the header.
        height: u32,
    },
    /// The file breaks the rules of its format.
    #[error("the {format} file is damaged: {source}")]
    Damaged {
        /// The format.
        format: &'static str,
        /// How.
        source: image::ImageError,
    },
}

impl DecodeError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty | Self::Truncated { .. } | Self::Damaged { .. } => {
                "copy or download the file again"
            }
            Self::NotBuilt { .. } => "convert it to JPEG, or build with `--features heif`",
            Self::NotAPicture { .. } | Self::Unsupported { .. } => "convert it to JPEG or PNG",
            Self::TooManyPixels { .. } | Self::TooManyBytes { .. } | Self::BeyondDecoder { .. } => {
                "scale the picture down"
            }
            Self::NoPixels { .. } => "remove the file",
        }
    }
}

/// Why an image of a data set could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file was read, but is no picture that can be used.
    #[error("{image}: {source}")]
    Decode {
        /// Its path, or its name if embedded.
        image: String,
        /// Why.
        source: DecodeError,
    },
    /// Decoding or preparing it panicked, which is a bug; other images are not affected.
    #[error("{image}: the decoder gave up on it")]
    Panicked {
        /// Its path, or its name if embedded.
        image: String,
    },
}

impl ImageError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } => "check that the file is there and may be read",
            Self::Decode { source, .. } => source.hint(),
            Self::Panicked { .. } => "please report it with the picture",
        }
    }
}
