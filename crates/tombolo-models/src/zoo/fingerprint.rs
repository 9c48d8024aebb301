//! What a model's directory is known by: another one where vectors may differ.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::files::Layout;
use crate::error::{ModelError, Result};
use crate::pull::Installed;

/// Bytes hashed at a time.
const CHUNK: usize = 1 << 24;

/// Sixteen hexadecimal digits that differ when the vectors of texts or pictures may.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn fingerprint(layout: Layout, dir: &Path) -> Result<String> {
    // The checksums of an installed model were taken when it was pulled.
    if let Some(installed) = Installed::open(dir)? {
        return Ok(installed.fingerprint().chars().take(16).collect());
    }
    let entries = std::fs::read_dir(dir).map_err(ModelError::io(dir))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let weights = layout.weights(dir)?;
    let sharded = weights.extension() == Some(OsStr::new("json"));
    let mut hash = blake3::Hasher::new();
    for path in paths {
        let counts = match path.extension().and_then(OsStr::to_str) {
            Some("json" | "txt") => true,
            Some("safetensors") => sharded || path == weights,
            _ => path == weights,
        };
        if counts && path.is_file() {
            hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            hash.update(&hashed(&path).map_err(ModelError::io(&path))?);
        }
    }
    Ok(hash.finalize().to_hex()[..16].to_owned())
}

/// A hash of a file, computed on all cores.
fn hashed(path: &Path) -> std::io::Result<[u8; 32]> {
    let length = path.metadata()?.len() as usize;
    let read = |index: usize| {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start((index * CHUNK) as u64))?;
        let mut bytes = Vec::new();
        file.take(CHUNK as u64).read_to_end(&mut bytes)?;
        Ok(*blake3::hash(&bytes).as_bytes())
    };
    let chunks = (0..length.div_ceil(CHUNK)).into_par_iter().map(read);
    let hashes = chunks.collect::<std::io::Result<Vec<[u8; 32]>>>()?;
    Ok(*blake3::hash(&hashes.concat()).as_bytes())
}
