//! ViT (Dosovitskiy et al. 2021) and DINOv2 (Oquab et al. 2023) from their Hugging Face layout.

use std::path::Path;

use candle_core::{Device, Tensor};
use serde::Deserialize;
use tombolo_kernels::{Activation, attention};

use crate::checkpoint;
use crate::error::{ModelError, Result};
use crate::image::positions::resample_grid;
use crate::layers::{LayerNorm, Linear};
use crate::settings;
use crate::weights::{Init, Scope, Weights};

/// `config.json` of a ViT or DINOv2 checkpoint, as far as the encoder needs it.
#[derive(Clone, Debug, Deserialize)]
pub struct VitConfig {
    /// `vit` or `dinov2`.
    pub model_type: String,
    /// Width of the patch vectors.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Heads of each layer.
    pub num_attention_heads: usize,
    /// Width inside the MLP (ViT).
    pub intermediate_size: Option<usize>,
    /// Width inside the MLP in multiples of `hidden_size` (DINOv2).
    #[serde(default = "four")]
    pub mlp_ratio: usize,
    /// Whether the MLP is a SwiGLU, which only DINOv2-giant has.
    #[serde(default)]
    pub use_swiglu_ffn: bool,
    /// Activation inside the MLP.
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// Side in pixels that the position embeddings were trained for.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// ε of the layer norms.
    pub layer_norm_eps: f32,
}

fn four() -> usize {
    4
}

fn gelu() -> String {
    "gelu".into()
}

impl VitConfig {
    fn is_dino(&self) -> bool {
        self.model_type == "dinov2"
    }

    fn mlp(&self) -> usize {
        self.intermediate_size
            .filter(|_| !self.is_dino())
            .unwrap_or(self.mlp_ratio * self.hidden_size)
    }

    fn check(&self, path: &Path) -> Result<()> {
        let reason = if !["vit", "dinov2"].contains(&self.model_type.as_str()) {
            format!("model_type: expected `vit` or `dinov2`, found `{}`", self.model_type)
        } else if self.use_swiglu_ffn {
            "use_swiglu_ffn: only the plain MLP is supported".into()
        } else if self.hidden_act != "gelu" {
            format!("hidden_act: expected `gelu`, found `{}`", self.hidden_act)
        } else {
            return Ok(());
        };
        Err(ModelError::Settings { path: path.into(), reason })
    }
}

/// A frozen ViT or DINOv2 encoder.
pub struct Vit {
    config: VitConfig,
    class: Tensor,
    positions: Tensor,
    patches: Linear,
    layers: Vec<VitLayer>,
    norm: LayerNorm,
}

impl Vit {
    /// Loads `config.json` and `model.safetensors` of a directory.
    ///
    /// # Errors
    /// If a file is missing or malformed, of another architecture, or lacks a tensor.
    pub fn load(dir: &Path, device: &Device) -> Result<Self> {
        let path = dir.join("config.json");
        let config: VitConfig = settings::read_json(&path)?;
        config.check(&path)?;
        let mut tensors = checkpoint::safetensors::read(&dir.join("model.safetensors"))?;
        let prefix = if tensors.keys().any(|name| name.starts_with("vit.")) { "vit" } else { "" };
        flatten_projection(&mut tensors, prefix);
        let weights = Weights::fixed(tensors, device)?;
        let scope = if prefix.is_empty() { weights.root() } else { weights.root().at(prefix) };
        Self::new(config, &scope)
    }

    fn new(config: VitConfig, scope: &Scope<'_>) -> Result<Self> {
        let (hidden, patch) = (config.hidden_size, config.patch_size);
        let embeddings = scope.at("embeddings");
        let grid = config.image_size / patch;
        let class = embeddings.get("cls_token", &[1, 1, hidden], Init::Normal(0.02))?;
        let positions = embeddings.get(
            "position_embeddings",
            &[1, grid * grid + 1, hidden],
            Init::Normal(0.02),
        )?;
        let projection = embeddings.at("patch_embeddings.projection");
        let patches = Linear::new(3 * patch * patch, hidden, &projection)?;
        let layers = (0..config.num_hidden_layers)
            .map(|i| VitLayer::new(&config, &scope.at("encoder.layer").at(i)))
            .collect::<Result<_>>()?;
        let norm = LayerNorm::new(hidden, config.layer_norm_eps, &scope.at("layernorm"))?;
        Ok(Self { config, class, positions, patches, layers, norm })
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
    pub fn forward(&self, pictures: &[Vec<f32>], size: (usize, usize)) -> Result<Tensor> {
        let (patch, hidden) = (self.config.patch_size, self.config.hidden_size);
        let grid = (size.0 / patch, size.1 / patch);
        let rows: Vec<f32> = pictures.iter().flat_map(|p| patch_rows(p, size, patch)).collect();
        let (batch, cells) = (pictures.len(), grid.0 * grid.1);
        let shape = (batch * cells, 3 * patch * patch);
        let patches = Tensor::from_vec(rows, shape, self.class.device())?;
        let patches = self.patches.forward(&patches)?.reshape((batch, cells, hidden))?;
        let class = self.class.broadcast_as((batch, 1, hidden))?;
        let mut x = Tensor::cat(&[&class, &patches], 1)?;
        x = x.broadcast_add(&self.positions_for(grid)?)?.reshape((batch * (cells + 1), hidden))?;
        let lengths = vec![cells + 1; batch];
        for layer in &self.layers {
            x = layer.forward(&x, &lengths)?;
        }
        Ok(self.norm.forward(&x)?.reshape((batch, cells + 1, hidden))?)
    }

    /// Position embeddings for a grid of these sides, resampled if it is not the trained one.
    fn positions_for(&self, grid: (usize, usize)) -> Result<Tensor> {
        let trained = self.config.image_size / self.config.patch_size;
        if grid == (trained, trained) {
            return Ok(self.positions.clone());
        }
        let hidden = self.config.hidden_size;
        let class = self.positions.narrow(1, 0, 1)?;
        let cells = self.positions.narrow(1, 1, trained * trained)?.flatten_all()?.to_vec1()?;
        let cells = resample_grid(&cells, trained, grid, hidden);
        let cells = Tensor::from_vec(cells, (1, grid.0 * grid.1, hidden), self.class.device())?;
        Ok(Tensor::cat(&[&class, &cells], 1)?)
    }
}

/// Turns the patch convolution `[hidden, 3, patch, patch]` into the weight of a linear layer over
/// channels-last patches, `[hidden, patch · patch · 3]`.
fn flatten_projection(tensors: &mut crate::checkpoint::Tensors, prefix: &str) {
    let dot = if prefix.is_empty() { "" } else { "." };
    let name = format!("{prefix}{dot}embeddings.patch_embeddings.projection.weight");
    let Some(weight) = tensors.get_mut(&name) else { return };
    let [hidden, channels, height, width] = weight.shape[..] else { return };
    let taps = height * width;
    let mut flat = vec![0.0; weight.data.len()];
    for (index, value) in weight.data.iter().enumerate() {
        let (h, rest) = (index / (channels * taps), index % (channels * taps));
        let (c, tap) = (rest / taps, rest % taps);
        flat[(h * taps + tap) * channels + c] = *value;
    }
    weight.data = flat;
    weight.shape = vec![hidden, taps * channels];
}

/// The pixels of each patch side by side, `[patches, patch · patch · 3]`, of a picture of this height and
/// width. Pixels beyond the last whole patch are left out.
pub(crate) fn patch_rows(picture: &[f32], size: (usize, usize), patch: usize) -> Vec<f32> {
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

/// One layer, normalised before each branch; DINOv2 scales each branch by a learned vector.
struct VitLayer {
    norm_attention: LayerNorm,
    qkv: Linear,
    output: Linear,
    norm_mlp: LayerNorm,
    expand: Linear,
    contract: Linear,
    scales: Option<(Tensor, Tensor)>,
    heads: usize,
}

impl VitLayer {
    fn new(config: &VitConfig, scope: &Scope<'_>) -> Result<Self> {
        let (hidden, eps, mlp) = (config.hidden_size, config.layer_norm_eps, config.mlp());
        let (norms, mlp_in, mlp_out) = match config.is_dino() {
            true => (["norm1", "norm2"], "mlp.fc1", "mlp.fc2"),
            false => {
                (["layernorm_before", "layernorm_after"], "intermediate.dense", "output.dense")
            }
        };
        let attention = scope.at("attention");
        let [query, key, value] = ["query", "key", "value"]
            .map(|part| Linear::new(hidden, hidden, &attention.at("attention").at(part)));
        let scale = |name| scope.at(name).get("lambda1", &[hidden], Init::Constant(1.0));
        Ok(Self {
            norm_attention: LayerNorm::new(hidden, eps, &scope.at(norms[0]))?,
            qkv: Linear::stacked(&[query?, key?, value?])?,
            output: Linear::new(hidden, hidden, &attention.at("output.dense"))?,
            norm_mlp: LayerNorm::new(hidden, eps, &scope.at(norms[1]))?,
            expand: Linear::new(hidden, mlp, &scope.at(mlp_in))?,
            contract: Linear::new(mlp, hidden, &scope.at(mlp_out))?,
            scales: match config.is_dino() {
                true => Some((scale("layer_scale1")?, scale("layer_scale2")?)),
                false => None,
            },
            heads: config.num_attention_heads,
        })
    }

    fn forward(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let qkv = self.qkv.forward(&self.norm_attention.forward(x)?)?;
        let attended = self.output.forward(&attention(&qkv, self.heads, lengths)?)?;
        let x = (x + scaled(attended, self.scales.as_ref().map(|s| &s.0))?)?;
        let inner = self.expand.forward_activated(&self.norm_mlp.forward(&x)?, Activation::Gelu)?;
        let inner = self.contract.forward(&inner)?;
        Ok((&x + scaled(inner, self.scales.as_ref().map(|s| &s.1))?)?)
    }
}

fn scaled(branch: Tensor, scale: Option<&Tensor>) -> Result<Tensor> {
    match scale {
        Some(scale) => Ok(branch.broadcast_mul(scale)?),
        None => Ok(branch),
    }
}
