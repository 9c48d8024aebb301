//! GroupViT's picture half: the mean of the groups that a picture falls into.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use tombolo_kernels::Activation;

use super::Top;
use super::config::VisionConfig;
use super::grouping::{Grouped, composed};
use super::projection::DeepProjection;
use super::stage::{Scene, Stage};
use crate::checkpoint::Values;
use crate::encoder::{FrozenLinear, Norm};
use crate::error::Result;
use crate::image::{patch_projection, patch_rows};
use crate::zoo::{Files, Grid, ImageHalf};

/// The half of GroupViT that sees pictures.
pub(super) struct GroupVitImage {
    config: VisionConfig,
    patches: FrozenLinear,
    norm_patches: Norm,
    positions: Values,
    stages: Vec<Stage>,
    norm: Norm,
    pub(super) projection: DeepProjection,
}

/// Loads the picture half.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, or the settings make no network.
pub(super) fn image(files: &Files, device: &Device) -> Result<Box<dyn ImageHalf>> {
    Ok(Box::new(GroupVitImage::load(files, device)?))
}

impl GroupVitImage {
    pub(super) fn load(files: &Files, device: &Device) -> Result<Self> {
        let config: VisionConfig = files.settings.section("vision_config")?;
        let shape = config.shape(files)?;
        let (tensors, hidden) = (&files.tensors, config.hidden_size);
        let norm =
            |part: &str| Norm::read(tensors, &format!("vision_model.{part}"), hidden, shape.eps);
        let name = "vision_model.embeddings.patch_embeddings.projection";
        let patches = patch_projection(tensors, name, hidden, config.patch_size, true)?;
        let positions = tensors.get(
            "vision_model.embeddings.position_embeddings",
            &[1, config.side().pow(2), hidden],
        )?;
        let stage = |stage| {
            let name = format!("vision_model.encoder.stages.{stage}");
            Stage::read(tensors, &name, (shape, config.stage(stage)), device)
        };
        let stages = (0..config.depths.len()).map(stage).collect::<Result<_>>()?;
        let top: Top = files.settings.section("")?;
        let half = Self {
            patches,
            norm_patches: norm("embeddings.layernorm")?,
            positions,
            stages,
            norm: norm("layernorm")?,
            projection: DeepProjection::read(tensors, "visual_projection", hidden, top)?,
            config,
        };
        files.expect_no_others(&["vision_model.", "visual_projection"])?;
        Ok(half)
    }

    /// The groups of each picture.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub(super) fn groups(&self, pictures: &[&[f32]]) -> Result<Vec<Grouped>> {
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let hidden = self.config.hidden_size;
        let (places, count) = (self.enter(pictures), pictures.len());
        let mut scene = Scene { places, tokens: Vec::new(), pictures: count };
        let (mut shares, mut groups): (Vec<Vec<f32>>, usize) = (Vec::new(), 0);
        for (stage, outputs) in self.stages.iter().zip(&self.config.num_output_groups) {
            let (next, found) = stage.forward(scene)?;
            scene = next;
            if found.is_empty() {
                continue;
            }
            shares = match groups {
                0 => found,
                _ => {
                    let both = shares.iter().zip(&found);
                    both.map(|(first, then)| composed(first, then, groups)).collect()
                }
            };
            groups = *outputs;
        }
        scene.places.par_chunks_mut(hidden).for_each(|row| self.norm.apply(row));
        let states = scene.places.chunks_exact(scene.places.len() / count);
        let grouped = states.zip(shares).map(|(states, shares)| Grouped {
            states: states.to_vec(),
            shares,
            hidden,
        });
        Ok(grouped.collect())
    }

    /// What the first stage reads: `[pictures, cells, hidden]`.
    fn enter(&self, pictures: &[&[f32]]) -> Vec<f32> {
        let VisionConfig { hidden_size: hidden, image_size: size, patch_size: patch, .. } =
            self.config;
        let length = self.config.side().pow(2) * hidden;
        let mut x = vec![0.0; pictures.len() * length];
        x.par_chunks_mut(length).zip(pictures).for_each(|(x, picture)| {
            let patches = patch_rows(picture, (size, size), patch);
            self.patches.forward(&patches, Activation::Identity, false, x);
            self.norm_patches.apply(x);
            x.iter_mut().zip(&self.positions[..]).for_each(|(x, p)| *x += p);
        });
        x
    }
}

impl ImageHalf for GroupVitImage {
    fn dim(&self) -> usize {
        self.projection.dim()
    }

    fn width(&self) -> usize {
        self.config.hidden_size
    }

    fn size(&self) -> Option<usize> {
        Some(self.config.image_size)
    }

    fn grid(&self) -> Grid {
        Grid { class: 0, side: self.config.side() }
    }

    fn embed(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let groups = self.groups(pictures)?;
        let means: Vec<f32> = groups.iter().flat_map(Grouped::mean).collect();
        self.projection.forward(&means)
    }

    fn cells(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let groups = self.groups(pictures)?;
        let cells: Vec<f32> = groups.iter().flat_map(Grouped::cells).collect();
        let shape = (pictures.len(), self.grid().rows(), self.width());
        Ok(Tensor::from_vec(cells, shape, &Device::Cpu)?)
    }

    fn located(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let groups = self.groups(pictures)?;
        let cells: Vec<f32> = groups.iter().flat_map(Grouped::cells).collect();
        let shape = (pictures.len(), self.grid().rows(), self.dim());
        Ok(self.projection.forward(&cells)?.reshape(shape)?)
    }
}
