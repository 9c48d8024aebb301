//! A linear layer with its activation as one operation.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::activation::{Activation, add_bias_activate, bias_activation, gradients, sum_in_order};
use crate::host::{operand, with_values};
use crate::product::{Matrix, product};
use crate::simd::multiversioned;

/// Rows a task.
const ROWS: usize = 64;

/// `activation(x·weightᵀ + bias)`.
///
/// Its gradients come in the layouts of their tensors, without transposing copies, and that of an `x` that
/// nothing is asked of is not computed.
///
/// # Shapes
/// `x`: `[rows, input]`, `weight`: `[output, input]`, `bias`: `[output]`, all f32. Returns
/// `[rows, output]`.
/// # Errors
/// If the shapes do not agree, or a tensor is not f32.
pub fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    activation: Activation,
) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return linear_composed(x, weight, bias, activation);
    }
    let ((_, input), (output, width)) = (x.dims2()?, weight.dims2()?);
    if input != width || bias.dims1()? != output {
        bail!(
            "linear: expected an input of width {width} and a bias of {output}, found {input} and {bias:?}"
        );
    }
    let training = x.track_op() || weight.track_op() || bias.track_op();
    let operation = LinearOp { activation, training, before: OnceLock::new() };
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, operation)
}

/// [`linear`] from a stock product: for other devices, and to compare with.
///
/// # Errors
/// As [`linear`].
pub fn linear_composed(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    activation: Activation,
) -> Result<Tensor> {
    bias_activation(&x.matmul(&weight.t()?)?, bias, activation)
}

struct LinearOp {
    activation: Activation,
    training: bool,
    /// The product before bias and activation, where the gradient needs it.
    before: OnceLock<Vec<f32>>,
}

impl CustomOp3 for LinearOp {
    fn name(&self) -> &'static str {
        "linear"
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
        let (rows, input) = (x_layout.dims()[0], x_layout.dims()[1]);
        let x = Matrix::new(operand(x, x_layout, self.name())?, input);
        let weight = Matrix::new(operand(weight, weight_layout, self.name())?, input);
        let bias = operand(bias, bias_layout, self.name())?;
        let mut out = vec![0.0; rows * bias.len()];
        product(x, weight.transposed(), 1.0, 0.0, &mut out);
        if self.training && self.activation != Activation::Identity {
            // A forward pass runs once, so that nothing is there yet.
            let _ = self.before.set(out.clone());
        }
        out.par_chunks_mut(ROWS * bias.len())
            .for_each(|rows| add_bias_activate(rows, bias, self.activation));
        Ok((CpuStorage::F32(out), (rows, bias.len()).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (output, input) = weight.dims2()?;
        let activated = with_values(grad, |grad| match self.before.get() {
            Some(before) => with_values(bias, |bias| {
                let (grad, sum) = gradients(before, bias, grad, self.activation);
                (Some(grad), sum)
            }),
            None => Ok((None, column_sums(grad, output))),
        })??;
        let (through, grad_bias) = activated;
        with_values(grad, |grad| {
            let grad = Matrix::new(through.as_deref().unwrap_or(grad), output);
            let mut grad_weight = vec![0.0; output * input];
            with_values(x, |x| {
                product(grad.transposed(), Matrix::new(x, input), 1.0, 0.0, &mut grad_weight);
            })?;
            let mut grad_x = None;
            if x.track_op() {
                let mut values = vec![0.0; x.elem_count()];
                with_values(weight, |weight| {
                    product(grad, Matrix::new(weight, input), 1.0, 0.0, &mut values);
                })?;
                grad_x = Some(Tensor::from_vec(values, x.shape(), x.device())?);
            }
            let device = x.device();
            let grad_weight = Tensor::from_vec(grad_weight, weight.shape(), device)?;
            let grad_bias = Tensor::from_vec(grad_bias, output, device)?;
            Ok((grad_x, Some(grad_weight), Some(grad_bias)))
        })?
    }
}

/// The sum of the rows, `dim` wide.
pub(crate) fn column_sums(rows: &[f32], dim: usize) -> Vec<f32> {
    let partial: Vec<Vec<f32>> = rows
        .par_chunks(ROWS * dim)
        .map(|rows| {
            let mut sum = vec![0.0; dim];
            add_rows(rows, &mut sum);
            sum
        })
        .collect();
    sum_in_order(&partial, dim)
}

multiversioned! {
    fn add_rows(rows: &[f32], sum: &mut [f32]) {
        for row in rows.chunks_exact(sum.len()) {
            sum.iter_mut().zip(row).for_each(|(s, x)| *s += x);
        }
    }
}
