//! A gated recurrent unit as a layer, in one direction or both.

use candle_core::Tensor;
use tombolo_kernels::{Activation, Direction, gru, linear};

use crate::error::Result;
use crate::weights::{Init, Scope};

/// A gated recurrent unit over sequences that lie one after the other, without padding: the names, the order of the gates
/// and the first weights of PyTorch's.
pub struct Gru {
    passes: Vec<Pass>,
}

/// The unit in one direction.
struct Pass {
    direction: Direction,
    input_weight: Tensor,
    input_bias: Tensor,
    weight: Tensor,
    bias: Tensor,
}

impl Gru {
    /// Reads or creates a unit that reads from the first row to the last: at `scope` `weight_ih_l0` `[3 · hidden, input]`,
    /// `weight_hh_l0` `[3 · hidden, hidden]`, `bias_ih_l0` and `bias_hh_l0`, `[3 · hidden]` both.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or has another shape.
    pub fn new(input: usize, hidden: usize, scope: &Scope<'_>) -> Result<Self> {
        let passes = vec![Pass::new(input, hidden, Direction::Forward, scope)?];
        Ok(Self { passes })
    }

    /// As [`Gru::new`], and a second unit beside it that reads from the last row to the first: the same names with
    /// `_reverse` behind them.
    ///
    /// # Errors
    /// As [`Gru::new`].
    pub fn both_ways(input: usize, hidden: usize, scope: &Scope<'_>) -> Result<Self> {
        let both = [Direction::Forward, Direction::Backward];
        let passes = both.into_iter().map(|direction| Pass::new(input, hidden, direction, scope));
        Ok(Self { passes: passes.collect::<Result<_>>()? })
    }

    /// The states after each row; of a unit that reads both ways, the mean of its two.
    ///
    /// # Shapes
    /// `x`: `[rows, input]`; `lengths`: the rows of each sequence, none zero. Returns `[rows, hidden]`.
    /// # Errors
    /// If the shapes do not agree.
    pub fn forward(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        mean(self.states(x, lengths)?)
    }

    /// The state after all rows of each sequence; of a unit that reads both ways, the mean of its two.
    ///
    /// # Shapes
    /// As [`Gru::forward`], with a row a sequence.
    /// # Errors
    /// If the shapes do not agree.
    pub fn last(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let states = self.states(x, lengths)?;
        let read = self.passes.iter().zip(&states).map(|(pass, states)| {
            let rows = Tensor::new(last_rows(lengths, pass.direction), x.device())?;
            Ok(states.index_select(&rows, 0)?)
        });
        mean(read.collect::<Result<_>>()?)
    }

    /// The states after each row, as [`Gru::forward`] has them, of each direction.
    ///
    /// # Errors
    /// If the shapes do not agree.
    pub fn states(&self, x: &Tensor, lengths: &[usize]) -> Result<Vec<Tensor>> {
        self.passes.iter().map(|pass| pass.states(x, lengths)).collect()
    }
}

/// The mean of one state or two.
fn mean(states: Vec<Tensor>) -> Result<Tensor> {
    let count = states.len() as f64;
    let sum = states.into_iter().map(candle_core::Result::Ok).reduce(|sum, state| sum? + state?);
    Ok((sum.expect("a unit has a direction")? / count)?)
}

impl Pass {
    fn new(input: usize, hidden: usize, direction: Direction, scope: &Scope<'_>) -> Result<Self> {
        let suffix = match direction {
            Direction::Forward => "",
            Direction::Backward => "_reverse",
        };
        let start = Init::Uniform((hidden as f32).powf(-0.5));
        let tensor =
            |name: &str, shape: &[usize]| scope.get(&format!("{name}_l0{suffix}"), shape, start);
        Ok(Self {
            direction,
            input_weight: tensor("weight_ih", &[3 * hidden, input])?,
            weight: tensor("weight_hh", &[3 * hidden, hidden])?,
            input_bias: tensor("bias_ih", &[3 * hidden])?,
            bias: tensor("bias_hh", &[3 * hidden])?,
        })
    }

    fn states(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let gates = linear(x, &self.input_weight, &self.input_bias, Activation::Identity)?;
        Ok(gru(&gates, &self.weight, &self.bias, lengths, self.direction)?)
    }
}

/// The row of each sequence that is read last.
fn last_rows(lengths: &[usize], direction: Direction) -> Vec<u32> {
    let mut first = 0;
    let row = |&length: &usize| {
        let start = first;
        first += length as u32;
        match direction {
            Direction::Forward => first - 1,
            Direction::Backward => start,
        }
    };
    lengths.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::weights::Weights;

    #[test]
    fn the_last_state_is_that_of_the_last_row_and_backward_of_the_first() {
        let weights = Weights::trainable(1, &Device::Cpu);
        let gru = Gru::both_ways(3, 4, &weights.root()).unwrap();
        let values: Vec<f32> = (0..15).map(|i| (i * 7 % 11) as f32 / 5.0 - 1.0).collect();
        let x = Tensor::from_vec(values, (5, 3), &Device::Cpu).unwrap();
        let rows = |states: &Tensor| states.to_vec2::<f32>().unwrap();
        let [forward, backward] = &gru.states(&x, &[2, 3]).unwrap()[..] else { panic!("two") };
        let (forward, backward) = (rows(forward), rows(backward));
        let mean = |a: &[f32], b: &[f32]| -> Vec<f32> {
            a.iter().zip(b).map(|(a, b)| (a + b) / 2.0).collect()
        };
        let last = rows(&gru.last(&x, &[2, 3]).unwrap());
        assert_eq!(last, [mean(&forward[1], &backward[0]), mean(&forward[4], &backward[2])]);
        let states = rows(&gru.forward(&x, &[2, 3]).unwrap());
        assert_eq!(states[3], mean(&forward[3], &backward[3]));
    }
}
