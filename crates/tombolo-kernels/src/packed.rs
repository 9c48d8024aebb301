//! Linear layers of frozen networks: packed weights, everything after the product fused into it.
//!
//! These run on the calling thread. Pictures and texts are independent, so that a batch uses all cores by
//! a part of it on each, whose activations then stay in that core's cache.

use crate::activation::Activation;
use crate::lanes::Isa;
use crate::tiles::{Finish, Places, Rows, WIDEST, product};

/// The weights and the bias of a linear layer, laid out for products.
pub struct PackedLinear {
    isa: Isa,
    inputs: usize,
    outputs: usize,
    panels: Vec<f32>,
    bias: Vec<f32>,
}

impl PackedLinear {
    /// Packs a layer for the running processor.
    ///
    /// # Shapes
    /// `weights`: each `[some outputs, inputs]`, stacked; `bias`: `[outputs in all]`.
    ///
    /// # Panics
    /// If the lengths do not agree.
    pub fn new(weights: &[&[f32]], bias: &[f32]) -> Self {
        Self::for_isa(Isa::best(), weights, bias)
    }

    /// [`PackedLinear::new`] for an instruction set of choice.
    ///
    /// # Panics
    /// As [`PackedLinear::new`].
    pub fn for_isa(isa: Isa, weights: &[&[f32]], bias: &[f32]) -> Self {
        let (outputs, width) = (bias.len(), isa.tile_columns());
        let rows = stacked_rows(weights, bias);
        let inputs = rows[0].len();
        let mut panels = vec![0.0; outputs.div_ceil(width) * width * inputs];
        for (panel, rows) in panels.chunks_exact_mut(width * inputs).zip(rows.chunks(width)) {
            pack_panel(rows, width, panel);
        }
        let mut padded = bias.to_vec();
        padded.resize(outputs.next_multiple_of(width), 0.0);
        Self { isa, inputs, outputs, panels, bias: padded }
    }

    /// Width of the input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// Width of the output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// `out` = activation(x · weightᵀ + bias), added to what `out` holds if `accumulate`.
    ///
    /// # Shapes
    /// `x`: `[rows, inputs]`, `out`: `[rows, outputs]`.
    ///
    /// # Panics
    /// If the lengths do not agree.
    pub fn forward(&self, x: &[f32], activation: Activation, accumulate: bool, out: &mut [f32]) {
        let rows = x.len() / self.inputs;
        assert_eq!(out.len(), rows * self.outputs, "output of a linear layer");
        let places = Places::plain(self.outputs);
        self.forward_to((x, self.inputs), activation, accumulate, places, out);
    }

    /// [`PackedLinear::forward`] with rows of `x` `stride` apart and rows of the result at `places`.
    pub(crate) fn forward_to(
        &self,
        (x, stride): (&[f32], usize),
        activation: Activation,
        accumulate: bool,
        places: Places,
        out: &mut [f32],
    ) {
        let finish = Finish { bias: Some(&self.bias), activation, accumulate };
        let panel = self.inputs * self.isa.tile_columns();
        let panels = |index: usize| &self.panels[index * panel..][..panel];
        let rows = Rows { values: x, count: x.len() / stride, depth: self.inputs, stride };
        product(self.isa, rows, self.outputs, panels, finish, places, out);
    }
}

/// As [`PackedLinear::forward`] with the weights as a checkpoint has them: for a handful of rows, where
/// packing all weights would cost more than the product.
///
/// # Shapes
/// `x`: `[rows, inputs]`, `weights` and `bias` as in [`PackedLinear::new`], `out`: `[rows, outputs]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn linear_unpacked(
    x: &[f32],
    weights: &[&[f32]],
    bias: &[f32],
    activation: Activation,
    accumulate: bool,
    out: &mut [f32],
) {
    let isa = Isa::best();
    let weight_rows = stacked_rows(weights, bias);
    let (inputs, outputs) = (weight_rows[0].len(), bias.len());
    let rows = Rows { values: x, count: x.len() / inputs, depth: inputs, stride: inputs };
    assert_eq!(out.len(), rows.count * outputs, "output of a linear layer");
    let width = isa.tile_columns();
    let mut panel = vec![0.0; inputs * width];
    for (index, weight_rows) in weight_rows.chunks(width).enumerate() {
        pack_panel(weight_rows, width, &mut panel);
        let (start, columns) = (index * width, weight_rows.len());
        let mut padded = [0.0; WIDEST];
        padded[..columns].copy_from_slice(&bias[start..start + columns]);
        let finish = Finish { bias: Some(&padded), activation, accumulate };
        let out = &mut out[start..];
        product(isa, rows, columns, |_| &panel[..], finish, Places::plain(outputs), out);
    }
}

/// The weights of each output, of several layers one after the other.
fn stacked_rows<'a>(weights: &[&'a [f32]], bias: &[f32]) -> Vec<&'a [f32]> {
    let elements: usize = weights.iter().map(|weight| weight.len()).sum();
    assert!(!bias.is_empty() && elements > 0, "a linear layer without weights");
    let inputs = elements / bias.len();
    let whole = weights.iter().all(|weight| weight.len() % inputs == 0);
    assert!(whole && inputs * bias.len() == elements, "weights of a linear layer");
    weights.iter().flat_map(|weight| weight.chunks_exact(inputs)).collect()
}

/// Transposes the weights of a panel's outputs: `[inputs, width]`, zero beyond the last output.
fn pack_panel(rows: &[&[f32]], width: usize, panel: &mut [f32]) {
    for (input, out) in panel.chunks_exact_mut(width).enumerate() {
        for (value, row) in out.iter_mut().zip(rows) {
            *value = row[input];
        }
        out[rows.len()..].fill(0.0);
    }
}
