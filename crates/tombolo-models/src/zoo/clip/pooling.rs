//! The pooling of CLIP's ResNets: the mean of the cells attends to itself and to all of them.

use tombolo_kernels::{Activation, Mask, attend};

use crate::checkpoint::{CheckpointError, MappedTensors, Values};
use crate::encoder::FrozenLinear;

/// y = output(attention(mean, [mean, cells])), positions added before.
pub(super) struct AttentionPool {
    positions: Values,
    qkv: FrozenLinear,
    output: FrozenLinear,
    heads: usize,
}

impl AttentionPool {
    /// For a map of `cells` × `cells` places and so many channels.
    pub(super) fn read(
        tensors: &MappedTensors,
        cells: usize,
        channels: usize,
        heads: usize,
        dim: usize,
    ) -> Result<Self, CheckpointError> {
        let name = |part: &str| format!("visual.attnpool.{part}");
        let positions =
            tensors.get(&name("positional_embedding"), &[cells * cells + 1, channels])?;
        let names = ["q_proj", "k_proj", "v_proj"].map(name);
        Ok(Self {
            positions,
            qkv: FrozenLinear::read(tensors, &names, channels, channels)?,
            output: FrozenLinear::read(tensors, &[name("c_proj")], channels, dim)?,
            heads,
        })
    }

    pub(super) fn dim(&self) -> usize {
        self.output.outputs()
    }

    /// `map`: `[cells, channels]`. Returns `[dim]`, not yet of unit length.
    pub(super) fn pooled(&self, map: &[f32]) -> Vec<f32> {
        let channels = self.qkv.inputs();
        let qkv = self.qkv(map);
        let rows = qkv.len() / 3 / channels;
        let mut attended = vec![0.0; rows * channels];
        attend(&qkv, self.heads, Mask::None, &[rows], &mut attended);
        self.out(&attended[..channels])
    }

    /// The same, of each cell alone: `[cells, dim]`.
    pub(super) fn located(&self, map: &[f32]) -> Vec<f32> {
        let channels = self.qkv.inputs();
        let qkv = self.qkv(map);
        // What attends to one place alone gets the value there.
        let values = qkv.chunks_exact(3 * channels).skip(1).flat_map(|row| &row[2 * channels..]);
        self.out(&values.copied().collect::<Vec<f32>>())
    }

    /// Queries, keys and values of the mean and of the cells: `[1 + cells, 3 · channels]`.
    fn qkv(&self, map: &[f32]) -> Vec<f32> {
        let channels = self.qkv.inputs();
        let cells = map.len() / channels;
        let mut rows = vec![0.0; channels];
        for cell in map.chunks_exact(channels) {
            rows.iter_mut().zip(cell).for_each(|(mean, value)| *mean += value / cells as f32);
        }
        rows.extend_from_slice(map);
        rows.iter_mut().zip(&self.positions[..]).for_each(|(x, p)| *x += p);
        let mut qkv = vec![0.0; 3 * rows.len()];
        self.qkv.forward(&rows, Activation::Identity, false, &mut qkv);
        qkv
    }

    fn out(&self, rows: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; rows.len() / self.qkv.inputs() * self.dim()];
        self.output.forward(rows, Activation::Identity, false, &mut out);
        out
    }
}
