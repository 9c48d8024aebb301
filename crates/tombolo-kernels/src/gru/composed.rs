//! The same recurrence from stock operations.

use std::cmp::Reverse;

use candle_core::{Result, Tensor};

use super::{Direction, state_width};

/// [`gru`](super::gru) from stock candle operations: for other devices, and to compare with. The sequences that are long
/// enough take each step together.
///
/// # Errors
/// As [`gru`](super::gru).
pub fn gru_composed(
    gates: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    lengths: &[usize],
    direction: Direction,
) -> Result<Tensor> {
    let dim = state_width(gates, weight, bias, lengths)?;
    let steps = steps(lengths, direction);
    let weight = weight.t()?;
    let mut state = gates.zeros_like()?.narrow(0, 0, lengths.len())?.narrow(1, 0, dim)?;
    let mut states = Vec::with_capacity(steps.len());
    for rows in &steps {
        state = state.narrow(0, 0, rows.len())?.contiguous()?;
        let inputs = gates.index_select(&Tensor::new(&rows[..], gates.device())?, 0)?;
        state = step(&inputs, &state.matmul(&weight)?.broadcast_add(bias)?, &state)?;
        states.push(state.clone());
    }
    if states.is_empty() {
        return gates.narrow(1, 0, dim);
    }
    let places = Tensor::new(places(&steps.concat()), gates.device())?;
    Tensor::cat(&states, 0)?.index_select(&places, 0)
}

/// The rows that are read at each step, those of the longest sequences first.
fn steps(lengths: &[usize], direction: Direction) -> Vec<Vec<u32>> {
    let mut sequences: Vec<(usize, usize)> = Vec::with_capacity(lengths.len());
    let mut first = 0;
    for &length in lengths {
        sequences.push((first, length));
        first += length;
    }
    sequences.sort_by_key(|&(_, length)| Reverse(length));
    let longest = sequences.first().map_or(0, |&(_, length)| length);
    let rows = |step: usize| {
        let active = sequences.iter().take_while(|&&(_, length)| length > step);
        active.map(|&(first, length)| (first + direction.row(step, length)) as u32).collect()
    };
    (0..longest).map(rows).collect()
}

/// Where each row is in an order of all rows.
fn places(order: &[u32]) -> Vec<u32> {
    let mut places = vec![0; order.len()];
    for (place, &row) in order.iter().enumerate() {
        places[row as usize] = place as u32;
    }
    places
}

fn step(inputs: &Tensor, recurrent: &Tensor, state: &Tensor) -> Result<Tensor> {
    let dim = state.dim(1)?;
    let third = |x: &Tensor, part: usize| x.narrow(1, part * dim, dim);
    let sigmoid = |x: Tensor| (x.neg()?.exp()? + 1.0)?.recip();
    let r = sigmoid((third(inputs, 0)? + third(recurrent, 0)?)?)?;
    let z = sigmoid((third(inputs, 1)? + third(recurrent, 1)?)?)?;
    let n = (third(inputs, 2)? + (r * third(recurrent, 2)?)?)?.tanh()?;
    &n + (z * (state - &n)?)?
}
