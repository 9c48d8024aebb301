//! BLIP's picture encoder: a ViT with its queries, keys and values in one layer.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use tombolo_kernels::{Activation, unit_norm};

use super::config::{BlipConfig, VisionConfig};
use crate::checkpoint::Values;
use crate::encoder::{Encoder, FrozenLinear, Layer, Names, Norm};
use crate::error::Result;
use crate::image::{patch_projection, patch_rows};
use crate::zoo::{Files, Grid, ImageHalf};

const NAMES: Names = Names {
    attention: &["self_attn.qkv"],
    output: "self_attn.projection",
    norms: ["layer_norm1", "layer_norm2"],
    expand: "mlp.fc1",
    contract: "mlp.fc2",
    scales: None,
};

/// What BLIP sees of a picture: its encoder without the projection into the shared space.
pub(super) struct Sight {
    config: VisionConfig,
    class: Values,
    positions: Values,
    patches: FrozenLinear,
    encoder: Encoder,
    norm: Norm,
    device: Device,
}

impl Sight {
    pub(super) fn load(files: &Files, config: VisionConfig, device: &Device) -> Result<Self> {
        let tensors = &files.tensors;
        let (hidden, cells) = (config.hidden_size, config.side() * config.side());
        let get = |name: &str, shape: &[usize]| {
            tensors.get(&format!("vision_model.embeddings.{name}"), shape)
        };
        let class = get("class_embedding", &[1, 1, hidden])?;
        let positions = get("position_embedding", &[1, cells + 1, hidden])?;
        let patches = patch_projection(
            tensors,
            "vision_model.embeddings.patch_embedding",
            hidden,
            config.patch_size,
        )?;
        let layer = |index| {
            let name = format!("vision_model.encoder.layers.{index}");
            Ok(Layer::read(tensors, &name, &NAMES, config.encoder())?)
        };
        let layers = (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?;
        let encoder = Encoder::new(config.encoder(), layers, device)?;
        let norm = "vision_model.post_layernorm";
        let norm = Norm::read(tensors, norm, hidden, config.layer_norm_eps)?;
        Ok(Self { config, class, positions, patches, encoder, norm, device: device.clone() })
    }

    /// Width of a state.
    pub(super) fn width(&self) -> usize {
        self.config.hidden_size
    }

    /// States of a picture, that of the class included.
    pub(super) fn rows(&self) -> usize {
        1 + self.config.side() * self.config.side()
    }

    /// The states after the last norm, `[pictures · rows, width]`, the class first.
    pub(super) fn states(&self, pictures: &[&[f32]]) -> Result<Vec<f32>> {
        let (hidden, rows) = (self.width(), self.rows());
        let size = (self.config.image_size, self.config.image_size);
        let mut x = vec![0.0; pictures.len() * rows * hidden];
        x.par_chunks_mut(rows * hidden).zip(pictures).for_each(|(x, picture)| {
            x[..hidden].copy_from_slice(&self.class);
            let patches = patch_rows(picture, size, self.config.patch_size);
            self.patches.forward(&patches, Activation::Identity, false, &mut x[hidden..]);
            x.iter_mut().zip(&self.positions[..]).for_each(|(x, p)| *x += p);
        });
        let lengths = vec![rows; pictures.len()];
        let x = self.encoder.forward(x, &lengths, &[self.encoder.layers()])?;
        let mut x = x.flatten_all()?.to_vec1::<f32>()?;
        x.par_chunks_mut(rows * hidden).for_each(|x| self.norm.apply(x));
        Ok(x)
    }
}

/// The half of BLIP that sees pictures.
pub(crate) struct BlipImage {
    sight: Sight,
    projection: FrozenLinear,
}

impl BlipImage {
    /// # Errors
    /// If the settings are not BLIP's, or a tensor is missing or has another shape.
    pub(crate) fn load(files: &Files, device: &Device) -> Result<Self> {
        let config = BlipConfig::read(files)?;
        let (width, dim) = (config.vision_config.hidden_size, config.image_text_hidden_size);
        let projection =
            FrozenLinear::read(&files.tensors, &["vision_proj".to_owned()], width, dim)?;
        Ok(Self { sight: Sight::load(files, config.vision_config, device)?, projection })
    }

    /// States, row by row, in the shared space.
    fn project(&self, states: &[f32], shape: &[usize]) -> Result<Tensor> {
        let (width, dim) = (self.width(), self.dim());
        let mut out = vec![0.0; states.len() / width * dim];
        let chunks = out.par_chunks_mut(self.sight.rows() * dim);
        chunks.zip(states.par_chunks(self.sight.rows() * width)).for_each(|(out, states)| {
            self.projection.forward(states, Activation::Identity, false, out);
        });
        Ok(unit_norm(&Tensor::from_vec(out, shape, &self.sight.device)?)?)
    }
}

impl ImageHalf for BlipImage {
    fn dim(&self) -> usize {
        self.projection.outputs()
    }

    fn width(&self) -> usize {
        self.sight.width()
    }

    fn grid(&self) -> Grid {
        Grid { class: 1, side: self.sight.config.side() }
    }

    fn embed(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let states = self.sight.states(pictures)?;
        let pictures_states = states.chunks_exact(self.sight.rows() * self.width());
        let classes: Vec<f32> =
            pictures_states.flat_map(|states| &states[..self.width()]).copied().collect();
        self.project(&classes, &[pictures.len(), self.dim()])
    }

    fn cells(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let states = self.sight.states(pictures)?;
        let shape = (pictures.len(), self.sight.rows(), self.width());
        Ok(Tensor::from_vec(states, shape, &self.sight.device)?)
    }

    fn located(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let states = self.sight.states(pictures)?;
        let rows = self.sight.rows();
        let all = self.project(&states, &[pictures.len(), rows, self.dim()])?;
        Ok(all.narrow(1, 1, rows - 1)?.contiguous()?)
    }
}
