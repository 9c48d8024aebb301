//! The encoder on the CPU: each core takes some sequences through a whole layer after the other, so that
//! their activations stay in its cache and nobody waits for anybody.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use tombolo_kernels::{Activation, PackedLinear, attend, linear_unpacked};

use super::{Layer, Norm, NormPlace, Shape};
use crate::checkpoint::{CheckpointError, MappedTensors, Values};

/// Rows that a core takes at a time, at least: enough for the weights to be read seldom.
const ROWS: usize = 128;

/// Rows in all below which the weights are used as they lie: one query, and packing would take longer. A process that stays
/// packs them with its next queries.
const FEW: usize = 48;

/// A linear layer, or several stacked to one, whose weights are packed when enough rows have come.
pub(crate) struct FrozenLinear {
    weights: Vec<Values>,
    bias: Vec<f32>,
    inputs: usize,
    packed: OnceLock<PackedLinear>,
    /// Rows that the weights were used for as they lie.
    rows: AtomicUsize,
}

impl FrozenLinear {
    /// The layers called `names`, `inputs` wide and each with `outputs` outputs, one after the other.
    pub(crate) fn read(
        tensors: &MappedTensors,
        names: &[String],
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, CheckpointError> {
        let (mut weights, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            weights.push(tensors.get(&format!("{name}.weight"), &[outputs, inputs])?);
            bias.extend_from_slice(&tensors.get(&format!("{name}.bias"), &[outputs])?);
        }
        Ok(Self::new(weights, bias, inputs))
    }

    /// # Shapes
    /// `weights`: each `[some outputs, inputs]`, as many outputs in all as `bias` has values.
    pub(crate) fn new(weights: Vec<Values>, bias: Vec<f32>, inputs: usize) -> Self {
        Self { weights, bias, inputs, packed: OnceLock::new(), rows: AtomicUsize::new(0) }
    }

    /// Multiplies what the layer gives by a factor for each output, once and for all.
    pub(crate) fn scale_outputs(&mut self, factors: &[f32]) {
        let mut weight = self.weight();
        for (row, factor) in weight.chunks_exact_mut(self.inputs).zip(factors) {
            row.iter_mut().for_each(|w| *w *= factor);
        }
        self.bias.iter_mut().zip(factors).for_each(|(b, factor)| *b *= factor);
        self.weights = vec![weight.into()];
    }

    /// The weights as one, `[outputs, inputs]`.
    pub(super) fn weight(&self) -> Vec<f32> {
        self.weights.iter().flat_map(|w| w.iter().copied()).collect()
    }

    pub(super) fn bias(&self) -> &[f32] {
        &self.bias
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// `out` = activation(x · weightᵀ + bias), added to what `out` holds if `accumulate`.
    pub(crate) fn forward(
        &self,
        x: &[f32],
        activation: Activation,
        accumulate: bool,
        out: &mut [f32],
    ) {
        if let Some(packed) = self.packed.get() {
            return packed.forward(x, activation, accumulate, out);
        }
        let weights: Vec<&[f32]> = self.weights.iter().map(|w| &**w).collect();
        let rows = x.len() / self.inputs;
        if self.rows.fetch_add(rows, Ordering::Relaxed) + rows < FEW {
            return linear_unpacked(x, &weights, &self.bias, activation, accumulate, out);
        }
        let packed = self.packed.get_or_init(|| PackedLinear::new(&weights, &self.bias));
        packed.forward(x, activation, accumulate, out);
    }
}

/// Encodes sequences; see [`super::Encoder::forward`]. `x` is left as the last layer makes it.
pub(super) fn forward(
    shape: Shape,
    layers: &[Layer],
    x: &mut [f32],
    lengths: &[usize],
    read: &[usize],
) -> Vec<f32> {
    let width = read.len() * shape.hidden;
    let mut out = vec![0.0; x.len() * read.len()];
    let (mut rest, mut rest_of_out) = (x, out.as_mut_slice());
    let mut parts = Vec::new();
    for lengths in groups(lengths) {
        let rows: usize = lengths.iter().sum();
        let (part, after) = rest.split_at_mut(rows * shape.hidden);
        let (out, after_out) = rest_of_out.split_at_mut(rows * width);
        parts.push((part, out, lengths));
        (rest, rest_of_out) = (after, after_out);
    }
    parts.into_par_iter().with_max_len(1).for_each_init(
        Scratch::default,
        |scratch, (x, out, lengths)| {
            scratch.resize(shape, x.len() / shape.hidden);
            for done in 0..=layers.len() {
                if done > 0 {
                    scratch.layer(shape, &layers[done - 1], x, lengths);
                }
                if let Some(place) = read.iter().position(|&layer| layer == done) {
                    let columns = place * shape.hidden..(place + 1) * shape.hidden;
                    let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(shape.hidden));
                    rows.for_each(|(out, x)| out[columns.clone()].copy_from_slice(x));
                }
            }
        },
    );
    out
}

/// Whole sequences, as many as make up the rows that a core takes at a time.
pub(super) fn groups(lengths: &[usize]) -> Vec<&[usize]> {
    let mut groups = Vec::new();
    let (mut start, mut rows) = (0, 0);
    for (index, length) in lengths.iter().enumerate() {
        rows += length;
        if rows >= ROWS || index + 1 == lengths.len() {
            groups.push(&lengths[start..=index]);
            (start, rows) = (index + 1, 0);
        }
    }
    groups
}

/// A core's room for the activations of its rows.
#[derive(Default)]
pub(super) struct Scratch {
    normed: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    inner: Vec<f32>,
}

impl Scratch {
    pub(super) fn resize(&mut self, shape: Shape, rows: usize) {
        self.normed.resize(rows * shape.hidden, 0.0);
        self.qkv.resize(3 * rows * shape.hidden, 0.0);
        self.attended.resize(rows * shape.hidden, 0.0);
        self.inner.resize(rows * shape.mlp, 0.0);
    }

    fn layer(&mut self, shape: Shape, layer: &Layer, x: &mut [f32], lengths: &[usize]) {
        self.attention(shape, layer, x, lengths);
        self.mlp(shape, layer, x);
    }

    /// The first branch of a layer: each row looks at those of its own sequence.
    pub(super) fn attention(
        &mut self,
        shape: Shape,
        layer: &Layer,
        x: &mut [f32],
        lengths: &[usize],
    ) {
        let before = shape.norms == NormPlace::Before;
        let input = branch_input(before, &layer.norms[0], x, &mut self.normed);
        layer.qkv.forward(input, Activation::Identity, false, &mut self.qkv);
        attend(&self.qkv, shape.heads, shape.mask, lengths, &mut self.attended);
        layer.output.forward(&self.attended, Activation::Identity, true, x);
        if !before {
            layer.norms[0].apply(x);
        }
    }

    /// The last branch of a layer: each row by itself.
    pub(super) fn mlp(&mut self, shape: Shape, layer: &Layer, x: &mut [f32]) {
        let before = shape.norms == NormPlace::Before;
        let input = branch_input(before, &layer.norms[1], x, &mut self.normed);
        layer.expand.forward(input, shape.activation, false, &mut self.inner);
        layer.contract.forward(&self.inner, Activation::Identity, true, x);
        if !before {
            layer.norms[1].apply(x);
        }
    }
}

/// What a branch reads: `x`, or its normalised copy where the norm stands before the branch.
fn branch_input<'a>(before: bool, norm: &Norm, x: &'a [f32], normed: &'a mut [f32]) -> &'a [f32] {
    if !before {
        return x;
    }
    normed.copy_from_slice(x);
    norm.apply(normed);
    normed
}
