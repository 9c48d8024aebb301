//! BERT's encoder with a branch more in each layer: its rows look at the states of something else, a picture.

use rayon::prelude::*;
use tombolo_kernels::{Activation, attend_over};

use super::host::{Scratch, groups};
use super::{FrozenLinear, Layer, Names, Norm, NormPlace, Shape};
use crate::checkpoint::{CheckpointError, MappedTensors};

/// What the parts of a layer are called in a checkpoint, below the layer.
pub(crate) struct CrossNames {
    /// The parts that any layer has.
    pub layer: Names,
    pub query: &'static str,
    /// Of key and value.
    pub memory: [&'static str; 2],
    pub output: &'static str,
    pub norm: &'static str,
}

struct CrossLayer {
    layer: Layer,
    query: FrozenLinear,
    memory: FrozenLinear,
    output: FrozenLinear,
    norm: Norm,
}

/// The keys and values of what is looked at, `[rows, 2 · hidden]` for each layer.
pub(crate) struct Memory(Vec<Vec<f32>>);

/// A frozen encoder on the CPU whose layers attend to their own sequence, then to a memory, then pass through an
/// MLP, with the norm after each sum.
pub(crate) struct CrossEncoder {
    shape: Shape,
    layers: Vec<CrossLayer>,
}

impl CrossEncoder {
    /// The layers called `prefix.0` and so on. `states`: width of what is looked at.
    pub(crate) fn read(
        tensors: &MappedTensors,
        prefix: &str,
        names: &CrossNames,
        (shape, layers): (Shape, usize),
        states: usize,
    ) -> Result<Self, CheckpointError> {
        debug_assert_eq!(shape.norms, NormPlace::After);
        let hidden = shape.hidden;
        let layer = |index| {
            let name = format!("{prefix}.{index}");
            let linear = |parts: &[&str], inputs| {
                let parts: Vec<_> = parts.iter().map(|part| format!("{name}.{part}")).collect();
                FrozenLinear::read(tensors, &parts, inputs, hidden)
            };
            Ok(CrossLayer {
                layer: Layer::read(tensors, &name, &names.layer, shape)?,
                query: linear(&[names.query], hidden)?,
                memory: linear(&names.memory, states)?,
                output: linear(&[names.output], hidden)?,
                norm: Norm::read(tensors, &format!("{name}.{}", names.norm), hidden, shape.eps)?,
            })
        };
        Ok(Self { shape, layers: (0..layers).map(layer).collect::<Result<_, _>>()? })
    }

    /// What the layers read of `states`, `[rows, width of the states]`.
    pub(crate) fn remember(&self, states: &[f32]) -> Memory {
        let layer = |layer: &CrossLayer| {
            let rows = states.len() / layer.memory.inputs();
            let mut memory = vec![0.0; rows * layer.memory.outputs()];
            layer.memory.forward(states, Activation::Identity, false, &mut memory);
            memory
        };
        Memory(self.layers.par_iter().map(layer).collect())
    }

    /// Encodes sequences that lie one after the other, each looking at its own memory.
    ///
    /// # Shapes
    /// `x`: `[rows, hidden]`, encoded in place; `lengths`: the rows of each sequence; `memories`: one a sequence.
    pub(crate) fn forward(&self, x: &mut [f32], lengths: &[usize], memories: &[&Memory]) {
        let (mut rest, mut first) = (x, 0);
        let mut parts = Vec::new();
        for lengths in groups(lengths) {
            let rows: usize = lengths.iter().sum();
            let (part, after) = rest.split_at_mut(rows * self.shape.hidden);
            parts.push((part, lengths, &memories[first..first + lengths.len()]));
            (rest, first) = (after, first + lengths.len());
        }
        parts.into_par_iter().with_max_len(1).for_each_init(
            || (Scratch::default(), Vec::new(), Vec::new()),
            |(scratch, queries, attended), (x, lengths, memories)| {
                scratch.resize(self.shape, x.len() / self.shape.hidden);
                queries.resize(x.len(), 0.0);
                attended.resize(x.len(), 0.0);
                for (index, layer) in self.layers.iter().enumerate() {
                    scratch.attention(self.shape, &layer.layer, x, lengths);
                    layer.query.forward(x, Activation::Identity, false, queries);
                    let memories = memories.iter().map(|memory| &memory.0[index][..]);
                    self.look(queries, lengths, memories, attended);
                    layer.output.forward(attended, Activation::Identity, true, x);
                    layer.norm.apply(x);
                    scratch.mlp(self.shape, &layer.layer, x);
                }
            },
        );
    }

    fn look<'a>(
        &self,
        queries: &[f32],
        lengths: &[usize],
        memories: impl Iterator<Item = &'a [f32]>,
        out: &mut [f32],
    ) {
        let Shape { hidden, heads, .. } = self.shape;
        let mut start = 0;
        for (length, memory) in lengths.iter().zip(memories) {
            let rows = start..start + length * hidden;
            attend_over(&queries[rows.clone()], memory, hidden, heads, &mut out[rows.clone()]);
            start = rows.end;
        }
    }
}
