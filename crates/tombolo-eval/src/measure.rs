use std::fmt;

use crate::mean::sum;

/// What one query's ranks are worth; the metrics are means of these over the queries.
///
/// With `R` the number of relevant items of a query, and `hits(K)` how many of them are among the first `K` results.
/// Displayed under its name in `tombolo eval --json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// 1 if hits(K) > 0, else 0.
    Recall(usize),
    /// hits(K) ÷ min(K, R).
    TrueRecall(usize),
    /// hits(K) ÷ K.
    Precision(usize),
    /// Σ precision at each hit among the first K ÷ hits(K), and 0 without a hit: the form of ACMR (Wang et al. 2017).
    MapOfHits(usize),
    /// Σ precision at each hit among the first K ÷ R: `map_cut` of trec_eval.
    MapCut(usize),
    /// Σ precision at each relevant item ÷ R, over the whole gallery: the form of DSCMR (Zhen et al. 2019).
    MapOfAll,
    /// Σ 1 ÷ log₂(1 + rank) of each hit among the first K, ÷ what it is when the first min(K, R) results are hits
    /// (Järvelin and Kekäläinen 2002, gains of 0 and 1).
    Ndcg(usize),
    /// The rank of the first relevant item, from 1.
    FirstRank,
}

impl Measure {
    /// The measure of one query, of whose relevant items the ranks are given, ascending; there is at least one.
    pub fn of(self, ranks: &[usize]) -> f64 {
        match self {
            Self::Recall(k) => f64::from(u8::from(hits(ranks, k) > 0)),
            Self::TrueRecall(k) => hits(ranks, k) as f64 / k.min(ranks.len()) as f64,
            Self::Precision(k) => hits(ranks, k) as f64 / k as f64,
            Self::MapOfHits(k) => precisions(ranks, k) / hits(ranks, k).max(1) as f64,
            Self::MapCut(k) => precisions(ranks, k) / ranks.len() as f64,
            Self::MapOfAll => precisions(ranks, usize::MAX) / ranks.len() as f64,
            Self::Ndcg(k) => {
                let best = gains(1..=k.min(ranks.len()));
                gains(ranks[..hits(ranks, k)].iter().copied()) / best
            }
            Self::FirstRank => ranks[0] as f64,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recall(k) => write!(f, "recall@{k}"),
            Self::TrueRecall(k) => write!(f, "true_recall@{k}"),
            Self::Precision(k) => write!(f, "precision@{k}"),
            Self::MapOfHits(k) => write!(f, "map@{k}"),
            Self::MapCut(k) => write!(f, "map_cut@{k}"),
            Self::MapOfAll => f.write_str("map@all"),
            Self::Ndcg(k) => write!(f, "ndcg@{k}"),
            Self::FirstRank => f.write_str("mean_rank"),
        }
    }
}

/// How many of the ascending ranks are at most `k`.
fn hits(ranks: &[usize], k: usize) -> usize {
    ranks.partition_point(|&rank| rank <= k)
}

/// Sum of the precisions at the hits among the first `k`.
fn precisions(ranks: &[usize], k: usize) -> f64 {
    let hits = ranks[..hits(ranks, k)].iter().zip(1..);
    sum(&hits.map(|(&rank, hit)| f64::from(hit) / rank as f64).collect::<Vec<f64>>())
}

fn gains(ranks: impl Iterator<Item = usize>) -> f64 {
    sum(&ranks.map(|rank| 1.0 / (rank as f64 + 1.0).log2()).collect::<Vec<f64>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_worked_out_by_hand() {
        let ranks = [2, 3, 60];
        let found = [
            Measure::Recall(1),
            Measure::Recall(5),
            Measure::TrueRecall(5),
            Measure::Precision(5),
            Measure::MapOfHits(50),
            Measure::MapCut(50),
            Measure::FirstRank,
        ]
        .map(|measure| measure.of(&ranks));
        let precisions = 1.0 / 2.0 + 2.0 / 3.0;
        let expected = [0.0, 1.0, 2.0 / 3.0, 2.0 / 5.0, precisions / 2.0, precisions / 3.0, 2.0];
        assert_eq!(found, expected);
        let all = Measure::MapOfAll.of(&ranks);
        assert!((all - (precisions + 3.0 / 60.0) / 3.0).abs() < 1e-12, "{all}");
        let (first, second, third) = (1.0, 1.0 / 3.0_f64.log2(), 0.5);
        let ndcg = Measure::Ndcg(10).of(&ranks);
        assert!((ndcg - (second + third) / (first + second + third)).abs() < 1e-12, "{ndcg}");
    }
}
