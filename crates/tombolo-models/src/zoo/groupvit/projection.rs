//! The last step of both halves: two linear layers, with a batch norm and a ReLU between them, to unit length.

use candle_core::Tensor;
use tombolo_kernels::Activation;

use super::Top;
use crate::checkpoint::{CheckpointError, MappedTensors};
use crate::encoder::FrozenLinear;
use crate::error::Result;
use crate::zoo::batch_norm::BatchNorm;
use crate::zoo::projection::Projection;

/// ε of PyTorch's batch norms.
const EPS: f32 = 1e-5;

pub(super) struct DeepProjection {
    inner: FrozenLinear,
    outer: Projection,
}

impl DeepProjection {
    /// The layers `name.0`, a norm `name.1` and `name.3`.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape.
    pub fn read(tensors: &MappedTensors, name: &str, inputs: usize, top: Top) -> Result<Self> {
        let width = top.projection_intermediate_dim;
        let inner = Self::inner(tensors, name, inputs, width)?;
        let outer = format!("{name}.3");
        let outer = Projection::read(tensors, &outer, width, top.projection_dim, true)?;
        Ok(Self { inner, outer })
    }

    fn inner(
        tensors: &MappedTensors,
        name: &str,
        inputs: usize,
        width: usize,
    ) -> Result<FrozenLinear, CheckpointError> {
        let weight = tensors.get(&format!("{name}.0.weight"), &[width, inputs])?;
        let bias = tensors.get(&format!("{name}.0.bias"), &[width])?;
        let norm = BatchNorm::read(tensors, &format!("{name}.1"), width, EPS)?;
        let (weight, bias) = norm.folded(&weight, Some(&bias));
        Ok(FrozenLinear::new(vec![weight.into()], bias, inputs))
    }

    /// Width of a vector.
    pub fn dim(&self) -> usize {
        self.outer.dim()
    }

    /// `x`: `[rows, inputs]`. Returns `[rows, dim]`, unit length.
    pub fn forward(&self, x: &[f32]) -> Result<Tensor> {
        let mut inner = vec![0.0; x.len() / self.inner.inputs() * self.inner.outputs()];
        self.inner.forward(x, Activation::Relu, false, &mut inner);
        self.outer.forward(&inner)
    }
}
