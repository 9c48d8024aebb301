//! A gated recurrent unit over sequences that lie one after the other.

mod block;
mod cell;
mod composed;

use std::cmp::Reverse;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use self::block::{Advance, Recurrence, Retreat};
pub use self::composed::gru_composed;
use crate::host::{operand, with_values};
use crate::linear::column_sums;
use crate::packed::PackedLinear;
use crate::panels::Panels;
use crate::product::{Matrix, product};
use crate::sequences::{split, split_mut};
use crate::tiles::Rows;

/// Sequences that go through the steps together, on one thread.
const BLOCK: usize = 32;

/// Which end of a sequence is read first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first row to the last.
    Forward,
    /// From the last row to the first.
    Backward,
}

impl Direction {
    /// The row of a sequence of `length` rows that is read at a step.
    fn row(self, step: usize, length: usize) -> usize {
        match self {
            Self::Forward => step,
            Self::Backward => length - 1 - step,
        }
    }
}

/// The states of a gated recurrent unit (Cho et al. 2014, in the form of cuDNN and PyTorch) within each of several
/// sequences that lie one after the other, without padding; each starts from a state of zeros.
///
/// r = σ(x_r + h_r), z = σ(x_z + h_z), n = tanh(x_n + r·h_n), h ← (1 − z)·n + z·h, where (h_r, h_z, h_n) = h·weightᵀ + bias.
///
/// # Shapes
/// `gates`: `[rows, 3 · hidden]`, the inputs' (x_r, x_z, x_n) with their bias; `weight`: `[3 · hidden, hidden]`; `bias`:
/// `[3 · hidden]`, all f32; `lengths`: the rows of each sequence, none zero, `rows` in sum. Returns the state after each
/// row, `[rows, hidden]`: what a sequence is read to is in its last row, or backward in its first.
/// # Errors
/// If the shapes do not agree, the lengths do not add up, or a tensor is not f32.
pub fn gru(
    gates: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    lengths: &[usize],
    direction: Direction,
) -> Result<Tensor> {
    let dim = state_width(gates, weight, bias, lengths)?;
    if !gates.device().is_cpu() {
        return gru_composed(gates, weight, bias, lengths, direction);
    }
    let recurrence = Recurrence { dim, direction };
    let operation = Gru { recurrence, lengths: lengths.to_vec(), kept: OnceLock::new() };
    gates.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, operation)
}

/// The width of the state, if the operands agree on one.
fn state_width(gates: &Tensor, weight: &Tensor, bias: &Tensor, lengths: &[usize]) -> Result<usize> {
    let ((rows, width), dim) = (gates.dims2()?, weight.dim(1)?);
    if dim == 0 || width != 3 * dim || weight.dims() != [width, dim] || bias.dims() != [width] {
        bail!(
            "gru: expected gates, a weight and a bias of [rows, 3 · hidden], [3 · hidden, hidden] and [3 · hidden], \
             found {gates:?}, {weight:?} and {bias:?}"
        );
    }
    if lengths.contains(&0) || lengths.iter().sum::<usize>() != rows {
        bail!("gru: expected lengths that add up to {rows} rows, found {lengths:?}");
    }
    Ok(dim)
}

struct Gru {
    recurrence: Recurrence,
    lengths: Vec<usize>,
    /// What the backward pass needs of each row, `[rows, 4 · hidden]`: r, z, n and h_n.
    kept: OnceLock<Vec<f32>>,
}

impl CustomOp3 for Gru {
    fn name(&self) -> &'static str {
        "gru"
    }

    fn cpu_fwd(
        &self,
        gates: &CpuStorage,
        gates_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let gates = operand(gates, gates_layout, self.name())?;
        let weight = operand(weight, weight_layout, self.name())?;
        let bias = operand(bias, bias_layout, self.name())?;
        let dim = self.recurrence.dim;
        let rows = gates.len() / (3 * dim);
        let (mut states, mut kept) = (vec![0.0; rows * dim], vec![0.0; rows * 4 * dim]);
        let packed = PackedLinear::new(&[weight], bias);
        let mut sequences: Vec<Advance<'_>> = split(gates, &self.lengths, 3 * dim)
            .into_iter()
            .zip(split_mut(&mut states, &self.lengths, dim))
            .zip(split_mut(&mut kept, &self.lengths, 4 * dim))
            .map(|((gates, states), kept)| Advance { gates, states, kept })
            .collect();
        sequences.sort_by_key(|sequence| Reverse(sequence.states.len()));
        sequences
            .par_chunks_mut(BLOCK)
            .for_each(|block| self.recurrence.advance(block, &packed, bias));
        // A forward pass runs once, so that nothing is there yet.
        let _ = self.kept.set(kept);
        Ok((CpuStorage::F32(states), (rows, dim).into()))
    }

    fn bwd(
        &self,
        gates: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        states: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(kept) = self.kept.get() else {
            bail!("gru: expected the forward pass before the backward one")
        };
        let given = |states: &[f32], grad: &[f32], weight: &[f32]| {
            self.gradients(Given { kept, states, grad }, weight)
        };
        let found = with_values(states, |states| {
            with_values(grad, |grad| with_values(weight, |weight| given(states, grad, weight)))
        })???;
        let device = gates.device();
        Ok((
            Some(Tensor::from_vec(found.gates, gates.shape(), device)?),
            Some(Tensor::from_vec(found.weight, weight.shape(), device)?),
            Some(Tensor::from_vec(found.bias, bias.shape(), device)?),
        ))
    }
}

/// What the backward pass reads, all rows of it.
struct Given<'a> {
    kept: &'a [f32],
    states: &'a [f32],
    grad: &'a [f32],
}

struct Gradients {
    gates: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Gru {
    /// The steps back through each sequence, and then one product for the weight.
    fn gradients(&self, given: Given<'_>, weight: &[f32]) -> Gradients {
        let dim = self.recurrence.dim;
        let width = 3 * dim;
        let rows = given.states.len() / dim;
        let mut gates = vec![0.0; rows * width];
        let (mut recurrent, mut previous) = (vec![0.0; rows * width], vec![0.0; rows * dim]);
        let mut panels = Panels::default();
        panels.pack(Rows { values: weight, count: width, depth: dim, stride: dim });
        let mut sequences = self.to_retreat(given, [&mut gates, &mut recurrent, &mut previous]);
        sequences.sort_by_key(|sequence| Reverse(sequence.states.len()));
        sequences.par_chunks_mut(BLOCK).for_each(|block| self.recurrence.retreat(block, &panels));
        let mut grad_weight = vec![0.0; width * dim];
        let through = Matrix::new(&recurrent, width).transposed();
        product(through, Matrix::new(&previous, dim), 1.0, 0.0, &mut grad_weight);
        Gradients { gates, weight: grad_weight, bias: column_sums(&recurrent, width) }
    }

    /// Each sequence's part of what is read and of what is found: the gradients of the gates and of the state's share
    /// in them, and the states before each row.
    fn to_retreat<'a>(
        &self,
        given: Given<'a>,
        [gates, recurrent, previous]: [&'a mut Vec<f32>; 3],
    ) -> Vec<Retreat<'a>> {
        let (lengths, dim) = (&self.lengths[..], self.recurrence.dim);
        let read = split(given.kept, lengths, 4 * dim)
            .into_iter()
            .zip(split(given.states, lengths, dim))
            .zip(split(given.grad, lengths, dim));
        let found = split_mut(gates, lengths, 3 * dim)
            .into_iter()
            .zip(split_mut(recurrent, lengths, 3 * dim))
            .zip(split_mut(previous, lengths, dim));
        read.zip(found)
            .map(|(((kept, states), grad), ((gates, recurrent), previous))| Retreat {
                kept,
                states,
                grad,
                gates,
                recurrent,
                previous,
            })
            .collect()
    }
}
