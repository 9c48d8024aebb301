//! BERT (Devlin et al. 2019), the encoder of all-MiniLM-L6-v2, from its Hugging Face layout.

use std::path::Path;

use candle_core::{Device, Tensor};
use serde::Deserialize;
use tombolo_kernels::{Activation, attention};

use crate::checkpoint;
use crate::error::{ModelError, Result};
use crate::layers::{LayerNorm, Linear, running_places};
use crate::settings;
use crate::weights::{Init, Scope, Weights};

/// `config.json` of a BERT checkpoint, as far as the encoder needs it.
#[derive(Clone, Debug, Deserialize)]
pub struct BertConfig {
    /// Number of token embeddings.
    pub vocab_size: usize,
    /// Width of the token vectors.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Heads of each layer.
    pub num_attention_heads: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Number of position embeddings: the most tokens a text may have.
    pub max_position_embeddings: usize,
    /// Number of segment embeddings.
    pub type_vocab_size: usize,
    /// ε of the layer norms.
    pub layer_norm_eps: f32,
}

/// A frozen BERT encoder.
pub struct Bert {
    config: BertConfig,
    embeddings: Tensor,
    positions: Tensor,
    norm: LayerNorm,
    layers: Vec<BertLayer>,
}

impl Bert {
    /// Loads `config.json` and `model.safetensors` of a directory.
    ///
    /// # Errors
    /// If a file is missing or malformed, or lacks a tensor.
    pub fn load(dir: &Path, device: &Device) -> Result<Self> {
        let config: BertConfig = settings::read_json(&dir.join("config.json"))?;
        let tensors = checkpoint::safetensors::read(&dir.join("model.safetensors"))?;
        let prefix =
            if tensors.keys().any(|name| name.starts_with("bert.")) { "bert." } else { "" };
        let weights = Weights::fixed(tensors, device)?;
        let root = weights.root();
        let scope = match prefix {
            "" => root,
            _ => root.at("bert"),
        };
        Self::new(config, &scope)
    }

    fn new(config: BertConfig, scope: &Scope<'_>) -> Result<Self> {
        let embeddings = scope.at("embeddings");
        let table = |name: &str, rows: usize| {
            embeddings.get(name, &[rows, config.hidden_size], Init::Normal(0.02))
        };
        let words = table("word_embeddings.weight", config.vocab_size)?;
        let positions = table("position_embeddings.weight", config.max_position_embeddings)?;
        let segments = table("token_type_embeddings.weight", config.type_vocab_size)?;
        // Retrieval texts are one segment, the first, so that its embedding is part of every position's.
        let positions = positions.broadcast_add(&segments.get(0)?)?;
        let norm =
            LayerNorm::new(config.hidden_size, config.layer_norm_eps, &embeddings.at("LayerNorm"))?;
        let layers = (0..config.num_hidden_layers)
            .map(|i| BertLayer::new(&config, &scope.at("encoder.layer").at(i)))
            .collect::<Result<_>>()?;
        Ok(Self { config, embeddings: words, positions, norm, layers })
    }

    /// The settings of the checkpoint.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Contextual token vectors. No padding is computed.
    ///
    /// # Shapes
    /// `ids`: one sequence of token ids per text, none empty. Returns `[rows, hidden]`, the tokens of one
    /// text after those of the other.
    /// # Errors
    /// If a text has more tokens than position embeddings, or a tensor operation fails.
    pub fn forward(&self, ids: &[Vec<u32>]) -> Result<Tensor> {
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        if longest > self.config.max_position_embeddings {
            let most = self.config.max_position_embeddings;
            let reason = format!("expected at most {most} tokens, found {longest}");
            return Err(ModelError::Tokenizer { reason });
        }
        let device = self.embeddings.device();
        let rows = lengths.iter().sum::<usize>();
        let words = Tensor::from_vec(ids.concat(), rows, device)?;
        let places = Tensor::from_vec(running_places(&lengths, 0), rows, device)?;
        let words = self.embeddings.index_select(&words, 0)?;
        let mut x = self.norm.forward(&(words + self.positions.index_select(&places, 0)?)?)?;
        for layer in &self.layers {
            x = layer.forward(&x, &lengths)?;
        }
        Ok(x)
    }
}

/// One layer, normalised after each branch as in the original.
struct BertLayer {
    qkv: Linear,
    output: Linear,
    norm_attention: LayerNorm,
    expand: Linear,
    contract: Linear,
    norm_mlp: LayerNorm,
    heads: usize,
}

impl BertLayer {
    fn new(config: &BertConfig, scope: &Scope<'_>) -> Result<Self> {
        let (hidden, eps) = (config.hidden_size, config.layer_norm_eps);
        let attention = scope.at("attention");
        let parts = ["query", "key", "value"]
            .map(|part| Linear::new(hidden, hidden, &attention.at("self").at(part)));
        let [query, key, value] = parts;
        Ok(Self {
            qkv: Linear::stacked(&[query?, key?, value?])?,
            output: Linear::new(hidden, hidden, &attention.at("output.dense"))?,
            norm_attention: LayerNorm::new(hidden, eps, &attention.at("output.LayerNorm"))?,
            expand: Linear::new(hidden, config.intermediate_size, &scope.at("intermediate.dense"))?,
            contract: Linear::new(config.intermediate_size, hidden, &scope.at("output.dense"))?,
            norm_mlp: LayerNorm::new(hidden, eps, &scope.at("output.LayerNorm"))?,
            heads: config.num_attention_heads,
        })
    }

    fn forward(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let attended = attention(&self.qkv.forward(x)?, self.heads, lengths)?;
        let x = self.norm_attention.forward(&(x + self.output.forward(&attended)?)?)?;
        let inner = self.expand.forward_activated(&x, Activation::Gelu)?;
        self.norm_mlp.forward(&(&x + self.contract.forward(&inner)?)?)
    }
}
