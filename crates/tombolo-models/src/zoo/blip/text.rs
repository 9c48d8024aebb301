//! BLIP's text half: BERT without segments, read at its first token.

use candle_core::{Device, Tensor};

use super::Top;
use crate::error::Result;
use crate::text::Bert;
use crate::zoo::projection::Projection;
use crate::zoo::vision::host;
use crate::zoo::words::bert_config;
use crate::zoo::{Files, TextHalf};

struct BlipText {
    bert: Bert,
    projection: Projection,
}

/// Loads the text half. What the layers know of looking at pictures is not read.
///
/// # Errors
/// If a tensor is missing or of another shape, or the settings make no network.
pub(super) fn text(files: &Files, device: &Device) -> Result<Box<dyn TextHalf>> {
    let config = bert_config(files)?;
    let (hidden, tensors) = (config.hidden_size, &files.tensors);
    let dim = files.settings.section::<Top>("")?.image_text_hidden_size;
    let bert = Bert::from_tensors(tensors, "text_encoder.", config, 0, device)?;
    let projection = Projection::read(tensors, "text_proj", hidden, dim, true)?;
    files.expect_no_others_but(".crossattention.", &["text_encoder.", "text_proj"])?;
    Ok(Box::new(BlipText { bert, projection }))
}

impl TextHalf for BlipText {
    fn dim(&self) -> usize {
        self.projection.dim()
    }

    fn width(&self) -> usize {
        self.bert.dim()
    }

    fn states(&self, ids: &[Vec<u32>]) -> Result<Vec<f32>> {
        host(&self.bert.forward(ids)?)
    }

    fn place(&self, _ids: &[u32]) -> usize {
        0
    }

    fn project(&self, states: &[f32]) -> Result<Tensor> {
        self.projection.forward(states)
    }
}
