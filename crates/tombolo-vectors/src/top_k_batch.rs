use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::{EmbeddingMatrix, Rows, ScoredRow, VectorError, norm, rescore};

/// Rows multiplied with all queries at once: 1,024 rows of 512 f32 are 2 MiB.
const BLOCK_ROWS: usize = 1_024;

/// Queries of one product, so that its scores stay in the cache: 1,024 · 1,024 f32 are 4 MiB.
const BLOCK_QUERIES: usize = 1_024;

/// Candidates of a query beyond 2·`k` before the hopeless ones are dropped.
const SLACK: usize = 256;

/// [`top_k`](crate::top_k) for many queries at once, with the same answers to the last bit.
///
/// Blocks of rows are widened once and multiplied with all queries. The matrix product adds in another
/// order than `top_k`, so it only chooses candidates, with a margin as wide as the rounding of both:
/// |Σ x̂ᵢŷᵢ − Σ xᵢyᵢ| ≤ γₙ·‖x‖·‖y‖, γₙ = n·u / (1 − n·u) (Higham 2002, equation 3.5). They are then scored
/// as `top_k` scores them. So neither batch nor threads change an answer.
///
/// # Shapes
/// `queries`: `[n, dim]`; `rows`: `[len, dim]`. Returns `n` lists of at most `k` entries, best first.
/// # Errors
/// [`VectorError::Dim`] if queries and rows differ in dimension.
pub fn top_k_batch<R: Rows + ?Sized>(
    queries: &EmbeddingMatrix,
    rows: &R,
    k: usize,
    filter: impl Fn(usize) -> bool + Sync,
) -> Result<Vec<Vec<ScoredRow>>, VectorError> {
    if queries.dim() != rows.dim() {
        return Err(VectorError::Dim { expected: rows.dim(), found: queries.dim() });
    }
    let margins = margins(queries);
    let next = AtomicUsize::new(0);
    let workers = rayon::current_num_threads().min(rows.len().div_ceil(BLOCK_ROWS));
    let shortlists: Vec<Vec<Shortlist>> = (0..workers)
        .into_par_iter()
        .with_max_len(1)
        .map(|_| {
            let mut work = Work::new(queries, &margins, k);
            loop {
                let start = next.fetch_add(1, Ordering::Relaxed) * BLOCK_ROWS;
                if start >= rows.len() {
                    return work.shortlists;
                }
                let end = rows.len().min(start + BLOCK_ROWS);
                work.take(start, rows.block(start..end, &mut Vec::new()), &filter);
            }
        })
        .collect();
    (0..queries.len())
        .into_par_iter()
        .map(|query| {
            let candidates = shortlists.iter().flat_map(|lists| lists[query].rows());
            rescore(queries.row(query), rows, candidates, k)
        })
        .collect()
}

/// Twice the bound of the rounding of a dot product with a vector of norm one, for each query.
fn margins(queries: &EmbeddingMatrix) -> Vec<f32> {
    // Two more than the dimension for the rounding of the margin's own sums.
    let rounding = (queries.dim() + 2) as f32 * (f32::EPSILON / 2.0);
    queries.iter().map(|query| 2.0 * 1.01 * rounding * norm(query)).collect()
}

/// What one thread keeps.
struct Work<'a> {
    queries: &'a EmbeddingMatrix,
    margins: &'a [f32],
    shortlists: Vec<Shortlist>,
    scores: Vec<f32>,
}

impl<'a> Work<'a> {
    fn new(queries: &'a EmbeddingMatrix, margins: &'a [f32], k: usize) -> Self {
        let shortlists = queries.iter().map(|_| Shortlist::new(k)).collect();
        Self { queries, margins, shortlists, scores: vec![0.0; BLOCK_QUERIES * BLOCK_ROWS] }
    }

    /// Compares a block of rows, which begins at row `first`, with all queries.
    fn take(&mut self, first: usize, block: &[f32], filter: &impl Fn(usize) -> bool) {
        let dim = self.queries.dim();
        let len = block.len() / dim;
        let norms = block.chunks_exact(dim).map(norm).filter(|norm| norm.is_finite());
        let largest = norms.fold(0.0, f32::max);
        for (part, queries) in self.queries.as_slice().chunks(BLOCK_QUERIES * dim).enumerate() {
            let scores = &mut self.scores[..queries.len() / dim * len];
            multiply(queries, block, dim, scores);
            for (query, scores) in (part * BLOCK_QUERIES..).zip(scores.chunks_exact(len)) {
                let margin = self.margins[query] * largest;
                self.shortlists[query].offer_all(first, scores, margin, filter);
            }
        }
    }
}

/// All dot products of `[n, dim]` and `[m, dim]`, `[n, m]`, on the calling thread.
fn multiply(queries: &[f32], rows: &[f32], dim: usize, scores: &mut [f32]) {
    let (n, m, stride) = (queries.len() / dim, rows.len() / dim, dim as isize);
    assert_eq!(scores.len(), n * m, "a score for each pair");
    // SAFETY: with these strides the three matrices, [m, dim], [dim, n] and [m, n], fill exactly
    // the three slices, and `scores` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            m,
            n,
            dim,
            scores.as_mut_ptr(),
            m as isize,
            1,
            false,
            rows.as_ptr(),
            1,
            stride,
            queries.as_ptr(),
            stride,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// A row whose exact score is at least `low` and at most `high`.
#[derive(Clone, Copy)]
struct Candidate {
    row: usize,
    low: f32,
    high: f32,
}

/// Rows that may be among the best `k`.
struct Shortlist {
    k: usize,
    /// At least `k` rows score as much: the exact score of a row of the best `k` is no less.
    threshold: f32,
    candidates: Vec<Candidate>,
    /// How many candidates are too many.
    room: usize,
}

impl Shortlist {
    fn new(k: usize) -> Self {
        let threshold = if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Self {
            k,
            threshold,
            candidates: Vec::new(),
            room: k.saturating_mul(2).saturating_add(SLACK),
        }
    }

    fn rows(&self) -> impl Iterator<Item = usize> {
        let possible = self.candidates.iter().filter(|candidate| candidate.high >= self.threshold);
        possible.map(|candidate| candidate.row)
    }

    /// Keeps the rows from `first` on whose exact score may reach the threshold.
    fn offer_all(
        &mut self,
        first: usize,
        scores: &[f32],
        margin: f32,
        filter: &impl Fn(usize) -> bool,
    ) {
        const GROUP: usize = 64;
        for (group, scores) in scores.chunks(GROUP).enumerate() {
            let least = self.threshold - margin;
            // Without a way out of the loop, so that it is vectorised; most groups hold nothing.
            if !scores.iter().fold(false, |any, &score| any | (score >= least)) {
                continue;
            }
            for (row, &score) in (first + group * GROUP..).zip(scores) {
                if score >= self.threshold - margin && filter(row) {
                    self.push(Candidate { row, low: score - margin, high: score + margin });
                }
            }
        }
    }

    fn push(&mut self, candidate: Candidate) {
        self.candidates.push(candidate);
        if self.candidates.len() >= self.room {
            let by_low = |a: &Candidate, b: &Candidate| b.low.total_cmp(&a.low);
            let (_, kth, _) = self.candidates.select_nth_unstable_by(self.k - 1, by_low);
            self.threshold = self.threshold.max(kth.low);
            self.candidates.retain(|candidate| candidate.high >= self.threshold);
            // Where many scores are equal they all stay; doubling keeps the work linear.
            self.room = self.room.max(2 * self.candidates.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{F16Rows, top_k};
    use half::f16;
    use proptest::prelude::*;

    fn random(mut seed: u32) -> impl FnMut() -> f32 {
        move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        }
    }

    fn rows(len: usize, dim: usize, seed: u32) -> F16Rows {
        let mut next = random(seed);
        let values = (0..len * dim).map(|_| f16::from_f32(next())).collect();
        F16Rows::from_vec(dim, values).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn equals_one_query_after_another_to_the_last_bit(
            len in 0_usize..3_000,
            queries in 0_usize..300,
            dim in 1_usize..20,
            k in 0_usize..40,
            step in 1_usize..4,
            threads in 1_usize..4,
        ) {
            let gallery = rows(len, dim, 1);
            let mut next = random(2);
            let values = (0..queries * dim).map(|_| next()).collect();
            let queries = EmbeddingMatrix::from_rows(dim, values).unwrap();
            let filter = |row: usize| row.is_multiple_of(step);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| top_k_batch(&queries, &gallery, k, filter)).unwrap();
            prop_assert_eq!(found.len(), queries.len());
            for (found, query) in found.iter().zip(&queries) {
                prop_assert_eq!(found, &top_k(query, &gallery, k, filter).unwrap());
            }
        }
    }

    /// More ties than a shortlist has room for.
    #[test]
    fn equal_scores_keep_the_lower_rows() {
        let gallery = F16Rows::from_vec(1, vec![f16::ONE; 5_000]).unwrap();
        let queries = EmbeddingMatrix::from_rows(1, vec![1.0, -1.0, 0.0]).unwrap();
        for found in top_k_batch(&queries, &gallery, 3, |row| row > 1).unwrap() {
            assert_eq!(found.iter().map(|scored| scored.row).collect::<Vec<_>>(), [2, 3, 4]);
        }
    }

    #[test]
    fn not_a_number_is_left_out_and_another_dimension_refused() {
        let gallery = EmbeddingMatrix::from_rows(1, vec![f32::NAN, 1.0, f32::INFINITY]).unwrap();
        let queries = EmbeddingMatrix::from_rows(1, vec![1.0]).unwrap();
        let found = top_k_batch(&queries, &gallery, 5, |_| true).unwrap();
        assert_eq!(found[0].iter().map(|scored| scored.row).collect::<Vec<_>>(), [2, 1]);
        let other = EmbeddingMatrix::from_rows(2, vec![1.0, 1.0]).unwrap();
        assert!(matches!(
            top_k_batch(&other, &gallery, 5, |_| true),
            Err(VectorError::Dim { expected: 1, found: 2 })
        ));
    }
}
