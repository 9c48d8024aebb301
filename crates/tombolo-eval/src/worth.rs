use crate::bootstrap::intervals;
use crate::mean::mean;
use crate::metrics::Intervals;
use crate::{Measure, Rankings};

/// What has an interval, in the order of the JSON: recall@1, which has a field of its own, first.
const MEASURES: [Measure; 13] = [
    Measure::Recall(1),
    Measure::Recall(5),
    Measure::Recall(10),
    Measure::TrueRecall(5),
    Measure::TrueRecall(10),
    Measure::Precision(1),
    Measure::Precision(5),
    Measure::Precision(10),
    Measure::MapOfHits(50),
    Measure::MapOfAll,
    Measure::FirstRank,
    Measure::Ndcg(10),
    Measure::MapCut(50),
];

/// What each query's ranks are worth: all that metrics are made of, and little however many ranks there were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worth {
    /// Of each query that has a relevant item.
    rows: Vec<[f64; MEASURES.len()]>,
    /// The rank of the first of them.
    first: Vec<usize>,
    /// Queries that have none.
    excluded: usize,
}

impl From<&Rankings> for Worth {
    fn from(rankings: &Rankings) -> Self {
        let rows = rankings.answerable().map(|ranks| MEASURES.map(|measure| measure.of(ranks)));
        let rows: Vec<_> = rows.collect();
        let first = rankings.answerable().map(|ranks| ranks[0]).collect();
        Self { excluded: rankings.len() - rows.len(), rows, first }
    }
}

impl Worth {
    /// Number of queries that have a relevant item.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True where no query has a relevant item.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Number of queries that have none.
    pub fn excluded(&self) -> usize {
        self.excluded
    }

    /// Adds further queries.
    pub(crate) fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.first.extend(other.first);
        self.excluded += other.excluded;
    }

    /// The measure of each query that has a relevant item, in order.
    ///
    /// # Panics
    /// If it has another K than `tombolo eval` reports. `true_recall@1` is called `recall@1` here, which it is.
    pub fn values(&self, measure: Measure) -> Vec<f64> {
        let place = MEASURES.iter().position(|&other| other == measure);
        let place = place.expect("a measure that metrics are made of");
        self.rows.iter().map(|row| row[place]).collect()
    }

    /// The mean of a measure; NaN if no query has a relevant item.
    ///
    /// # Panics
    /// As [`Worth::values`].
    pub fn mean(&self, measure: Measure) -> f64 {
        mean(&self.values(measure))
    }

    /// Median of the rank of the first relevant item.
    pub(crate) fn median_rank(&self) -> f64 {
        median(&mut self.first.clone())
    }

    /// The interval of recall@1, and those of all else, from the same resamples.
    pub(crate) fn intervals(&self) -> ([f64; 2], Intervals) {
        let statistics = |drawn: &[usize]| {
            let mut sums = vec![0.0; MEASURES.len()];
            for &query in drawn {
                sums.iter_mut().zip(&self.rows[query]).for_each(|(sum, value)| *sum += value);
            }
            sums.iter_mut().for_each(|sum| *sum /= drawn.len() as f64);
            let first = drawn.iter().map(|&query| self.first[query]);
            sums.push(median(&mut first.collect::<Vec<_>>()));
            sums
        };
        let mut found = intervals(self.rows.len(), statistics).into_iter();
        let recall_at_1 = found.next().unwrap_or_default();
        let names = MEASURES[1..].iter().map(Measure::to_string).chain(["median_rank".to_owned()]);
        (recall_at_1, Intervals(names.zip(found).collect()))
    }
}

/// The middle value; of an even number the mean of the two in the middle. The values are put in another order.
fn median(values: &mut [usize]) -> f64 {
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, &mut upper, _) = values.select_nth_unstable(middle);
    match below.iter().max() {
        Some(&lower) if even => (lower + upper) as f64 / 2.0,
        _ => upper as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
        assert_eq!(median(&mut [9, 1, 4, 2]), 3.0);
        assert_eq!(median(&mut [9, 1, 4]), 4.0);
    }
}
