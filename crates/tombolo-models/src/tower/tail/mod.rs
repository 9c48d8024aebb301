//! The last parts of a backbone, trained with the tower that reads them.

mod blocks;
mod layers;

use serde::{Deserialize, Serialize};

pub use self::blocks::{BlocksConfig, TailBlock};
pub use self::layers::LayersConfig;
use super::Sequences;
use crate::error::Result;
use crate::weights::Scope;

/// Sizes of a backbone's trained parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TailConfig {
    /// Blocks of an EfficientNet-Lite.
    Blocks(BlocksConfig),
    /// Layers of BERT.
    Layers(LayersConfig),
}

impl TailConfig {
    /// Width of the vectors that come out.
    pub fn output(&self) -> usize {
        match self {
            Self::Blocks(blocks) => blocks.output,
            Self::Layers(layers) => layers.gives.len() * layers.hidden,
        }
    }

    /// Cells of one feature map that blocks read, which must be whole; none of layers, which read any sequence.
    pub fn cells(&self) -> Option<usize> {
        match self {
            Self::Blocks(blocks) => Some(blocks.cells()),
            Self::Layers(_) => None,
        }
    }

    /// How many blocks or layers are trained.
    pub fn trained(&self) -> usize {
        match self {
            Self::Blocks(blocks) => blocks.blocks.len(),
            Self::Layers(layers) => layers.trained,
        }
    }
}

/// The trained parts with their weights.
pub(super) enum Tail {
    Blocks(blocks::Blocks),
    Layers(layers::Layers),
}

impl Tail {
    /// Reads or creates the parts at `scope`; `input`: width of what they read.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or holds one of another shape.
    pub(super) fn new(config: &TailConfig, input: usize, scope: &Scope<'_>) -> Result<Self> {
        Ok(match config {
            TailConfig::Blocks(config) => Self::Blocks(blocks::Blocks::new(config, input, scope)?),
            TailConfig::Layers(config) => Self::Layers(layers::Layers::new(config, scope)?),
        })
    }

    /// What the whole backbone says of sequences that its frozen parts have read.
    ///
    /// # Errors
    /// [`crate::ModelError::Shape`] if the sequences are not what the parts read.
    pub(super) fn forward(&self, sequences: &Sequences) -> Result<Sequences> {
        match self {
            Self::Blocks(blocks) => blocks.forward(sequences),
            Self::Layers(layers) => layers.forward(sequences),
        }
    }
}
