//! Vectors after a model's map, kept beside the raw ones. Derived: safe to delete at any time.

use std::fs;
use std::path::Path;

use half::f16;
use half::slice::HalfFloatSliceExt;
use tombolo_vectors::{Chain, EmbeddingMatrix, F16Rows, Rows};

use super::durable::write_whole;
use super::segments::{segment_path, to_bytes};
use crate::{GalleryMap, SearchError};

/// Rows mapped at a time; bounds the memory that the map takes.
const BLOCK_ROWS: usize = 4_096;

/// The mapped form of all raw rows, segment for segment.
///
/// Raw rows never change, so a segment mapped once is right for its rows for ever, and only what
/// is missing is computed. Where the folder cannot be written the result stays in memory.
pub(crate) fn open(
    dir: &Path,
    library: &Path,
    raw: &Chain<F16Rows>,
    map: &dyn GalleryMap,
) -> Result<Chain<F16Rows>, SearchError> {
    let vectors = |source| SearchError::Vectors { path: library.to_owned(), source };
    let mut parts = Vec::with_capacity(raw.parts().len());
    for (segment, raw) in raw.parts().iter().enumerate() {
        let path = segment_path(dir, segment);
        let open = |path: &Path| F16Rows::open_prefix(path, map.dim(), raw.len());
        parts.push(match open(&path) {
            Ok(part) => part,
            Err(_) => {
                let values = complete(&path, library, raw, map)?;
                let stored = store(dir, &path, &values).ok();
                // What another process does to the file in between is no concern of this one.
                let stored = stored.and_then(|()| open(&path).ok());
                match stored {
                    Some(part) => part,
                    None => F16Rows::from_vec(map.dim(), values).map_err(vectors)?,
                }
            }
        });
    }
    Chain::new(map.dim(), parts).map_err(vectors)
}

/// The rows of a segment: those already on disk, then the rest through the map.
fn complete(
    path: &Path,
    library: &Path,
    raw: &F16Rows,
    map: &dyn GalleryMap,
) -> Result<Vec<f16>, SearchError> {
    let mut values = Vec::with_capacity(raw.len() * map.dim());
    if let Ok(bytes) = fs::metadata(path).map(|metadata| metadata.len() as usize) {
        let rows = (bytes / (map.dim() * size_of::<f16>())).min(raw.len());
        if let Ok(kept) = F16Rows::open_prefix(path, map.dim(), rows) {
            values.extend_from_slice(kept.as_slice());
        }
    }
    let first = values.len() / map.dim();
    let mut scratch = Vec::new();
    for start in (first..raw.len()).step_by(BLOCK_ROWS) {
        let end = raw.len().min(start + BLOCK_ROWS);
        let block = raw.block(start..end, &mut scratch).to_vec();
        let mapped = apply(library, raw.dim(), block, map)?;
        let from = values.len();
        values.resize(from + mapped.as_slice().len(), f16::ZERO);
        values[from..].convert_from_f32_slice(mapped.as_slice());
    }
    Ok(values)
}

fn apply(
    library: &Path,
    dim: usize,
    block: Vec<f32>,
    map: &dyn GalleryMap,
) -> Result<EmbeddingMatrix, SearchError> {
    let path = || library.to_owned();
    let raw = EmbeddingMatrix::from_rows(dim, block)
        .map_err(|source| SearchError::Vectors { path: path(), source })?;
    let mapped = map.apply(&raw).map_err(|source| SearchError::Model { path: path(), source })?;
    if mapped.dim() != map.dim() {
        let (expected, found) = (map.dim(), mapped.dim());
        return Err(SearchError::Dim { path: path(), what: "mapped vectors", expected, found });
    }
    if mapped.len() != raw.len() {
        let (expected, found) = (raw.len(), mapped.len());
        return Err(SearchError::VectorCount { path: path(), expected, found });
    }
    Ok(mapped)
}

fn store(dir: &Path, path: &Path, values: &[f16]) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    write_whole(path, &to_bytes(values))
}
