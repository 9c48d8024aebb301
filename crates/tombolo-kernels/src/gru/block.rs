//! Some sequences side by side, step by step on the calling thread: one product a step for all of them.

use super::Direction;
use super::cell;
use crate::activation::Activation;
use crate::packed::PackedLinear;
use crate::panels::Panels;
use crate::tiles::Rows;

/// A unit with a state of `dim` values.
#[derive(Clone, Copy)]
pub(super) struct Recurrence {
    pub dim: usize,
    pub direction: Direction,
}

/// A sequence on the way forward.
pub(super) struct Advance<'a> {
    /// `[length, 3 · dim]`
    pub gates: &'a [f32],
    /// `[length, dim]`
    pub states: &'a mut [f32],
    /// `[length, 4 · dim]`
    pub kept: &'a mut [f32],
}

/// A sequence on the way back.
pub(super) struct Retreat<'a> {
    /// `[length, 4 · dim]`
    pub kept: &'a [f32],
    /// `[length, dim]`
    pub states: &'a [f32],
    /// Gradient of `states`.
    pub grad: &'a [f32],
    /// Gradient of the gates, `[length, 3 · dim]`.
    pub gates: &'a mut [f32],
    /// Gradient of the state's share in the gates, `[length, 3 · dim]`.
    pub recurrent: &'a mut [f32],
    /// The state before each row, `[length, dim]`.
    pub previous: &'a mut [f32],
}

/// The values of a row that is `width` wide.
fn row(values: &[f32], index: usize, width: usize) -> &[f32] {
    &values[index * width..][..width]
}

fn row_mut(values: &mut [f32], index: usize, width: usize) -> &mut [f32] {
    &mut values[index * width..][..width]
}

impl Recurrence {
    /// Fills in the states of sequences that are sorted by length, the longest first.
    pub(super) fn advance(&self, block: &mut [Advance<'_>], weight: &PackedLinear, bias: &[f32]) {
        let dim = self.dim;
        let longest = block.first().map_or(0, |sequence| sequence.states.len() / dim);
        let mut states = vec![0.0; block.len() * dim];
        let mut recurrent = bias.repeat(block.len());
        for step in 0..longest {
            let active = block.partition_point(|sequence| sequence.states.len() > step * dim);
            let (states, recurrent) =
                (&mut states[..active * dim], &mut recurrent[..active * 3 * dim]);
            // A state of zeros leaves the bias alone, which is there.
            if step > 0 {
                weight.forward(states, Activation::Identity, false, recurrent);
            }
            let rows = states.chunks_exact_mut(dim).zip(recurrent.chunks_exact(3 * dim));
            for (sequence, (state, recurrent)) in block.iter_mut().zip(rows) {
                let at = self.direction.row(step, sequence.states.len() / dim);
                let kept = row_mut(sequence.kept, at, 4 * dim);
                cell::advance(row(sequence.gates, at, 3 * dim), recurrent, state, kept);
                row_mut(sequence.states, at, dim).copy_from_slice(state);
            }
        }
    }

    /// Fills in the gradients of sequences that are sorted by length, the longest first. `weight`: `[3 · dim, dim]`.
    pub(super) fn retreat(&self, block: &mut [Retreat<'_>], weight: &Panels) {
        let dim = self.dim;
        let longest = block.first().map_or(0, |sequence| sequence.states.len() / dim);
        let mut grads = vec![0.0; block.len() * dim];
        let mut recurrent = vec![0.0; block.len() * 3 * dim];
        for step in (0..longest).rev() {
            let active = block.partition_point(|sequence| sequence.states.len() > step * dim);
            let (grads, recurrent) =
                (&mut grads[..active * dim], &mut recurrent[..active * 3 * dim]);
            let rows = grads.chunks_exact_mut(dim).zip(recurrent.chunks_exact_mut(3 * dim));
            for (sequence, (grad, recurrent)) in block.iter_mut().zip(rows) {
                self.retreat_row(sequence, step, grad, recurrent);
            }
            if step > 0 {
                let rows =
                    Rows { values: recurrent, count: active, depth: 3 * dim, stride: 3 * dim };
                weight.add_product(rows, grads);
            }
        }
    }

    /// One row back. `grad`: what reaches its state from the rows read after it, and then what goes on through z.
    fn retreat_row(
        &self,
        sequence: &mut Retreat<'_>,
        step: usize,
        grad: &mut [f32],
        recurrent: &mut [f32],
    ) {
        let dim = self.dim;
        let length = sequence.states.len() / dim;
        let at = self.direction.row(step, length);
        let previous = row_mut(sequence.previous, at, dim);
        if step > 0 {
            let before = self.direction.row(step - 1, length);
            previous.copy_from_slice(row(sequence.states, before, dim));
        }
        grad.iter_mut().zip(row(sequence.grad, at, dim)).for_each(|(sum, g)| *sum += g);
        let gates = row_mut(sequence.gates, at, 3 * dim);
        cell::retreat(row(sequence.kept, at, 4 * dim), previous, grad, gates, recurrent);
        row_mut(sequence.recurrent, at, 3 * dim).copy_from_slice(recurrent);
    }
}
