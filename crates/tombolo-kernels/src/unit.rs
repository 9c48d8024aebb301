//! Rows scaled to unit Euclidean norm.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::activation::sum_in_order;
use crate::host::{operand, with_values};
use crate::simd::multiversioned;

/// Rows a task.
const ROWS: usize = 64;

/// Added to the square of the norm, so that a row of zeros stays as it is.
const TINY: f32 = 1e-12;

/// Rows scaled to unit Euclidean norm; a row of zeros stays as it is.
///
/// # Shapes
/// `x`: `[…, dim]`, f32. Returns the same shape.
/// # Errors
/// If the tensor is not f32.
pub fn unit_norm(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return unit_norm_composed(x);
    }
    x.contiguous()?.apply_op1(UnitNorm)
}

/// [`unit_norm`] from stock candle operations: for other devices, and to compare with.
///
/// # Errors
/// As [`unit_norm`].
pub fn unit_norm_composed(x: &Tensor) -> Result<Tensor> {
    let norm = (x.sqr()?.sum_keepdim(D::Minus1)? + f64::from(TINY))?.sqrt()?;
    x.broadcast_div(&norm)
}

struct UnitNorm;

impl CustomOp1 for UnitNorm {
    fn name(&self) -> &'static str {
        "unit-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let shape = layout.shape().clone();
        let dim = shape.dims().last().copied().unwrap_or(1);
        let mut out = operand(x, layout, self.name())?.to_vec();
        let mut inverse = vec![0.0; out.len() / dim.max(1)];
        bias_unit_norm(&mut out, &vec![0.0; dim], &mut inverse);
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(&self, x: &Tensor, res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let dim = x.dim(D::Minus1)?;
        let mut grad = grad.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
        with_values(x, |x| {
            with_values(res, |unit| {
                let inverse: Vec<f32> = x
                    .par_chunks(dim)
                    .map(|row| 1.0 / (row.iter().map(|x| x * x).sum::<f32>() + TINY).sqrt())
                    .collect();
                unit_norm_gradient(&mut grad, unit, &inverse);
            })
        })??;
        Ok(Some(Tensor::from_vec(grad, x.shape(), x.device())?))
    }
}

/// Adds `bias` to each row and scales it to unit norm; `inverse` is told 1 / norm of each.
///
/// # Shapes
/// `rows`: `[count, dim]`, `bias`: `[dim]`, `inverse`: `[count]`.
/// # Panics
/// If the sizes do not agree.
pub fn bias_unit_norm(rows: &mut [f32], bias: &[f32], inverse: &mut [f32]) {
    assert_eq!(rows.len(), bias.len() * inverse.len(), "rows and their norms");
    rows.par_chunks_mut(ROWS * bias.len().max(1))
        .zip(inverse.par_chunks_mut(ROWS))
        .for_each(|(rows, inverse)| scale_to_unit(rows, bias, inverse));
}

/// Turns `grad`, the gradient of unit rows, into that of the rows before. Returns its sum over the rows,
/// `[dim]`: the gradient of the bias of [`bias_unit_norm`].
///
/// # Shapes
/// `grad` and `unit`: `[count, dim]`; `inverse`: `[count]`, as [`bias_unit_norm`] told it.
pub fn unit_norm_gradient(grad: &mut [f32], unit: &[f32], inverse: &[f32]) -> Vec<f32> {
    let dim = unit.len() / inverse.len().max(1);
    let partial: Vec<Vec<f32>> = grad
        .par_chunks_mut(ROWS * dim.max(1))
        .zip(unit.par_chunks(ROWS * dim.max(1)))
        .zip(inverse.par_chunks(ROWS))
        .map(|((grad, unit), inverse)| {
            let mut sum = vec![0.0; dim];
            unit_gradient(grad, unit, inverse, &mut sum);
            sum
        })
        .collect();
    sum_in_order(&partial, dim)
}

/// Σ a·b in eight lanes, so that it vectorises.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
    }
    lanes.iter().sum()
}

multiversioned! {
    fn scale_to_unit(rows: &mut [f32], bias: &[f32], inverse: &mut [f32]) {
        for (row, inverse) in rows.chunks_exact_mut(bias.len()).zip(inverse) {
            row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
            *inverse = 1.0 / (dot(row, row) + TINY).sqrt();
            row.iter_mut().for_each(|x| *x *= *inverse);
        }
    }
}

multiversioned! {
    fn unit_gradient(grad: &mut [f32], unit: &[f32], inverse: &[f32], sum: &mut [f32]) {
        let dim = sum.len();
        let rows = grad.chunks_exact_mut(dim).zip(unit.chunks_exact(dim));
        for ((grad, unit), inverse) in rows.zip(inverse) {
            let along = dot(grad, unit);
            for ((g, u), s) in grad.iter_mut().zip(unit).zip(sum.iter_mut()) {
                *g = inverse * (*g - u * along);
                *s += *g;
            }
        }
    }
}
