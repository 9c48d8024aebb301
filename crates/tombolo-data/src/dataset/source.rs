//! Where an image's bytes are.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::image::ImageError;

/// Where an image's bytes are.
#[derive(Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// A file.
    File(PathBuf),
    /// Bytes that are part of the program.
    Embedded {
        /// What to call it, as a file name.
        name: String,
        /// The encoded image.
        bytes: &'static [u8],
    },
}

impl ImageSource {
    /// The encoded image.
    ///
    /// # Errors
    /// [`ImageError::Read`] with the path.
    pub fn read(&self) -> Result<Cow<'static, [u8]>, ImageError> {
        match self {
            Self::File(path) => std::fs::read(path)
                .map(Cow::Owned)
                .map_err(|source| ImageError::Read { path: path.clone(), source }),
            Self::Embedded { bytes, .. } => Ok(Cow::Borrowed(bytes)),
        }
    }

    /// The path or the name, for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Embedded { name, .. } => format!("embedded {name}"),
        }
    }
}

// Derived, a failing test would print the whole picture.
impl std::fmt::Debug for ImageSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ImageSource").field(&self.describe()).finish()
    }
}
