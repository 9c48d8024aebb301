use std::fs::File;
use std::ops::Range;
use std::path::Path;

use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;

use crate::scan::Form;
use crate::{Rows, VectorError, dot};

const BYTES: usize = size_of::<f16>();

/// Half-precision vectors, `[len, dim]`: the rows of a file, mapped read-only, or of a buffer.
///
/// The file has no header: little-endian IEEE binary16 values, row after row.
#[derive(Debug)]
pub struct F16Rows {
    dim: usize,
    len: usize,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Mapped(Mmap),
    Owned(Vec<f16>),
}

impl F16Rows {
    /// Maps all rows of a file.
    ///
    /// # Errors
    /// [`VectorError::FileLength`] if the file ends inside a row; [`VectorError::Io`];
    /// [`VectorError::ZeroDim`].
    pub fn open(path: &Path, dim: usize) -> Result<Self, VectorError> {
        let found = std::fs::metadata(path).map_err(|source| io(path, source))?.len();
        let row_bytes = (dim * BYTES) as u64;
        if dim == 0 {
            return Err(VectorError::ZeroDim);
        }
        let whole = found / row_bytes;
        if whole * row_bytes != found {
            let expected = (whole + 1) * row_bytes;
            return Err(VectorError::FileLength { path: path.to_owned(), expected, found });
        }
        Self::open_prefix(path, dim, whole as usize)
    }

    /// Maps the first `len` rows of a file and leaves whatever follows alone: what follows may be
    /// rows that are being written at this moment.
    ///
    /// The mapped rows must not change while the value lives; the file may grow.
    ///
    /// # Errors
    /// [`VectorError::FileLength`] if the file holds fewer rows; [`VectorError::Io`];
    /// [`VectorError::ZeroDim`].
    pub fn open_prefix(path: &Path, dim: usize, len: usize) -> Result<Self, VectorError> {
        if dim == 0 {
            return Err(VectorError::ZeroDim);
        }
        if len == 0 {
            return Self::from_vec(dim, Vec::new());
        }
        let file = File::open(path).map_err(|source| io(path, source))?;
        let found = file.metadata().map_err(|source| io(path, source))?.len();
        let expected = (len * dim * BYTES) as u64;
        if found < expected {
            return Err(VectorError::FileLength { path: path.to_owned(), expected, found });
        }
        let mut options = memmap2::MmapOptions::new();
        options.len(len * dim * BYTES);
        // SAFETY: the map is read-only and covers rows that the file holds; the caller keeps
        // them unchanged, as the documentation of this function asks.
        let map = unsafe { options.map(&file) }.map_err(|source| io(path, source))?;
        Ok(Self { dim, len, values: Values::Mapped(map) })
    }

    /// Rows in memory, `[values.len() / dim, dim]`.
    ///
    /// # Errors
    /// [`VectorError::ZeroDim`]; [`VectorError::Ragged`].
    pub fn from_vec(dim: usize, values: Vec<f16>) -> Result<Self, VectorError> {
        if dim == 0 {
            return Err(VectorError::ZeroDim);
        }
        if !values.len().is_multiple_of(dim) {
            return Err(VectorError::Ragged { dim, found: values.len() });
        }
        Ok(Self { dim, len: values.len() / dim, values: Values::Owned(values) })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True where there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Components of each row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All values, `[len · dim]`, row-major.
    pub fn as_slice(&self) -> &[f16] {
        match &self.values {
            Values::Mapped(map) => bytemuck::cast_slice(map),
            Values::Owned(values) => values,
        }
    }

    /// One row as it is kept, `[dim]`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row_of_halves(&self, row: usize) -> &[f16] {
        &self.as_slice()[row * self.dim..(row + 1) * self.dim]
    }

    /// Widens one row into `out`, `[dim]`.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not of length `dim`.
    pub fn row_to_f32(&self, row: usize, out: &mut [f32]) {
        self.widen(row..row + 1, out);
    }

    fn widen(&self, rows: Range<usize>, out: &mut [f32]) {
        let halves = &self.as_slice()[rows.start * self.dim..rows.end * self.dim];
        if cfg!(target_endian = "little") {
            halves.convert_to_f32_slice(out);
        } else {
            for (wide, half) in out.iter_mut().zip(halves) {
                *wide = match self.values {
                    Values::Mapped(_) => f16::from_bits(u16::from_le(half.to_bits())).to_f32(),
                    Values::Owned(_) => half.to_f32(),
                };
            }
        }
    }
}

impl Rows for F16Rows {
    fn len(&self) -> usize {
        self.len
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn block<'a>(&'a self, rows: Range<usize>, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        scratch.resize(rows.len() * self.dim, 0.0);
        self.widen(rows, scratch);
        scratch
    }

    fn dot_all(
        &self,
        query: &[f32],
        rows: Range<usize>,
        scratch: &mut Vec<f32>,
        scores: &mut [f32],
    ) {
        if cfg!(target_endian = "little") {
            let halves = &self.as_slice()[rows.start * self.dim..rows.end * self.dim];
            Form::best().dot_f16(query, halves, scores);
        } else {
            let vectors = self.block(rows, scratch).chunks_exact(self.dim);
            scores.iter_mut().zip(vectors).for_each(|(score, row)| *score = dot(query, row));
        }
    }
}

fn io(path: &Path, source: std::io::Error) -> VectorError {
    VectorError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(values: &[f32]) -> tempfile::NamedTempFile {
        let bytes: Vec<u8> =
            values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn a_file_is_read_row_by_row() {
        let file = file(&[1.0, -0.5, 0.25, 2.0, 65504.0, 0.0]);
        let rows = F16Rows::open(file.path(), 2).unwrap();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows.row_to_vec(1), [0.25, 2.0]);
        let mut out = [0.0; 2];
        rows.row_to_f32(2, &mut out);
        assert_eq!(out, [65504.0, 0.0]);
        assert_eq!(rows.block(1..3, &mut Vec::new()), [0.25, 2.0, 65504.0, 0.0]);
    }

    #[test]
    fn a_prefix_ignores_what_follows_and_a_short_file_is_refused() {
        let file = file(&[1.0, 2.0, 3.0]);
        assert_eq!(F16Rows::open_prefix(file.path(), 2, 1).unwrap().row_to_vec(0), [1.0, 2.0]);
        for error in [
            F16Rows::open(file.path(), 2).unwrap_err(),
            F16Rows::open_prefix(file.path(), 2, 2).unwrap_err(),
        ] {
            let VectorError::FileLength { expected, found, .. } = error else {
                panic!("another error: {error}")
            };
            assert_eq!((expected, found), (8, 6));
        }
    }

    #[test]
    fn an_empty_file_has_no_rows_and_a_missing_one_is_named() {
        let empty = file(&[]);
        assert!(F16Rows::open(empty.path(), 4).unwrap().is_empty());
        let error = F16Rows::open(Path::new("no/such.f16"), 4).unwrap_err().to_string();
        assert!(error.contains("no/such.f16"), "{error}");
    }
}
