//! SigLIP's picture half: a vision transformer without a class vector, read by a query that attends to its cells.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::Deserialize;

use super::head::Head;
use super::text_dim;
use crate::encoder::Norm;
use crate::error::Result;
use crate::zoo::projection::unit;
use crate::zoo::vision::{Differences, Vision};
use crate::zoo::{Files, Grid, ImageHalf, activation};

struct SiglipImage {
    vision: Vision,
    norm: Norm,
    head: Head,
}

/// Loads the picture half.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, or the settings make no network.
pub(crate) fn image(files: &Files, device: &Device) -> Result<Box<dyn ImageHalf>> {
    let settings = &files.settings;
    let vision = Vision::load(files, &Differences { class: false, biased: true }, device)?;
    let (hidden, eps) = (vision.config.hidden_size, vision.config.layer_norm_eps);
    let dim = text_dim(settings)?;
    if !settings.section::<UsesHead>("vision_config")?.vision_use_head {
        let reason = "vision_config.vision_use_head: expected true, found false".to_owned();
        return Err(settings.refused(reason));
    }
    if dim != hidden {
        let reason =
            format!("vision_config.hidden_size: expected {dim}, as texts have it, found {hidden}");
        return Err(settings.refused(reason));
    }
    let norm = Norm::read(&files.tensors, "vision_model.post_layernorm", hidden, eps)?;
    let activation = activation(files, &vision.config.hidden_act)?;
    let head = Head::read(&files.tensors, &vision.config, activation)?;
    files.expect_no_others(&["vision_model."])?;
    Ok(Box::new(SiglipImage { vision, norm, head }))
}

#[derive(Deserialize)]
struct UsesHead {
    vision_use_head: bool,
}

impl SiglipImage {
    fn normed(&self, mut states: Vec<f32>) -> Vec<f32> {
        states.par_chunks_mut(self.width()).for_each(|row| self.norm.apply(row));
        states
    }
}

impl ImageHalf for SiglipImage {
    fn dim(&self) -> usize {
        self.width()
    }

    fn width(&self) -> usize {
        self.vision.config.hidden_size
    }

    fn size(&self) -> Option<usize> {
        Some(self.vision.config.image_size)
    }

    fn grid(&self) -> Grid {
        Grid { class: 0, side: self.vision.config.side() }
    }

    fn embed(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let states = self.normed(self.vision.forward(pictures)?);
        unit(self.head.pooled(&states, self.vision.rows()), self.dim())
    }

    fn cells(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let states = self.normed(self.vision.forward(pictures)?);
        let shape = (pictures.len(), self.vision.rows(), self.width());
        Ok(Tensor::from_vec(states, shape, &Device::Cpu)?)
    }

    fn located(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let states = self.normed(self.vision.forward(pictures)?);
        // A query that finds one cell alone attends to it wholly.
        let located = unit(self.head.pooled(&states, 1), self.dim())?;
        Ok(located.reshape((pictures.len(), self.vision.rows(), self.dim()))?)
    }
}
