use std::ops::Range;

use crate::{Rows, VectorError, normalize};

/// A matrix of vectors in memory, `[len, dim]`, f32, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingMatrix {
    dim: usize,
    values: Vec<f32>,
}

impl EmbeddingMatrix {
    /// A matrix without rows.
    ///
    /// # Errors
    /// [`VectorError::ZeroDim`].
    pub fn new(dim: usize) -> Result<Self, VectorError> {
        Self::from_rows(dim, Vec::new())
    }

    /// A matrix from its rows laid end to end, `[values.len() / dim, dim]`.
    ///
    /// # Errors
    /// [`VectorError::ZeroDim`]; [`VectorError::Ragged`] if the values do not divide into rows.
    pub fn from_rows(dim: usize, values: Vec<f32>) -> Result<Self, VectorError> {
        if dim == 0 {
            return Err(VectorError::ZeroDim);
        }
        if !values.len().is_multiple_of(dim) {
            return Err(VectorError::Ragged { dim, found: values.len() });
        }
        Ok(Self { dim, values })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// True where there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Components of each row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// One row, `[dim]`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.dim..(row + 1) * self.dim]
    }

    /// The rows in order, each `[dim]`.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.dim)
    }

    /// All values, `[len · dim]`, row-major.
    pub fn as_slice(&self) -> &[f32] {
        &self.values
    }

    /// All values, `[len · dim]`, row-major, without a copy.
    pub fn into_vec(self) -> Vec<f32> {
        self.values
    }

    /// Appends one row, `[dim]`.
    ///
    /// # Errors
    /// [`VectorError::Dim`].
    pub fn push(&mut self, row: &[f32]) -> Result<(), VectorError> {
        self.check_dim(row.len())?;
        self.values.extend_from_slice(row);
        Ok(())
    }

    /// Appends all rows of another matrix.
    ///
    /// # Errors
    /// [`VectorError::Dim`].
    pub fn extend(&mut self, other: &Self) -> Result<(), VectorError> {
        self.check_dim(other.dim)?;
        self.values.extend_from_slice(&other.values);
        Ok(())
    }

    /// The given rows in the given order, `[rows.len(), dim]`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn select(&self, rows: &[usize]) -> Self {
        let values = rows.iter().flat_map(|&row| self.row(row)).copied().collect();
        Self { dim: self.dim, values }
    }

    /// Scales every row to unit norm; zero rows stay zero.
    pub fn normalize_rows(&mut self) {
        self.values.chunks_exact_mut(self.dim).for_each(normalize);
    }

    /// The first row that holds a NaN or an infinity.
    pub fn first_non_finite(&self) -> Option<usize> {
        self.iter().position(|row| !row.iter().all(|value| value.is_finite()))
    }

    fn check_dim(&self, found: usize) -> Result<(), VectorError> {
        if found == self.dim { Ok(()) } else { Err(VectorError::Dim { expected: self.dim, found }) }
    }
}

impl<'a> IntoIterator for &'a EmbeddingMatrix {
    type Item = &'a [f32];
    type IntoIter = std::slice::ChunksExact<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Rows for EmbeddingMatrix {
    fn len(&self) -> usize {
        self.len()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn block<'a>(&'a self, rows: Range<usize>, _scratch: &'a mut Vec<f32>) -> &'a [f32] {
        &self.values[rows.start * self.dim..rows.end * self.dim]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> EmbeddingMatrix {
        EmbeddingMatrix::from_rows(2, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap()
    }

    #[test]
    fn rows_come_back_as_they_went_in() {
        let mut built = EmbeddingMatrix::new(2).unwrap();
        matrix().iter().for_each(|row| built.push(row).unwrap());
        assert_eq!(built, matrix());
        assert_eq!(built.len(), 3);
        assert_eq!(built.row(1), [3.0, 4.0]);
        assert_eq!(built.select(&[2, 0]).as_slice(), [5.0, 6.0, 1.0, 2.0]);
        built.extend(&matrix()).unwrap();
        assert_eq!(built.len(), 6);
    }

    #[test]
    fn wrong_shapes_are_refused() {
        assert!(matches!(EmbeddingMatrix::new(0), Err(VectorError::ZeroDim)));
        assert!(matches!(
            EmbeddingMatrix::from_rows(2, vec![1.0]),
            Err(VectorError::Ragged { dim: 2, found: 1 })
        ));
        assert!(matches!(
            matrix().push(&[1.0; 3]),
            Err(VectorError::Dim { expected: 2, found: 3 })
        ));
    }

    #[test]
    fn a_non_finite_row_is_named() {
        let mut bad = matrix();
        assert_eq!(bad.first_non_finite(), None);
        bad.push(&[0.0, f32::NAN]).unwrap();
        assert_eq!(bad.first_non_finite(), Some(3));
    }
}
