//! Batches gathered, mixed, standardised and dropped in one pass.

use rayon::prelude::*;

use crate::dropout::Dropout;
use crate::simd::multiversioned;

/// Rows a task.
const ROWS: usize = 32;

/// Rows to gather from, with the mean and 1 / standard deviation of each component.
#[derive(Clone, Copy)]
pub struct Standardised<'a> {
    /// `[rows, dim]`, as they are.
    pub values: &'a [f32],
    /// `[dim]`.
    pub mean: &'a [f32],
    /// `[dim]`.
    pub scale: &'a [f32],
}

/// A share of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// The row of the source.
    pub row: u32,
    /// Its share.
    pub share: f32,
}

/// Each row of `out` ← dropout((Σ share·row − mean) · scale) over its terms, whose shares add up to one.
///
/// # Shapes
/// `terms`: `[rows, terms of a row]`; `out`: `[rows, dim]`.
/// # Panics
/// If a term names a row that is not there, or the sizes do not agree.
pub fn blend(source: Standardised<'_>, terms: &[Term], dropout: Dropout, out: &mut [f32]) {
    let dim = source.mean.len();
    let rows = out.len() / dim;
    assert!(rows > 0 && terms.len().is_multiple_of(rows), "terms of {rows} rows");
    let each = terms.len() / rows;
    out.par_chunks_mut(ROWS * dim).zip(terms.par_chunks(ROWS * each)).enumerate().for_each(
        |(chunk, (out, terms))| blend_rows(source, terms, each, chunk * ROWS, dropout, out),
    );
}

multiversioned! {
    fn blend_rows(
        source: Standardised<'_>,
        terms: &[Term],
        each: usize,
        first: usize,
        dropout: Dropout,
        out: &mut [f32],
    ) {
        let dim = source.mean.len();
        let row = |term: &Term| &source.values[term.row as usize * dim..][..dim];
        for (place, (out, terms)) in out.chunks_exact_mut(dim).zip(terms.chunks(each)).enumerate() {
            let share = terms[0].share;
            out.iter_mut().zip(row(&terms[0])).for_each(|(o, x)| *o = share * x);
            for term in &terms[1..] {
                out.iter_mut().zip(row(term)).for_each(|(o, x)| *o += term.share * x);
            }
            let dropped = dropout.row(first + place);
            let standard = source.mean.iter().zip(source.scale);
            for (column, (o, (mean, scale))) in out.iter_mut().zip(standard).enumerate() {
                *o = (*o - mean) * scale * dropped.factor(column);
            }
        }
    }
}
