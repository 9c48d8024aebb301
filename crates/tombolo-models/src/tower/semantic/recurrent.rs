//! A semantic encoder that reads from the first position to the last.

use candle_core::Tensor;

use super::input::Input;
use crate::error::Result;
use crate::layers::{Gru, unit_norm};
use crate::tower::{Sequences, TowerConfig};
use crate::weights::Scope;

/// A gated recurrent unit over a sequence: the text side of VSE++ (Faghri et al. 2018, §3.1) over learned words.
pub(in crate::tower) struct RecurrentEncoder {
    input: Input,
    gru: Gru,
}

impl RecurrentEncoder {
    /// Reads or creates an encoder at `scope`.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or holds one of another shape.
    pub(super) fn new(config: &TowerConfig, scope: &Scope<'_>) -> Result<Self> {
        Ok(Self {
            input: Input::new(config.encoded(), config.width, scope)?,
            gru: Gru::new(config.width, config.output, &scope.at("gru"))?,
        })
    }

    /// The state after the last position, scaled to unit norm: `[batch, output]`.
    pub(super) fn forward(&self, sequences: &Sequences) -> Result<Tensor> {
        let read = self.input.embed(&sequences.values)?;
        Ok(unit_norm(&self.gru.last(&read, &sequences.lengths)?)?)
    }
}
