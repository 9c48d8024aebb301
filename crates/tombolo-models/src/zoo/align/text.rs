//! ALIGN's text half: BERT, its first token taken into the space of pictures.

use candle_core::{Device, Tensor};

use super::Top;
use crate::error::Result;
use crate::text::Bert;
use crate::zoo::projection::Projection;
use crate::zoo::vision::host;
use crate::zoo::words::bert_config;
use crate::zoo::{Files, TextHalf};

struct AlignText {
    bert: Bert,
    projection: Projection,
}

/// Loads the text half.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, or the settings make no network.
pub(super) fn text(files: &Files, device: &Device) -> Result<Box<dyn TextHalf>> {
    let (settings, tensors) = (&files.settings, &files.tensors);
    let config = bert_config(files)?;
    let (hidden, dim) = (config.hidden_size, settings.section::<Top>("")?.projection_dim);
    let bert = Bert::from_tensors(tensors, "text_model.", config, 0, device)?;
    let projection = Projection::read(tensors, "text_projection", hidden, dim, true)?;
    files.expect_no_others(&["text_model.", "text_projection"])?;
    Ok(Box::new(AlignText { bert, projection }))
}

impl TextHalf for AlignText {
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
