//! BLIP's picture half: a ViT with its queries, keys and values in one layer, read at the class vector.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use tombolo_kernels::Activation;

use super::Top;
use crate::checkpoint::Values;
use crate::encoder::{Encoder, FrozenLinear, Layer, Names, Norm};
use crate::error::Result;
use crate::image::{patch_projection, patch_rows};
use crate::zoo::projection::Projection;
use crate::zoo::vision::{VisionConfig, host};
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
}

impl Sight {
    /// The network below `vision_model.` of a checkpoint.
    ///
    /// # Errors
    /// If a tensor is missing, left over or of another shape, or the settings make no network.
    pub(super) fn load(files: &Files, device: &Device) -> Result<Self> {
        let config: VisionConfig = files.settings.section("vision_config")?;
        let shape = config.shape(files)?;
        let (tensors, hidden) = (&files.tensors, config.hidden_size);
        let name = "vision_model.embeddings";
        let class = tensors.get(&format!("{name}.class_embedding"), &[1, 1, hidden])?;
        let rows = 1 + config.side().pow(2);
        let positions = tensors.get(&format!("{name}.position_embedding"), &[1, rows, hidden])?;
        let patch = format!("{name}.patch_embedding");
        let patches = patch_projection(tensors, &patch, hidden, config.patch_size, true)?;
        let layer = |index| {
            let name = format!("vision_model.encoder.layers.{index}");
            Ok(Layer::read(tensors, &name, &NAMES, shape)?)
        };
        let layers = (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?;
        let encoder = Encoder::new(shape, layers, device)?;
        let norm = Norm::read(tensors, "vision_model.post_layernorm", hidden, shape.eps)?;
        files.expect_no_others(&["vision_model."])?;
        Ok(Self { config, class, positions, patches, encoder, norm })
    }

    /// Width of a state.
    /// Side of the pictures that it reads.
    pub(super) fn size(&self) -> usize {
        self.config.image_size
    }

    pub(super) fn width(&self) -> usize {
        self.config.hidden_size
    }

    /// How the states of a picture lie.
    pub(super) fn grid(&self) -> Grid {
        Grid { class: 1, side: self.config.side() }
    }

    /// The states after the last norm, `[pictures · rows, width]`, the class first.
    pub(super) fn states(&self, pictures: &[&[f32]]) -> Result<Vec<f32>> {
        let lengths = vec![self.grid().rows(); pictures.len()];
        let x = self.enter(pictures);
        self.finish(&self.encoder.forward(x, &lengths, &[self.encoder.layers()])?)
    }

    /// The same, where no place looks at another in the last layer.
    fn states_apart(&self, pictures: &[&[f32]]) -> Result<Vec<f32>> {
        let lengths = vec![self.grid().rows(); pictures.len()];
        self.finish(&self.encoder.forward_apart(self.enter(pictures), &lengths)?)
    }

    fn finish(&self, states: &Tensor) -> Result<Vec<f32>> {
        let mut states = host(states)?;
        states.par_chunks_mut(self.width()).for_each(|row| self.norm.apply(row));
        Ok(states)
    }

    /// What the first layer reads.
    fn enter(&self, pictures: &[&[f32]]) -> Vec<f32> {
        let (hidden, rows) = (self.width(), self.grid().rows());
        let size = (self.config.image_size, self.config.image_size);
        let mut x = vec![0.0; pictures.len() * rows * hidden];
        x.par_chunks_mut(rows * hidden).zip(pictures).for_each(|(x, picture)| {
            x[..hidden].copy_from_slice(&self.class);
            let patches = patch_rows(picture, size, self.config.patch_size);
            self.patches.forward(&patches, Activation::Identity, false, &mut x[hidden..]);
            x.iter_mut().zip(&self.positions[..]).for_each(|(x, p)| *x += p);
        });
        x
    }
}

/// The half of BLIP that sees pictures.
struct BlipImage {
    sight: Sight,
    projection: Projection,
}

/// Loads the picture half.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, or the settings make no network.
pub(super) fn image(files: &Files, device: &Device) -> Result<Box<dyn ImageHalf>> {
    let sight = Sight::load(files, device)?;
    let dim = files.settings.section::<Top>("")?.image_text_hidden_size;
    let projection = Projection::read(&files.tensors, "vision_proj", sight.width(), dim, true)?;
    Ok(Box::new(BlipImage { sight, projection }))
}

impl BlipImage {
    /// Which rows of each picture in the shared space.
    fn project(&self, states: &[f32], rows: std::ops::Range<usize>) -> Result<Tensor> {
        let width = self.width();
        let pictures = states.chunks_exact(self.grid().rows() * width);
        let picked: Vec<f32> = pictures
            .flat_map(|states| &states[rows.start * width..rows.end * width])
            .copied()
            .collect();
        self.projection.forward(&picked)
    }
}

impl ImageHalf for BlipImage {
    fn dim(&self) -> usize {
        self.projection.dim()
    }

    fn width(&self) -> usize {
        self.sight.width()
    }

    fn size(&self) -> Option<usize> {
        Some(self.sight.size())
    }

    fn grid(&self) -> Grid {
        self.sight.grid()
    }

    fn embed(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        self.project(&self.sight.states(pictures)?, 0..1)
    }

    fn cells(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let shape = (pictures.len(), self.grid().rows(), self.width());
        Ok(Tensor::from_vec(self.sight.states(pictures)?, shape, &Device::Cpu)?)
    }

    fn located(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let rows = 1..self.grid().rows();
        let located = self.project(&self.sight.states_apart(pictures)?, rows.clone())?;
        Ok(located.reshape((pictures.len(), rows.len(), self.dim()))?)
    }
}
