//! SigLIP's pooling: a learned query attends to all cells, and an MLP follows.

use rayon::prelude::*;
use tombolo_kernels::{Activation, attend_over};

use crate::checkpoint::{CheckpointError, MappedTensors};
use crate::encoder::{FrozenLinear, Norm};
use crate::zoo::vision::VisionConfig;

/// y = a + MLP(norm(a)), a = output(attention(query, cells)).
pub(super) struct Head {
    /// The query of each head side by side: it is the same for every picture.
    query: Vec<f32>,
    keys_values: FrozenLinear,
    output: FrozenLinear,
    norm: Norm,
    expand: FrozenLinear,
    contract: FrozenLinear,
    activation: Activation,
    heads: usize,
}

impl Head {
    pub(super) fn read(
        tensors: &MappedTensors,
        config: &VisionConfig,
        activation: Activation,
    ) -> Result<Self, CheckpointError> {
        let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
        let name = |part: &str| format!("vision_model.head.{part}");
        let linear = |part: &str, inputs, outputs| {
            FrozenLinear::read(tensors, &[name(part)], inputs, outputs)
        };
        let weight = tensors.get(&name("attention.in_proj_weight"), &[3 * hidden, hidden])?;
        let bias = tensors.get(&name("attention.in_proj_bias"), &[3 * hidden])?;
        let probe = tensors.get(&name("probe"), &[1, 1, hidden])?;
        let rows = weight[..hidden * hidden].chunks_exact(hidden).zip(&bias[..hidden]);
        let query = rows.map(|(row, b)| b + dot(row, &probe)).collect();
        let keys_values = weight.part(hidden * hidden..3 * hidden * hidden);
        Ok(Self {
            query,
            keys_values: FrozenLinear::new(vec![keys_values], bias[hidden..].to_vec(), hidden),
            output: linear("attention.out_proj", hidden, hidden)?,
            norm: Norm::read(tensors, &name("layernorm"), hidden, config.layer_norm_eps)?,
            expand: linear("mlp.fc1", hidden, config.intermediate_size)?,
            contract: linear("mlp.fc2", config.intermediate_size, hidden)?,
            activation,
            heads,
        })
    }

    /// One vector for each `cells` rows of `states`, `[rows, hidden]`: `[rows / cells, hidden]`.
    pub(super) fn pooled(&self, states: &[f32], cells: usize) -> Vec<f32> {
        let hidden = self.query.len();
        let mut attended = vec![0.0; states.len() / cells];
        attended.par_chunks_mut(hidden).zip(states.par_chunks(cells * hidden)).for_each(
            |(out, states)| {
                let mut keys_values = vec![0.0; 2 * states.len()];
                self.keys_values.forward(states, Activation::Identity, false, &mut keys_values);
                attend_over(&self.query, &keys_values, hidden, self.heads, out);
            },
        );
        let mut out = vec![0.0; attended.len()];
        self.output.forward(&attended, Activation::Identity, false, &mut out);
        let mut normed = out.clone();
        self.norm.apply(&mut normed);
        let mut inner = vec![0.0; out.len() / hidden * self.expand.outputs()];
        self.expand.forward(&normed, self.activation, false, &mut inner);
        self.contract.forward(&inner, Activation::Identity, true, &mut out);
        out
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
