//! Photos that are there more than once.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use tombolo_vectors::{EmbeddingMatrix, Rows, scores, top_k_batch};

use super::reader::Library;
use super::records::Item;
use crate::{SearchError, absolute};

/// Rows that are compared with all others at a time.
const QUERIES: usize = 512;

/// The nearest of a row that are looked at first; if all of them are alike, every other row is.
const NEIGHBOURS: usize = 16;

/// Photos that show the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicates {
    /// Whether all have the same bytes.
    pub exact: bool,
    /// At least two, the one of the most pixels first, then by path.
    pub items: Vec<Item>,
}

impl Library {
    /// Groups of photos with the same bytes, or whose raw vectors have a cosine of at least `threshold`, by the path of
    /// their first. A photo joins a group by being near to any of its members. Every photo is compared with every other:
    /// the time grows with their square. `progress` is called with the rows compared and all rows.
    ///
    /// # Errors
    /// [`SearchError::Records`] and [`SearchError::Vectors`] if the library is damaged.
    pub fn duplicates(
        &self,
        threshold: f32,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Duplicates>, SearchError> {
        self.settled(|snapshot| {
            let rows = snapshot.raw.rows();
            let live: Vec<usize> = (0..rows.len()).filter(|&r| snapshot.live.contains(r)).collect();
            let mut groups = Groups::new(rows.len());
            for (done, some) in live.chunks(QUERIES).enumerate() {
                let queries = some.iter().flat_map(|&row| rows.row_to_vec(row)).collect();
                let queries = EmbeddingMatrix::from_rows(rows.dim(), queries)
                    .map_err(|source| self.damaged(source))?;
                let is_live = |row| snapshot.live.contains(row);
                let near = top_k_batch(&queries, rows, NEIGHBOURS, is_live)
                    .map_err(|source| self.damaged(source))?;
                for ((&row, near), query) in some.iter().zip(near).zip(queries.iter()) {
                    let alike = near.iter().filter(|near| near.score >= threshold);
                    let joined = alike.map(|near| groups.join(row, near.row)).count();
                    if joined == NEIGHBOURS {
                        let scores = scores(query, rows).map_err(|source| self.damaged(source))?;
                        let more = live.iter().filter(|&&other| scores[other] >= threshold);
                        more.for_each(|&other| groups.join(row, other));
                    }
                }
                progress((done + 1) * QUERIES.min(live.len()), live.len());
            }
            self.items_of(&live, &mut groups)
        })
    }

    fn items_of(
        &self,
        live: &[usize],
        groups: &mut Groups,
    ) -> Result<Vec<Duplicates>, SearchError> {
        let mut by_group: BTreeMap<usize, Vec<Item>> = BTreeMap::new();
        let records = self.records();
        for &row in live {
            by_group.entry(groups.of(row)).or_default().extend(records.items_at_row(row)?);
        }
        let mut found: Vec<Duplicates> = by_group
            .into_values()
            .map(one_name_each)
            .filter(|items| items.len() > 1)
            .map(|mut items| {
                let pixels = |item: &Item| u64::from(item.width) * u64::from(item.height);
                items.sort_by(|a, b| pixels(b).cmp(&pixels(a)).then(a.path.cmp(&b.path)));
                let exact = items.windows(2).all(|pair| pair[0].blake3 == pair[1].blake3);
                Duplicates { exact, items }
            })
            .collect();
        found.sort_by(|a, b| a.items[0].path.cmp(&b.items[0].path));
        Ok(found)
    }
}

/// Leaves out further names, by links, of one file: whoever deletes what is there twice must not delete what is there once.
fn one_name_each(mut items: Vec<Item>) -> Vec<Item> {
    if items.len() > 1 {
        let file = |item: &Item| absolute(Path::new(&item.path));
        // The file's own name first.
        items.sort_by_cached_key(|item| file(item).is_ok_and(|file| file != Path::new(&item.path)));
        let mut files = HashSet::new();
        items.retain(|item| file(item).map_or(true, |file| files.insert(file)));
    }
    items
}

/// Rows in groups that grow together (disjoint sets, paths halved).
struct Groups {
    parent: Vec<usize>,
}

impl Groups {
    fn new(rows: usize) -> Self {
        Self { parent: (0..rows).collect() }
    }

    fn of(&mut self, mut row: usize) -> usize {
        while self.parent[row] != row {
            self.parent[row] = self.parent[self.parent[row]];
            row = self.parent[row];
        }
        row
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.of(a), self.of(b));
        self.parent[a.max(b)] = a.min(b);
    }
}
