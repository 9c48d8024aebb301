use std::fs;

use tombolo_vectors::Rows;

use super::gallery::MAX_UNLINKED;
use super::graph::Graph;
use super::layout::graph_path;
use super::{LibraryWriter, mapped};
use crate::{GalleryMap, SearchError};

/// When a library's graph is worth its time.
#[derive(Debug, Clone, Copy)]
pub struct LinkOptions {
    /// Rows from which on a library has a graph: below, comparing all is a matter of milliseconds.
    pub from_rows: usize,
    /// Rows without links from which on a graph is extended; searches look at them one by one.
    pub unlinked: usize,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self { from_rows: 50_000, unlinked: MAX_UNLINKED / 4 }
    }
}

impl LibraryWriter {
    /// Makes or extends the graph through which a large library is searched, for one map, and writes
    /// it beside the mapped vectors. To be called after indexing: every row is compared with hundreds
    /// of others, which no search should wait for. Returns whether there was something to do.
    ///
    /// A kill leaves the graph as it was. Links depend on the timing of threads, so two graphs of the
    /// same rows may miss different photos. `progress` is called with the rows linked and all rows.
    ///
    /// # Errors
    /// [`SearchError::Model`] if the map fails, [`SearchError::Graph`] if the graph cannot be made or
    /// written; [`SearchError::Records`] and [`SearchError::Vectors`] if the library is damaged.
    pub fn link(
        &mut self,
        map: &dyn GalleryMap,
        options: &LinkOptions,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<bool, SearchError> {
        if self.next_row() < options.from_rows {
            return Ok(false);
        }
        let dir = self.mapped_dir(map.fingerprint());
        let rows = mapped::open(&dir, self.dir(), &self.raw()?, map)?;
        let path = graph_path(&dir);
        let linked = Graph::open(&path, &rows).map_or(0, |graph| graph.len());
        if linked > 0 && rows.len() - linked < options.unlinked.max(1) {
            return Ok(false);
        }
        let made = fs::create_dir_all(&dir).map_err(Into::into);
        made.and_then(|()| Graph::extend(&path, &rows, progress))
            .map_err(|source| SearchError::Graph { path, source })?;
        Ok(true)
    }
}
