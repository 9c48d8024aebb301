//! SigLIP's text half: every text filled up to the same length, read at its last place.

use candle_core::{Device, Tensor};
use tombolo_kernels::Mask;

use super::text_dim;
use crate::error::Result;
use crate::zoo::projection::Projection;
use crate::zoo::words::Words;
use crate::zoo::{Files, TextHalf};

struct SiglipText {
    words: Words,
    projection: Projection,
}

/// Loads the text half.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, or the settings make no network.
pub(crate) fn text(files: &Files, device: &Device) -> Result<Box<dyn TextHalf>> {
    let words = Words::load(files, Mask::None, device)?;
    let (hidden, dim) = (words.config.hidden_size, text_dim(&files.settings)?);
    let projection = Projection::read(&files.tensors, "text_model.head", hidden, dim, true)?;
    files.expect_no_others(&["text_model."])?;
    Ok(Box::new(SiglipText { words, projection }))
}

impl TextHalf for SiglipText {
    fn dim(&self) -> usize {
        self.projection.dim()
    }

    fn width(&self) -> usize {
        self.words.config.hidden_size
    }

    fn states(&self, ids: &[Vec<u32>]) -> Result<Vec<f32>> {
        self.words.forward(ids)
    }

    fn place(&self, ids: &[u32]) -> usize {
        ids.len() - 1
    }

    fn project(&self, states: &[f32]) -> Result<Tensor> {
        self.projection.forward(states)
    }
}
