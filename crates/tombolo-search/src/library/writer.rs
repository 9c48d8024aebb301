use std::fs::File;
use std::path::{Path, PathBuf};

use half::f16;
use tombolo_vectors::{Chain, F16Rows};

use super::layout::{Layout, Manifest};
use super::reader::require_model;
use super::records::{Content, NewItem, Records, Stamp};
use super::segments::{self, Extent, SegmentWriter};
use crate::SearchError;

/// A library opened for writing, which one process at a time may do.
pub struct LibraryWriter {
    layout: Layout,
    records: Records,
    segments: SegmentWriter,
    /// Which folder of vectors is written to.
    generation: u32,
    manifest: Manifest,
    /// Held until the end; the system frees it however the process ends.
    _lock: File,
}

impl LibraryWriter {
    /// Opens a library of this image tower, and makes it where the folder is new or empty.
    ///
    /// # Errors
    /// [`SearchError::NotALibrary`] for a folder of other things; [`SearchError::OtherModel`] for
    /// the library of another tower; [`SearchError::Busy`] while another process writes;
    /// [`SearchError::Io`] and [`SearchError::Records`].
    pub fn open_or_create(dir: &Path, fingerprint: &str, dim: usize) -> Result<Self, SearchError> {
        Self::open_with(dir, Manifest::new(fingerprint, dim))
    }

    /// The same with segments of another size; for tests of the seams between them.
    #[doc(hidden)]
    pub fn open_or_create_with_segments(
        dir: &Path,
        fingerprint: &str,
        dim: usize,
        segment_rows: usize,
    ) -> Result<Self, SearchError> {
        Self::open_with(dir, Manifest { segment_rows, ..Manifest::new(fingerprint, dim) })
    }

    /// Opens a library that is there, whatever its image tower.
    ///
    /// # Errors
    /// [`SearchError::NotALibrary`] where there is none; else as [`LibraryWriter::open_or_create`].
    pub fn open(dir: &Path) -> Result<Self, SearchError> {
        match Layout::new(dir).manifest()? {
            Some(manifest) => Self::open_with(dir, manifest),
            None => {
                let found = if dir.exists() { "no library.toml" } else { "nothing" };
                Err(SearchError::NotALibrary { path: dir.to_owned(), found })
            }
        }
    }

    fn open_with(dir: &Path, wanted: Manifest) -> Result<Self, SearchError> {
        let layout = Layout::new(dir);
        if wanted.dim == 0 {
            let (path, what) = (dir.to_owned(), "vectors");
            return Err(SearchError::Dim { path, what, expected: 1, found: 0 });
        }
        layout.claim()?;
        let lock = layout.lock()?;
        let existing = layout.manifest()?;
        if let Some(manifest) = &existing {
            require_model(&layout, manifest, &wanted.image_tower)?;
            if manifest.dim != wanted.dim {
                let (expected, found) = (manifest.dim, wanted.dim);
                let (path, what) = (dir.to_owned(), "vectors");
                return Err(SearchError::Dim { path, what, expected, found });
            }
        }
        let records = Records::open_or_create(&layout.records())?;
        let manifest = match existing {
            Some(manifest) => manifest,
            None => {
                layout.write_manifest(&wanted)?;
                wanted
            }
        };
        let (dim, segment_rows) = (manifest.dim, manifest.segment_rows);
        let extent = Extent { dim, segment_rows, rows: records.rows()? };
        let generation = records.generation()?;
        let segments = SegmentWriter::new(layout.vectors(generation), extent);
        Ok(Self { layout, records, segments, generation, manifest, _lock: lock })
    }

    /// Removes a library, and nothing else that lies in its folder.
    ///
    /// # Errors
    /// [`SearchError::NotALibrary`] where there is none; [`SearchError::Busy`] while another process writes;
    /// [`SearchError::Io`].
    pub fn remove(dir: &Path) -> Result<(), SearchError> {
        let layout = Layout::new(dir);
        match layout.manifest()? {
            Some(_) => layout.remove(),
            None => {
                let found = "no library.toml";
                Err(SearchError::NotALibrary { path: dir.to_owned(), found })
            }
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.layout.dir()
    }

    pub(crate) fn require_model(&self, fingerprint: &str) -> Result<(), SearchError> {
        require_model(&self.layout, &self.manifest, fingerprint)
    }

    pub(crate) fn vector_dim(&self) -> usize {
        self.manifest.dim
    }

    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    pub(crate) fn records_path(&self) -> PathBuf {
        self.layout.records()
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// So many rows, as this library lays them out.
    pub(super) fn extent(&self, rows: usize) -> Extent {
        let (dim, segment_rows) = (self.manifest.dim, self.manifest.segment_rows);
        Extent { dim, segment_rows, rows }
    }

    /// Deletes the records of these rows. Returns how many there were.
    pub(super) fn forget_rows(&mut self, rows: &[usize]) -> Result<usize, SearchError> {
        self.records.delete_rows(rows)
    }

    /// Turns to vectors that were written anew: those of the rows of `live`, in order, with the check sums that they had there.
    pub(super) fn turn_to(
        &mut self,
        segments: SegmentWriter,
        (live, sums): (&[usize], &[i64]),
        generation: u32,
    ) -> Result<(), SearchError> {
        self.records.renumber(live, sums, generation)?;
        (self.segments, self.generation) = (segments, generation);
        Ok(())
    }

    /// All committed raw vectors.
    pub(super) fn raw(&self) -> Result<Chain<F16Rows>, SearchError> {
        let extent = self.extent(self.segments.rows());
        segments::open(&self.layout.vectors(self.generation), extent)
            .map_err(|source| SearchError::Vectors { path: self.dir().to_owned(), source })
    }

    #[cfg(feature = "hnsw")]
    pub(super) fn mapped_dir(&self, fingerprint: &str) -> PathBuf {
        self.layout.mapped(fingerprint, self.generation)
    }

    /// The row that the next vector gets.
    pub(crate) fn next_row(&self) -> usize {
        self.segments.rows()
    }

    /// Puts vectors, `[n, dim]`, on disk and then commits the records that refer to them.
    pub(crate) fn commit(&mut self, vectors: &[f16], items: &[NewItem]) -> Result<(), SearchError> {
        let before = self.segments.rows();
        let sums: Vec<i64> = vectors.chunks_exact(self.manifest.dim).map(segments::sum).collect();
        let written =
            self.segments.append(vectors).and_then(|()| self.records.commit(items, before, &sums));
        if written.is_err() {
            self.segments.rewind(before);
        }
        written
    }

    /// Commits vectors, `[names.len(), dim]`, under names, with records of photos that nobody has; for
    /// measuring libraries that are larger than any folder of photos at hand.
    #[doc(hidden)]
    pub fn commit_vectors(&mut self, vectors: &[f16], names: &[String]) -> Result<(), SearchError> {
        let first = self.next_row();
        let record = |(place, name): (usize, &String)| NewItem {
            path: name.clone(),
            stamp: Stamp { size: 0, modified_ns: 0, caption: None },
            blake3: Some(blake3::hash(name.as_bytes())),
            caption: None,
            content: Ok(Content {
                width: 1,
                height: 1,
                taken_at: None,
                camera: None,
                vector_row: first + place,
            }),
        };
        let items: Vec<NewItem> = names.iter().enumerate().map(record).collect();
        self.commit(vectors, &items)
    }

    /// Gives each of these photos, by absolute path, these tags and no others. A photo need not be in the library yet.
    ///
    /// # Errors
    /// [`SearchError::Records`]; then no tag has changed.
    pub fn set_tags(&mut self, tags: &[(String, Vec<String>)]) -> Result<(), SearchError> {
        self.records.set_tags(tags)
    }

    pub(crate) fn delete(&mut self, ids: &[String]) -> Result<(), SearchError> {
        self.records.delete(ids)
    }
}
