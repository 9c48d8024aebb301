use std::path::Path;
use std::sync::OnceLock;

use tombolo_vectors::{Chain, F16Rows, I8Rows, ScoredRow, VectorError, top_k};
#[cfg(feature = "hnsw")]
use {
    super::graph::Graph,
    tombolo_vectors::{Rows, rescore},
};

/// How a search looks for the nearest photos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Through the graph that [`LibraryWriter::link`](crate::LibraryWriter::link) keeps of a large
    /// library, which may miss a photo now and then; exactly where there is none.
    #[default]
    Auto,
    /// Compare every photo, in half precision.
    Exact,
    /// Look through a copy in int8 and score the best again exactly: half the memory to read, for a
    /// process that answers many searches. The first search, and the first after the library
    /// changed, makes the copy, a byte a component, and takes several times as long.
    Int8,
}

/// Rows that a graph may lack and still be used: they are looked at one by one.
#[cfg(feature = "hnsw")]
pub(super) const MAX_UNLINKED: usize = 8_192;

/// Most hits that are looked for in a graph: for more, comparing all is as fast.
#[cfg(feature = "hnsw")]
const MAX_TOP: usize = 1_000;

/// The rows that queries are compared with, and the ways to look through them.
pub(super) struct Gallery {
    rows: Chain<F16Rows>,
    #[cfg(feature = "hnsw")]
    graph: Option<Graph>,
    rounded: OnceLock<I8Rows>,
}

impl Gallery {
    /// Rows, and the graph of them if the file holds one that fits.
    pub(super) fn open(rows: Chain<F16Rows>, graph: Option<&Path>) -> Self {
        #[cfg(not(feature = "hnsw"))]
        let _ = graph;
        Self {
            #[cfg(feature = "hnsw")]
            graph: graph.and_then(|path| Graph::open(path, &rows)),
            rows,
            rounded: OnceLock::new(),
        }
    }

    pub(super) fn rows(&self) -> &Chain<F16Rows> {
        &self.rows
    }

    /// The best `top` live rows, best first, with exact scores.
    pub(super) fn nearest(
        &self,
        query: &[f32],
        live: &Live,
        top: usize,
        method: Method,
    ) -> Result<Vec<ScoredRow>, VectorError> {
        let is_live = |row| live.contains(row);
        if method == Method::Int8 {
            let rounded = self.rounded.get_or_init(|| I8Rows::from_rows(&self.rows));
            return rounded.top_k(query, &self.rows, top, is_live);
        }
        #[cfg(feature = "hnsw")]
        if method == Method::Auto
            && let Some(found) = self.through_graph(query, live, top)?
        {
            return Ok(found);
        }
        top_k(query, &self.rows, top, is_live)
    }

    /// What the graph finds and the rows after it, or `None` where comparing all is better: without a
    /// graph that fits, for many hits, or when it found fewer than it should.
    #[cfg(feature = "hnsw")]
    fn through_graph(
        &self,
        query: &[f32],
        live: &Live,
        top: usize,
    ) -> Result<Option<Vec<ScoredRow>>, VectorError> {
        let is_live = |row: &usize| live.contains(*row);
        let usable = |graph: &&Graph| {
            query.len() == self.rows.dim()
                && top <= MAX_TOP
                && self.rows.len() - graph.len() <= MAX_UNLINKED
        };
        let Some(graph) = self.graph.as_ref().filter(usable) else { return Ok(None) };
        let Some(linked) = graph.nearest(query, top, |row| live.contains(row)) else {
            return Ok(None);
        };
        let unlinked = (graph.len()..self.rows.len()).filter(is_live);
        let found = rescore(query, &self.rows, linked.into_iter().chain(unlinked), top)?;
        Ok((found.len() == top).then_some(found))
    }
}

/// Which rows an item refers to.
#[derive(Clone)]
pub(super) enum Live {
    All,
    Some(Vec<u64>),
}

impl Live {
    pub(super) fn new(rows: usize, live: &[usize]) -> Self {
        if live.len() == rows && live.last().is_none_or(|last| *last < rows) {
            return Self::All;
        }
        let mut bits = vec![0; rows.div_ceil(64)];
        // A damaged record may name a row that is not there.
        let there = live.iter().filter(|row| **row < rows);
        there.for_each(|row| bits[row / 64] |= 1 << (row % 64));
        Self::Some(bits)
    }

    pub(super) fn contains(&self, row: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(bits) => bits[row / 64] >> (row % 64) & 1 == 1,
        }
    }
}
