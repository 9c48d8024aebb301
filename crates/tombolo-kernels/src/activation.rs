//! Bias and activation in one pass.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::curves::activate;
use crate::host::{operand, with_values};
use crate::lanes::{Isa, over_lanes};
use crate::simd::{erf, exp, multiversioned};
use crate::tiles::WIDEST;

/// Rows per task: large enough to outweigh the scheduling, fixed so that sums do not depend on threads.
const ROWS: usize = 64;

/// An activation function that [`bias_activation`] applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// y = x.
    Identity,
    /// y = max(x, 0).
    Relu,
    /// y = min(max(x, 0), 6), as in the MobileNets and EfficientNet-Lite.
    Relu6,
    /// y = x·Φ(x), the exact GELU (Hendrycks and Gimpel 2016).
    Gelu,
    /// y = x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) ÷ 2, the same paper's approximation.
    GeluTanh,
    /// y = x·σ(1.702·x), CLIP's approximation.
    QuickGelu,
    /// y = x·σ(x), also called SiLU (Ramachandran et al. 2017).
    Swish,
}

/// `activation(x + bias)` in one pass over all cores.
///
/// # Shapes
/// `x`: `[…, dim]`, `bias`: `[dim]`, both f32. Returns the shape of `x`.
/// # Errors
/// If the last dimension of `x` is not that of `bias`, or a tensor is not f32.
pub fn bias_activation(x: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return bias_activation_composed(x, bias, activation);
    }
    x.contiguous()?.apply_op2(&bias.contiguous()?, BiasActivation(activation))
}

/// [`bias_activation`] from stock candle operations, for devices other than the CPU.
fn bias_activation_composed(x: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    let x = x.broadcast_add(bias)?;
    match activation {
        Activation::Identity => Ok(x),
        Activation::Relu => x.relu(),
        Activation::Relu6 => x.clamp(0f32, 6f32),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::QuickGelu => &x / ((&x * -1.702)?.exp()? + 1.0)?,
        Activation::Swish => x.silu(),
    }
}

struct BiasActivation(Activation);

impl CustomOp2 for BiasActivation {
    fn name(&self) -> &'static str {
        "bias-activation"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = x_layout.shape().clone();
        let (x, bias) =
            (operand(x, x_layout, self.name())?, operand(bias, bias_layout, self.name())?);
        check_bias(&shape, bias.len())?;
        let mut out = x.to_vec();
        let rows = ROWS * bias.len();
        out.par_chunks_mut(rows).for_each(|chunk| add_bias_activate(chunk, bias, self.0));
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dim = bias.dim(0)?;
        let (grad_x, grad_bias) = with_values(x, |x| {
            with_values(bias, |bias| with_values(grad, |grad| gradients(x, bias, grad, self.0)))
        })???;
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(grad_x, x.shape(), device)?),
            Some(Tensor::from_vec(grad_bias, dim, device)?),
        ))
    }
}

fn check_bias(shape: &Shape, bias: usize) -> Result<()> {
    match shape.dims().last() {
        Some(&dim) if dim == bias => Ok(()),
        last => candle_core::bail!("bias-activation: expected a bias of {last:?}, found {bias}"),
    }
}

pub(crate) fn gradients(
    x: &[f32],
    bias: &[f32],
    grad: &[f32],
    activation: Activation,
) -> (Vec<f32>, Vec<f32>) {
    let dim = bias.len();
    let mut grad_x = grad.to_vec();
    let partial: Vec<Vec<f32>> = grad_x
        .par_chunks_mut(ROWS * dim)
        .zip(x.par_chunks(ROWS * dim))
        .map(|(grad, x)| {
            let mut sum = vec![0.0; dim];
            activation_gradient(grad, x, bias, &mut sum, activation);
            sum
        })
        .collect();
    (grad_x, sum_in_order(&partial, dim))
}

/// The sum of the partial sums, in their order, so that the number of threads does not change it.
pub(crate) fn sum_in_order(partial: &[Vec<f32>], dim: usize) -> Vec<f32> {
    let mut total = vec![0.0; dim];
    for part in partial {
        total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
    }
    total
}

/// `rows` = activation(`rows` + `bias`), in place, for any number of rows as long as `bias`.
pub(crate) fn add_bias_activate(rows: &mut [f32], bias: &[f32], activation: Activation) {
    for row in rows.chunks_exact_mut(bias.len()) {
        // SAFETY: both have the same length.
        unsafe { activate_row(Isa::best(), row, bias.as_ptr(), activation) };
    }
}

over_lanes! {
    /// One row, vector by vector; what is left over goes through a vector of its own.
    unsafe fn activate_row<L>(row: &mut [f32], bias: *const f32, activation: Activation) {
        let whole = row.len() / L::COUNT * L::COUNT;
        for at in (0..whole).step_by(L::COUNT) {
            let x = row.as_mut_ptr().add(at);
            let sum = L::add(L::load(x), L::load(bias.add(at)));
            L::store(x, activate::<L>(sum, activation));
        }
        let mut rest = [0.0; WIDEST];
        let left = row.len() - whole;
        for (i, (x, value)) in rest.iter_mut().zip(&row[whole..]).enumerate() {
            *x = *value + *bias.add(whole + i);
        }
        let activated = activate::<L>(L::load(rest.as_ptr()), activation);
        L::store(rest.as_mut_ptr(), activated);
        row[whole..].copy_from_slice(&rest[..left]);
    }
}

multiversioned! {
    /// Turns the gradient of the output into that of the input, and adds its rows to `sum`.
    fn activation_gradient(
        grad: &mut [f32],
        x: &[f32],
        bias: &[f32],
        sum: &mut [f32],
        activation: Activation,
    ) {
        let dim = bias.len();
        for (grad, x) in grad.chunks_exact_mut(dim).zip(x.chunks_exact(dim)) {
            for (((g, x), b), s) in grad.iter_mut().zip(x).zip(bias).zip(sum.iter_mut()) {
                *g *= match activation {
                    Activation::Identity => 1.0,
                    Activation::Relu => f32::from(x + b > 0.0),
                    Activation::Relu6 => f32::from(x + b > 0.0 && x + b < 6.0),
                    Activation::Gelu => gelu_slope(x + b),
                    Activation::GeluTanh => gelu_tanh_slope(x + b),
                    Activation::QuickGelu => gate_slope(x + b, 1.702),
                    Activation::Swish => gate_slope(x + b, 1.0),
                };
                *s += *g;
            }
        }
    }
}

#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

#[inline(always)]
pub(crate) fn gelu_slope(x: f32) -> f32 {
    const INVERSE_SQRT_2PI: f32 = 0.398_942_3;
    let cdf = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
    cdf + x * INVERSE_SQRT_2PI * exp(-0.5 * x * x)
}

#[inline(always)]
fn gelu_tanh_slope(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    let inner = SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x);
    let tanh = 1.0 - 2.0 / (exp(2.0 * inner) + 1.0);
    let slope = SQRT_2_OVER_PI * (1.0 + 3.0 * 0.044_715 * x * x);
    0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * slope
}

/// The slope of x·σ(f·x).
#[inline(always)]
fn gate_slope(x: f32, f: f32) -> f32 {
    let sigmoid = 1.0 / (1.0 + exp(-f * x));
    sigmoid * (1.0 + f * x * (1.0 - sigmoid))
}
