//! The feature cache: an append-only file of f16 rows and an index of where each input's rows lie.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;

use crate::error::{ModelError, Result};

/// What identifies an input: the BLAKE3 hash of a photo's bytes or of a text.
pub type FeatureKey = [u8; 32];

/// An index record: key, first row (u64), number of rows (u32), all little-endian.
const RECORD: usize = 32 + 8 + 4;

/// The outputs of one backbone under one preprocessing, `[rows, dim]` for each input.
///
/// Rows are written and flushed before the index names them, so that a kill at any moment loses at most
/// the batch in flight. Rows are mapped when read: memory does not grow with the data set but for
/// `RECORD` bytes an input.
pub struct FeatureStore {
    dim: usize,
    index: HashMap<FeatureKey, (u64, u32)>,
    rows: u64,
    data: File,
    data_path: PathBuf,
    records: File,
    records_path: PathBuf,
    map: Option<Mmap>,
}

impl FeatureStore {
    /// Opens, or creates, the store in `dir` for vectors of width `dim`. What an interrupted run left
    /// half-written is cut off.
    ///
    /// # Errors
    /// [`ModelError::Busy`] if another process has it open; or if the directory or a file in it cannot be
    /// read or written.
    pub fn open(dir: &Path, dim: usize) -> Result<Self> {
        fs::create_dir_all(dir).map_err(ModelError::io(dir))?;
        let (data_path, records_path) = (dir.join("rows.f16"), dir.join("index"));
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.open(path).map_err(ModelError::io(path))
        };
        let (data, mut records) = (open(&data_path)?, open(&records_path)?);
        match records.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ModelError::Busy { path: dir.into() }),
            Err(TryLockError::Error(error)) => return Err(ModelError::io(&records_path)(error)),
        }
        let written = data.metadata().map_err(ModelError::io(&data_path))?.len() / (2 * dim as u64);
        let (index, rows) =
            read_index(&mut records, written).map_err(ModelError::io(&records_path))?;
        let (kept, row) = ((index.len() * RECORD) as u64, 2 * dim as u64);
        records.set_len(kept).map_err(ModelError::io(&records_path))?;
        data.set_len(rows * row).map_err(ModelError::io(&data_path))?;
        Ok(Self { dim, index, rows, data, data_path, records, records_path, map: None })
    }

    /// Width of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of inputs.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no input is stored.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether this input's rows are stored.
    pub fn contains(&self, key: &FeatureKey) -> bool {
        self.index.contains_key(key)
    }

    /// Number of rows stored for this input.
    pub fn rows_of(&self, key: &FeatureKey) -> Option<usize> {
        self.index.get(key).map(|&(_, rows)| rows as usize)
    }

    /// Appends a batch: each input's key and its f32 rows, which are rounded to f16. Keys that are there
    /// already are passed over.
    ///
    /// # Errors
    /// If the files cannot be written; the store then holds what it held before.
    pub fn append<'a>(
        &mut self,
        batch: impl IntoIterator<Item = (FeatureKey, &'a [f32])>,
    ) -> Result<()> {
        let (mut bytes, mut records, mut added) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = self.rows;
        for (key, values) in batch {
            let known = self.index.contains_key(&key) || added.iter().any(|(k, _)| *k == key);
            if known {
                continue;
            }
            let count = (values.len() / self.dim) as u32;
            let mut halves = vec![f16::ZERO; values.len()];
            halves.convert_from_f32_slice(values);
            bytes.extend(halves.iter().flat_map(|h| h.to_le_bytes()));
            records.extend(key.iter().chain(&next.to_le_bytes()).chain(&count.to_le_bytes()));
            added.push((key, (next, count)));
            next += u64::from(count);
        }
        let (row, count) = (2 * self.dim as u64, self.index.len());
        write_at(&mut self.data, self.rows * row, &bytes)
            .map_err(ModelError::io(&self.data_path))?;
        write_at(&mut self.records, (count * RECORD) as u64, &records)
            .map_err(ModelError::io(&self.records_path))?;
        self.index.extend(added);
        self.rows = next;
        self.map = None;
        Ok(())
    }

    /// Maps the rows for reading. Call it after the last [`FeatureStore::append`].
    ///
    /// # Errors
    /// If the file cannot be mapped.
    pub fn map(&mut self) -> Result<()> {
        if self.map.is_none() && self.rows > 0 {
            // SAFETY: rows already written are never changed, the file only grows, and the lock on the
            // index keeps other processes from cutting it.
            let map = unsafe { Mmap::map(&self.data) }.map_err(ModelError::io(&self.data_path))?;
            self.map = Some(map);
        }
        Ok(())
    }

    /// This input's rows, `[rows, dim]`.
    ///
    /// # Errors
    /// If the input is not stored, or the store has not been mapped since rows were added.
    pub fn get(&self, key: &FeatureKey) -> Result<&[f16]> {
        let missing = |reason: &str| ModelError::Features {
            path: self.data_path.clone(),
            reason: reason.to_owned(),
        };
        let &(first, rows) = self.index.get(key).ok_or_else(|| missing("input is not stored"))?;
        let map = self.map.as_ref().ok_or_else(|| missing("rows are not mapped"))?;
        let row = 2 * self.dim;
        let bytes = &map[first as usize * row..(first as usize + rows as usize) * row];
        bytemuck::try_cast_slice(bytes).map_err(|e| missing(&e.to_string()))
    }
}

fn write_at(file: &mut File, at: u64, bytes: &[u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)?;
    file.sync_data()
}

type Index = HashMap<FeatureKey, (u64, u32)>;

/// The records whose rows are all among the `written` ones, and the rows that they name in all. Stops at
/// the first record that is not: it and what follows belong to an interrupted batch.
fn read_index(records: &mut File, written: u64) -> std::io::Result<(Index, u64)> {
    let mut bytes = Vec::new();
    records.read_to_end(&mut bytes)?;
    let (mut index, mut rows) = (HashMap::new(), 0);
    for record in bytes.chunks_exact(RECORD) {
        let (key, place) = record.split_at(32);
        let key: FeatureKey = key.try_into().expect("a record starts with 32 bytes");
        let first = u64::from_le_bytes(place[..8].try_into().expect("eight bytes"));
        let count = u32::from_le_bytes(place[8..].try_into().expect("four bytes"));
        if first != rows || first + u64::from(count) > written || index.contains_key(&key) {
            break;
        }
        rows += u64::from(count);
        index.insert(key, (first, count));
    }
    Ok((index, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(seed: u8, count: usize) -> Vec<f32> {
        (0..count * 3).map(|i| f32::from(seed) + i as f32 * 0.5).collect()
    }

    fn store_with_two(dir: &Path) {
        let mut store = FeatureStore::open(dir, 3).unwrap();
        store.append([([1; 32], &rows(1, 2)[..])]).unwrap();
        store.append([([2; 32], &rows(2, 4)[..]), ([1; 32], &rows(9, 1)[..])]).unwrap();
    }

    #[test]
    fn rows_come_back_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        store_with_two(dir.path());
        let mut store = FeatureStore::open(dir.path(), 3).unwrap();
        store.map().unwrap();
        assert_eq!(store.len(), 2);
        let found: Vec<f32> = store.get(&[2; 32]).unwrap().iter().map(|h| h.to_f32()).collect();
        assert_eq!(found, rows(2, 4));
        assert!(store.get(&[3; 32]).is_err());
    }

    #[test]
    fn a_kill_at_any_byte_loses_at_most_the_batch_in_flight() {
        let whole = tempfile::tempdir().unwrap();
        store_with_two(whole.path());
        for name in ["rows.f16", "index"] {
            let bytes = fs::read(whole.path().join(name)).unwrap();
            for length in 0..bytes.len() {
                let cut = tempfile::tempdir().unwrap();
                for other in ["rows.f16", "index"] {
                    fs::copy(whole.path().join(other), cut.path().join(other)).unwrap();
                }
                fs::write(cut.path().join(name), &bytes[..length]).unwrap();
                let mut store = FeatureStore::open(cut.path(), 3).unwrap();
                store.append([([7; 32], &rows(7, 1)[..])]).unwrap();
                store.map().unwrap();
                for (seed, count) in [(1, 2), (2, 4)] {
                    if let Ok(found) = store.get(&[seed; 32]) {
                        let found: Vec<f32> = found.iter().map(|h| h.to_f32()).collect();
                        assert_eq!(found, rows(seed, count));
                    }
                }
                assert!(store.contains(&[7; 32]));
            }
        }
    }
}
