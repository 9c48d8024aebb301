//! Where an image's bytes are.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

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
    /// A stretch of a file that holds many, as a shard of WebDataset does.
    Member {
        /// The file.
        archive: PathBuf,
        /// The member's name within it.
        name: String,
        /// Where its bytes begin.
        offset: u64,
        /// How many there are.
        length: u64,
    },
    /// There are none: texts belong together, and no picture belongs to them.
    Nowhere,
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
            Self::Member { archive, name, offset, length } => {
                let read = read_stretch(archive, *offset, *length).map(Cow::Owned);
                read.map_err(|source| ImageError::Read { path: archive.join(name), source })
            }
            Self::Nowhere => Err(ImageError::Read {
                path: self.describe().into(),
                source: io::ErrorKind::NotFound.into(),
            }),
        }
    }

    /// The path or the name, for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Embedded { name, .. } => format!("embedded {name}"),
            Self::Member { archive, name, .. } => archive.join(name).display().to_string(),
            Self::Nowhere => "a picture of texts that have none".into(),
        }
    }
}

fn read_stretch(path: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let end =
        offset.checked_add(length).filter(|end| file.metadata().is_ok_and(|m| *end <= m.len()));
    if end.is_none() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

// Derived, a failing test would print the whole picture.
impl std::fmt::Debug for ImageSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ImageSource").field(&self.describe()).finish()
    }
}
