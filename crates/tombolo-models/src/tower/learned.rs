//! Pooling by learned weights: the generalised pooling operator (Chen et al. 2021, "Learning the Best Pooling Strategy for
//! Visual Semantic Embedding").

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use tombolo_kernels::{masked_softmax, ranked_pool};

use crate::error::Result;
use crate::layers::Gru;
use crate::weights::{Init, Scope};

/// Width of the encoding of a place, and of the recurrent states over it.
const WIDTH: usize = 32;

/// Temperature of the softmax over the places.
const TEMPERATURE: f64 = 0.1;

/// Weights of sorted values by their places, for sequences of any length: a bidirectional GRU over encoded places, a
/// linear layer, and a softmax.
pub(super) struct LearnedPooling {
    gru: Gru,
    score: Tensor,
}

impl LearnedPooling {
    /// Reads or creates the generator of weights at `scope`. A created one weighs all places alike.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or holds one of another shape.
    pub(super) fn new(scope: &Scope<'_>) -> Result<Self> {
        let gru = Gru::both_ways(WIDTH, WIDTH, &scope.at("gru"))?;
        Ok(Self { gru, score: scope.get("score.weight", &[1, WIDTH], Init::Constant(0.0))? })
    }

    /// Each component's values in a run, sorted, by the weights of their places.
    ///
    /// # Shapes
    /// `values`: `[rows, dim]`; `runs`: the rows of each run. Returns `[runs, dim]`.
    /// # Errors
    /// If a tensor operation fails.
    pub(super) fn forward(&self, values: &Tensor, runs: &[usize]) -> Result<Tensor> {
        Ok(ranked_pool(values, &self.weights(runs, values.device())?, runs)?)
    }

    /// The weights of each run's places, one run after the other: `[rows]`.
    fn weights(&self, runs: &[usize], device: &Device) -> Result<Tensor> {
        let mut starts: BTreeMap<usize, u32> = BTreeMap::new();
        runs.iter().filter(|&&run| run > 0).for_each(|&run| _ = starts.insert(run, 0));
        let lengths: Vec<usize> = starts.keys().copied().collect();
        let mut rows = 0;
        for (length, start) in &mut starts {
            *start = rows;
            rows += *length as u32;
        }
        let states = self.gru.forward(&places(&lengths, device)?, &lengths)?;
        let scores = (states.matmul(&self.score.t()?)? * (1.0 / TEMPERATURE))?;
        let weights = lengths.iter().map(|&length| {
            let scores = scores.narrow(0, starts[&length] as usize, length)?;
            masked_softmax(&scores.reshape((1, length))?.contiguous()?, &[length])?.squeeze(0)
        });
        let weights = Tensor::cat(&weights.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
        let own = runs.iter().filter(|&&run| run > 0);
        let own = own
            .flat_map(|&run| (0..run as u32).map(|place| starts[&run] + place).collect::<Vec<_>>());
        let own: Vec<u32> = own.collect();
        Ok(weights.index_select(&Tensor::new(own, device)?, 0)?)
    }
}

/// Places 0, 1, … of each sequence in sines and cosines (Vaswani et al. 2017, §3.5): `[rows, WIDTH]`.
fn places(lengths: &[usize], device: &Device) -> Result<Tensor> {
    let encoded = lengths.iter().flat_map(|&length| 0..length).flat_map(|place| {
        (0..WIDTH).map(move |component| {
            let rate = 10_000f64.powf(-((component / 2 * 2) as f64) / WIDTH as f64);
            let (sine, cosine) = (place as f64 * rate).sin_cos();
            if component % 2 == 0 { sine as f32 } else { cosine as f32 }
        })
    });
    let encoded: Vec<f32> = encoded.collect();
    let rows = encoded.len() / WIDTH;
    Ok(Tensor::from_vec(encoded, (rows, WIDTH), device)?)
}
