//! Photos without captions that make a gallery larger: a list of names, as text or as NumPy writes an array of strings.

use std::path::{Path, PathBuf};

use super::files;
use super::photos::Photos;
use crate::image::is_photo;
use crate::{DataError, Place};

/// What a file of NumPy begins with.
const NUMPY: &[u8] = b"\x93NUMPY";

/// Photos without captions.
#[derive(Debug)]
pub(super) struct Pool {
    /// The list.
    pub path: PathBuf,
    /// File names with their places.
    pub names: Vec<(Place, String)>,
    /// Where they are looked for.
    pub photos: Photos,
}

impl Pool {
    /// Reads a list, whose photos lie among these.
    ///
    /// # Errors
    /// If the file cannot be read, or has no names.
    pub fn read(path: &Path, photos: &Photos) -> Result<Self, DataError> {
        let bytes = files::read(path)?;
        let named: Vec<(Place, String)> = match bytes.starts_with(NUMPY) {
            true => {
                let names = strings(&bytes).ok_or_else(|| DataError::NotFound {
                    path: path.to_owned(),
                    expected: "strings in one dimension, as numpy.save(FILE, numpy.array(LIST, str)) writes them".into(),
                })?;
                (0..).map(Place::Entry).zip(names).collect()
            }
            false => {
                let text = files::text(&bytes);
                (1..).map(Place::Line).zip(text.lines().map(str::to_owned)).collect()
            }
        };
        let filled = named.into_iter().filter(|(_, name)| !name.trim().is_empty());
        let names: Vec<_> =
            filled.map(|(place, name)| (place, with_extension(name.trim()))).collect();
        if names.is_empty() {
            let expected = "names of photos, one a line".into();
            return Err(DataError::NotFound { path: path.to_owned(), expected });
        }
        Ok(Self { path: path.to_owned(), names, photos: photos.clone() })
    }
}

/// Lists name photos with their extension or without; those of Flickr and COCO are JPEG files.
fn with_extension(name: &str) -> String {
    let name = name.replace('\\', "/");
    if is_photo(Path::new(&name)) { name } else { format!("{name}.jpg") }
}

/// The strings of a `.npy` file: a header that says `'<U16'`, say, and then sixteen characters of four bytes each for a string,
/// filled up with zeros (`numpy/lib/format.py`). None if it is of another type or shape, or not whole.
fn strings(bytes: &[u8]) -> Option<Vec<String>> {
    let version = *bytes.get(NUMPY.len())?;
    let start = NUMPY.len() + 2;
    let (length, begin) = match version {
        1 => (u16::from_le_bytes(*bytes.get(start..)?.first_chunk()?) as usize, start + 2),
        _ => (u32::from_le_bytes(*bytes.get(start..)?.first_chunk()?) as usize, start + 4),
    };
    let end = begin.checked_add(length)?;
    let header = str::from_utf8(bytes.get(begin..end)?).ok()?;
    let (_, kind) = header.split_once("'descr': '<U")?;
    let characters: usize = kind.split_once('\'')?.0.parse().ok()?;
    let width = characters.checked_mul(4).filter(|&width| width > 0)?;
    let (_, shape) = header.split_once("'shape': (")?;
    let count: usize = shape.split_once(",)")?.0.parse().ok()?;
    if bytes.len() - end != count.checked_mul(width)? {
        return None;
    }
    let string = |cell: &[u8]| {
        let codes = cell.as_chunks().0.iter().map(|&code| u32::from_le_bytes(code));
        codes.take_while(|&code| code != 0).map(char::from_u32).collect()
    };
    bytes[end..].chunks_exact(width).map(string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.save(FILE, numpy.array(["12_bb.jpg", "é"]))`, NumPy 2.4.
    fn saved() -> Vec<u8> {
        let header = "{'descr': '<U9', 'fortran_order': False, 'shape': (2,), }";
        let mut file = [NUMPY, &[1, 0], &118_u16.to_le_bytes()].concat();
        file.extend(format!("{header:<117}\n").bytes());
        for name in ["12_bb.jpg", "é"] {
            let codes = name.chars().map(u32::from).chain(std::iter::repeat(0)).take(9);
            file.extend(codes.flat_map(u32::to_le_bytes));
        }
        file
    }

    #[test]
    fn names_of_numpy_are_read() {
        assert_eq!(strings(&saved()).unwrap(), ["12_bb.jpg", "é"]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.npy");
        std::fs::write(&path, saved()).unwrap();
        let pool = Pool::read(&path, &Photos::of(Vec::new())).unwrap();
        assert_eq!(pool.names[1], (Place::Entry(1), "é.jpg".to_owned()));
    }

    #[test]
    fn arrays_of_another_type_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.npy");
        let text = String::from_utf8_lossy(&saved()).replace("<U9", "|O8");
        assert_eq!(strings(text.as_bytes()), None);
        assert_eq!(strings(&saved()[..saved().len() - 1]), None, "cut off");
        std::fs::write(&path, [NUMPY, &[1, 0, 9]].concat()).unwrap();
        let error = Pool::read(&path, &Photos::of(Vec::new())).unwrap_err().to_string();
        assert!(error.contains("strings in one dimension"), "{error}");
    }
}
