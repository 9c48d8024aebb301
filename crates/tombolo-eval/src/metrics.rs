use serde::Serialize;

use crate::bootstrap::interval_of_share;
use crate::mean::{mean, sum};
use crate::{EvalError, Rankings};

/// Metrics of one direction of retrieval: means over the queries that have a relevant item.
///
/// With `R` the number of relevant items of a query and `hits(K)` how many of them are among the
/// first `K` results. All are fractions between 0 and 1 but the ranks, which count from 1.
/// Serialised under the names, and in the order, of `tombolo eval --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DirectionMetrics {
    /// Queries with a relevant item at rank 1.
    #[serde(rename = "recall@1")]
    pub recall_at_1: f64,
    /// Queries with a relevant item among the first 5.
    #[serde(rename = "recall@5")]
    pub recall_at_5: f64,
    /// Queries with a relevant item among the first 10.
    #[serde(rename = "recall@10")]
    pub recall_at_10: f64,
    /// hits(1): the same as recall@1.
    #[serde(rename = "true_recall@1")]
    pub true_recall_at_1: f64,
    /// hits(5) ÷ min(5, R).
    #[serde(rename = "true_recall@5")]
    pub true_recall_at_5: f64,
    /// hits(10) ÷ min(10, R).
    #[serde(rename = "true_recall@10")]
    pub true_recall_at_10: f64,
    /// hits(1).
    #[serde(rename = "precision@1")]
    pub precision_at_1: f64,
    /// hits(5) ÷ 5.
    #[serde(rename = "precision@5")]
    pub precision_at_5: f64,
    /// hits(10) ÷ 10.
    #[serde(rename = "precision@10")]
    pub precision_at_10: f64,
    /// Σ precision at each hit among the first 50 ÷ hits(50), and 0 without a hit: the form of
    /// ACMR (Wang et al. 2017).
    #[serde(rename = "map@50")]
    pub map_at_50: f64,
    /// Σ precision at each relevant item ÷ R, over the whole gallery: the form of DSCMR
    /// (Zhen et al. 2019).
    #[serde(rename = "map@all")]
    pub map_at_all: f64,
    /// Median over the queries of the first relevant item's rank; with an even number of queries
    /// the mean of the two in the middle.
    pub median_rank: f64,
    /// Mean over the queries of the first relevant item's rank.
    pub mean_rank: f64,
    /// 95 % interval of recall@1: percentile bootstrap, 1,000 resamples of the queries, fixed seed.
    #[serde(rename = "recall@1_ci95")]
    pub recall_at_1_ci95: [f64; 2],
    /// Queries that the means are over.
    #[serde(skip)]
    pub queries: usize,
    /// Queries left out, because nothing in the gallery is relevant to them.
    #[serde(skip)]
    pub excluded: usize,
}

impl DirectionMetrics {
    /// The metrics of these rankings.
    ///
    /// # Errors
    /// [`EvalError::NothingRelevant`] if no query has a relevant item.
    pub fn new(rankings: &Rankings) -> Result<Self, EvalError> {
        let ranked: Vec<&[usize]> = rankings.iter().filter(|ranks| !ranks.is_empty()).collect();
        if ranked.is_empty() {
            return Err(EvalError::NothingRelevant { queries: rankings.len() });
        }
        let mean = |of: &dyn Fn(&[usize]) -> f64| {
            mean(&ranked.iter().map(|ranks| of(ranks)).collect::<Vec<f64>>())
        };
        let mut first: Vec<usize> = ranked.iter().map(|ranks| ranks[0]).collect();
        let found_first: Vec<bool> = first.iter().map(|&rank| rank == 1).collect();
        Ok(Self {
            recall_at_1: mean(&|ranks| recall(ranks, 1)),
            recall_at_5: mean(&|ranks| recall(ranks, 5)),
            recall_at_10: mean(&|ranks| recall(ranks, 10)),
            true_recall_at_1: mean(&|ranks| true_recall(ranks, 1)),
            true_recall_at_5: mean(&|ranks| true_recall(ranks, 5)),
            true_recall_at_10: mean(&|ranks| true_recall(ranks, 10)),
            precision_at_1: mean(&|ranks| precision(ranks, 1)),
            precision_at_5: mean(&|ranks| precision(ranks, 5)),
            precision_at_10: mean(&|ranks| precision(ranks, 10)),
            map_at_50: mean(&|ranks| average_precision(&ranks[..hits(ranks, 50)])),
            map_at_all: mean(&average_precision),
            median_rank: median(&mut first),
            mean_rank: mean(&|ranks| ranks[0] as f64),
            recall_at_1_ci95: interval_of_share(&found_first),
            queries: ranked.len(),
            excluded: rankings.len() - ranked.len(),
        })
    }

    /// recall@1 + recall@5 + recall@10, as fractions.
    pub(crate) fn recall_sum(&self) -> f64 {
        self.recall_at_1 + self.recall_at_5 + self.recall_at_10
    }
}

/// How many of the ascending ranks are at most `k`.
fn hits(ranks: &[usize], k: usize) -> usize {
    ranks.partition_point(|&rank| rank <= k)
}

fn recall(ranks: &[usize], k: usize) -> f64 {
    f64::from(u8::from(hits(ranks, k) > 0))
}

fn true_recall(ranks: &[usize], k: usize) -> f64 {
    hits(ranks, k) as f64 / k.min(ranks.len()) as f64
}

fn precision(ranks: &[usize], k: usize) -> f64 {
    hits(ranks, k) as f64 / k as f64
}

/// Mean, over the given ranks, of the precision at each; 0 without ranks.
fn average_precision(ranks: &[usize]) -> f64 {
    let precisions = ranks.iter().zip(1..).map(|(&rank, hit)| f64::from(hit) / rank as f64);
    sum(&precisions.collect::<Vec<f64>>()) / ranks.len().max(1) as f64
}

fn median(values: &mut [usize]) -> f64 {
    values.sort_unstable();
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        (values[middle - 1] + values[middle]) as f64 / 2.0
    } else {
        values[middle] as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three queries worked out by hand, and one with nothing relevant.
    #[test]
    fn hand_computed_rankings() {
        let rankings = Rankings::from_lists([vec![3, 1, 60], vec![6, 7], vec![], vec![51]]);
        let metrics = DirectionMetrics::new(&rankings).unwrap();
        let close = |found: f64, expected: f64| {
            assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
        };
        close(metrics.recall_at_1, 1.0 / 3.0);
        close(metrics.recall_at_5, 1.0 / 3.0);
        close(metrics.recall_at_10, 2.0 / 3.0);
        close(metrics.true_recall_at_1, 1.0 / 3.0);
        close(metrics.true_recall_at_5, (2.0 / 3.0) / 3.0);
        close(metrics.true_recall_at_10, (2.0 / 3.0 + 1.0) / 3.0);
        close(metrics.precision_at_1, 1.0 / 3.0);
        close(metrics.precision_at_5, (2.0 / 5.0) / 3.0);
        close(metrics.precision_at_10, (2.0 / 10.0 + 2.0 / 10.0) / 3.0);
        let second = (1.0 / 6.0 + 2.0 / 7.0) / 2.0;
        close(metrics.map_at_50, ((1.0 + 2.0 / 3.0) / 2.0 + second + 0.0) / 3.0);
        close(
            metrics.map_at_all,
            ((1.0 + 2.0 / 3.0 + 3.0 / 60.0) / 3.0 + second + 1.0 / 51.0) / 3.0,
        );
        close(metrics.median_rank, 6.0);
        close(metrics.mean_rank, (1.0 + 6.0 + 51.0) / 3.0);
        assert_eq!((metrics.queries, metrics.excluded), (3, 1));
    }

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
        assert_eq!(median(&mut [9, 1, 4, 2]), 3.0);
        assert_eq!(median(&mut [9, 1, 4]), 4.0);
    }

    #[test]
    fn without_a_relevant_item_there_is_no_metric() {
        let error = DirectionMetrics::new(&Rankings::from_lists([vec![], vec![]])).unwrap_err();
        assert!(matches!(error, EvalError::NothingRelevant { queries: 2 }));
    }

    #[test]
    fn the_names_and_their_order_are_the_contract() {
        let metrics = DirectionMetrics::new(&Rankings::from_lists([vec![1]])).unwrap();
        let json = serde_json::to_string(&metrics).unwrap();
        let names: Vec<&str> = json
            .split(',')
            .filter_map(|field| field.split_once(':'))
            .map(|(name, _)| name.trim_matches(['{', '"']))
            .collect();
        assert_eq!(
            names.join(" "),
            "recall@1 recall@5 recall@10 true_recall@1 true_recall@5 true_recall@10 precision@1 \
             precision@5 precision@10 map@50 map@all median_rank mean_rank recall@1_ci95"
        );
    }
}
