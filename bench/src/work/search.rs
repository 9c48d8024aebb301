//! Search over a million vectors: halves mapped from a file as a library has them, top 10.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use tombolo_vectors::{EmbeddingMatrix, F16Rows, I8Rows, ScoredRow, top_k, top_k_batch};

use super::Work;
use crate::Inputs;
use crate::npy::{self, Array};

/// The vectors of `base.npy`, whose last rows are the queries.
const ROWS: usize = 1_000_000;
const DIM: usize = 512;
const TOP: usize = 10;

/// Searches that one request for a time makes, each with another query; the peer makes as many.
const SEARCHES: usize = 20;

/// Exact, a query at a time: the scores of the first queries, `[SEARCHES, TOP]`.
pub fn search_1m_single(inputs: &Inputs) -> anyhow::Result<Work> {
    let (rows, queries) = load(inputs)?;
    Ok(Box::new(move || {
        let queries = queries.iter().take(SEARCHES);
        scores(queries.map(|query| Ok(top_k(query, &rows, TOP, |_| true)?)))
    }))
}

/// Looked up in int8 and scored again from the halves, a query at a time: the scores as above.
pub fn search_1m_int8(inputs: &Inputs) -> anyhow::Result<Work> {
    let (rows, queries) = load(inputs)?;
    let rounded = I8Rows::from_rows(&rows);
    Ok(Box::new(move || {
        let queries = queries.iter().take(SEARCHES);
        scores(queries.map(|query| Ok(rounded.top_k(query, &rows, TOP, |_| true)?)))
    }))
}

/// What of the exact answers to all queries the search in int8 finds: recall@10, `[1]`.
pub fn search_1m_int8_recall(inputs: &Inputs) -> anyhow::Result<Work> {
    let (rows, queries) = load(inputs)?;
    let rounded = I8Rows::from_rows(&rows);
    Ok(Box::new(move || {
        let exact = top_k_batch(&queries, &rows, TOP, |_| true)?;
        let mut found = 0;
        for (query, exact) in queries.iter().zip(&exact) {
            let hits = rounded.top_k(query, &rows, TOP, |_| true)?;
            found += exact.iter().filter(|wanted| hits.iter().any(|h| h.row == wanted.row)).count();
        }
        let recall = found as f32 / (exact.len() * TOP) as f32;
        Ok(Array { shape: vec![1], values: vec![recall] })
    }))
}

/// Exact, a thousand queries at once: their scores, `[1000, TOP]`.
pub fn search_1m_batch(inputs: &Inputs) -> anyhow::Result<Work> {
    let (rows, queries) = load(inputs)?;
    Ok(Box::new(move || scores(top_k_batch(&queries, &rows, TOP, |_| true)?.into_iter().map(Ok))))
}

fn scores(found: impl Iterator<Item = anyhow::Result<Vec<ScoredRow>>>) -> anyhow::Result<Array> {
    let found = found.collect::<anyhow::Result<Vec<_>>>()?;
    let values = found.iter().flatten().map(|scored| scored.score).collect();
    Ok(Array { shape: vec![found.len(), TOP], values })
}

/// The million rows in a file of halves, written once, and the queries.
fn load(inputs: &Inputs) -> anyhow::Result<(F16Rows, EmbeddingMatrix)> {
    let base = inputs.cache.join("base.npy");
    let map = map(&base)?;
    let (_, values) = npy::view(&base, &map)?;
    let (rows, queries) = values.split_at(ROWS * DIM);
    let halves = halves(&inputs.cache.join("base.f16"), rows)?;
    let queries = EmbeddingMatrix::from_rows(DIM, queries.to_vec())?;
    Ok((F16Rows::open(&halves, DIM)?, queries))
}

/// Maps a file of the inputs.
pub fn map(path: &Path) -> anyhow::Result<Mmap> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    // SAFETY: mapped read-only; nobody writes to the inputs while the benchmarks run.
    Ok(unsafe { Mmap::map(&file)? })
}

/// Writes the rows as halves, if that has not been done.
fn halves(path: &Path, rows: &[f32]) -> anyhow::Result<PathBuf> {
    if !path.exists() {
        let mut wide = vec![f16::ZERO; rows.len()];
        wide.convert_from_f32_slice(rows);
        let temporary = path.with_extension("part");
        std::fs::write(&temporary, bytemuck::cast_slice(&wide))?;
        std::fs::rename(&temporary, path)?;
    }
    Ok(path.to_owned())
}
