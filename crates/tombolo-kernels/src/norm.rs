//! Layer normalisation in one pass.

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::activation::sum_in_order;
use crate::host::{operand, with_values};
use crate::simd::multiversioned;

/// Rows a task.
pub(crate) const ROWS: usize = 64;

/// Layer normalisation over the last dimension (Ba, Kiros and Hinton 2016).
///
/// y = (x − mean) / √(variance + `eps`) · `weight` + `bias`, mean and (biased) variance of each row.
///
/// # Shapes
/// `x`: `[…, dim]`, `weight` and `bias`: `[dim]`, all f32. Returns the shape of `x`.
/// # Errors
/// If the last dimension of `x` is not that of `weight` and `bias`, or a tensor is not f32.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return layer_norm_composed(x, weight, bias, eps);
    }
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, LayerNorm { eps })
}

/// [`layer_norm`] from stock candle operations: for other devices, and to compare with.
///
/// # Errors
/// As [`layer_norm`].
pub fn layer_norm_composed(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normalised = centred.broadcast_div(&(variance + f64::from(eps))?.sqrt()?)?;
    normalised.broadcast_mul(weight)?.broadcast_add(bias)
}

struct LayerNorm {
    eps: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = x_layout.shape().clone();
        let x = operand(x, x_layout, self.name())?;
        let weight = operand(weight, weight_layout, self.name())?;
        let bias = operand(bias, bias_layout, self.name())?;
        if shape.dims().last() != Some(&weight.len()) || weight.len() != bias.len() {
            candle_core::bail!(
                "layer-norm: expected weight and bias as wide as {shape:?}, found {} and {}",
                weight.len(),
                bias.len()
            );
        }
        let mut out = x.to_vec();
        out.par_chunks_mut(ROWS * weight.len())
            .for_each(|rows| normalise(rows, weight, bias, self.eps));
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dim = weight.dim(0)?;
        let (grad_x, grad_weight, grad_bias) = with_values(x, |x| {
            with_values(weight, |weight| {
                with_values(grad, |grad| gradients(x, weight, grad, self.eps))
            })
        })???;
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(grad_x, x.shape(), device)?),
            Some(Tensor::from_vec(grad_weight, dim, device)?),
            Some(Tensor::from_vec(grad_bias, dim, device)?),
        ))
    }
}

/// Of rows, weight and bias.
type Gradients = (Vec<f32>, Vec<f32>, Vec<f32>);

/// The gradients of layer norm, of rows `x`, from that of its output.
pub(crate) fn gradients(x: &[f32], weight: &[f32], grad: &[f32], eps: f32) -> Gradients {
    let dim = weight.len();
    let mut grad_x = grad.to_vec();
    let partial: (Vec<_>, Vec<_>) = grad_x
        .par_chunks_mut(ROWS * dim)
        .zip(x.par_chunks(ROWS * dim))
        .map(|(grad, x)| {
            let (mut grad_weight, mut grad_bias) = (vec![0.0; dim], vec![0.0; dim]);
            normalise_gradient(grad, x, weight, eps, &mut grad_weight, &mut grad_bias);
            (grad_weight, grad_bias)
        })
        .unzip();
    (grad_x, sum_in_order(&partial.0, dim), sum_in_order(&partial.1, dim))
}

/// Mean and 1/√(variance + eps) of a row.
#[inline(always)]
fn moments(row: &[f32], eps: f32) -> (f32, f32) {
    let mean = lanes_sum(row, |x| x) / row.len() as f32;
    let variance = lanes_sum(row, |x| (x - mean) * (x - mean)) / row.len() as f32;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// Σ f(x), summed in sixteen lanes so that it vectorises and additions need not wait for each other.
#[inline(always)]
fn lanes_sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (whole, rest) = row.as_chunks::<16>();
    for chunk in whole {
        for i in 0..16 {
            lanes[i] += f(chunk[i]);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|x| f(*x)).sum::<f32>()
}

multiversioned! {
    /// Layer norm of rows as long as `weight` and `bias`, in place, on the calling thread; see
    /// [`layer_norm`].
    pub fn normalise(rows: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
        for row in rows.chunks_exact_mut(weight.len()) {
            let (mean, inverse) = moments(row, eps);
            for ((x, w), b) in row.iter_mut().zip(weight).zip(bias) {
                *x = (*x - mean) * inverse * w + b;
            }
        }
    }
}

multiversioned! {
    /// Turns `grad`, the gradient of the output, into that of the input, and adds to the parameters' own.
    fn normalise_gradient(
        grad: &mut [f32],
        x: &[f32],
        weight: &[f32],
        eps: f32,
        grad_weight: &mut [f32],
        grad_bias: &mut [f32],
    ) {
        let dim = weight.len();
        for (grad, x) in grad.chunks_exact_mut(dim).zip(x.chunks_exact(dim)) {
            let (mean, inverse) = moments(x, eps);
            let (mut sum, mut dot) = ([0.0f32; 8], [0.0f32; 8]);
            for i in 0..dim {
                let normal = (x[i] - mean) * inverse;
                grad_weight[i] += grad[i] * normal;
                grad_bias[i] += grad[i];
                grad[i] *= weight[i];
                sum[i % 8] += grad[i];
                dot[i % 8] += grad[i] * normal;
            }
            let sum = sum.iter().sum::<f32>() / dim as f32;
            let dot = dot.iter().sum::<f32>() / dim as f32;
            for (g, x) in grad.iter_mut().zip(x) {
                *g = inverse * (*g - sum - (x - mean) * inverse * dot);
            }
        }
    }
}
