//! Residual and layer normalisation in one pass.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::host::{operand, with_values};
use crate::norm::{ROWS, gradients, layer_norm_composed, normalise};
use crate::simd::multiversioned;

/// Layer normalisation of `x` + `residual`, as at the end of each branch of BERT (Devlin et al. 2019).
///
/// The sum is made where the normalised rows will be, and once more in the backward pass, so that it is never
/// a tensor of its own.
///
/// # Shapes
/// `x` and `residual`: `[…, dim]`, `weight` and `bias`: `[dim]`, all f32. Returns the shape of `x`.
/// # Errors
/// If the shapes do not agree, or a tensor is not f32.
pub fn residual_layer_norm(
    x: &Tensor,
    residual: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f32,
) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return residual_layer_norm_composed(x, residual, weight, bias, eps);
    }
    // Operations of candle take three tensors at most.
    let parameters = Tensor::stack(&[weight, bias], 0)?;
    let operation = ResidualLayerNorm { eps };
    x.contiguous()?.apply_op3(&residual.contiguous()?, &parameters, operation)
}

/// [`residual_layer_norm`] from stock candle operations: for other devices, and to compare with.
///
/// # Errors
/// As [`residual_layer_norm`].
pub fn residual_layer_norm_composed(
    x: &Tensor,
    residual: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f32,
) -> Result<Tensor> {
    layer_norm_composed(&(x + residual)?, weight, bias, eps)
}

struct ResidualLayerNorm {
    eps: f32,
}

impl CustomOp3 for ResidualLayerNorm {
    fn name(&self) -> &'static str {
        "residual-layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = x_layout.shape().clone();
        let x = operand(x, x_layout, self.name())?;
        let residual = operand(residual, residual_layout, self.name())?;
        let parameters = operand(parameters, parameters_layout, self.name())?;
        let (weight, bias) = parameters.split_at(parameters.len() / 2);
        if residual_layout.shape() != &shape || shape.dims().last() != Some(&weight.len()) {
            bail!(
                "residual-layer-norm: expected a residual of {shape:?} and weights as wide, found {:?} and {}",
                residual_layout.shape(),
                weight.len()
            );
        }
        let mut out = x.to_vec();
        let chunk = ROWS * weight.len();
        out.par_chunks_mut(chunk).zip(residual.par_chunks(chunk)).for_each(|(rows, residual)| {
            add(rows, residual);
            normalise(rows, weight, bias, self.eps);
        });
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        residual: &Tensor,
        parameters: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dim = parameters.dim(1)?;
        let mut sum = with_values(x, <[f32]>::to_vec)?;
        with_values(residual, |residual| {
            let chunks = sum.par_chunks_mut(ROWS * dim).zip(residual.par_chunks(ROWS * dim));
            chunks.for_each(|(sum, residual)| add(sum, residual));
        })?;
        let (grad_sum, mut of_parameters, of_bias) = with_values(parameters, |parameters| {
            with_values(grad, |grad| gradients(&sum, &parameters[..dim], grad, self.eps))
        })??;
        of_parameters.extend(of_bias);
        let grad_sum = Tensor::from_vec(grad_sum, x.shape(), x.device())?;
        let of_parameters = Tensor::from_vec(of_parameters, (2, dim), x.device())?;
        Ok((Some(grad_sum.clone()), Some(grad_sum), Some(of_parameters)))
    }
}

multiversioned! {
    fn add(rows: &mut [f32], residual: &[f32]) {
        rows.iter_mut().zip(residual).for_each(|(x, r)| *x += r);
    }
}
