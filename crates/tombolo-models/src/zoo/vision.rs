//! What the picture halves of CLIP, AltCLIP and SigLIP share: a vision transformer with the norm before each branch.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::Deserialize;
use tombolo_kernels::{Activation, Mask};

use super::{Files, activation};
use crate::checkpoint::{MappedTensors, Values};
use crate::encoder::{Encoder, FrozenLinear, Layer, Names, Norm, NormPlace, Shape};
use crate::error::Result;
use crate::image::{patch_projection, patch_rows};

/// The names of a layer in CLIP's, AltCLIP's and SigLIP's checkpoints.
pub(crate) const NAMES: Names = Names {
    attention: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    output: "self_attn.out_proj",
    norms: ["layer_norm1", "layer_norm2"],
    expand: "mlp.fc1",
    contract: "mlp.fc2",
    scales: None,
};

/// `vision_config`, as far as the network needs it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct VisionConfig {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_channels: usize,
    pub image_size: usize,
    pub patch_size: usize,
    pub hidden_act: String,
    pub layer_norm_eps: f32,
}

impl VisionConfig {
    /// Cells of a side.
    pub fn side(&self) -> usize {
        self.image_size / self.patch_size.max(1)
    }

    pub fn shape(&self, files: &Files) -> Result<Shape> {
        let shape = Shape {
            hidden: self.hidden_size,
            mlp: self.intermediate_size,
            heads: self.num_attention_heads,
            eps: self.layer_norm_eps,
            norms: NormPlace::Before,
            activation: activation(files, &self.hidden_act)?,
            mask: Mask::None,
        };
        let fault = match (self.side(), self.num_channels) {
            (1.., 3) => shape.fault(),
            (_, channels) => Some(format!(
                "patch_size: expected a patch within the picture and 3 channels, found patch {} of {}, {channels} channels",
                self.patch_size, self.image_size
            )),
        };
        match fault {
            None => Ok(shape),
            Some(fault) => Err(files.settings.refused(format!("vision_config.{fault}"))),
        }
    }
}

/// Patches, positions and layers, without what follows the last one.
pub(crate) struct Vision {
    pub config: VisionConfig,
    patches: FrozenLinear,
    class: Option<Values>,
    positions: Values,
    /// CLIP's norm before the first layer.
    entry: Option<Norm>,
    encoder: Encoder,
}

/// What tells one vision transformer from the other.
pub(crate) struct Differences {
    /// A class vector before the cells, and a norm before the first layer, as in CLIP.
    pub class: bool,
    /// Whether the patches' projection has a bias.
    pub biased: bool,
}

impl Vision {
    /// The network below `vision_model.` of a checkpoint.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape, or the settings make no network.
    pub fn load(files: &Files, differences: &Differences, device: &Device) -> Result<Self> {
        let config: VisionConfig = files.settings.section("vision_config")?;
        let shape = config.shape(files)?;
        let (tensors, hidden) = (&files.tensors, config.hidden_size);
        let embeddings = "vision_model.embeddings";
        let name = format!("{embeddings}.patch_embedding");
        let patches =
            patch_projection(tensors, &name, hidden, config.patch_size, differences.biased)?;
        let rows = config.side().pow(2) + usize::from(differences.class);
        let positions =
            tensors.get(&format!("{embeddings}.position_embedding.weight"), &[rows, hidden])?;
        let (class, entry) = match differences.class {
            true => (
                Some(tensors.get(&format!("{embeddings}.class_embedding"), &[hidden])?),
                Some(Norm::read(tensors, "vision_model.pre_layrnorm", hidden, shape.eps)?),
            ),
            false => (None, None),
        };
        let encoder = layers(tensors, "vision_model", config.num_hidden_layers, shape, device)?;
        Ok(Self { config, patches, class, positions, entry, encoder })
    }

    /// Vectors of a picture: the class, if there is one, and the cells.
    pub fn rows(&self) -> usize {
        self.config.side().pow(2) + usize::from(self.class.is_some())
    }

    /// What the last layer gives: `[pictures · rows, hidden]`.
    pub fn forward(&self, pictures: &[&[f32]]) -> Result<Vec<f32>> {
        let lengths = vec![self.rows(); pictures.len()];
        host(&self.encoder.forward(self.enter(pictures), &lengths, &[self.encoder.layers()])?)
    }

    /// The same, where no place looks at another in the last layer.
    pub fn forward_apart(&self, pictures: &[&[f32]]) -> Result<Vec<f32>> {
        host(
            &self
                .encoder
                .forward_apart(self.enter(pictures), &vec![self.rows(); pictures.len()])?,
        )
    }

    /// What the first layer reads.
    fn enter(&self, pictures: &[&[f32]]) -> Vec<f32> {
        let (hidden, patch) = (self.config.hidden_size, self.config.patch_size);
        let size = (self.config.image_size, self.config.image_size);
        let class = self.class.as_ref().map_or(0, |_| hidden);
        let mut x = vec![0.0; pictures.len() * self.rows() * hidden];
        x.par_chunks_mut(self.rows() * hidden).zip(pictures).for_each(|(x, picture)| {
            if let Some(values) = &self.class {
                x[..hidden].copy_from_slice(values);
            }
            let patches = patch_rows(picture, size, patch);
            self.patches.forward(&patches, Activation::Identity, false, &mut x[class..]);
            x.iter_mut().zip(&self.positions[..]).for_each(|(x, p)| *x += p);
            if let Some(norm) = &self.entry {
                norm.apply(x);
            }
        });
        x
    }
}

/// The layers of a transformer below `PART.encoder.layers`, or `.layer`, as transformers 5 writes AltCLIP's.
pub(crate) fn layers(
    tensors: &MappedTensors,
    part: &str,
    count: usize,
    shape: Shape,
    device: &Device,
) -> Result<Encoder> {
    let list = match tensors.has_prefix(&format!("{part}.encoder.layer.")) {
        true => "layer",
        false => "layers",
    };
    let layer = |i| {
        let name = format!("{part}.encoder.{list}.{i}");
        Ok(Layer::read(tensors, &name, &NAMES, shape)?)
    };
    Encoder::new(shape, (0..count).map(layer).collect::<Result<_>>()?, device)
}

/// A tensor's values in the host's memory.
pub(crate) fn host(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}
