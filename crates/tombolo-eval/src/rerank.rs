//! A second judge for the best of each query: rankings of two stages.

use rayon::prelude::*;
use tombolo_vectors::EmbeddingMatrix;

use crate::scores::{GALLERY_TILE, QUERY_TILE, TileScorer};
use crate::{EvalError, Rankings, Relevance};

/// The rows of the gallery that score best, the best first, for each query; of equal scores the lower row comes first.
///
/// # Shapes
/// `queries`: `[queries, dim]`, `gallery`: `[gallery, dim]`. Returns at most `count` rows a query.
/// # Errors
/// [`EvalError::Empty`] and [`EvalError::Dim`].
pub fn candidates(
    queries: &EmbeddingMatrix,
    gallery: &EmbeddingMatrix,
    count: usize,
) -> Result<Vec<Vec<usize>>, EvalError> {
    for (side, rows) in [("queries", queries), ("gallery", gallery)] {
        if rows.is_empty() {
            return Err(EvalError::Empty { side });
        }
    }
    if queries.dim() != gallery.dim() {
        return Err(EvalError::Dim { expected: queries.dim(), found: gallery.dim() });
    }
    let tiles = (0..queries.len()).into_par_iter().step_by(QUERY_TILE);
    let lists: Vec<Vec<Vec<usize>>> = tiles
        .map(|start| {
            let len = QUERY_TILE.min(queries.len() - start);
            let scores = tile_scores(queries, gallery, start, len);
            scores.iter().map(|scores| best(scores, count)).collect()
        })
        .collect();
    Ok(lists.into_iter().flatten().collect())
}

/// All scores of some queries, a list each.
fn tile_scores(
    queries: &EmbeddingMatrix,
    gallery: &EmbeddingMatrix,
    start: usize,
    len: usize,
) -> Vec<Vec<f64>> {
    let mut lists = vec![Vec::with_capacity(gallery.len()); len];
    let mut scorer = TileScorer::new(queries, start, len);
    for first in (0..gallery.len()).step_by(GALLERY_TILE) {
        let rows = GALLERY_TILE.min(gallery.len() - first);
        scorer.score(gallery, first, rows);
        for (query, list) in lists.iter_mut().enumerate() {
            list.extend_from_slice(scorer.row(query, rows));
        }
    }
    lists
}

fn best(scores: &[f64], count: usize) -> Vec<usize> {
    let order = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
    let mut rows: Vec<usize> = (0..scores.len()).collect();
    if count < rows.len() {
        rows.select_nth_unstable_by(count, order);
        rows.truncate(count);
    }
    rows.sort_unstable_by(order);
    rows
}

/// Rankings in which a second judge has ordered the candidates of each query: these come first, the best of the second
/// judge before the others, and all else keeps its place behind them.
///
/// Ties rank pessimistically: a candidate that is not relevant and is judged as a relevant one is counts as ranked
/// before it.
///
/// `first`: the rankings without the second judge; `judged`: for each query its [`candidates`] with the second judge's
/// scores, in any order.
///
/// # Errors
/// [`EvalError::Count`] if there are not as many lists as queries; [`EvalError::UnknownRow`] for a row beyond the gallery.
pub fn reranked(
    first: &Rankings,
    relevance: &Relevance,
    judged: &[Vec<(usize, f32)>],
) -> Result<Rankings, EvalError> {
    for found in [first.len(), judged.len()] {
        if found != relevance.len() {
            return Err(EvalError::Count { side: "queries", expected: relevance.len(), found });
        }
    }
    let expected = relevance.gallery_len();
    for (query, judged) in judged.iter().enumerate() {
        if let Some(&(found, _)) = judged.iter().find(|(row, _)| *row >= expected) {
            return Err(EvalError::UnknownRow { query, expected, found });
        }
    }
    let queries = judged.iter().enumerate();
    let lists = queries.map(|(query, judged)| {
        let mut ranks = ranks_among(judged, relevance.of(query));
        // Those that were not judged stand behind all that were, where the first judge had them.
        ranks.extend_from_slice(&first.of(query)[ranks.len()..]);
        ranks
    });
    Ok(Rankings::from_lists(lists))
}

/// The ranks of the relevant rows among those that were judged, ascending.
fn ranks_among(judged: &[(usize, f32)], relevant: &[usize]) -> Vec<usize> {
    let is_relevant = |row: usize| relevant.binary_search(&row).is_ok();
    let mut order: Vec<(f32, bool)> =
        judged.iter().map(|&(row, score)| (score, is_relevant(row))).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let ranks = order.iter().zip(1..).filter(|((_, relevant), _)| *relevant);
    ranks.map(|(_, rank)| rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rank;

    fn matrix(rows: usize, seed: u64) -> EmbeddingMatrix {
        let values = (0..rows * 5).map(|i| ((i as u64 * seed % 101) as f32).sin()).collect();
        EmbeddingMatrix::from_rows(5, values).unwrap()
    }

    /// Every query's gallery sorted in full.
    #[test]
    fn candidates_are_the_head_of_the_sorted_gallery() {
        let (queries, gallery) = (matrix(70, 31), matrix(600, 17));
        let found = candidates(&queries, &gallery, 7).unwrap();
        for (query, found) in found.iter().enumerate() {
            let mut rows: Vec<usize> = (0..600).collect();
            let score = |row: &usize| crate::scores::score(queries.row(query), gallery.row(*row));
            rows.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.cmp(b)));
            assert_eq!(found[..], rows[..7]);
        }
        assert_eq!(candidates(&queries, &gallery, 1000).unwrap()[0].len(), 600);
    }

    #[test]
    fn the_first_judge_as_the_second_changes_nothing() {
        let (queries, gallery) = (matrix(40, 29), matrix(90, 13));
        let relevance = Relevance::from_lists(90, (0..40).map(|q| [q, q + 40, q + 50])).unwrap();
        let first = rank(&queries, &gallery, &relevance).unwrap();
        let judged: Vec<Vec<(usize, f32)>> = candidates(&queries, &gallery, 12)
            .unwrap()
            .into_iter()
            .map(|rows| {
                rows.into_iter().zip(0..).map(|(row, place)| (row, -(place as f32))).collect()
            })
            .collect();
        assert_eq!(reranked(&first, &relevance, &judged).unwrap(), first);
    }

    #[test]
    fn a_second_judge_orders_the_candidates_and_no_others() {
        // The gallery's order for the one query is 0, 1, 2, 3, 4; 2 and 4 are relevant.
        let query = EmbeddingMatrix::from_rows(1, vec![1.0]).unwrap();
        let gallery = EmbeddingMatrix::from_rows(1, vec![5.0, 4.0, 3.0, 2.0, 1.0]).unwrap();
        let relevance = Relevance::from_lists(5, [[2, 4]]).unwrap();
        let first = rank(&query, &gallery, &relevance).unwrap();
        assert_eq!(first.of(0), [3, 5]);
        let judge = |judged: &[(usize, f32)]| {
            reranked(&first, &relevance, &[judged.to_vec()]).unwrap().of(0).to_vec()
        };
        assert_eq!(judge(&[(0, 0.1), (1, 0.2), (2, 0.9)]), [1, 5]);
        assert_eq!(judge(&[(0, 0.9), (1, 0.9), (2, 0.9)]), [3, 5], "ties are against the relevant");
        assert_eq!(judge(&[(0, 0.1)]), [3, 5]);
        assert_eq!(judge(&[]), [3, 5]);
    }

    #[test]
    fn lists_that_do_not_fit_are_refused() {
        let relevance = Relevance::from_lists(5, [[2]]).unwrap();
        let first = Rankings::from_lists([vec![1]]);
        let error = reranked(&first, &relevance, &[]).unwrap_err();
        assert!(matches!(error, EvalError::Count { expected: 1, found: 0, .. }));
        let error = reranked(&first, &relevance, &[vec![(5, 0.0)]]).unwrap_err();
        assert!(matches!(error, EvalError::UnknownRow { expected: 5, found: 5, .. }));
    }
}
