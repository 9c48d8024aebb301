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
        self.values.resize(self.padded_columns() * depth, 0.0);
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

    /// Columns of B, those of zeros included that fill the last panel.
    pub(crate) fn padded_columns(&self) -> usize {
        self.columns.next_multiple_of(self.isa.tile_columns())
    }

    /// `out` = `rows` · B, rows of the result `stride` apart, without the columns of padding.
    pub(crate) fn product(&self, rows: Rows<'_>, out: &mut [f32], stride: usize) {
        self.columns_of_product(self.columns, rows, Finish::NONE, out, stride);
    }

    /// `out` += `rows` · B, rows of the result one after the other.
    pub(crate) fn add_product(&self, rows: Rows<'_>, out: &mut [f32]) {
        let finish = Finish { accumulate: true, ..Finish::NONE };
        self.columns_of_product(self.columns, rows, finish, out, self.columns);
    }

    /// `out` = `rows` · B with the columns of padding: `[rows, padded columns]`.
    pub(crate) fn padded_product(&self, rows: Rows<'_>, out: &mut [f32]) {
        let columns = self.padded_columns();
        self.columns_of_product(columns, rows, Finish::NONE, out, columns);
    }

    fn columns_of_product(
        &self,
        columns: usize,
        rows: Rows<'_>,
        finish: Finish<'_>,
        out: &mut [f32],
        stride: usize,
    ) {
        let panel = self.depth * self.isa.tile_columns();
        let panels = |index: usize| &self.values[index * panel..][..panel];
        product(self.isa, rows, columns, panels, finish, Places::plain(stride), out);
    }
}
