//! ViT (Dosovitskiy et al. 2021) and DINOv2 (Oquab et al. 2023) from their Hugging Face layout.

use std::path::Path;

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::Deserialize;
use tombolo_kernels::{Activation, Mask};

use crate::checkpoint::{CheckpointError, MappedTensors, Values};
use crate::config::{Config, Kind};
use crate::encoder::{Encoder, FrozenLinear, Layer, Names, Norm, NormPlace, Shape};
use crate::error::Result;
use crate::image::positions::resample_grid;
use crate::zoo::Layout;

const VIT: Names = Names {
    attention: QKV,
    output: "attention.output.dense",
    norms: ["layernorm_before", "layernorm_after"],
    expand: "intermediate.dense",
    contract: "output.dense",
    scales: None,
};

const DINO: Names = Names {
    attention: QKV,
    output: "attention.output.dense",
    norms: ["norm1", "norm2"],
    expand: "mlp.fc1",
    contract: "mlp.fc2",
    scales: Some(["layer_scale1", "layer_scale2"]),
};

const QKV: &[&str] =
    &["attention.attention.query", "attention.attention.key", "attention.attention.value"];

/// The kinds of files that hold one, and what they leave out.
pub(crate) const KINDS: [Kind; 2] = [("vit", OF_VIT), (DINOV2, OF_DINOV2)];

const DINOV2: &str = "dinov2";

const OF_VIT: &str = r#"{
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
    "hidden_act": "gelu", "layer_norm_eps": 1e-12, "image_size": 224, "patch_size": 16, "num_channels": 3,
    "qkv_bias": true, "encoder_stride": 16, "pooler_output_size": null, "pooler_act": "tanh"
}"#;

const OF_DINOV2: &str = r#"{
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "mlp_ratio": 4, "hidden_act": "gelu",
    "layer_norm_eps": 1e-6, "image_size": 224, "patch_size": 14, "num_channels": 3, "qkv_bias": true,
    "layerscale_value": 1.0, "drop_path_rate": 0.0, "use_swiglu_ffn": false, "use_mask_token": true,
    "apply_layernorm": true, "reshape_hidden_states": true, "out_features": null, "out_indices": null,
    "stage_names": null
}"#;

/// Sizes of a ViT or DINOv2, as `config.json` has them.
#[derive(Clone, Debug, Deserialize)]
pub struct VitConfig {
    /// Width of the patch vectors.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Heads of each layer.
    pub num_attention_heads: usize,
    /// Width inside the MLP (ViT).
    pub intermediate_size: Option<usize>,
    /// Width inside the MLP in multiples of `hidden_size` (DINOv2).
    pub mlp_ratio: Option<usize>,
    /// Whether the MLP is a SwiGLU, which only DINOv2-giant has.
    #[serde(default)]
    pub use_swiglu_ffn: bool,
    /// Activation inside the MLP.
    pub hidden_act: String,
    /// Side in pixels that the position embeddings were trained for.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// ε of the layer norms.
    pub layer_norm_eps: f32,
}

impl VitConfig {
    fn encoder(&self) -> Shape {
        let mlp = self.mlp_ratio.map(|ratio| ratio * self.hidden_size);
        Shape {
            hidden: self.hidden_size,
            mlp: mlp.or(self.intermediate_size).unwrap_or(0),
            heads: self.num_attention_heads,
            eps: self.layer_norm_eps,
            norms: NormPlace::Before,
            activation: Activation::Gelu,
            mask: Mask::None,
        }
    }

    /// What is wrong with it, if no network here has it.
    fn fault(&self) -> Option<String> {
        if self.use_swiglu_ffn {
            return Some("use_swiglu_ffn: only the plain MLP is supported".into());
        }
        if self.hidden_act != "gelu" {
            return Some(format!("hidden_act: expected `gelu`, found `{}`", self.hidden_act));
        }
        if self.patch_size == 0 || self.patch_size > self.image_size {
            let (most, found) = (self.image_size, self.patch_size);
            return Some(format!(
                "patch_size: expected 1 to {most}, the picture's side, found {found}"
            ));
        }
        self.encoder().fault()
    }
}

/// A frozen ViT or DINOv2. Its weights stay in their file until they are used.
pub struct Vit {
    config: VitConfig,
    class: Values,
    positions: Values,
    patches: FrozenLinear,
    encoder: Encoder,
    norm: Norm,
    device: Device,
}

impl Vit {
    /// Loads the network of a directory.
    ///
    /// # Errors
    /// If a file is missing or malformed, of another kind of network, or lacks a tensor or has one too many.
    pub fn load(dir: &Path, device: &Device) -> Result<Self> {
        let file = Config::read(dir, &KINDS)?;
        let config: VitConfig = file.values()?;
        if let Some(fault) = config.fault() {
            return Err(file.refused(fault));
        }
        let tensors = Layout::HuggingFace.tensors(dir)?;
        let prefix = if tensors.has_prefix("vit.") { "vit." } else { "" };
        let (hidden, eps) = (config.hidden_size, config.layer_norm_eps);
        let grid = config.image_size / config.patch_size;
        let embeddings = format!("{prefix}embeddings");
        let class = tensors.get(&format!("{embeddings}.cls_token"), &[1, 1, hidden])?;
        let positions = format!("{embeddings}.position_embeddings");
        let positions = tensors.get(&positions, &[1, grid * grid + 1, hidden])?;
        let patches = projection(&tensors, &embeddings, &config)?;
        let names = if file.kind() == DINOV2 { &DINO } else { &VIT };
        let layer = |i| {
            let name = format!("{prefix}encoder.layer.{i}");
            Ok(Layer::read(&tensors, &name, names, config.encoder())?)
        };
        let layers = (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?;
        let encoder = Encoder::new(config.encoder(), layers, device)?;
        let norm = Norm::read(&tensors, &format!("{prefix}layernorm"), hidden, eps)?;
        tensors.expect_no_others(&[prefix], "")?;
        Ok(Self { config, class, positions, patches, encoder, norm, device: device.clone() })
    }

    /// The settings of the checkpoint.
    pub fn config(&self) -> &VitConfig {
        &self.config
    }

    /// The class vector and the patch vectors, after the last layer norm.
    ///
    /// # Shapes
    /// `pictures`: each `[height, width, 3]`, normalised, `size` being height and width. Returns
    /// `[batch, 1 + patches, hidden]`, the class first, patches row by row.
    /// # Errors
    /// If a tensor operation fails.
    pub fn forward(&self, pictures: &[&[f32]], size: (usize, usize)) -> Result<Tensor> {
        let (patch, hidden) = (self.config.patch_size, self.config.hidden_size);
        let grid = (size.0 / patch, size.1 / patch);
        let (batch, rows) = (pictures.len(), grid.0 * grid.1 + 1);
        let positions = self.positions_for(grid);
        let mut x = vec![0.0; batch * rows * hidden];
        x.par_chunks_mut(rows * hidden).zip(pictures).for_each(|(x, picture)| {
            x[..hidden].copy_from_slice(&self.class);
            let patches = patch_rows(picture, size, patch);
            self.patches.forward(&patches, Activation::Identity, false, &mut x[hidden..]);
            x.iter_mut().zip(&positions[..]).for_each(|(x, p)| *x += p);
        });
        let x = self.encoder.forward(x, &vec![rows; batch], &[self.encoder.layers()])?;
        let mut x = x.flatten_all()?.to_vec1::<f32>()?;
        x.par_chunks_mut(rows * hidden).for_each(|x| self.norm.apply(x));
        Ok(Tensor::from_vec(x, (batch, rows, hidden), &self.device)?)
    }

    /// The position embeddings, `[1 + cells, hidden]`, resampled if the grid is not that of the training.
    fn positions_for(&self, grid: (usize, usize)) -> Vec<f32> {
        let trained = self.config.image_size / self.config.patch_size;
        if grid == (trained, trained) {
            return self.positions.to_vec();
        }
        let hidden = self.config.hidden_size;
        let (class, cells) = self.positions.split_at(hidden);
        [class, &resample_grid(cells, trained, grid, hidden)].concat()
    }
}

/// The patch projection of ViT and DINOv2.
fn projection(
    tensors: &MappedTensors,
    embeddings: &str,
    config: &VitConfig,
) -> Result<FrozenLinear, CheckpointError> {
    let name = format!("{embeddings}.patch_embeddings.projection");
    patch_projection(tensors, &name, config.hidden_size, config.patch_size, true)
}

/// The convolution `[hidden, 3, patch, patch]` called `name`, with or without a bias, as a linear layer over rows of
/// pixels with their channels last.
pub(crate) fn patch_projection(
    tensors: &MappedTensors,
    name: &str,
    hidden: usize,
    patch: usize,
    biased: bool,
) -> Result<FrozenLinear, CheckpointError> {
    let taps = patch * patch;
    let weight = tensors.get(&format!("{name}.weight"), &[hidden, 3, patch, patch])?;
    let mut flat = vec![0.0; weight.len()];
    for (index, value) in weight.iter().enumerate() {
        let (h, rest) = (index / (3 * taps), index % (3 * taps));
        let (c, tap) = (rest / taps, rest % taps);
        flat[(h * taps + tap) * 3 + c] = *value;
    }
    let bias = match biased {
        true => tensors.get(&format!("{name}.bias"), &[hidden])?.to_vec(),
        false => vec![0.0; hidden],
    };
    Ok(FrozenLinear::new(vec![flat.into()], bias, 3 * taps))
}

/// The pixels of each patch side by side, `[patches, patch · patch · 3]`, of a picture of this height and
/// width. Pixels beyond the last whole patch are left out.
///
/// # Panics
/// If the picture is not of that size.
pub(crate) fn patch_rows(picture: &[f32], size: (usize, usize), patch: usize) -> Vec<f32> {
    assert_eq!(picture.len(), size.0 * size.1 * 3, "values of a picture");
    let (rows, columns) = (size.0 / patch, size.1 / patch);
    let mut out = Vec::with_capacity(rows * columns * patch * patch * 3);
    for cell in 0..rows * columns {
        let (top, left) = (cell / columns * patch, cell % columns * patch);
        for y in top..top + patch {
            out.extend_from_slice(&picture[(y * size.1 + left) * 3..][..patch * 3]);
        }
    }
    out
}
