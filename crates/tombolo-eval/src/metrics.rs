use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::{EvalError, Measure, Rankings, Worth};

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
    /// Discounted gain of the hits among the first 10 ÷ the largest that there can be (Järvelin and Kekäläinen 2002).
    #[serde(rename = "ndcg@10")]
    pub ndcg_at_10: f64,
    /// Σ precision at each hit among the first 50 ÷ R: `map_cut_50` of trec_eval.
    #[serde(rename = "map_cut@50")]
    pub map_cut_at_50: f64,
    /// 95 % intervals of the other metrics, found as that of recall@1.
    #[serde(flatten)]
    pub intervals: Intervals,
    /// Queries that the means are over.
    #[serde(skip)]
    pub queries: usize,
    /// Queries left out, because nothing in the gallery is relevant to them.
    #[serde(skip)]
    pub excluded: usize,
}

/// 95 % intervals by the names of their metrics; serialised as `NAME_ci95`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Intervals(pub(crate) Vec<(String, [f64; 2])>);

impl Intervals {
    /// The interval of a metric.
    pub fn of(&self, metric: &str) -> Option<[f64; 2]> {
        self.0.iter().find(|(name, _)| name == metric).map(|&(_, interval)| interval)
    }
}

impl Serialize for Intervals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, interval) in &self.0 {
            map.serialize_entry(&format!("{name}_ci95"), interval)?;
        }
        map.end()
    }
}

impl DirectionMetrics {
    /// The 95 % interval of a metric, where it has one.
    pub fn interval(&self, measure: Measure) -> Option<[f64; 2]> {
        match measure {
            Measure::Recall(1) => Some(self.recall_at_1_ci95),
            other => self.intervals.of(&other.to_string()),
        }
    }

    /// The metrics of these rankings.
    ///
    /// # Errors
    /// [`EvalError::NothingRelevant`] if no query has a relevant item.
    pub fn new(rankings: &Rankings) -> Result<Self, EvalError> {
        Self::of(&Worth::from(rankings))
    }

    pub(crate) fn of(worth: &Worth) -> Result<Self, EvalError> {
        let (queries, excluded) = (worth.len(), worth.excluded());
        if queries == 0 {
            return Err(EvalError::NothingRelevant { queries: excluded });
        }
        let of = |measure: Measure| worth.mean(measure);
        let (recall_at_1_ci95, intervals) = worth.intervals();
        Ok(Self {
            recall_at_1: of(Measure::Recall(1)),
            recall_at_5: of(Measure::Recall(5)),
            recall_at_10: of(Measure::Recall(10)),
            true_recall_at_1: of(Measure::Recall(1)),
            true_recall_at_5: of(Measure::TrueRecall(5)),
            true_recall_at_10: of(Measure::TrueRecall(10)),
            precision_at_1: of(Measure::Precision(1)),
            precision_at_5: of(Measure::Precision(5)),
            precision_at_10: of(Measure::Precision(10)),
            map_at_50: of(Measure::MapOfHits(50)),
            map_at_all: of(Measure::MapOfAll),
            median_rank: worth.median_rank(),
            mean_rank: of(Measure::FirstRank),
            recall_at_1_ci95,
            ndcg_at_10: of(Measure::Ndcg(10)),
            map_cut_at_50: of(Measure::MapCut(50)),
            intervals,
            queries,
            excluded,
        })
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
        let (contract, grown) = names.split_at(14);
        assert_eq!(
            contract.join(" "),
            "recall@1 recall@5 recall@10 true_recall@1 true_recall@5 true_recall@10 precision@1 \
             precision@5 precision@10 map@50 map@all median_rank mean_rank recall@1_ci95"
        );
        assert_eq!(
            grown.join(" "),
            "ndcg@10 map_cut@50 recall@5_ci95 recall@10_ci95 true_recall@5_ci95 true_recall@10_ci95 \
             precision@1_ci95 precision@5_ci95 precision@10_ci95 map@50_ci95 map@all_ci95 mean_rank_ci95 \
             ndcg@10_ci95 map_cut@50_ci95 median_rank_ci95"
        );
    }
}
