//! The last step of a half: into the shared space, to unit length.

use candle_core::{Device, Tensor};
use tombolo_kernels::{Activation, unit_norm};

use crate::checkpoint::MappedTensors;
use crate::encoder::FrozenLinear;
use crate::error::Result;

/// A linear layer, and vectors of unit length behind it.
pub(crate) struct Projection {
    linear: FrozenLinear,
}

impl Projection {
    /// The layer called `name`, with or without a bias.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape.
    pub fn read(
        tensors: &MappedTensors,
        name: &str,
        inputs: usize,
        outputs: usize,
        biased: bool,
    ) -> Result<Self> {
        if biased {
            let linear = FrozenLinear::read(tensors, &[name.to_owned()], inputs, outputs)?;
            return Ok(Self { linear });
        }
        let weight = tensors.get(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok(Self { linear: FrozenLinear::new(vec![weight], vec![0.0; outputs], inputs) })
    }

    /// Width of a vector.
    pub fn dim(&self) -> usize {
        self.linear.outputs()
    }

    /// `x`: `[rows, inputs]`. Returns `[rows, dim]`, unit length.
    pub fn forward(&self, x: &[f32]) -> Result<Tensor> {
        let rows = x.len() / self.linear.inputs();
        let mut out = vec![0.0; rows * self.dim()];
        self.linear.forward(x, Activation::Identity, false, &mut out);
        unit(out, self.dim())
    }
}

/// Rows scaled to unit length: `[rows, dim]`.
pub(crate) fn unit(rows: Vec<f32>, dim: usize) -> Result<Tensor> {
    let shape = (rows.len() / dim, dim);
    Ok(unit_norm(&Tensor::from_vec(rows, shape, &Device::Cpu)?)?)
}
