//! AltCLIP's text half: XLM-RoBERTa, its first token taken into the space of CLIP's texts.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::Deserialize;
use tombolo_kernels::Activation;

use crate::encoder::{FrozenLinear, Norm};
use crate::error::Result;
use crate::text::{Bert, first_of_roberta};
use crate::zoo::clip::projection_dim;
use crate::zoo::projection::Projection;
use crate::zoo::vision::host;
use crate::zoo::words::bert_config;
use crate::zoo::{Files, TextHalf};

struct AltClipText {
    roberta: Bert,
    norm: Norm,
    transformation: FrozenLinear,
    projection: Projection,
}

/// Loads the text half.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, or the settings make no network.
pub(crate) fn text(files: &Files, device: &Device) -> Result<Box<dyn TextHalf>> {
    let (settings, tensors) = (&files.settings, &files.tensors);
    let config = bert_config(files)?;
    let other: Other = settings.section("text_config")?;
    let (hidden, eps) = (config.hidden_size, config.layer_norm_eps);
    let first = first_of_roberta(other.pad_token_id);
    let roberta = Bert::from_tensors(tensors, "text_model.roberta.", config, first, device)?;
    let name = "text_model.transformation".to_owned();
    let half = AltClipText {
        roberta,
        norm: Norm::read(tensors, "text_model.pre_LN", hidden, eps)?,
        transformation: FrozenLinear::read(tensors, &[name], hidden, other.project_dim)?,
        projection: Projection::read(
            tensors,
            "text_projection",
            other.project_dim,
            projection_dim(settings)?,
            false,
        )?,
    };
    files.expect_no_others(&["text_model.", "text_projection"])?;
    Ok(Box::new(half))
}

#[derive(Deserialize)]
struct Other {
    project_dim: usize,
    pad_token_id: usize,
}

impl AltClipText {
    /// `rows`: `[rows, hidden]`. Returns `[rows, project_dim]`.
    fn transformed(&self, mut rows: Vec<f32>) -> Vec<f32> {
        let hidden = self.transformation.inputs();
        rows.par_chunks_mut(hidden).for_each(|row| self.norm.apply(row));
        let mut out = vec![0.0; rows.len() / hidden * self.transformation.outputs()];
        self.transformation.forward(&rows, Activation::Identity, false, &mut out);
        out
    }
}

impl TextHalf for AltClipText {
    fn dim(&self) -> usize {
        self.projection.dim()
    }

    fn width(&self) -> usize {
        self.transformation.outputs()
    }

    fn states(&self, ids: &[Vec<u32>]) -> Result<Vec<f32>> {
        Ok(self.transformed(host(&self.roberta.forward(ids)?)?))
    }

    fn place(&self, _ids: &[u32]) -> usize {
        0
    }

    fn project(&self, states: &[f32]) -> Result<Tensor> {
        self.projection.forward(states)
    }
}
