use rayon::prelude::*;
use tombolo_vectors::EmbeddingMatrix;

use crate::scores::{GALLERY_TILE, QUERY_TILE, TileScorer, score};
use crate::{EvalError, Rankings, Relevance};

/// Below this many relevant items it is quicker to pass over the scores once for each of them
/// than to search the place of each score among them.
const FEW_RELEVANT: usize = 16;

/// Ranks every relevant item of every query in the gallery, without holding the score matrix.
///
/// The rank of a relevant item is 1 + the items that are not relevant and score at least as much
/// + the relevant ones ranked before it.
///
/// Takes O(queries × gallery × dim) time on all cores; beyond the inputs, memory for the ranks and
/// one tile of scores per thread.
///
/// # Shapes
/// `queries`: `[queries, dim]`; `gallery`: `[gallery, dim]`.
/// # Errors
/// [`EvalError`] for an empty side, different dimensions, vectors that are not finite, or
/// relevance of another size.
pub fn rank(
    queries: &EmbeddingMatrix,
    gallery: &EmbeddingMatrix,
    relevance: &Relevance,
) -> Result<Rankings, EvalError> {
    check(queries, gallery, relevance)?;
    let tiles: Vec<Vec<Vec<usize>>> = (0..queries.len())
        .into_par_iter()
        .step_by(QUERY_TILE)
        .map(|start| {
            let len = QUERY_TILE.min(queries.len() - start);
            rank_tile(queries, gallery, relevance, start..start + len)
        })
        .collect();
    Ok(Rankings::from_lists(tiles.into_iter().flatten()))
}

fn check(
    queries: &EmbeddingMatrix,
    gallery: &EmbeddingMatrix,
    relevance: &Relevance,
) -> Result<(), EvalError> {
    for (side, rows, found) in
        [("queries", queries, relevance.len()), ("gallery", gallery, relevance.gallery_len())]
    {
        if rows.is_empty() {
            return Err(EvalError::Empty { side });
        }
        if rows.len() != found {
            return Err(EvalError::Count { side, expected: rows.len(), found });
        }
        if let Some(row) = rows.first_non_finite() {
            return Err(EvalError::NonFinite { side, row });
        }
    }
    if queries.dim() != gallery.dim() {
        return Err(EvalError::Dim { expected: queries.dim(), found: gallery.dim() });
    }
    Ok(())
}

fn rank_tile(
    queries: &EmbeddingMatrix,
    gallery: &EmbeddingMatrix,
    relevance: &Relevance,
    tile: std::ops::Range<usize>,
) -> Vec<Vec<usize>> {
    let mut counters: Vec<Counter> = tile
        .clone()
        .map(|query| {
            let rows = relevance.of(query).iter();
            Counter::new(rows.map(|&row| score(queries.row(query), gallery.row(row))).collect())
        })
        .collect();
    let mut scorer = TileScorer::new(queries, tile.start, tile.len());
    for start in (0..gallery.len()).step_by(GALLERY_TILE) {
        let len = GALLERY_TILE.min(gallery.len() - start);
        scorer.score(gallery, start, len);
        for (query, counter) in counters.iter_mut().enumerate() {
            counter.count(scorer.row(query, len));
        }
    }
    counters.into_iter().map(Counter::into_ranks).collect()
}

/// Counts, for each relevant item of one query, the gallery items that score at least as much.
struct Counter {
    /// Scores of the relevant items, descending.
    relevant: Vec<f64>,
    /// With few relevant items: items at or above each. With many: items whose score falls between
    /// one relevant score and the next.
    counts: Vec<usize>,
}

impl Counter {
    fn new(mut relevant: Vec<f64>) -> Self {
        relevant.sort_unstable_by(|a, b| b.total_cmp(a));
        let counts = vec![0; relevant.len()];
        Self { relevant, counts }
    }

    fn few(&self) -> bool {
        self.relevant.len() <= FEW_RELEVANT
    }

    fn count(&mut self, scores: &[f64]) {
        if self.few() {
            for (count, &relevant) in self.counts.iter_mut().zip(&self.relevant) {
                *count += scores.iter().map(|&score| usize::from(score >= relevant)).sum::<usize>();
            }
        } else {
            for &score in scores {
                let place = self.relevant.partition_point(|&relevant| relevant > score);
                if let Some(count) = self.counts.get_mut(place) {
                    *count += 1;
                }
            }
        }
    }

    /// Ranks from 1, ascending.
    fn into_ranks(self) -> Vec<usize> {
        let few = self.few();
        let mut between = 0;
        let at_or_above = self.counts.iter().map(|&count| {
            between += count;
            if few { count } else { between }
        });
        at_or_above
            .enumerate()
            .map(|(place, count)| {
                let relevant = &self.relevant;
                let relevant_count = relevant.partition_point(|&other| other >= relevant[place]);
                count - relevant_count + place + 1
            })
            .collect()
    }
}
