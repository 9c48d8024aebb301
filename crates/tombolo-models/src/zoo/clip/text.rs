//! CLIP's text half: a causal transformer, read at the token that ends the text.

use candle_core::{Device, Tensor};
use serde::Deserialize;
use tombolo_kernels::Mask;

use super::projection_dim;
use crate::error::Result;
use crate::zoo::projection::Projection;
use crate::zoo::words::{Words, rows_at};
use crate::zoo::{Files, TextHalf};

/// The `eos_token_id` of files from before their authors noticed that it was wrong: the text then ends at its token of
/// the highest id.
const BEFORE_THE_CORRECTION: u32 = 2;

/// CLIP's text half.
struct ClipText {
    words: Words,
    projection: Projection,
    /// The token that ends a text; none: the one of the highest id does.
    end: Option<u32>,
}

/// Loads the text half.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, or the settings make no network.
pub(crate) fn text(files: &Files, device: &Device) -> Result<Box<dyn TextHalf>> {
    let end = files.settings.section::<End>("text_config")?.eos_token_id;
    let words = Words::load(files, Mask::Causal, device)?;
    let (hidden, dim) = (words.config.hidden_size, projection_dim(&files.settings)?);
    let projection = Projection::read(&files.tensors, "text_projection", hidden, dim, false)?;
    files.expect_no_others(&["text_model.", "text_projection"])?;
    let end = (end != BEFORE_THE_CORRECTION).then_some(end);
    Ok(Box::new(ClipText { words, projection, end }))
}

#[derive(Deserialize)]
struct End {
    eos_token_id: u32,
}

impl ClipText {
    /// Where a text is read: at its first end, or at the first token of the highest id.
    fn end(&self, ids: &[u32]) -> usize {
        let end = self.end.or_else(|| ids.iter().copied().max());
        ids.iter().position(|&id| Some(id) == end).unwrap_or(0)
    }
}

impl TextHalf for ClipText {
    fn dim(&self) -> usize {
        self.projection.dim()
    }

    fn width(&self) -> usize {
        self.words.config.hidden_size
    }

    fn embed(&self, ids: &[Vec<u32>]) -> Result<Tensor> {
        let states = self.words.forward(ids)?;
        self.projection.forward(&rows_at(&states, self.width(), ids, |ids| self.end(ids)))
    }

    fn states(&self, ids: &[Vec<u32>]) -> Result<Tensor> {
        let states = self.words.forward(ids)?;
        Ok(Tensor::from_vec(states, ((), self.width()), &Device::Cpu)?)
    }
}
