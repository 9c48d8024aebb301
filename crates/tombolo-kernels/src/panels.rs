//! The right-hand side of a small product, packed on the way: keys and values of one head.

use crate::lanes::Isa;
use crate::tiles::{Finish, Places, Rows, product};

/// Packed panels, `[panels, depth, tile columns]`, whose room is used again.
pub(crate) struct Panels {
    isa: Isa,
    values: Vec<f32>,
    depth: usize,
    columns: usize,
}

impl Default for Panels {
    fn default() -> Self {
        Self { isa: Isa::best(), values: Vec::new(), depth: 0, columns: 0 }
    }
}

impl Panels {
    fn reset(&mut self, depth: usize, columns: usize) {
        (self.depth, self.columns) = (depth, columns);
        self.values.clear();
        self.values.resize(columns.next_multiple_of(self.isa.tile_columns()) * depth, 0.0);
    }

    /// Packs B = rowsᵀ: each row is a column of the product.
    pub(crate) fn pack_transposed(&mut self, rows: Rows<'_>) {
        self.reset(rows.depth, rows.count);
        let width = self.isa.tile_columns();
        for column in 0..rows.count {
            let row = &rows.values[column * rows.stride..][..rows.depth];
            let panel = &mut self.values[column / width * width * rows.depth..];
            for (out, value) in panel[column % width..].iter_mut().step_by(width).zip(row) {
                *out = *value;
            }
        }
    }

    /// Packs B = rows.
    pub(crate) fn pack(&mut self, rows: Rows<'_>) {
        self.reset(rows.count, rows.depth);
        let width = self.isa.tile_columns();
        for (index, panel) in self.values.chunks_exact_mut(width * rows.count).enumerate() {
            let columns = index * width..rows.depth.min((index + 1) * width);
            for (at, out) in panel.chunks_exact_mut(width).enumerate() {
                let row = &rows.values[at * rows.stride..][columns.clone()];
                out[..row.len()].copy_from_slice(row);
            }
        }
    }

    /// `out` = `rows` · B, rows of the result `stride` apart.
    pub(crate) fn product(&self, rows: Rows<'_>, out: &mut [f32], stride: usize) {
        let panel = self.depth * self.isa.tile_columns();
        let panels = |index: usize| &self.values[index * panel..][..panel];
        product(self.isa, rows, self.columns, panels, Finish::NONE, Places::plain(stride), out);
    }
}
