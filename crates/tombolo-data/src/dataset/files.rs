//! Which files are there, from one listing per folder instead of one look-up per file.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::DataError;

/// Answers whether a file exists.
#[derive(Default)]
pub(super) struct Listings {
    folders: HashMap<PathBuf, HashSet<OsString>>,
}

impl Listings {
    /// Whether `path` is there, as a file or a link to one.
    pub fn contains(&mut self, path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return false;
        };
        if !self.folders.contains_key(folder) {
            self.folders.insert(folder.to_owned(), list(folder));
        }
        // A name may be there in another case on file systems that do not care for case.
        self.folders[folder].contains(name) || path.is_file()
    }
}

fn list(folder: &Path) -> HashSet<OsString> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(folder) else { return HashSet::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.file_name())
        .collect()
}

/// Reads a file whole.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(|source| DataError::Read { path: path.to_owned(), source })
}

/// Reads a text file whole; bytes that are not UTF-8 become U+FFFD rather than an error.
pub(super) fn read_text(path: &Path) -> Result<String, DataError> {
    Ok(text(&read(path)?))
}

/// A file's bytes as text; those that are not UTF-8 become U+FFFD.
pub(super) fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()
}

/// Reads a text file whole that must be in UTF-8: what a spreadsheet writes is often not.
pub(super) fn read_utf8(path: &Path) -> Result<String, DataError> {
    let bytes = read(path)?;
    let text = str::from_utf8(&bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        DataError::NotUtf8 { path: path.to_owned(), line }
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
}

/// The name that a data set gets from its file or folder.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
