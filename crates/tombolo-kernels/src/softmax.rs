//! Softmax over the first values of each row.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::host::{operand, with_values};
use crate::simd::{exp, multiversioned};

/// Rows a task.
const ROWS: usize = 64;

/// softmax(`scores`) over the first `lengths[i]` values of row i; the rest of the row is masked, and zero.
///
/// # Shapes
/// `scores`: `[rows, width]`, f32; `lengths`: one a row, between 1 and `width`. Returns `[rows, width]`.
/// # Errors
/// If a length is zero or more than the width, or there is not one for each row.
pub fn masked_softmax(scores: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let (rows, width) = scores.dims2()?;
    if rows != lengths.len() || lengths.iter().any(|&length| length == 0 || length > width) {
        bail!("masked-softmax: expected {rows} lengths from 1 to {width}, found {lengths:?}");
    }
    if !scores.device().is_cpu() {
        return masked_softmax_composed(scores, lengths);
    }
    scores.contiguous()?.apply_op1(MaskedSoftmax { width, lengths: lengths.to_vec() })
}

/// [`masked_softmax`] from stock candle operations: for other devices, and to compare with.
///
/// # Errors
/// As [`masked_softmax`].
pub fn masked_softmax_composed(scores: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let (rows, width) = scores.dims2()?;
    let inside = |&length: &usize| (0..width).map(move |column| f32::from(column < length));
    let mask: Vec<f32> = lengths.iter().flat_map(inside).collect();
    let mask = Tensor::from_vec(mask, (rows, width), scores.device())?;
    let outside = ((&mask - 1.0)? * 1e30)?;
    let scores = (scores.mul(&mask)? + outside)?;
    let raised = scores.broadcast_sub(&scores.max_keepdim(1)?.detach())?.exp()?.mul(&mask)?;
    raised.broadcast_div(&raised.sum_keepdim(1)?)
}

struct MaskedSoftmax {
    width: usize,
    lengths: Vec<usize>,
}

impl CustomOp1 for MaskedSoftmax {
    fn name(&self) -> &'static str {
        "masked-softmax"
    }

    fn cpu_fwd(&self, scores: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut out = operand(scores, layout, self.name())?.to_vec();
        out.par_chunks_mut(ROWS * self.width).zip(self.lengths.par_chunks(ROWS)).for_each(
            |(rows, lengths)| {
                for (row, &length) in rows.chunks_exact_mut(self.width).zip(lengths) {
                    softmax_rows(row, self.width, length, 1.0);
                }
            },
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, _scores: &Tensor, res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let width = self.width;
        let mut out = with_values(grad, <[f32]>::to_vec)?;
        with_values(res, |weights| {
            out.par_chunks_mut(ROWS * width)
                .zip(weights.par_chunks(ROWS * width))
                .for_each(|(grad, weights)| softmax_gradient(grad, weights, width, width));
        })?;
        Tensor::from_vec(out, res.shape(), res.device()).map(Some)
    }
}

multiversioned! {
    /// softmax(`scale` · row) over the first `length` values of each row, the rest zero. Whole rows are taken
    /// to the power, so that no values are left over from the vectors.
    pub(crate) fn softmax_rows(scores: &mut [f32], width: usize, length: usize, scale: f32) {
        for row in scores.chunks_exact_mut(width) {
            let max = lanes(&row[..length], f32::NEG_INFINITY, |a, b| if a > b { a } else { b });
            row.iter_mut().for_each(|x| *x = exp(scale * (*x - max)));
            row[length..].fill(0.0);
            let inverse = 1.0 / lanes(row, 0.0, |a, b| a + b);
            row.iter_mut().for_each(|x| *x *= inverse);
        }
    }
}

/// A row folded in eight lanes, so that it vectorises.
#[inline(always)]
fn lanes(row: &[f32], start: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; 8];
    let (whole, rest) = row.as_chunks::<8>();
    for chunk in whole {
        for i in 0..8 {
            lanes[i] = f(lanes[i], chunk[i]);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(start, f)
}

multiversioned! {
    /// Turns the gradient of the weights, `[length, length]`, into that of the scores.
    pub(crate) fn softmax_gradient(grad: &mut [f32], weights: &[f32], length: usize, width: usize) {
        for (grad, weights) in grad.chunks_exact_mut(length).zip(weights.chunks_exact(width)) {
            let dot: f32 = grad.iter().zip(weights).map(|(g, w)| g * w).sum();
            grad.iter_mut().zip(weights).for_each(|(g, w)| *g = w * (*g - dot));
        }
    }
}
