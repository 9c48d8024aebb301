//! GroupViT's text half: CLIP's encoder, behind it a deeper projection.

use candle_core::{Device, Tensor};
use tombolo_kernels::Mask;

use super::Top;
use super::projection::DeepProjection;
use crate::error::Result;
use crate::zoo::words::{End, Words};
use crate::zoo::{Files, TextHalf};

struct GroupVitText {
    words: Words,
    projection: DeepProjection,
    end: End,
}

/// Loads the text half.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, or the settings make no network.
pub(super) fn text(files: &Files, device: &Device) -> Result<Box<dyn TextHalf>> {
    let words = Words::load(files, Mask::Causal, device)?;
    let top: Top = files.settings.section("")?;
    let hidden = words.config.hidden_size;
    let projection = DeepProjection::read(&files.tensors, "text_projection", hidden, top)?;
    files.expect_no_others(&["text_model.", "text_projection"])?;
    Ok(Box::new(GroupVitText { words, projection, end: End::read(&files.settings)? }))
}

impl TextHalf for GroupVitText {
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
