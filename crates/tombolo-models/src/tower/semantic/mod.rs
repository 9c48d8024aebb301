//! The semantic encoder: what makes one vector of a sequence.

mod input;
mod recurrent;
mod transformer;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use self::recurrent::RecurrentEncoder;
use self::transformer::TransformerEncoder;
use super::{Sequences, TowerConfig};
use crate::error::Result;
use crate::weights::Scope;

/// What reads a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderKind {
    /// A Transformer encoder, read at its `[class]` token: the paper's.
    #[default]
    Transformer,
    /// A gated recurrent unit, whose state is as wide as the output: the vector is its state after the last position. That
    /// of VSE++ (Faghri et al. 2018).
    Gru,
}

impl EncoderKind {
    pub(super) fn is_transformer(&self) -> bool {
        matches!(self, Self::Transformer)
    }
}

/// The semantic encoder of a tower.
pub(super) enum SemanticEncoder {
    Transformer(TransformerEncoder),
    Gru(RecurrentEncoder),
}

impl SemanticEncoder {
    /// Reads or creates an encoder at `scope`.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or holds one of another shape.
    pub(super) fn new(config: &TowerConfig, scope: &Scope<'_>) -> Result<Self> {
        Ok(match config.encoder {
            EncoderKind::Transformer => Self::Transformer(TransformerEncoder::new(config, scope)?),
            EncoderKind::Gru => Self::Gru(RecurrentEncoder::new(config, scope)?),
        })
    }

    /// What the stages train: one vector a sequence, scaled to unit norm.
    ///
    /// # Shapes
    /// Returns `[batch, output]`.
    /// # Errors
    /// If the sequences are not what the tower reads, or longer than its positions.
    pub(super) fn forward(&self, sequences: &Sequences) -> Result<Tensor> {
        match self {
            Self::Transformer(encoder) => encoder.forward(sequences),
            Self::Gru(encoder) => encoder.forward(sequences),
        }
    }
}
