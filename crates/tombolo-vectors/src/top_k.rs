use std::ops::Range;

use rayon::prelude::*;

use crate::best::Best;
use crate::{Rows, ScoredRow, VectorError};

/// Rows scored at a time: 64 rows of 512 f32 are 128 KiB, which stay in a core's own cache.
const BLOCK_ROWS: usize = 64;

/// Rows that a thread takes at a time: 512 KiB of 512 halves, so that its memory is read in order.
const SPAN_ROWS: usize = 512;

/// The `k` rows most similar to the query, best first, of those that pass the filter.
///
/// Exact: every row is compared. Among equal scores the lower row comes first, so the answer is
/// the same whatever the number of threads. A row whose score is not a number is left out.
///
/// # Shapes
/// `query`: `[dim]`; `rows`: `[len, dim]`. Returns at most `k` entries.
/// # Errors
/// [`VectorError::Dim`] if query and rows differ in dimension.
pub fn top_k<R: Rows + ?Sized>(
    query: &[f32],
    rows: &R,
    k: usize,
    filter: impl Fn(usize) -> bool + Sync,
) -> Result<Vec<ScoredRow>, VectorError> {
    if query.len() != rows.dim() {
        return Err(VectorError::Dim { expected: rows.dim(), found: query.len() });
    }
    Ok(best_of_spans(rows.len(), k, &filter, |span, scores, scratch| {
        rows.dot_all(query, span, scratch, scores);
    }))
}

/// The best `k` of `len` rows, whose scores `score` writes block by block.
///
/// Blocks are cut by row number alone, so neither they nor their order depend on the threads.
pub(crate) fn best_of_spans<S: Default + Send>(
    len: usize,
    k: usize,
    filter: &(impl Fn(usize) -> bool + Sync),
    score: impl Fn(Range<usize>, &mut [f32], &mut S) + Sync,
) -> Vec<ScoredRow> {
    let scan = |(mut best, mut scratch): (Best, S), span: usize| {
        let end = len.min((span + 1) * SPAN_ROWS);
        for start in (span * SPAN_ROWS..end).step_by(BLOCK_ROWS) {
            let block = start..end.min(start + BLOCK_ROWS);
            let mut scores = [0.0; BLOCK_ROWS];
            let scores = &mut scores[..block.len()];
            score(block, scores, &mut scratch);
            best.offer_all(start, scores, filter);
        }
        (best, scratch)
    };
    (0..len.div_ceil(SPAN_ROWS))
        .into_par_iter()
        .fold(|| (Best::new(k), S::default()), scan)
        .map(|(best, _)| best)
        .reduce(|| Best::new(k), Best::merge)
        .into_sorted()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chain, EmbeddingMatrix};
    use proptest::prelude::*;

    /// Every row scored, all sorted: what `top_k` must equal.
    fn brute_force(
        query: &[f32],
        rows: &EmbeddingMatrix,
        k: usize,
        filter: impl Fn(usize) -> bool,
    ) -> Vec<(usize, f32)> {
        let mut all: Vec<(usize, f32)> = rows
            .iter()
            .enumerate()
            .filter(|(row, _)| filter(*row))
            .map(|(row, vector)| (row, query.iter().zip(vector).map(|(a, b)| a * b).sum()))
            .collect();
        all.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
        all.truncate(k);
        all
    }

    fn pairs(found: &[ScoredRow]) -> Vec<(usize, f32)> {
        found.iter().map(|scored| (scored.row, scored.score)).collect()
    }

    proptest! {
        /// Small integers make the sums exact and ties many.
        #[test]
        fn equals_the_sorted_scores(
            query in prop::collection::vec(-2_i8..=2, 3),
            values in prop::collection::vec(-2_i8..=2, 0..1500),
            k in 0_usize..400,
            step in 1_usize..5,
            threads in 1_usize..5,
        ) {
            let query: Vec<f32> = query.iter().map(|&value| f32::from(value)).collect();
            let mut values: Vec<f32> = values.iter().map(|&value| f32::from(value)).collect();
            values.truncate(values.len() / 3 * 3);
            let rows = EmbeddingMatrix::from_rows(3, values).unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| top_k(&query, &rows, k, |row| row % step == 0).unwrap());
            prop_assert_eq!(pairs(&found), brute_force(&query, &rows, k, |row| row % step == 0));
        }
    }

    #[test]
    fn a_chain_gives_what_one_matrix_gives() {
        let values: Vec<f32> = (0..600).map(|i| ((i * 37 % 101) as f32) / 101.0).collect();
        let whole = EmbeddingMatrix::from_rows(2, values.clone()).unwrap();
        let parts = values
            .chunks(2 * 130)
            .map(|part| EmbeddingMatrix::from_rows(2, part.to_vec()).unwrap())
            .collect();
        let chain = Chain::new(2, parts).unwrap();
        let query = [0.3, -0.7];
        assert_eq!(
            top_k(&query, &chain, 9, |_| true).unwrap(),
            top_k(&query, &whole, 9, |_| true).unwrap()
        );
    }

    #[test]
    fn not_a_number_is_left_out_and_another_dimension_refused() {
        let rows = EmbeddingMatrix::from_rows(1, vec![f32::NAN, 1.0]).unwrap();
        assert_eq!(pairs(&top_k(&[1.0], &rows, 5, |_| true).unwrap()), [(1, 1.0)]);
        assert!(matches!(
            top_k(&[1.0, 2.0], &rows, 5, |_| true),
            Err(VectorError::Dim { expected: 1, found: 2 })
        ));
    }
}
