//! SigLIP (Zhai et al. 2023): trained with a sigmoid over each pair, so that a score is a probability.

mod head;
mod image;
mod text;

use serde::Deserialize;

use super::{Architecture, Context, Settings};
use crate::error::Result;
use crate::image::processor;

/// `model_type: siglip`.
pub(crate) const SIGLIP: Architecture = Architecture {
    model_type: "siglip",
    sections: &[
        ("", "{}"),
        (
            "text_config",
            r#"{"vocab_size": 32000, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                "num_attention_heads": 12, "max_position_embeddings": 64, "hidden_act": "gelu_pytorch_tanh",
                "layer_norm_eps": 1e-6, "pad_token_id": 1, "projection_size": null}"#,
        ),
        (
            "vision_config",
            r#"{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                "num_attention_heads": 12, "num_channels": 3, "image_size": 224, "patch_size": 16,
                "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "vision_use_head": true}"#,
        ),
    ],
    tensors: &["text_model.", "vision_model.", "logit_scale", "logit_bias"],
    text: text::text,
    image: image::image,
    dim: |settings| text_dim(settings),
    context: |settings| {
        let text: Text = settings.section("text_config")?;
        Ok(Context { longest: text.max_position_embeddings, padded: Some(text.pad_token_id) })
    },
    preprocess: |settings| {
        let size = settings.section::<Picture>("vision_config")?.image_size;
        processor::read(&settings.dir, processor::siglip(size))
    },
    sigmoid: true,
};

/// Width of the shared space, as the text half has it.
fn text_dim(settings: &Settings) -> Result<usize> {
    let text: Text = settings.section("text_config")?;
    Ok(text.projection_size.unwrap_or(text.hidden_size))
}

#[derive(Deserialize)]
struct Text {
    hidden_size: usize,
    projection_size: Option<usize>,
    max_position_embeddings: usize,
    pad_token_id: u32,
}

#[derive(Deserialize)]
struct Picture {
    image_size: usize,
}
