//! Batch norms of frozen networks, folded into the layer before them.

use crate::checkpoint::{CheckpointError, MappedTensors};

/// A batch norm (Ioffe and Szegedy 2015) with fixed statistics: y = factor · x + shift, channel by channel.
pub(crate) struct BatchNorm {
    factor: Vec<f32>,
    shift: Vec<f32>,
}

impl BatchNorm {
    /// The norm called `name`.
    ///
    /// factor = weight / √(running variance + eps), shift = bias − running mean · factor.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape.
    pub fn read(
        tensors: &MappedTensors,
        name: &str,
        channels: usize,
        eps: f32,
    ) -> Result<Self, CheckpointError> {
        let get = |part: &str| tensors.get(&format!("{name}.{part}"), &[channels]);
        let (weight, bias) = (get("weight")?, get("bias")?);
        let (mean, variance) = (get("running_mean")?, get("running_var")?);
        let factor: Vec<f32> =
            weight.iter().zip(&variance[..]).map(|(w, v)| w / (v + eps).sqrt()).collect();
        let shift = bias.iter().zip(&mean[..]).zip(&factor).map(|((b, m), f)| b - m * f).collect();
        Ok(Self { factor, shift })
    }

    /// Weight and bias of a layer that does what the norm makes of the one with these; no bias is one of zeros.
    ///
    /// # Shapes
    /// `weight`: `[channels, …]`, `bias`: `[channels]`. Returns the same.
    pub fn folded(&self, weight: &[f32], bias: Option<&[f32]>) -> (Vec<f32>, Vec<f32>) {
        let rows = weight.chunks_exact(weight.len() / self.factor.len()).zip(&self.factor);
        let weight = rows.flat_map(|(row, factor)| row.iter().map(move |w| w * factor)).collect();
        let mut shift = self.shift.clone();
        if let Some(bias) = bias {
            shift.iter_mut().zip(bias).zip(&self.factor).for_each(|((s, b), f)| *s += b * f);
        }
        (weight, shift)
    }
}
