//! CLIP's text half: a causal transformer, read at the token that ends the text.

use candle_core::{Device, Tensor};
use tombolo_kernels::Mask;

use super::projection_dim;
use crate::error::Result;
use crate::zoo::projection::Projection;
use crate::zoo::words::{End, Words};
use crate::zoo::{Files, TextHalf};

/// CLIP's text half.
struct ClipText {
    words: Words,
    projection: Projection,
    end: End,
}

/// Loads the text half.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, or the settings make no network.
pub(crate) fn text(files: &Files, device: &Device) -> Result<Box<dyn TextHalf>> {
    let end = End::read(&files.settings)?;
    let words = Words::load(files, Mask::Causal, device)?;
    let (hidden, dim) = (words.config.hidden_size, projection_dim(&files.settings)?);
    let projection = Projection::read(&files.tensors, "text_projection", hidden, dim, false)?;
    files.expect_no_others(&["text_model.", "text_projection"])?;
    Ok(Box::new(ClipText { words, projection, end }))
}

impl TextHalf for ClipText {
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
        self.end.place(ids)
    }

    fn project(&self, states: &[f32]) -> Result<Tensor> {
        self.projection.forward(states)
    }
}
