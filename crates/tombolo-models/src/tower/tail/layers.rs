//! The last layers of BERT, trained with the tower that reads them.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tombolo_kernels::{Activation, attention, residual_layer_norm};

use super::Sequences;
use crate::error::Result;
use crate::layers::Linear;
use crate::weights::{Init, Scope};

/// Sizes of the layers, and of what they read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayersConfig {
    /// Width of one layer's output.
    pub hidden: usize,
    /// Width inside the MLP.
    pub mlp: usize,
    /// Heads of each layer.
    pub heads: usize,
    /// ε of the layer norms.
    pub eps: f32,
    /// How many layers are trained.
    pub trained: usize,
    /// The layers whose outputs lie side by side in what is read; the first trained layer goes on from the largest.
    pub reads: Vec<usize>,
    /// The layers whose outputs lie side by side in what comes out.
    pub gives: Vec<usize>,
}

impl LayersConfig {
    /// What the frozen layers must give, when these outputs are wanted of a network of so many layers and the last ones
    /// of them are trained.
    pub fn reads(gives: &[usize], layers: usize, trained: usize) -> Vec<usize> {
        let below = layers - trained;
        let frozen = gives.iter().copied().filter(|&layer| layer < below);
        frozen.chain([below]).collect()
    }

    fn below(&self) -> usize {
        self.reads.iter().copied().max().unwrap_or(0)
    }
}

/// The layers with their weights.
pub(in crate::tower) struct Layers {
    config: LayersConfig,
    layers: Vec<Layer>,
}

/// One layer, normalised after each sum.
struct Layer {
    qkv: Linear,
    output: Linear,
    expand: Linear,
    contract: Linear,
    norms: [(Tensor, Tensor); 2],
}

impl Layers {
    /// Reads or creates the layers at `scope`.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or holds one of another shape.
    pub(super) fn new(config: &LayersConfig, scope: &Scope<'_>) -> Result<Self> {
        let layers = (0..config.trained).map(|place| Layer::new(config, &scope.at(place)));
        Ok(Self { config: config.clone(), layers: layers.collect::<Result<_>>()? })
    }

    /// The outputs that are asked for, side by side.
    ///
    /// # Shapes
    /// `sequences`: rows of `[rows, reads.len() · hidden]`. Returns rows of `gives.len() · hidden`.
    /// # Errors
    /// If the rows are of another width.
    pub(super) fn forward(&self, sequences: &Sequences) -> Result<Sequences> {
        let LayersConfig { hidden, reads, gives, .. } = &self.config;
        let mut states = reads
            .iter()
            .enumerate()
            .map(|(place, &layer)| {
                Ok((layer, sequences.values.narrow(1, place * hidden, *hidden)?.contiguous()?))
            })
            .collect::<Result<std::collections::BTreeMap<_, _>>>()?;
        let below = self.config.below();
        for (place, layer) in self.layers.iter().enumerate() {
            let state =
                layer.forward(&states[&(below + place)], &sequences.lengths, &self.config)?;
            states.insert(below + place + 1, state);
        }
        let gives: Vec<&Tensor> = gives.iter().map(|layer| &states[layer]).collect();
        Ok(Sequences { values: Tensor::cat(&gives, 1)?, lengths: sequences.lengths.clone() })
    }
}

impl Layer {
    fn new(config: &LayersConfig, scope: &Scope<'_>) -> Result<Self> {
        let LayersConfig { hidden, mlp, .. } = *config;
        let norm = |name: &str| -> Result<(Tensor, Tensor)> {
            let scope = scope.at(name);
            let weight = scope.get("weight", &[hidden], Init::Constant(1.0))?;
            Ok((weight, scope.get("bias", &[hidden], Init::Constant(0.0))?))
        };
        Ok(Self {
            qkv: Linear::new(hidden, 3 * hidden, &scope.at("qkv"))?,
            output: Linear::new(hidden, hidden, &scope.at("output"))?,
            expand: Linear::new(hidden, mlp, &scope.at("expand"))?,
            contract: Linear::new(mlp, hidden, &scope.at("contract"))?,
            norms: [norm("norm_attention")?, norm("norm_mlp")?],
        })
    }

    fn forward(&self, x: &Tensor, lengths: &[usize], config: &LayersConfig) -> Result<Tensor> {
        let [first, second] = &self.norms;
        let attended = attention(&self.qkv.forward(x)?, config.heads, lengths)?;
        let attended = self.output.forward(&attended)?;
        let x = residual_layer_norm(x, &attended, &first.0, &first.1, config.eps)?;
        let inner = self.expand.forward_activated(&x, Activation::Gelu)?;
        let inner = self.contract.forward(&inner)?;
        Ok(residual_layer_norm(&x, &inner, &second.0, &second.1, config.eps)?)
    }
}
