//! CLIP's picture half: a vision transformer, read at the class vector.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::{projection_dim, resnet};
use crate::encoder::Norm;
use crate::error::Result;
use crate::zoo::projection::Projection;
use crate::zoo::vision::{Differences, Vision};
use crate::zoo::{Files, Grid, ImageHalf};

/// CLIP's picture half, and AltCLIP's.
struct ClipImage {
    vision: Vision,
    norm: Norm,
    projection: Projection,
}

/// Loads the picture half.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, or the settings make no network.
pub(crate) fn image(files: &Files, device: &Device) -> Result<Box<dyn ImageHalf>> {
    // open_clip's settings tell; Hugging Face's know no ResNet.
    if files.settings.config["vision_config"]["resnet"].is_object() {
        return resnet::image(files);
    }
    Ok(Box::new(ClipImage::load(files, device)?))
}

impl ClipImage {
    fn load(files: &Files, device: &Device) -> Result<Self> {
        let vision = Vision::load(files, &Differences { class: true, biased: false }, device)?;
        let (hidden, eps) = (vision.config.hidden_size, vision.config.layer_norm_eps);
        let norm = Norm::read(&files.tensors, "vision_model.post_layernorm", hidden, eps)?;
        let dim = projection_dim(&files.settings)?;
        let projection = Projection::read(&files.tensors, "visual_projection", hidden, dim, false)?;
        files.expect_no_others(&["vision_model.", "visual_projection", "visual."])?;
        Ok(Self { vision, norm, projection })
    }

    /// Which rows of each picture, after the last norm, in the shared space.
    fn project(&self, states: &[f32], rows: std::ops::Range<usize>) -> Result<Tensor> {
        let width = self.width();
        let pictures = states.chunks_exact(self.vision.rows() * width);
        let mut picked: Vec<f32> = pictures
            .flat_map(|states| &states[rows.start * width..rows.end * width])
            .copied()
            .collect();
        picked.par_chunks_mut(width).for_each(|row| self.norm.apply(row));
        self.projection.forward(&picked)
    }
}

impl ImageHalf for ClipImage {
    fn dim(&self) -> usize {
        self.projection.dim()
    }

    fn width(&self) -> usize {
        self.vision.config.hidden_size
    }

    fn size(&self) -> Option<usize> {
        Some(self.vision.config.image_size)
    }

    fn grid(&self) -> Grid {
        Grid { class: 1, side: self.vision.config.side() }
    }

    fn embed(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        self.project(&self.vision.forward(pictures)?, 0..1)
    }

    fn cells(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let states = self.vision.forward(pictures)?;
        let shape = (pictures.len(), self.vision.rows(), self.width());
        Ok(Tensor::from_vec(states, shape, &Device::Cpu)?)
    }

    fn located(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let rows = 1..self.vision.rows();
        let located = self.project(&self.vision.forward_apart(pictures)?, rows.clone())?;
        Ok(located.reshape((pictures.len(), rows.len(), self.dim()))?)
    }
}
