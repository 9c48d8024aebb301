//! The inside of an MLP in training: bias, GELU and dropout in one pass, forward and backward.

use rayon::prelude::*;

use crate::activation::{gelu, gelu_slope, sum_in_order};
use crate::dropout::Dropout;
use crate::simd::multiversioned;

/// Rows a task.
const ROWS: usize = 64;

/// `inner` ← dropout(gelu(`x` + `bias`)), and `x` ← `x` + `bias`, which the gradient needs.
///
/// # Shapes
/// `x` and `inner`: `[rows, dim]`; `bias`: `[dim]`.
pub fn bias_gelu_dropout(x: &mut [f32], bias: &[f32], dropout: Dropout, inner: &mut [f32]) {
    let rows = ROWS * bias.len();
    x.par_chunks_mut(rows)
        .zip(inner.par_chunks_mut(rows))
        .enumerate()
        .for_each(|(chunk, (x, inner))| forward_rows(x, bias, dropout, chunk * ROWS, inner));
}

/// Turns `grad`, the gradient of `inner`, into that of `x`. Returns the gradient of the bias, `[dim]`.
///
/// # Shapes
/// `grad`, and `x` as [`bias_gelu_dropout`] left it: `[rows, dim]`.
pub fn bias_gelu_dropout_gradient(
    grad: &mut [f32],
    x: &[f32],
    dropout: Dropout,
    dim: usize,
) -> Vec<f32> {
    let partial: Vec<Vec<f32>> = grad
        .par_chunks_mut(ROWS * dim)
        .zip(x.par_chunks(ROWS * dim))
        .enumerate()
        .map(|(chunk, (grad, x))| {
            let mut sum = vec![0.0; dim];
            backward_rows(grad, x, dropout, chunk * ROWS, &mut sum);
            sum
        })
        .collect();
    sum_in_order(&partial, dim)
}

multiversioned! {
    fn forward_rows(
        x: &mut [f32],
        bias: &[f32],
        dropout: Dropout,
        first: usize,
        inner: &mut [f32],
    ) {
        let dim = bias.len();
        let rows = x.chunks_exact_mut(dim).zip(inner.chunks_exact_mut(dim));
        for (row, (x, inner)) in rows.enumerate() {
            let dropped = dropout.row(first + row);
            for (column, ((x, b), y)) in x.iter_mut().zip(bias).zip(inner).enumerate() {
                *x += b;
                *y = gelu(*x) * dropped.factor(column);
            }
        }
    }
}

multiversioned! {
    fn backward_rows(
        grad: &mut [f32],
        x: &[f32],
        dropout: Dropout,
        first: usize,
        sum: &mut [f32],
    ) {
        let dim = sum.len();
        for (row, (grad, x)) in grad.chunks_exact_mut(dim).zip(x.chunks_exact(dim)).enumerate() {
            let dropped = dropout.row(first + row);
            for (column, ((g, x), s)) in grad.iter_mut().zip(x).zip(sum.iter_mut()).enumerate() {
                *g *= gelu_slope(*x) * dropped.factor(column);
                *s += *g;
            }
        }
    }
}
