//! CLIP (Radford et al. 2021), with a vision transformer or a ResNet.

mod image;
mod pooling;
mod resnet;
mod text;

use tombolo_data::image::Preprocess;

use super::{Architecture, Context, Settings, open_clip};
use crate::error::Result;
use crate::image::processor;

pub(crate) use image::image;
pub(crate) use text::text;

/// `model_type: clip`.
pub(crate) const CLIP: Architecture = Architecture {
    model_type: "clip",
    sections: &[
        ("", r#"{"projection_dim": 512, "preprocess_cfg": null}"#),
        (
            "text_config",
            r#"{"vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12,
                "num_attention_heads": 8, "max_position_embeddings": 77, "hidden_act": "quick_gelu",
                "layer_norm_eps": 1e-5, "eos_token_id": 49407}"#,
        ),
        ("vision_config", VISION),
    ],
    tensors: TENSORS,
    text,
    image,
    dim: projection_dim,
    context: |settings| {
        let longest = positions(settings)?;
        Ok(Context { longest, padded: None })
    },
    preprocess,
    sigmoid: false,
};

/// Both halves as transformers and as open_clip name them, and the numbers that OpenAI's own files carry.
const TENSORS: &[&str] = &[
    "text_model.",
    "text_projection",
    "vision_model.",
    "visual.",
    "visual_projection",
    "logit_scale",
    "logit_bias",
    "input_resolution",
    "context_length",
    "vocab_size",
];

/// What `vision_config` leaves out, for CLIP and AltCLIP.
pub(crate) const VISION: &str = r#"{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "num_channels": 3, "image_size": 224, "patch_size": 32,
    "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "resnet": null}"#;

/// Width of the shared space.
pub(crate) fn projection_dim(settings: &Settings) -> Result<usize> {
    Ok(settings.section::<Top>("")?.projection_dim)
}

/// What CLIP's image processor, or open_clip's transform, does to a picture.
pub(crate) fn preprocess(settings: &Settings) -> Result<Preprocess> {
    let size = settings.section::<Picture>("vision_config")?.image_size;
    match open_clip::preprocess(settings, size)? {
        Some(preprocess) => Ok(preprocess),
        None => processor::read(&settings.dir, processor::clip(size)),
    }
}

/// The most tokens of a text, as the position embeddings have it.
pub(crate) fn positions(settings: &Settings) -> Result<usize> {
    Ok(settings.section::<Positions>("text_config")?.max_position_embeddings)
}

#[derive(serde::Deserialize)]
struct Top {
    projection_dim: usize,
}

#[derive(serde::Deserialize)]
struct Picture {
    image_size: usize,
}

#[derive(serde::Deserialize)]
struct Positions {
    max_position_embeddings: usize,
}
