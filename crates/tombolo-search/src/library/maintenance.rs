//! What keeps a library sound: looking for damage, mending it, and giving back the room of photos that are gone.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;

use half::f16;
use rayon::prelude::*;
use tombolo_vectors::{F16Rows, Rows, VectorError};

use super::LibraryWriter;
use super::durable::remove_folder;
use super::reader::Library;
use super::segments::{self, Extent, SegmentWriter, segment_path};
use crate::SearchError;

/// Rows copied at a time.
const BLOCK_ROWS: usize = 1_024;

/// Segments that may be missing and be made again.
const MOST_MISSING: usize = 1_024;

/// How far the squared norm of a unit vector may be from one, after rounding to f16.
const NORM_TOLERANCE: f32 = 0.02;

/// What a look at a library found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// Photos that can be found.
    pub photos: usize,
    /// Photos that could not be decoded.
    pub broken: usize,
    /// Vectors that are stored.
    pub rows: usize,
    /// Of these: those of photos that are gone; [`LibraryWriter::compact`] gives their room back.
    pub unused: usize,
    /// What is wrong, in words; [`LibraryWriter::repair`] mends it.
    pub problems: Vec<String>,
}

/// What mending did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repaired {
    /// Photos whose vectors were lost: the next indexing encodes them again.
    pub forgotten: usize,
    /// Segments that were missing or short.
    pub segments: usize,
}

impl Library {
    /// Reads everything that the library holds and looks for damage.
    ///
    /// # Errors
    /// [`SearchError::Records`] if the records cannot be read at all.
    pub fn check(&self) -> Result<Health, SearchError> {
        loop {
            let (health, generation) = self.look_for_damage()?;
            // Else a compaction has removed what was looked at.
            if self.records().generation()? == generation {
                return Ok(health);
            }
        }
    }

    /// What is found in the vectors of a generation, and which that was.
    fn look_for_damage(&self) -> Result<(Health, u32), SearchError> {
        let records = self.records();
        let (rows, live, generation) = records.live_rows()?;
        let sums = records.sums(generation)?;
        let mut health = Health {
            photos: records.count()?,
            broken: records.broken()?,
            rows,
            unused: rows - live.len().min(rows),
            problems: records.damage()?,
        };
        let beyond = live.iter().filter(|&&row| row >= rows).count();
        if beyond > 0 {
            health
                .problems
                .push(format!("{beyond} records name vectors that were never committed"));
        }
        let dir = self.layout().vectors(generation);
        let extent = self.extent(rows);
        if !may_be_meant(extent, &dir) {
            health.problems.push(format!("{}: most of {rows} vectors are missing", dir.display()));
            return Ok((health, generation));
        }
        let mut first = 0;
        for (segment, expected) in extent.segments().enumerate() {
            let path = segment_path(&dir, segment);
            match F16Rows::open_prefix(&path, extent.dim, expected) {
                Err(error) => health.problems.push(error.to_string()),
                Ok(part) => {
                    let unsound = unsound_rows(&part, first, &live, &sums).len();
                    if unsound > 0 {
                        let what = format!(
                            "{}: {unsound} vectors are not as they were written",
                            path.display()
                        );
                        health.problems.push(what);
                    }
                }
            }
            first += expected;
        }
        Ok((health, generation))
    }
}

/// Whether records may really tell of so many rows: damaged ones tell of any number, and each segment is looked for.
fn may_be_meant(extent: Extent, dir: &Path) -> bool {
    let there = fs::read_dir(dir).map_or(0, Iterator::count);
    extent.segments().len() <= there + MOST_MISSING
}

/// Of the rows that items refer to, in a segment that begins at row `first`: those that are no unit vectors, or others than
/// their check sums are of.
fn unsound_rows(
    part: &F16Rows,
    first: usize,
    live: &[usize],
    sums: &HashMap<usize, i64>,
) -> Vec<usize> {
    let begin = live.partition_point(|&row| row < first);
    let end = live.partition_point(|&row| row < first + part.len());
    let is_sound = |row: usize| {
        let vector = part.row_to_vec(row - first);
        let is_unit = (vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < NORM_TOLERANCE;
        let is_as_written = |&sum: &i64| sum == segments::sum(part.row_of_halves(row - first));
        is_unit && sums.get(&row).is_none_or(is_as_written)
    };
    live[begin..end].par_iter().copied().filter(|&row| !is_sound(row)).collect()
}

impl LibraryWriter {
    /// Mends what [`Library::check`] finds, but for damaged records: photos whose vectors are lost are forgotten, so that
    /// the next indexing encodes them again, and all that is derived is made anew when it is needed.
    ///
    /// # Errors
    /// [`SearchError::Records`] if the records themselves are damaged; [`SearchError::Io`].
    pub fn repair(&mut self) -> Result<Repaired, SearchError> {
        let (rows, live, generation) = self.records().live_rows()?;
        let sums = self.records().sums(generation)?;
        let dir = self.layout().vectors(generation);
        let extent = self.extent(rows);
        if !may_be_meant(extent, &dir) {
            let source = rusqlite::Error::IntegralValueOutOfRange(0, rows as i64);
            return Err(SearchError::Records { path: self.records_path(), source });
        }
        let mut repaired = Repaired::default();
        let mut lost: Vec<usize> = live.iter().copied().filter(|&row| row >= rows).collect();
        let mut first = 0;
        for (segment, expected) in extent.segments().enumerate() {
            let path = segment_path(&dir, segment);
            let io = |source| SearchError::Io { path: path.clone(), source };
            let bytes = path.metadata().map_or(0, |metadata| metadata.len() as usize);
            let there = (bytes / (extent.dim * size_of::<f16>())).min(expected);
            let place = |row: usize| live.partition_point(|&live| live < row);
            if there < expected {
                lost.extend(&live[place(first + there)..place(first + expected)]);
                fs::create_dir_all(&dir).map_err(io)?;
                let whole = (expected * extent.dim * size_of::<f16>()) as u64;
                let file = File::options().create(true).truncate(false).write(true).open(&path);
                file.and_then(|file| file.set_len(whole).and_then(|()| file.sync_all()))
                    .map_err(io)?;
                repaired.segments += 1;
            }
            let part = F16Rows::open_prefix(&path, extent.dim, expected)
                .map_err(|source| SearchError::Vectors { path: self.dir().to_owned(), source })?;
            let before = &live[..place(first + there)];
            lost.extend(unsound_rows(&part, first, before, &sums));
            first += expected;
        }
        repaired.forgotten = self.forget_rows(&lost)?;
        remove_folder(&self.layout().derived(generation))
            .map_err(|source| SearchError::Io { path: self.dir().to_owned(), source })?;
        Ok(repaired)
    }

    /// Gives back the room of vectors whose photos are gone. Writes those that are used anew, and then turns to them at
    /// once: a kill leaves the library as it was. Returns how many rows were given back.
    ///
    /// # Errors
    /// [`SearchError::Vectors`] if a segment is damaged; [`SearchError::Records`]; [`SearchError::Io`], as for a full disk.
    pub fn compact(&mut self) -> Result<usize, SearchError> {
        let (rows, live, generation) = self.records().live_rows()?;
        if let Some(last) = live.last().filter(|last| **last >= rows) {
            let source = VectorError::Len { expected: last + 1, found: rows };
            return Err(SearchError::Vectors { path: self.dir().to_owned(), source });
        }
        if live.len() == rows {
            return Ok(0);
        }
        // Before anything is removed: damaged records may name another generation.
        let old = self.raw()?;
        let generation_after = generation.checked_add(1).ok_or_else(|| {
            let source = rusqlite::Error::IntegralValueOutOfRange(0, generation.into());
            SearchError::Records { path: self.records_path(), source }
        })?;
        let dir = self.layout().vectors(generation_after);
        let io = |source| SearchError::Io { path: dir.clone(), source };
        remove_folder(&dir).map_err(io)?;
        let mut writer = SegmentWriter::new(dir.clone(), Extent { rows: 0, ..self.extent(0) });
        let mut sums = Vec::with_capacity(live.len());
        for some in live.chunks(BLOCK_ROWS) {
            let values: Vec<f16> =
                some.iter().flat_map(|&row| old.row_of_halves(row).iter().copied()).collect();
            sums.extend(values.chunks_exact(old.dim()).map(segments::sum));
            writer.append(&values)?;
        }
        self.turn_to(writer, (&live, &sums), generation_after)?;
        // Readers may still have the old ones mapped; what cannot be removed now is removed by the next compaction.
        for folder in self.layout().of_other_generations(generation_after) {
            let _ = fs::remove_dir_all(folder);
        }
        Ok(rows - live.len())
    }
}
