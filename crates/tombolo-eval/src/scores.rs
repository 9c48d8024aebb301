//! Dot products in f64, a tile of queries against a tile of the gallery at a time.

use tombolo_vectors::EmbeddingMatrix;

/// Queries, and gallery rows, whose sums are held in registers together.
const QUERIES: usize = 4;
const GALLERY: usize = 8;

/// Query rows of a tile: with 512 components they take 256 KiB as f64, which stay in a core's
/// own cache while the gallery passes by.
pub(crate) const QUERY_TILE: usize = 64;
/// Gallery rows of a tile.
pub(crate) const GALLERY_TILE: usize = 128;

/// The score of one pair, Σ aᵢ·bᵢ: f64, components in order. Equal, bit for bit, to what the
/// tiles give.
pub(crate) fn score(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (&x, &y)| sum + f64::from(x) * f64::from(y))
}

/// Scores a tile of queries against one tile of the gallery after another.
pub(crate) struct TileScorer {
    /// The widest vector registers that this machine has, found at run time.
    arch: pulp::Arch,
    dim: usize,
    queries: Vec<f64>,
    panel: Vec<f64>,
    scores: Vec<f64>,
}

impl TileScorer {
    /// Takes the rows `start..start + len` of the queries, `len` at most [`QUERY_TILE`].
    pub(crate) fn new(queries: &EmbeddingMatrix, start: usize, len: usize) -> Self {
        let dim = queries.dim();
        let groups = len.div_ceil(QUERIES);
        let mut packed = vec![0.0; groups * QUERIES * dim];
        for (group, out) in packed.chunks_exact_mut(QUERIES * dim).enumerate() {
            let first = start + group * QUERIES;
            interleave::<QUERIES>(queries, first, QUERIES.min(start + len - first), out);
        }
        Self {
            arch: pulp::Arch::new(),
            dim,
            queries: packed,
            panel: vec![0.0; GALLERY * dim],
            scores: vec![0.0; groups * QUERIES * GALLERY_TILE],
        }
    }

    /// Scores the gallery rows `start..start + len`, `len` at most [`GALLERY_TILE`]; then
    /// [`TileScorer::row`] has them.
    pub(crate) fn score(&mut self, gallery: &EmbeddingMatrix, start: usize, len: usize) {
        for panel in 0..len.div_ceil(GALLERY) {
            let offset = panel * GALLERY;
            let rows = GALLERY.min(len - offset);
            interleave::<GALLERY>(gallery, start + offset, rows, &mut self.panel);
            let groups = self.queries.chunks_exact(QUERIES * self.dim);
            let outs = self.scores.chunks_exact_mut(QUERIES * GALLERY_TILE);
            for (group, out) in groups.zip(outs) {
                let sums = self.arch.dispatch(DotProducts { queries: group, gallery: &self.panel });
                for (query, sums) in sums.iter().enumerate() {
                    let at = query * GALLERY_TILE + offset;
                    out[at..at + GALLERY].copy_from_slice(sums);
                }
            }
        }
    }

    /// The scores of one query of the tile against the gallery tile scored last, `[len]`.
    pub(crate) fn row(&self, query: usize, len: usize) -> &[f64] {
        &self.scores[query * GALLERY_TILE..][..len]
    }
}

/// Lays `N` rows side by side as f64: component 0 of each, component 1 of each, … Rows that are
/// not there are left as they are: their scores are never read.
fn interleave<const N: usize>(rows: &EmbeddingMatrix, start: usize, len: usize, out: &mut [f64]) {
    for lane in 0..len {
        let lanes = out.iter_mut().skip(lane).step_by(N);
        lanes.zip(rows.row(start + lane)).for_each(|(to, &from)| *to = f64::from(from));
    }
}

/// All sums of `QUERIES` × `GALLERY` rows, components in order. One lane of a vector register is
/// one pair, so the order of additions is that of [`score`], whatever the registers' width.
struct DotProducts<'a> {
    queries: &'a [f64],
    gallery: &'a [f64],
}

impl pulp::WithSimd for DotProducts<'_> {
    type Output = [[f64; GALLERY]; QUERIES];

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> Self::Output {
        let mut sums = [[0.0; GALLERY]; QUERIES];
        let queries = self.queries.as_chunks::<QUERIES>().0;
        let gallery = self.gallery.as_chunks::<GALLERY>().0;
        for (q, g) in queries.iter().zip(gallery) {
            for query in 0..QUERIES {
                for lane in 0..GALLERY {
                    sums[query][lane] += q[query] * g[lane];
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_equals_the_single_scores_bit_for_bit() {
        let matrix = |rows: usize, seed: u64| {
            let values = (0..rows * 37).map(|i| ((i as u64 * seed % 1009) as f32).sin()).collect();
            EmbeddingMatrix::from_rows(37, values).unwrap()
        };
        let (queries, gallery) = (matrix(11, 31), matrix(9, 17));
        let mut scorer = TileScorer::new(&queries, 1, 10);
        for (start, len) in [(0, 9), (3, 5)] {
            scorer.score(&gallery, start, len);
            for query in 0..10 {
                for (column, &found) in scorer.row(query, len).iter().enumerate() {
                    let expected = score(queries.row(1 + query), gallery.row(start + column));
                    assert_eq!(found.to_bits(), expected.to_bits());
                }
            }
        }
    }
}
