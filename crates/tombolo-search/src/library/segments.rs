//! Append-only files of f16 rows. Row r lies in segment r ÷ `segment_rows`.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use half::f16;
use tombolo_vectors::{Chain, F16Rows, VectorError};

use super::durable::sync_dir;
use crate::SearchError;

/// Rows that are committed, and how they are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) dim: usize,
    pub(crate) segment_rows: usize,
    pub(crate) rows: usize,
}

impl Extent {
    /// Rows of each segment in turn.
    pub(crate) fn segments(self) -> impl ExactSizeIterator<Item = usize> {
        (0..self.rows)
            .step_by(self.segment_rows)
            .map(move |start| self.segment_rows.min(self.rows - start))
    }
}

pub(crate) fn segment_path(dir: &Path, segment: usize) -> PathBuf {
    dir.join(format!("{segment:06}.f16"))
}

/// Little-endian bytes of rows, as they lie in a segment.
pub(crate) fn to_bytes(values: &[f16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// By which a row is known again: the first eight bytes of its BLAKE3.
pub(crate) fn sum(row: &[f16]) -> i64 {
    let hash = blake3::hash(&to_bytes(row));
    i64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
}

/// Maps the committed rows and no others: what follows them may be in the making.
pub(crate) fn open(dir: &Path, extent: Extent) -> Result<Chain<F16Rows>, VectorError> {
    let parts = extent.segments().enumerate();
    let parts = parts
        .map(|(segment, rows)| F16Rows::open_prefix(&segment_path(dir, segment), extent.dim, rows));
    Chain::new(extent.dim, parts.collect::<Result<_, _>>()?)
}

/// Writes rows after the committed ones, over whatever a crash has left there.
///
/// Nothing is ever cut off: Windows does not shorten a file that a reader maps.
pub(crate) struct SegmentWriter {
    dir: PathBuf,
    extent: Extent,
    /// The segment written last, by number.
    open: Option<(usize, File)>,
}

impl SegmentWriter {
    pub(crate) fn new(dir: PathBuf, extent: Extent) -> Self {
        Self { dir, extent, open: None }
    }

    /// Rows written so far; the next row gets this number.
    pub(crate) fn rows(&self) -> usize {
        self.extent.rows
    }

    /// Forgets rows that were written and then not committed.
    pub(crate) fn rewind(&mut self, rows: usize) {
        self.extent.rows = rows;
    }

    /// Writes rows, `[n, dim]`; when it returns they are on disk.
    pub(crate) fn append(&mut self, mut values: &[f16]) -> Result<(), SearchError> {
        let Extent { dim, segment_rows, .. } = self.extent;
        while !values.is_empty() {
            let (segment, row) = (self.extent.rows / segment_rows, self.extent.rows % segment_rows);
            let rows = (values.len() / dim).min(segment_rows - row);
            let (here, rest) = values.split_at(rows * dim);
            self.write(segment, row, here).map_err(|source| SearchError::Io {
                path: segment_path(&self.dir, segment),
                source,
            })?;
            self.extent.rows += rows;
            values = rest;
        }
        Ok(())
    }

    fn write(&mut self, segment: usize, row: usize, values: &[f16]) -> io::Result<()> {
        let offset = row * self.extent.dim * size_of::<f16>();
        let file = self.file(segment)?;
        file.seek(SeekFrom::Start(offset as u64))?;
        file.write_all(&to_bytes(values))?;
        file.sync_data()
    }

    fn file(&mut self, segment: usize) -> io::Result<&mut File> {
        let open = match self.open.take() {
            Some(open) if open.0 == segment => open,
            _ => {
                let is_new_dir = !self.dir.exists();
                fs::create_dir_all(&self.dir)?;
                let path = segment_path(&self.dir, segment);
                let file = File::options().create(true).truncate(false).write(true).open(path)?;
                sync_dir(&self.dir)?;
                if let Some(library) = self.dir.parent().filter(|_| is_new_dir) {
                    sync_dir(library)?;
                }
                (segment, file)
            }
        };
        Ok(&mut self.open.insert(open).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_vectors::Rows;

    fn halves(values: std::ops::Range<u8>) -> Vec<f16> {
        values.map(|value| f16::from_f32(f32::from(value))).collect()
    }

    #[test]
    fn rows_roll_over_and_uncommitted_ones_are_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let extent = |rows| Extent { dim: 2, segment_rows: 3, rows };
        let mut writer = SegmentWriter::new(dir.path().join("vectors"), extent(0));
        writer.append(&halves(0..10)).unwrap();
        assert_eq!(writer.rows(), 5);
        // Two rows were never committed.
        let mut writer = SegmentWriter::new(dir.path().join("vectors"), extent(3));
        writer.append(&halves(20..22)).unwrap();
        let rows = open(&dir.path().join("vectors"), extent(4)).unwrap();
        let expected: Vec<f32> = [0, 1, 2, 3, 4, 5, 20, 21].map(|value| value as f32).to_vec();
        assert_eq!(rows.block(0..4, &mut Vec::new()), expected);
        assert_eq!(rows.parts().iter().map(F16Rows::len).collect::<Vec<_>>(), [3, 1]);
    }

    #[test]
    fn a_missing_segment_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = open(dir.path(), Extent { dim: 2, segment_rows: 3, rows: 1 }).unwrap_err();
        assert!(error.to_string().contains("000000.f16"), "{error}");
    }
}
