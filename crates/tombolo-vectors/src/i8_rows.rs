use std::ops::Range;

use rayon::prelude::*;

use crate::scan::Form;
use crate::top_k::best_of_spans;
use crate::{Rows, ScoredRow, VectorError, rescore};

/// Candidates rescored for each row that is wanted, and the least number of them.
const OVERSAMPLING: usize = 4;
const MIN_CANDIDATES: usize = 32;

/// Rows that a thread quantises at a time.
const SPAN_ROWS: usize = 512;

/// Vectors rounded to eight bits, `[len, dim]`, in memory: a smaller copy to look through first.
///
/// Row v is kept as round(v / s) with its own scale s = max |vᵢ| / 127, in half the bytes of f16. The
/// query is rounded to sixteen bits, or to as many as keep the sum of a dot product in 32.
#[derive(Debug, Clone)]
pub struct I8Rows {
    dim: usize,
    values: Vec<i8>,
    scales: Vec<f32>,
}

impl I8Rows {
    /// Quantises rows of finite values, on all cores.
    pub fn from_rows<R: Rows + ?Sized>(rows: &R) -> Self {
        let (len, dim) = (rows.len(), rows.dim());
        let (mut values, mut scales) = (vec![0; len * dim], vec![0.0; len]);
        values
            .par_chunks_mut(SPAN_ROWS * dim)
            .zip(scales.par_chunks_mut(SPAN_ROWS))
            .enumerate()
            .for_each_init(Vec::new, |scratch, (span, (values, scales))| {
                let start = span * SPAN_ROWS;
                let block = rows.block(start..start + scales.len(), scratch);
                let rows = values.chunks_exact_mut(dim).zip(block.chunks_exact(dim));
                for (scale, (out, row)) in scales.iter_mut().zip(rows) {
                    *scale = quantise(row, out);
                }
            });
        Self { dim, values, scales }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// True where there is no row.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// Components of each row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The `k` rows most similar to the query, best first, of those that pass the filter: as
    /// [`top_k`](crate::top_k) finds them in `exact`, the rows that these were made from, but that
    /// a row may be missed.
    ///
    /// The best 4·`k` by the rounded values, and at least 32, are scored again from `exact`, so
    /// every score is exact and only membership is not. On a million clustered unit vectors of 512
    /// components the ten found were the ten nearest, for 1,000 of 1,000 queries (the row
    /// `search_1m_int8` of `bench/run.sh`, which fails under a recall of 0.999).
    ///
    /// # Shapes
    /// `query`: `[dim]`; `exact`: `[len, dim]`. Returns at most `k` entries.
    /// # Errors
    /// [`VectorError::Dim`] if query and rows differ in dimension; [`VectorError::Len`] if `exact`
    /// has another number of rows.
    pub fn top_k<R: Rows + ?Sized>(
        &self,
        query: &[f32],
        exact: &R,
        k: usize,
        filter: impl Fn(usize) -> bool + Sync,
    ) -> Result<Vec<ScoredRow>, VectorError> {
        for found in [query.len(), exact.dim()] {
            if found != self.dim {
                return Err(VectorError::Dim { expected: self.dim, found });
            }
        }
        if exact.len() != self.len() {
            return Err(VectorError::Len { expected: self.len(), found: exact.len() });
        }
        let wanted = k.saturating_mul(OVERSAMPLING).max(MIN_CANDIDATES);
        let rounded = quantise_query(query);
        let form = Form::best();
        let candidates = best_of_spans(self.len(), wanted, &filter, |rows, scores, sums| {
            self.dot_all(form, &rounded, rows, (sums, scores));
        });
        rescore(query, exact, candidates.iter().map(|scored| scored.row), k)
    }

    /// Scores of some rows but for the scale of the query; `sums` is scratch.
    fn dot_all(
        &self,
        form: Form,
        query: &[i16],
        rows: Range<usize>,
        (sums, scores): (&mut Vec<i32>, &mut [f32]),
    ) {
        sums.resize(rows.len(), 0);
        form.dot_i8(query, &self.values[rows.start * self.dim..rows.end * self.dim], sums);
        for ((score, sum), scale) in scores.iter_mut().zip(sums).zip(&self.scales[rows]) {
            *score = *sum as f32 * scale;
        }
    }
}

/// Rounds a row to whole multiples of the scale that it returns.
fn quantise(row: &[f32], out: &mut [i8]) -> f32 {
    let max = largest(row);
    let inverse = if max > 0.0 { 127.0 / max } else { 0.0 };
    for (out, x) in out.iter_mut().zip(row) {
        *out = (x * inverse).round() as i8;
    }
    max / 127.0
}

fn quantise_query(query: &[f32]) -> Vec<i16> {
    let room = i32::MAX as usize / (127 * query.len().max(1));
    let steps = room.min(i16::MAX as usize) as f32;
    let max = largest(query);
    let inverse = if max > 0.0 { steps / max } else { 0.0 };
    query.iter().map(|x| (x * inverse).round() as i16).collect()
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |max, x| x.abs().max(max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EmbeddingMatrix, F16Rows, top_k};
    use half::f16;
    use proptest::prelude::*;

    /// Unit vectors around common centres, so that many are near to each other.
    fn clustered(len: usize, dim: usize) -> F16Rows {
        let mut seed = 1_u32;
        let mut next = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let centres: Vec<f32> = (0..10 * dim).map(|_| next()).collect();
        let row = |row: usize| (row % 10) * dim..(row % 10 + 1) * dim;
        let values = (0..len).flat_map(|i| centres[row(i)].to_vec()).map(|x| x + next()).collect();
        let mut rows = EmbeddingMatrix::from_rows(dim, values).unwrap();
        rows.normalize_rows();
        F16Rows::from_vec(dim, rows.as_slice().iter().map(|&x| f16::from_f32(x)).collect()).unwrap()
    }

    proptest! {
        #[test]
        fn a_row_is_off_by_at_most_half_a_step(row in prop::collection::vec(-3.0_f32..3.0, 1..40)) {
            let mut rounded = vec![0; row.len()];
            let scale = quantise(&row, &mut rounded);
            for (x, q) in row.iter().zip(rounded) {
                prop_assert!((x - f32::from(q) * scale).abs() <= 0.501 * scale);
            }
        }
    }

    #[test]
    fn finds_what_an_exact_search_finds_with_the_same_scores() {
        let rows = clustered(5_000, 67);
        let rounded = I8Rows::from_rows(&rows);
        assert_eq!((rounded.len(), rounded.dim()), (5_000, 67));
        for query in (0..5_000).step_by(100) {
            let query = rows.row_to_vec(query);
            let keep = |row: usize| !row.is_multiple_of(3);
            let found = rounded.top_k(&query, &rows, 10, keep).unwrap();
            assert_eq!(found, top_k(&query, &rows, 10, keep).unwrap());
        }
    }

    #[test]
    fn a_sum_of_the_largest_values_does_not_overflow() {
        for dim in [512, 513, 4_096] {
            let query = vec![1.0; dim];
            let rows =
                EmbeddingMatrix::from_rows(dim, [[-1.0].repeat(dim), query.clone()].concat());
            let rows = rows.unwrap();
            let found = I8Rows::from_rows(&rows).top_k(&query, &rows, 1, |_| true).unwrap();
            assert_eq!((found[0].row, found[0].score), (1, dim as f32));
        }
    }

    #[test]
    fn zero_rows_and_what_does_not_fit_are_dealt_with() {
        let rows = EmbeddingMatrix::from_rows(2, vec![0.0, 0.0, 1.0, f32::NAN]).unwrap();
        let rounded = I8Rows::from_rows(&rows);
        let found = rounded.top_k(&[1.0, 0.0], &rows, 5, |_| true).unwrap();
        assert_eq!(found.iter().map(|scored| scored.row).collect::<Vec<_>>(), [0]);
        let shorter = rows.select(&[0]);
        assert!(matches!(
            rounded.top_k(&[1.0, 0.0], &shorter, 5, |_| true),
            Err(VectorError::Len { expected: 2, found: 1 })
        ));
        assert!(matches!(
            rounded.top_k(&[1.0], &rows, 5, |_| true),
            Err(VectorError::Dim { expected: 2, found: 1 })
        ));
    }
}
