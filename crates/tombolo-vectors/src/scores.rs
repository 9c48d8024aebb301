use rayon::prelude::*;

use crate::{Rows, VectorError};

/// Rows that a thread takes at a time: 512 KiB of 512 halves, so that its memory is read in order.
const SPAN_ROWS: usize = 512;

/// The similarity of the query to every row, for what must be known of all of them.
///
/// # Shapes
/// `query`: `[dim]`; `rows`: `[len, dim]`. Returns `[len]`.
/// # Errors
/// [`VectorError::Dim`] if query and rows differ in dimension.
pub fn scores<R: Rows + ?Sized>(query: &[f32], rows: &R) -> Result<Vec<f32>, VectorError> {
    if query.len() != rows.dim() {
        return Err(VectorError::Dim { expected: rows.dim(), found: query.len() });
    }
    let mut scores = vec![0.0; rows.len()];
    scores.par_chunks_mut(SPAN_ROWS).enumerate().for_each_init(Vec::new, |scratch, (span, out)| {
        let start = span * SPAN_ROWS;
        rows.dot_all(query, start..start + out.len(), scratch, out);
    });
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EmbeddingMatrix, top_k};

    #[test]
    fn every_row_has_the_score_that_top_k_gives_it() {
        let values: Vec<f32> = (0..3 * 1300).map(|i| ((i * 37 % 101) as f32) / 101.0).collect();
        let rows = EmbeddingMatrix::from_rows(3, values).unwrap();
        let query = [0.3, -0.7, 0.2];
        let scores = scores(&query, &rows).unwrap();
        assert_eq!(scores.len(), 1300);
        for found in top_k(&query, &rows, 1300, |_| true).unwrap() {
            assert_eq!(scores[found.row], found.score);
        }
        assert!(super::scores(&[1.0], &rows).is_err());
    }
}
