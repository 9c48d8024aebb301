use crate::Measure;
use crate::mean::mean;

/// For each query, the ranks (from 1) of its relevant items, best first.
///
/// This is all that the metrics need; the gallery's other items are already counted in the ranks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rankings {
    ranks: Vec<usize>,
    /// Where each query's ranks begin, and at the end the number of all ranks.
    starts: Vec<usize>,
}

impl Rankings {
    /// Rankings from a list per query; each list is sorted here.
    ///
    /// # Panics
    /// If a rank is 0, or a query's ranks are not distinct.
    pub fn from_lists(lists: impl IntoIterator<Item = Vec<usize>>) -> Self {
        let mut rankings = Self { ranks: Vec::new(), starts: vec![0] };
        for mut list in lists {
            list.sort_unstable();
            let distinct = list.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(distinct && list.first() != Some(&0), "ranks start at 1 and are distinct");
            rankings.ranks.append(&mut list);
            rankings.starts.push(rankings.ranks.len());
        }
        rankings
    }

    /// Number of queries, with those that have no relevant item.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// True where there is no query.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ranks of a query's relevant items, ascending; empty where it has none.
    ///
    /// # Panics
    /// If there is no such query.
    pub fn of(&self, query: usize) -> &[usize] {
        &self.ranks[self.starts[query]..self.starts[query + 1]]
    }

    /// The ranks of each query in turn.
    pub fn iter(&self) -> impl Iterator<Item = &[usize]> {
        self.starts.windows(2).map(|pair| &self.ranks[pair[0]..pair[1]])
    }

    /// The measure of each query that has a relevant item, in order.
    pub fn values(&self, measure: Measure) -> Vec<f64> {
        self.answerable().map(|ranks| measure.of(ranks)).collect()
    }

    /// The mean of the measure over the queries that have a relevant item; NaN if there are none.
    pub fn mean(&self, measure: Measure) -> f64 {
        mean(&self.values(measure))
    }

    /// The ranks of each query that has a relevant item.
    pub(crate) fn answerable(&self) -> impl Iterator<Item = &[usize]> {
        self.iter().filter(|ranks| !ranks.is_empty())
    }
}
