use crate::EvalError;

/// For each query, the gallery rows that answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relevance {
    gallery_len: usize,
    /// Relevant rows of all queries, end to end; those of one are distinct and ascend.
    rows: Vec<usize>,
    /// Where each query's rows begin, and at the end the number of all rows.
    starts: Vec<usize>,
}

impl Relevance {
    /// Relevance from a list of gallery rows per query; a row named twice counts once.
    ///
    /// # Errors
    /// [`EvalError::UnknownRow`] for a row that is not below `gallery_len`.
    pub fn from_lists<L>(
        gallery_len: usize,
        lists: impl IntoIterator<Item = L>,
    ) -> Result<Self, EvalError>
    where
        L: IntoIterator<Item = usize>,
    {
        let mut relevance = Self { gallery_len, rows: Vec::new(), starts: vec![0] };
        for (query, list) in lists.into_iter().enumerate() {
            let mut rows: Vec<usize> = list.into_iter().collect();
            rows.sort_unstable();
            rows.dedup();
            if let Some(&found) = rows.last().filter(|&&row| row >= gallery_len) {
                return Err(EvalError::UnknownRow { query, expected: gallery_len, found });
            }
            relevance.rows.append(&mut rows);
            relevance.starts.push(relevance.rows.len());
        }
        Ok(relevance)
    }

    /// Number of queries.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// True where there is no query.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows of the gallery it speaks of.
    pub fn gallery_len(&self) -> usize {
        self.gallery_len
    }

    /// The relevant rows of a query, ascending.
    ///
    /// # Panics
    /// If there is no such query.
    pub fn of(&self, query: usize) -> &[usize] {
        &self.rows[self.starts[query]..self.starts[query + 1]]
    }

    /// The same pairs seen from the gallery: for each gallery row, the queries that it answers.
    pub fn transposed(&self) -> Self {
        let mut lists = vec![Vec::new(); self.gallery_len];
        for query in 0..self.len() {
            self.of(query).iter().for_each(|&row| lists[row].push(query));
        }
        let mut transposed = Self { gallery_len: self.len(), rows: Vec::new(), starts: vec![0] };
        for mut list in lists {
            transposed.rows.append(&mut list);
            transposed.starts.push(transposed.rows.len());
        }
        transposed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_deduplicated_and_transposed() {
        let relevance = Relevance::from_lists(3, [vec![2, 0, 2], vec![], vec![2]]).unwrap();
        assert_eq!(relevance.of(0), [0, 2]);
        assert!(relevance.of(1).is_empty());
        let transposed = relevance.transposed();
        assert_eq!(transposed, Relevance::from_lists(3, [vec![0], vec![], vec![0, 2]]).unwrap());
        assert_eq!(transposed.transposed(), relevance);
    }

    #[test]
    fn a_row_outside_the_gallery_is_named() {
        let error = Relevance::from_lists(3, [vec![0], vec![3]]).unwrap_err();
        assert!(matches!(error, EvalError::UnknownRow { query: 1, expected: 3, found: 3 }));
    }
}
