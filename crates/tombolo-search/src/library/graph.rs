//! An HNSW graph over the rows of a gallery, beside the mapped vectors. Derived: safe to delete.
//!
//! Rows never change and are only ever added, so a graph of the first n rows stays right; the rows
//! after them are looked at one by one, until the graph has been extended. What it finds are
//! candidates: the caller leaves out what is gone and scores the rest exactly, so a graph of other
//! vectors could cost hits, but never show a wrong score or a photo that is not there.

use std::fs::File;
use std::io;
use std::path::Path;

use half::f16;
use rayon::prelude::*;
use tombolo_vectors::{Chain, F16Rows, Rows, dot_f16};
use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use super::durable::through_temporary;
use super::graph_file::is_sound;
use crate::BoxError;

/// Links of a row, and rows looked at when one is linked and when one is looked for (M,
/// efConstruction and ef of Malkov and Yashunin 2018).
const CONNECTIVITY: usize = 16;
const EXPANSION_ADD: usize = 128;
const EXPANSION_SEARCH: usize = 192;

/// Rows linked between two reports of progress.
const BATCH: usize = 1_000;

/// Rows of halves in a graph by their numbers: the first [`Graph::len`] rows of a gallery.
pub(crate) struct Graph {
    index: Index,
}

impl Graph {
    /// Maps a graph file, if it is whole and of no more rows than the gallery has.
    pub(crate) fn open(path: &Path, rows: &Chain<F16Rows>) -> Option<Self> {
        let graph = Self::read(path, rows.dim(), Index::view)?;
        (graph.len() <= rows.len()).then_some(graph)
    }

    /// Links all rows that the graph file does not hold yet, and writes it whole or not at all.
    pub(crate) fn extend(
        path: &Path,
        rows: &Chain<F16Rows>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(), BoxError> {
        let known = Self::read(path, rows.dim(), Index::load).filter(|g| g.len() <= rows.len());
        let index = match known {
            Some(graph) => graph.index,
            None => with_metric(empty(rows.dim())?, rows.dim()),
        };
        index.reserve_capacity_and_threads(rows.len(), rayon::current_num_threads())?;
        let mut first = index.size();
        while first < rows.len() {
            let end = rows.len().min(first + BATCH);
            // The first rows one by one: linked at the same time, they could miss each other for good.
            match first {
                0 => (first..end).try_for_each(|row| add(&index, rows, row))?,
                _ => (first..end).into_par_iter().try_for_each(|row| add(&index, rows, row))?,
            }
            progress(end, rows.len());
            first = end;
        }
        write(&index, path)
    }

    /// Rows that the graph holds.
    pub(crate) fn len(&self) -> usize {
        self.index.size()
    }

    /// About the `wanted` rows nearest to a query of those that pass the filter; fewer where they
    /// are hard to reach, and `None` where the graph cannot tell.
    pub(crate) fn nearest(
        &self,
        query: &[f32],
        wanted: usize,
        filter: impl Fn(usize) -> bool,
    ) -> Option<Vec<usize>> {
        let halves: Vec<f16> = query.iter().map(|&x| f16::from_f32(x)).collect();
        let known = |row: u64| (row < self.len() as u64).then_some(row as usize);
        let keep = |row: u64| known(row).is_some_and(&filter);
        let found = self.index.filtered_search(native(&halves), wanted, keep).ok()?;
        Some(found.keys.into_iter().filter_map(known).collect())
    }

    fn read<E>(
        path: &Path,
        dim: usize,
        read: impl Fn(&Index, &str) -> Result<(), E>,
    ) -> Option<Self> {
        let row_bytes = dim * size_of::<f16>();
        if !path.is_file() || !is_sound(path, dim, row_bytes, CONNECTIVITY).ok()? {
            return None;
        }
        let index = empty(dim).ok()?;
        read(&index, path.to_str()?).ok()?;
        let fits = index.dimensions() == dim && index.scalar_kind() == ScalarKind::F16;
        let index = fits.then(|| with_metric(index, dim))?;
        index.change_expansion_search(EXPANSION_SEARCH);
        Some(Self { index })
    }
}

/// A graph without rows.
fn empty(dim: usize) -> Result<Index, BoxError> {
    Ok(Index::new(&IndexOptions {
        dimensions: dim,
        metric: MetricKind::IP,
        quantization: ScalarKind::F16,
        connectivity: CONNECTIVITY,
        expansion_add: EXPANSION_ADD,
        expansion_search: EXPANSION_SEARCH,
        multi: false,
    })?)
}

/// Lets the graph compare rows with the kernel of this processor; usearch's own conversion of halves,
/// without its further libraries, takes many times as long.
fn with_metric(mut index: Index, dim: usize) -> Index {
    index.change_metric::<usearch::f16>(Box::new(move |a, b| {
        // SAFETY: usearch hands over two rows of the dimension that the index was made with.
        let (a, b) = unsafe {
            (std::slice::from_raw_parts(a.cast(), dim), std::slice::from_raw_parts(b.cast(), dim))
        };
        1.0 - dot_f16(a, b)
    }));
    index
}

fn add(index: &Index, rows: &Chain<F16Rows>, row: usize) -> Result<(), BoxError> {
    Ok(index.add(row as u64, native(rows.row_of_halves(row)))?)
}

fn native(halves: &[f16]) -> &[usearch::f16] {
    usearch::f16::from_i16s(bytemuck::cast_slice(halves))
}

/// Writes a graph under another name, and renames it when it is on disk.
fn write(index: &Index, path: &Path) -> Result<(), BoxError> {
    through_temporary(path, |temporary| {
        let name = temporary.to_str();
        index.save(name.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?)?;
        Ok(File::options().write(true).open(temporary)?.sync_all()?)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use tombolo_vectors::{EmbeddingMatrix, top_k};

    const DIM: usize = 32;

    type Spoil<'a> = &'a dyn Fn(&mut Vec<u8>);

    /// Unit vectors around common centres.
    fn gallery(len: usize) -> Chain<F16Rows> {
        let mut seed = 1_u32;
        let mut next = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let centres: Vec<f32> = (0..100 * DIM).map(|_| next()).collect();
        let centre = |row: usize| centres[row % 100 * DIM..][..DIM].to_vec();
        let values = (0..len).flat_map(centre).map(|x| x + next()).collect();
        let mut rows = EmbeddingMatrix::from_rows(DIM, values).unwrap();
        rows.normalize_rows();
        let halves: Vec<f16> = rows.as_slice().iter().map(|&x| f16::from_f32(x)).collect();
        let parts = halves.chunks(900 * DIM).map(|part| F16Rows::from_vec(DIM, part.to_vec()));
        Chain::new(DIM, parts.collect::<Result<_, _>>().unwrap()).unwrap()
    }

    /// How many of the ten nearest rows that pass the filter a graph finds, on average.
    fn recall(graph: &Graph, rows: &Chain<F16Rows>, keep: impl Fn(usize) -> bool + Sync) -> f64 {
        let queries: Vec<usize> = (0..rows.len()).step_by(40).collect();
        let found = queries.iter().map(|&query| {
            let query = rows.row_to_vec(query);
            let found = graph.nearest(&query, 10, &keep).unwrap();
            assert!(found.len() <= 10 && found.iter().all(|&row| keep(row)));
            let exact = top_k(&query, rows, 10, &keep).unwrap();
            exact.iter().filter(|wanted| found.contains(&wanted.row)).count()
        });
        found.sum::<usize>() as f64 / (10 * queries.len()) as f64
    }

    #[test]
    fn finds_nearly_all_that_an_exact_search_finds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("graph.hnsw");
        let (few, rows) = (gallery(4_000), gallery(4_500));
        Graph::extend(&path, &few, &mut |_, _| {}).unwrap();
        let mut linked = Vec::new();
        Graph::extend(&path, &rows, &mut |done, all| linked.push((done, all))).unwrap();
        assert_eq!(linked, [(4_500, 4_500)], "only what is missing");
        let graph = Graph::open(&path, &rows).unwrap();
        assert_eq!(graph.len(), 4_500);
        let (all, third) =
            (recall(&graph, &rows, |_| true), recall(&graph, &rows, |r| r.is_multiple_of(3)));
        assert!(all >= 0.98 && third >= 0.98, "recall@10 {all}, of a third {third}");
        assert!(Graph::open(&path, &few).is_none(), "of more rows than there are");
    }

    #[test]
    fn what_is_no_graph_of_these_rows_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("graph.hnsw");
        let rows = gallery(300);
        assert!(Graph::open(&path, &rows).is_none(), "no file");
        Graph::extend(&path, &rows, &mut |_, _| {}).unwrap();
        let whole = fs::read(&path).unwrap();
        let other = Chain::new(2, Vec::new()).unwrap();
        assert!(Graph::open(&path, &other).is_none(), "another dimension");
        for damaged in [&whole[..0], &whole[..100], &whole[..whole.len() / 2], b"no graph"] {
            fs::write(&path, damaged).unwrap();
            assert!(Graph::open(&path, &rows).is_none(), "{} bytes", damaged.len());
        }
        let spoilt = |spoil: Spoil<'_>| {
            let mut damaged = whole.clone();
            spoil(&mut damaged);
            fs::write(&path, damaged).unwrap();
            Graph::open(&path, &rows)
        };
        // After the rows: a head of 64 bytes, five counts, a level a node, and the nodes.
        let head = 8 + 300 * 2 * DIM;
        let levels = head + 64 + 5 * 8;
        let (node, size) = (levels + 2 * 300, 8 + 2 + 4 * 33);
        let first_level = i16::from_le_bytes([whole[levels], whole[levels + 1]]);
        let second = node + size + first_level as usize * 4 * 17;
        let refused: [(&str, Spoil<'_>); 5] = [
            ("two nodes of one row", &|file| file.copy_within(node..node + 8, second)),
            ("a level of its own", &|file| file[node + 8] += 1),
            ("more links than there is room for", &|file| file[node + 10] = 33),
            ("a link to no node", &|file| file[node + 14..node + 18].fill(0x7f)),
            ("something left over", &|file| file.push(0)),
        ];
        for (what, spoil) in refused {
            assert!(spoilt(spoil).is_none(), "{what}");
        }
        // The high bit of any byte may lead nowhere, or cost hits.
        for byte in (head..whole.len()).step_by(7) {
            if let Some(graph) = spoilt(&|file| file[byte] ^= 0x80) {
                let found = graph.nearest(&rows.row_to_vec(3), 10, |_| true);
                assert!(found.is_none_or(|found| found.len() <= 10), "byte {byte}");
            }
        }
        Graph::extend(&path, &rows, &mut |_, _| {}).unwrap();
        assert_eq!(Graph::open(&path, &rows).unwrap().len(), 300);
    }
}
