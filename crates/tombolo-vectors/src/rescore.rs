use crate::best::Best;
use crate::{Rows, ScoredRow, VectorError};

/// The best `k` of some candidate rows by their exact scores, in the order and with the scores that
/// [`top_k`](crate::top_k) gives them: what an approximate search ends with.
///
/// # Shapes
/// `query`: `[dim]`; `rows`: `[len, dim]`. Returns at most `k` entries.
/// # Errors
/// [`VectorError::Dim`] if query and rows differ in dimension.
/// # Panics
/// If a candidate is no row.
pub fn rescore<R: Rows + ?Sized>(
    query: &[f32],
    rows: &R,
    candidates: impl IntoIterator<Item = usize>,
    k: usize,
) -> Result<Vec<ScoredRow>, VectorError> {
    if query.len() != rows.dim() {
        return Err(VectorError::Dim { expected: rows.dim(), found: query.len() });
    }
    let mut best = Best::new(k);
    let mut scratch = Vec::new();
    for row in candidates {
        let mut score = [0.0];
        rows.dot_all(query, row..row + 1, &mut scratch, &mut score);
        best.offer_all(row, &score, &|_| true);
    }
    Ok(best.into_sorted())
}
