use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A row and its similarity to the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredRow {
    /// The row, from 0.
    pub row: usize,
    /// Its dot product with the query.
    pub score: f32,
}

impl Eq for ScoredRow {}

/// Better is greater: the higher score, then the lower row.
impl Ord for ScoredRow {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.row.cmp(&self.row))
    }
}

impl PartialOrd for ScoredRow {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The best `k` seen so far; the worst of them is on top of the heap, ready to be replaced.
pub(crate) struct Best {
    k: usize,
    heap: BinaryHeap<Reverse<ScoredRow>>,
}

impl Best {
    pub(crate) fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new() }
    }

    /// Offers the scores of the rows from `first` on. A score that is not a number is left out, and
    /// so is a row that the filter refuses; it is asked only about rows that would be kept.
    pub(crate) fn offer_all(
        &mut self,
        first: usize,
        scores: &[f32],
        filter: &impl Fn(usize) -> bool,
    ) {
        for (row, &score) in (first..).zip(scores) {
            // Adding zero makes -0.0 equal to 0.0 in the total order.
            let candidate = ScoredRow { row, score: score + 0.0 };
            if self.would_keep(candidate) && filter(row) {
                self.offer(candidate);
            }
        }
    }

    fn would_keep(&self, candidate: ScoredRow) -> bool {
        !candidate.score.is_nan()
            && (self.heap.len() < self.k
                || self.heap.peek().is_some_and(|worst| candidate > worst.0))
    }

    pub(crate) fn offer(&mut self, candidate: ScoredRow) {
        if self.heap.len() < self.k {
            self.heap.push(Reverse(candidate));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && candidate > worst.0
        {
            *worst = Reverse(candidate);
        }
    }

    pub(crate) fn merge(mut self, other: Self) -> Self {
        other.heap.into_iter().for_each(|Reverse(candidate)| self.offer(candidate));
        self
    }

    pub(crate) fn into_sorted(self) -> Vec<ScoredRow> {
        let mut best: Vec<_> = self.heap.into_iter().map(|Reverse(scored)| scored).collect();
        best.sort_unstable_by(|a, b| b.cmp(a));
        best
    }
}
