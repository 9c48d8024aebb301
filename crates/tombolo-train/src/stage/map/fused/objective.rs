//! The loss of mapped vectors and its gradients: in one pass where that is written, else by candle's graph.

use candle_core::{Device, Tensor, Var};
use tombolo_kernels::{InfoNce, Matrix, infonce, product};

use crate::error::Result;
use crate::loss::{Loss, Terms};

/// Mapped vectors of a batch of pairs, and where their gradients belong, all `[rows, dim]`.
pub(super) struct Units<'a> {
    pub(super) dim: usize,
    pub(super) image: &'a [f32],
    pub(super) text: &'a [f32],
    pub(super) image_gradient: &'a mut [f32],
    pub(super) text_gradient: &'a mut [f32],
}

/// A loss, and its gradients with respect to the learned scalars.
pub(super) struct Found {
    pub(super) loss: f32,
    pub(super) log_scale_gradient: f32,
    pub(super) bias_gradient: f32,
}

/// Symmetric InfoNCE; `logits` is room that is kept from step to step.
pub(super) fn infonce_of(units: Units<'_>, scale: f32, logits: &mut Vec<f32>) -> Found {
    let rows = units.image.len() / units.dim;
    logits.resize(rows * rows, 0.0);
    let (image, text) = (Matrix::new(units.image, units.dim), Matrix::new(units.text, units.dim));
    product(image, text.transposed(), scale, 0.0, logits);
    let InfoNce { loss, log_scale_gradient } = infonce(logits, rows);
    let logits = Matrix::new(logits, rows);
    product(logits, text, scale, 0.0, units.image_gradient);
    product(logits.transposed(), image, scale, 0.0, units.text_gradient);
    Found { loss, log_scale_gradient, bias_gradient: 0.0 }
}

/// Any loss, by candle's graph over the vectors alone.
pub(super) fn by_graph(
    loss: Loss,
    units: Units<'_>,
    (log_scale, bias): (f32, f32),
    margin: f64,
) -> Result<Found> {
    let variable = |values: &[f32], shape: &[usize]| {
        Var::from_tensor(&Tensor::from_slice(values, shape, &Device::Cpu)?)
    };
    let shape = [units.image.len() / units.dim, units.dim];
    let (image, text) = (variable(units.image, &shape)?, variable(units.text, &shape)?);
    let (log_scale, bias) = (variable(&[log_scale], &[])?, variable(&[bias], &[])?);
    let terms = Terms { scale: log_scale.exp()?, bias: bias.as_tensor().clone(), margin };
    let loss = loss.both_ways(&image, &text, &terms)?;
    let gradients = loss.backward()?;
    let copy = |of: &Var, into: &mut [f32]| -> Result<()> {
        match gradients.get(of) {
            Some(gradient) => into.copy_from_slice(&gradient.flatten_all()?.to_vec1::<f32>()?),
            None => into.fill(0.0),
        }
        Ok(())
    };
    copy(&image, units.image_gradient)?;
    copy(&text, units.text_gradient)?;
    let (mut along_scale, mut along_bias) = ([0.0], [0.0]);
    copy(&log_scale, &mut along_scale)?;
    copy(&bias, &mut along_bias)?;
    Ok(Found {
        loss: loss.to_scalar()?,
        log_scale_gradient: along_scale[0],
        bias_gradient: along_bias[0],
    })
}
