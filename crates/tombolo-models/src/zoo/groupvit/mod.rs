//! GroupViT (Xu et al. 2022): a vision transformer that puts the places of a picture into groups, stage by stage,
//! beside CLIP's text encoder.

mod assign;
mod config;
mod grouping;
mod image;
mod mlp;
mod projection;
mod stage;
mod text;

#[cfg(test)]
mod tests;

use serde::Deserialize;

use super::{Architecture, Context};
use crate::image::processor;

/// `model_type: groupvit`.
pub(crate) const GROUPVIT: Architecture = Architecture {
    model_type: "groupvit",
    sections: &[
        (
            "",
            r#"{"projection_dim": 256, "projection_intermediate_dim": 4096, "output_segmentation": null}"#,
        ),
        (
            "text_config",
            r#"{"vocab_size": 49408, "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 12,
                "num_attention_heads": 4, "max_position_embeddings": 77, "hidden_act": "quick_gelu",
                "layer_norm_eps": 1e-5, "eos_token_id": 49407}"#,
        ),
        (
            "vision_config",
            r#"{"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": null, "depths": [6, 3, 3],
                "num_group_tokens": [64, 8, 0], "num_output_groups": [64, 8, 8], "num_attention_heads": 6,
                "image_size": 224, "patch_size": 16, "num_channels": 3, "hidden_act": "gelu",
                "layer_norm_eps": 1e-5, "assign_eps": 1.0, "assign_mlp_ratio": [0.5, 4]}"#,
        ),
    ],
    tensors: &[
        "text_model.",
        "vision_model.",
        "text_projection",
        "visual_projection",
        "logit_scale",
    ],
    text: text::text,
    image: image::image,
    dim: |settings| Ok(settings.section::<Top>("")?.projection_dim),
    context: |settings| {
        let longest = settings.section::<Positions>("text_config")?.max_position_embeddings;
        Ok(Context { longest, padded: None })
    },
    preprocess: |settings| {
        let size = settings.section::<Picture>("vision_config")?.image_size;
        processor::read(&settings.dir, processor::clip(size))
    },
    sigmoid: false,
};

#[derive(Clone, Copy, Deserialize)]
struct Top {
    projection_dim: usize,
    projection_intermediate_dim: usize,
}

#[derive(Deserialize)]
struct Positions {
    max_position_embeddings: usize,
}

#[derive(Deserialize)]
struct Picture {
    image_size: usize,
}
