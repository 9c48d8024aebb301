//! `config.json` of BLIP. What a file leaves out has the value that it has in transformers.

use serde::Deserialize;

use crate::encoder::{NormPlace, Shape};
use crate::error::{ModelError, Result};
use crate::text::BertConfig;
use crate::zoo::Files;

/// The settings of both encoders and of what joins them.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct BlipConfig {
    pub text_config: TextConfig,
    pub vision_config: VisionConfig,
    /// Width of the shared space.
    pub image_text_hidden_size: usize,
}

impl Default for BlipConfig {
    fn default() -> Self {
        let (text_config, vision_config) = (TextConfig::default(), VisionConfig::default());
        Self { text_config, vision_config, image_text_hidden_size: 256 }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct TextConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub max_position_embeddings: usize,
    pub hidden_act: String,
    pub layer_norm_eps: f32,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30_524,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 512,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-12,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct VisionConfig {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub image_size: usize,
    pub patch_size: usize,
    pub hidden_act: String,
    pub layer_norm_eps: f32,
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 384,
            patch_size: 16,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-5,
        }
    }
}

impl TextConfig {
    /// The same as BERT's: there are no segments.
    pub fn bert(&self) -> BertConfig {
        BertConfig {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            intermediate_size: self.intermediate_size,
            max_position_embeddings: self.max_position_embeddings,
            type_vocab_size: 0,
            layer_norm_eps: self.layer_norm_eps,
        }
    }
}

impl VisionConfig {
    pub fn encoder(&self) -> Shape {
        Shape {
            hidden: self.hidden_size,
            mlp: self.intermediate_size,
            heads: self.num_attention_heads,
            eps: self.layer_norm_eps,
            norms: NormPlace::Before,
        }
    }

    /// Cells of a side.
    pub fn side(&self) -> usize {
        self.image_size / self.patch_size
    }
}

impl BlipConfig {
    /// The settings of an opened directory.
    ///
    /// # Errors
    /// If they are not BLIP's, or ask for something that is not built.
    pub fn read(files: &Files) -> Result<Self> {
        let config = Self::deserialize(&files.config).map_err(|error| error.to_string());
        let settings =
            |reason| ModelError::Settings { path: files.dir.join("config.json"), reason };
        let config = config.map_err(settings)?;
        config.check().map_err(settings)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let Self { text_config: text, vision_config: vision, .. } = self;
        for (part, act) in [("text", &text.hidden_act), ("vision", &vision.hidden_act)] {
            if act != "gelu" {
                return Err(format!("{part}_config.hidden_act: expected `gelu`, found `{act}`"));
            }
        }
        let heads = [
            ("text", text.hidden_size, text.num_attention_heads),
            ("vision", vision.hidden_size, vision.num_attention_heads),
        ];
        for (part, width, heads) in heads {
            if heads == 0 || width == 0 || width % heads != 0 {
                return Err(format!(
                    "{part}_config.num_attention_heads: expected a divisor of {width}, found {heads}"
                ));
            }
        }
        match vision.patch_size {
            0 => Err("vision_config.patch_size: expected at least 1, found 0".into()),
            patch if vision.image_size < patch => Err(format!(
                "vision_config.image_size: expected at least {patch}, found {}",
                vision.image_size
            )),
            _ => Ok(()),
        }
    }
}
