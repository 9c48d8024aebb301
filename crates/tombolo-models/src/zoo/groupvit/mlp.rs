//! Two linear layers with an activation between them: over the channels of each row, or over the rows of each channel.

use tombolo_kernels::Activation;

use crate::checkpoint::{CheckpointError, MappedTensors};
use crate::encoder::FrozenLinear;

pub(super) struct Mlp {
    expand: FrozenLinear,
    contract: FrozenLinear,
    activation: Activation,
}

impl Mlp {
    /// The layers `name.fc1` and `name.fc2`; `widths`: of the input, inside, and of the output.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape.
    pub fn read(
        tensors: &MappedTensors,
        name: &str,
        [input, inner, output]: [usize; 3],
        activation: Activation,
    ) -> Result<Self, CheckpointError> {
        let linear = |part: &str, inputs, outputs| {
            FrozenLinear::read(tensors, &[format!("{name}.{part}")], inputs, outputs)
        };
        let (expand, contract) = (linear("fc1", input, inner)?, linear("fc2", inner, output)?);
        Ok(Self { expand, contract, activation })
    }

    /// `x`: `[rows, input]`. Returns `[rows, output]`.
    pub fn forward(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.expand.inputs();
        let mut inner = vec![0.0; rows * self.expand.outputs()];
        self.expand.forward(x, self.activation, false, &mut inner);
        let mut out = vec![0.0; rows * self.contract.outputs()];
        self.contract.forward(&inner, Activation::Identity, false, &mut out);
        out
    }

    /// The same over the rows, for each channel (Tolstikhin et al. 2021). `x`: `[input, channels]`. Returns
    /// `[output, channels]`.
    pub fn mix(&self, x: &[f32]) -> Vec<f32> {
        let (rows, outputs) = (self.expand.inputs(), self.contract.outputs());
        let mixed = self.forward(&transposed(x, rows));
        transposed(&mixed, mixed.len() / outputs)
    }
}

/// `[rows, columns]` as `[columns, rows]`.
fn transposed(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows;
    (0..columns).flat_map(|c| values.iter().skip(c).step_by(columns).copied()).collect()
}
