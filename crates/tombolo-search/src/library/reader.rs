use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tombolo_vectors::{Chain, EmbeddingMatrix, F16Rows, Rows, ScoredRow, VectorError};

use super::gallery::{Gallery, Live, Method};
use super::layout::{Layout, Manifest, graph_path};
use super::mapped;
use super::records::{Item, Records};
use super::segments::{self, Extent};
use crate::{GalleryMap, SearchError};

/// How often a search starts again because of commits under it.
const ATTEMPTS: usize = 4;

/// A photo found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// From 1, best first.
    pub rank: usize,
    /// Dot product of query and (mapped) photo; for unit vectors the cosine.
    pub score: f32,
    /// The photo.
    pub item: Item,
    /// Rows of the library that its score was judged by; 0 where it was judged alone. See [`super::Odds::Typical`].
    pub among: usize,
}

/// How to search.
#[derive(Clone, Copy)]
pub struct SearchOptions<'a> {
    /// Most hits to return.
    pub top: usize,
    /// The image side of the model's map; `None` compares raw vectors.
    pub map: Option<&'a dyn GalleryMap>,
    /// How to look.
    pub method: Method,
}

impl Default for SearchOptions<'_> {
    fn default() -> Self {
        Self { top: 10, map: None, method: Method::Auto }
    }
}

/// A library opened for searching. Threads may share it; it follows what a writer commits.
pub struct Library {
    layout: Layout,
    manifest: Manifest,
    records: Mutex<Records>,
    snapshot: Mutex<Option<Arc<Snapshot>>>,
}

/// The vectors as of one version of the records.
pub(super) struct Snapshot {
    version: i64,
    /// Which folder of vectors it is of.
    generation: u32,
    pub(super) raw: Arc<Gallery>,
    pub(super) live: Live,
    mapped: Mutex<HashMap<String, Arc<Gallery>>>,
}

impl Library {
    /// Opens a library; nothing but its size is read yet.
    ///
    /// # Errors
    /// [`SearchError::NotALibrary`], [`SearchError::Manifest`], [`SearchError::Format`] or
    /// [`SearchError::Records`], each naming the path.
    pub fn open(dir: &Path) -> Result<Self, SearchError> {
        let layout = Layout::new(dir);
        let Some(manifest) = layout.manifest()? else {
            let found = if dir.exists() { "no library.toml" } else { "nothing" };
            return Err(SearchError::NotALibrary { path: dir.to_owned(), found });
        };
        let records = Mutex::new(Records::open(&layout.records())?);
        Ok(Self { layout, manifest, records, snapshot: Mutex::new(None) })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.layout.dir()
    }

    /// Fingerprint of the image tower whose vectors it holds.
    pub fn fingerprint(&self) -> &str {
        &self.manifest.image_tower
    }

    /// Components of its raw vectors.
    pub fn dim(&self) -> usize {
        self.manifest.dim
    }

    /// Makes sure that vectors of this tower may be compared with the library's.
    ///
    /// # Errors
    /// [`SearchError::OtherModel`] with both fingerprints.
    pub fn require_model(&self, fingerprint: &str) -> Result<(), SearchError> {
        require_model(&self.layout, &self.manifest, fingerprint)
    }

    /// Number of photos that can be found.
    ///
    /// # Errors
    /// [`SearchError::Records`].
    pub fn len(&self) -> Result<usize, SearchError> {
        self.records().count()
    }

    /// True where there is no photo to find.
    ///
    /// # Errors
    /// [`SearchError::Records`].
    pub fn is_empty(&self) -> Result<bool, SearchError> {
        Ok(self.len()? == 0)
    }

    /// The photo of this id, if the library has it.
    ///
    /// # Errors
    /// [`SearchError::Records`].
    pub fn item(&self, id: &str) -> Result<Option<Item>, SearchError> {
        self.records().item(id)
    }

    /// Tags of a photo, in order.
    ///
    /// # Errors
    /// [`SearchError::Records`].
    pub fn tags(&self, item: &Item) -> Result<Vec<String>, SearchError> {
        self.records().tags(&item.path)
    }

    /// Photos by path, page by page: those after `path` (`""` for the first), at most `limit`.
    ///
    /// # Errors
    /// [`SearchError::Records`].
    pub fn items_after(&self, path: &str, limit: usize) -> Result<Vec<Item>, SearchError> {
        self.records().items_after(path, limit)
    }

    /// The raw image-tower vector of a photo, `[dim]`, to search with or to map.
    ///
    /// # Errors
    /// [`SearchError::Changed`]; [`SearchError::Records`]; [`SearchError::Vectors`].
    pub fn vector_of(&self, item: &Item) -> Result<Vec<f32>, SearchError> {
        self.settled(|snapshot| self.vector_among(snapshot.raw.rows(), item))
    }

    /// The vector of a photo among those of all. Its row may have another number by now than the item says.
    fn vector_among(&self, rows: &Chain<F16Rows>, item: &Item) -> Result<Vec<f32>, SearchError> {
        let changed = || {
            let (path, photo) = (self.dir().to_owned(), item.path.clone());
            SearchError::Changed { path, photo }
        };
        let row = self.item(&item.id)?.ok_or_else(changed)?.vector_row;
        if row < rows.len() {
            return Ok(rows.row_to_vec(row));
        }
        // Committed after these rows were looked up, unless no such row ever was.
        match self.records().rows()? {
            committed if row < committed => Err(changed()),
            found => Err(self.damaged(VectorError::Len { expected: row + 1, found })),
        }
    }

    /// The raw vector of a photo after a map, `[dim]` of the map.
    ///
    /// # Errors
    /// As [`Library::vector_of`]; [`SearchError::Model`] if the map fails.
    pub fn mapped_vector_of(
        &self,
        item: &Item,
        map: &dyn GalleryMap,
    ) -> Result<Vec<f32>, SearchError> {
        let raw = EmbeddingMatrix::from_rows(self.dim(), self.vector_of(item)?);
        let raw = raw.map_err(|source| self.damaged(source))?;
        let path = || self.dir().to_owned();
        let mapped = map.apply(&raw);
        mapped
            .map(EmbeddingMatrix::into_vec)
            .map_err(|source| SearchError::Model { path: path(), source })
    }

    /// Mapped vectors of photos, rounded to halves: those that searches compare with; none of a photo that has changed since it
    /// was found.
    ///
    /// # Errors
    /// As [`Library::search`].
    pub fn mapped_vectors_of(
        &self,
        items: &[&Item],
        map: &dyn GalleryMap,
    ) -> Result<Vec<Option<Vec<f32>>>, SearchError> {
        let options = SearchOptions { map: Some(map), ..SearchOptions::default() };
        self.settled(|snapshot| {
            let gallery = self.gallery(snapshot, &options)?;
            let vector = |item: &&Item| match self.vector_among(gallery.rows(), item) {
                Err(SearchError::Changed { .. }) => Ok(None),
                vector => vector.map(Some),
            };
            items.iter().map(vector).collect()
        })
    }

    /// The photos nearest to a query, best first, on all cores. Scores are exact, and so is the
    /// choice of photos, but where [`SearchOptions::method`] says otherwise. Among equal scores the
    /// photo that was encoded earlier comes first; those that share a content follow by path.
    ///
    /// # Shapes
    /// `query`: `[dim]` of the map, or of the library without one; unit norm for cosines.
    /// # Errors
    /// [`SearchError::Dim`] for a query of another dimension; [`SearchError::Model`] if the map
    /// fails; [`SearchError::Records`] and [`SearchError::Vectors`] if the library is damaged.
    pub fn search(
        &self,
        query: &[f32],
        options: &SearchOptions<'_>,
    ) -> Result<Vec<Hit>, SearchError> {
        self.settled(|snapshot| {
            let gallery = self.gallery(snapshot, options)?;
            let found = self.nearest(query, &gallery, &snapshot.live, options)?;
            self.hits(&found, options.top)
        })
    }

    /// What `look` finds in the vectors and the records of one moment: it looks again if the records have changed under
    /// it, since items may have gone, or their rows have other numbers. Items that went may be missing in the end, where
    /// commits follow each other too fast; other numbers never stand.
    pub(super) fn settled<T>(
        &self,
        mut look: impl FnMut(&Snapshot) -> Result<T, SearchError>,
    ) -> Result<T, SearchError> {
        let mut attempt = 1;
        loop {
            let snapshot = self.snapshot()?;
            let found = look(&snapshot);
            let records = self.records();
            let is_last = attempt >= ATTEMPTS && records.generation()? == snapshot.generation;
            if is_last || records.version()? == snapshot.version {
                return found;
            }
            attempt += 1;
        }
    }

    /// The vectors that a search compares with.
    pub(super) fn gallery(
        &self,
        snapshot: &Snapshot,
        options: &SearchOptions<'_>,
    ) -> Result<Arc<Gallery>, SearchError> {
        match options.map {
            Some(map) => self.mapped(snapshot, map),
            None => Ok(Arc::clone(&snapshot.raw)),
        }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// So many rows, as this library lays them out.
    pub(super) fn extent(&self, rows: usize) -> Extent {
        let (dim, segment_rows) = (self.manifest.dim, self.manifest.segment_rows);
        Extent { dim, segment_rows, rows }
    }

    fn nearest(
        &self,
        query: &[f32],
        gallery: &Gallery,
        live: &Live,
        options: &SearchOptions<'_>,
    ) -> Result<Vec<ScoredRow>, SearchError> {
        let dim = gallery.rows().dim();
        if query.len() != dim {
            let (path, what) = (self.dir().to_owned(), "a query");
            return Err(SearchError::Dim { path, what, expected: dim, found: query.len() });
        }
        gallery
            .nearest(query, live, options.top, options.method)
            .map_err(|source| self.damaged(source))
    }

    fn hits(&self, found: &[ScoredRow], top: usize) -> Result<Vec<Hit>, SearchError> {
        let records = self.records();
        let mut hits = Vec::with_capacity(found.len());
        for scored in found {
            for item in records.items_at_row(scored.row)? {
                if hits.len() == top {
                    return Ok(hits);
                }
                hits.push(Hit { rank: hits.len() + 1, score: scored.score, item, among: 0 });
            }
        }
        Ok(hits)
    }

    /// The vectors of the records' present version, mapped again only when that has changed.
    fn snapshot(&self) -> Result<Arc<Snapshot>, SearchError> {
        let mut current = lock(&self.snapshot);
        let records = self.records();
        // Read before the rows: a commit in between makes the snapshot look older than it is, which
        // costs another look and never an answer.
        let version = records.version()?;
        if let Some(snapshot) = current.as_ref().filter(|snapshot| snapshot.version == version) {
            return Ok(Arc::clone(snapshot));
        }
        let (raw, live, generation) = loop {
            let (rows, live, generation) = records.live_rows()?;
            match segments::open(&self.layout.vectors(generation), self.extent(rows)) {
                Ok(raw) => break (raw, Live::new(rows, &live), generation),
                // A compaction has removed them since.
                Err(_) if records.generation()? != generation => {}
                Err(source) => return Err(self.damaged(source)),
            }
        };
        let raw = Arc::new(Gallery::open(raw, None));
        let mapped = Mutex::default();
        let snapshot = Arc::new(Snapshot { version, generation, raw, live, mapped });
        *current = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    fn mapped(
        &self,
        snapshot: &Snapshot,
        map: &dyn GalleryMap,
    ) -> Result<Arc<Gallery>, SearchError> {
        let mut known = lock(&snapshot.mapped);
        if let Some(gallery) = known.get(map.fingerprint()) {
            return Ok(Arc::clone(gallery));
        }
        let dir = self.layout.mapped(map.fingerprint(), snapshot.generation);
        let rows = mapped::open(&dir, self.dir(), snapshot.raw.rows(), map)?;
        let gallery = Arc::new(Gallery::open(rows, Some(&graph_path(&dir))));
        known.insert(map.fingerprint().to_owned(), Arc::clone(&gallery));
        Ok(gallery)
    }

    pub(super) fn records(&self) -> MutexGuard<'_, Records> {
        lock(&self.records)
    }

    pub(super) fn damaged(&self, source: VectorError) -> SearchError {
        SearchError::Vectors { path: self.dir().to_owned(), source }
    }
}

pub(super) fn require_model(
    layout: &Layout,
    manifest: &Manifest,
    fingerprint: &str,
) -> Result<(), SearchError> {
    if manifest.image_tower == fingerprint {
        return Ok(());
    }
    Err(SearchError::OtherModel {
        path: layout.dir().to_owned(),
        expected: manifest.image_tower.clone(),
        found: fingerprint.to_owned(),
    })
}

/// What a panicking thread held is still whole: nothing here is changed in two steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
