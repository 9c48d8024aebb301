use std::ops::Range;

use crate::dot;

/// Vectors that can be read as f32, a block of rows at a time.
///
/// The block form lets f32 rows be lent without a copy, and f16 rows be widened a cache-full at
/// a time.
pub trait Rows: Send + Sync {
    /// Number of rows.
    fn len(&self) -> usize;

    /// Components of each row.
    fn dim(&self) -> usize;

    /// The given rows, `[rows.len(), dim]`, row-major; `scratch` is where they go if they must be
    /// converted.
    ///
    /// # Panics
    /// If the range ends after [`Rows::len`].
    fn block<'a>(&'a self, rows: Range<usize>, scratch: &'a mut Vec<f32>) -> &'a [f32];

    /// Dot products of a query, `[dim]`, with the given rows, into `scores`, `[rows.len()]`.
    ///
    /// A row's score does not depend on the rows beside it.
    ///
    /// # Panics
    /// If the range ends after [`Rows::len`], or the lengths do not fit together.
    fn dot_all(
        &self,
        query: &[f32],
        rows: Range<usize>,
        scratch: &mut Vec<f32>,
        scores: &mut [f32],
    ) {
        assert_eq!(rows.len(), scores.len(), "a score for each row");
        let vectors = self.block(rows, scratch).chunks_exact(query.len());
        for (score, vector) in scores.iter_mut().zip(vectors) {
            *score = dot(query, vector);
        }
    }

    /// True where there is no row.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One row, copied.
    ///
    /// # Panics
    /// If there is no such row.
    fn row_to_vec(&self, row: usize) -> Vec<f32> {
        let mut scratch = Vec::new();
        self.block(row..row + 1, &mut scratch).to_vec()
    }
}

impl<R: Rows + ?Sized> Rows for Box<R> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn dim(&self) -> usize {
        (**self).dim()
    }

    fn block<'a>(&'a self, rows: Range<usize>, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        (**self).block(rows, scratch)
    }

    fn dot_all(
        &self,
        query: &[f32],
        rows: Range<usize>,
        scratch: &mut Vec<f32>,
        scores: &mut [f32],
    ) {
        (**self).dot_all(query, rows, scratch, scores);
    }
}
