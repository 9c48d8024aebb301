//! What an encoder reads, at its own width.

use candle_core::Tensor;

use crate::error::Result;
use crate::layers::{LayerNorm, Linear};
use crate::tower::TowerInput;
use crate::weights::{Init, Scope};

/// Token ids looked up, or vectors normalised and projected.
pub(super) enum Input {
    Tokens(Tensor),
    Vectors { norm: LayerNorm, projection: Linear },
}

impl Input {
    /// Reads or creates a table of tokens, or a projection, at `scope`.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or holds one of another shape.
    pub(super) fn new(input: TowerInput, width: usize, scope: &Scope<'_>) -> Result<Self> {
        Ok(match input {
            TowerInput::Tokens(count) => {
                Self::Tokens(scope.get("tokens.weight", &[count, width], Init::Normal(0.1))?)
            }
            TowerInput::Vectors(dim) => Self::Vectors {
                norm: LayerNorm::new(dim, 1e-5, &scope.at("input_norm"))?,
                projection: Linear::new(dim, width, &scope.at("projection"))?,
            },
        })
    }

    /// `values`: `[rows]` token ids, or `[rows, dim]` vectors. Returns `[rows, width]`.
    ///
    /// # Errors
    /// If the values are not what it reads.
    pub(super) fn embed(&self, values: &Tensor) -> Result<Tensor> {
        match self {
            Self::Tokens(table) => Ok(table.index_select(values, 0)?),
            Self::Vectors { norm, projection } => projection.forward(&norm.forward(values)?),
        }
    }
}
