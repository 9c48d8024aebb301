use std::ops::Range;

use half::f16;

use crate::{F16Rows, Rows, VectorError};

/// Several sources of rows seen as one: the rows of the first, then those of the second, …
#[derive(Debug)]
pub struct Chain<R> {
    dim: usize,
    parts: Vec<R>,
    /// The row at which each part begins, and at the end the number of all rows.
    starts: Vec<usize>,
}

impl<R: Rows> Chain<R> {
    /// Joins parts of one dimension.
    ///
    /// # Errors
    /// [`VectorError::Dim`] if a part has another dimension.
    pub fn new(dim: usize, parts: Vec<R>) -> Result<Self, VectorError> {
        let mut starts = vec![0];
        let mut end = 0;
        for part in &parts {
            if part.dim() != dim {
                return Err(VectorError::Dim { expected: dim, found: part.dim() });
            }
            end += part.len();
            starts.push(end);
        }
        Ok(Self { dim, parts, starts })
    }

    /// The parts in order.
    pub fn parts(&self) -> &[R] {
        &self.parts
    }

    /// The part that holds a row, by index.
    fn part_of(&self, row: usize) -> usize {
        self.starts.partition_point(|&start| start <= row) - 1
    }
}

impl Chain<F16Rows> {
    /// One row as it is kept, `[dim]`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row_of_halves(&self, row: usize) -> &[f16] {
        let part = self.part_of(row);
        self.parts[part].row_of_halves(row - self.starts[part])
    }
}

impl<R: Rows> Rows for Chain<R> {
    fn len(&self) -> usize {
        self.starts[self.parts.len()]
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn block<'a>(&'a self, rows: Range<usize>, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        assert!(rows.end <= self.len(), "rows {rows:?} of {}", self.len());
        if rows.is_empty() {
            return &[];
        }
        let first = self.part_of(rows.start);
        if rows.end <= self.starts[first + 1] {
            let start = self.starts[first];
            return self.parts[first].block(rows.start - start..rows.end - start, scratch);
        }
        let mut joined = Vec::with_capacity(rows.len() * self.dim);
        let mut row = rows.start;
        while row < rows.end {
            let part = self.part_of(row);
            let (start, end) = (self.starts[part], rows.end.min(self.starts[part + 1]));
            joined
                .extend_from_slice(self.parts[part].block(row - start..end - start, &mut *scratch));
            row = end;
        }
        *scratch = joined;
        scratch
    }

    fn dot_all(
        &self,
        query: &[f32],
        rows: Range<usize>,
        scratch: &mut Vec<f32>,
        scores: &mut [f32],
    ) {
        assert!(rows.end <= self.len(), "rows {rows:?} of {}", self.len());
        let (mut row, mut rest) = (rows.start, scores);
        while row < rows.end {
            let part = self.part_of(row);
            let (start, end) = (self.starts[part], rows.end.min(self.starts[part + 1]));
            let (here, after) = rest.split_at_mut(end - row);
            self.parts[part].dot_all(query, row - start..end - start, scratch, here);
            (row, rest) = (end, after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EmbeddingMatrix;

    fn part(values: &[f32]) -> EmbeddingMatrix {
        EmbeddingMatrix::from_rows(1, values.to_vec()).unwrap()
    }

    #[test]
    fn blocks_cross_the_seams() {
        let chain =
            Chain::new(1, vec![part(&[0.0, 1.0]), part(&[]), part(&[2.0]), part(&[3.0, 4.0])])
                .unwrap();
        assert_eq!(chain.len(), 5);
        let mut scratch = Vec::new();
        for start in 0..=5 {
            for end in start..=5 {
                let expected: Vec<f32> = (start..end).map(|row| row as f32).collect();
                assert_eq!(chain.block(start..end, &mut scratch), expected);
            }
        }
    }

    #[test]
    fn another_dimension_is_refused() {
        assert!(matches!(
            Chain::new(2, vec![part(&[1.0])]),
            Err(VectorError::Dim { expected: 2, found: 1 })
        ));
    }
}
