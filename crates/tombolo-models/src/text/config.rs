//! What a BERT is: its sizes, and the kinds of files that hold one.

use std::path::Path;

use serde::Deserialize;
use tombolo_kernels::{Activation, Mask};

use crate::config::{Config, Kind};
use crate::encoder::{NormPlace, Shape};
use crate::error::Result;

/// BERT, and RoBERTa (Liu et al. 2019) in several languages: the same network, whose texts begin behind the padding token's position.
pub(crate) const KINDS: [Kind; 4] = [
    (BERT, OF_BERT),
    ("roberta", OF_ROBERTA),
    ("xlm-roberta", OF_ROBERTA),
    ("camembert", OF_ROBERTA),
];

const BERT: &str = "bert";

const OF_BERT: &str = r#"{
    "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "gelu", "max_position_embeddings": 512, "type_vocab_size": 2,
    "layer_norm_eps": 1e-12, "pad_token_id": 0, "is_decoder": false, "classifier_dropout": null, "directionality": "bidi",
    "pooler_fc_size": 768, "pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3,
    "pooler_size_per_head": 128, "pooler_type": "first_token_transform"
}"#;

const OF_ROBERTA: &str = r#"{
    "vocab_size": 50265, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "gelu", "max_position_embeddings": 512, "type_vocab_size": 2,
    "layer_norm_eps": 1e-12, "pad_token_id": 1, "is_decoder": false, "classifier_dropout": null, "output_past": true
}"#;

/// Sizes of a BERT, as `config.json` has them.
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
    /// Activation inside the MLP.
    pub hidden_act: String,
    /// Number of position embeddings: the most tokens of a text, and in RoBERTa those before its first.
    pub max_position_embeddings: usize,
    /// Number of segment embeddings; none in BLIP.
    pub type_vocab_size: usize,
    /// ε of the layer norms.
    pub layer_norm_eps: f32,
}

impl BertConfig {
    /// `config.json` of a directory, and the position at which texts begin.
    ///
    /// # Errors
    /// If it cannot be read, is of another kind of network, or makes none.
    pub(super) fn read(dir: &Path) -> Result<(Self, usize)> {
        #[derive(Deserialize)]
        struct Others {
            is_decoder: bool,
        }
        #[derive(Deserialize)]
        struct Padding {
            pad_token_id: usize,
        }
        let file = Config::read(dir, &KINDS)?;
        let config: Self = file.values()?;
        let Others { is_decoder } = file.values()?;
        let decodes = is_decoder.then(|| "is_decoder: expected false, found true".to_owned());
        if let Some(fault) = config.fault().or(decodes) {
            return Err(file.refused(fault));
        }
        let first = match file.kind() {
            BERT => 0,
            _ => first_of_roberta(file.values::<Padding>()?.pad_token_id),
        };
        if first >= config.max_position_embeddings {
            let most = config.max_position_embeddings;
            let reason = format!(
                "pad_token_id: expected one below the last of {most} positions, where texts begin at {first}"
            );
            return Err(file.refused(reason));
        }
        Ok((config, first))
    }

    /// What is wrong with it, if no network here has it.
    pub(crate) fn fault(&self) -> Option<String> {
        match self.hidden_act.as_str() {
            "gelu" => self.encoder().fault(),
            found => Some(format!("hidden_act: expected `gelu`, found `{found}`")),
        }
    }

    pub(crate) fn encoder(&self) -> Shape {
        Shape {
            hidden: self.hidden_size,
            mlp: self.intermediate_size,
            heads: self.num_attention_heads,
            eps: self.layer_norm_eps,
            norms: NormPlace::After,
            activation: Activation::Gelu,
            mask: Mask::None,
        }
    }
}

/// RoBERTa counts positions from the padding token's id on.
pub(crate) fn first_of_roberta(padding: usize) -> usize {
    padding.saturating_add(1)
}
