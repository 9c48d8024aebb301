//! ALIGN (Jia et al. 2021): an EfficientNet beside BERT, as Kakao Brain trained it.

mod blocks;
mod efficientnet;
mod image;
mod preprocessing;
mod text;

#[cfg(test)]
mod tests;

use serde::Deserialize;

use super::{Architecture, Context};

/// Tokens that ALIGN's processor cuts texts to.
const LONGEST: usize = 64;

/// `model_type: align`.
pub(crate) const ALIGN: Architecture = Architecture {
    model_type: "align",
    sections: &[
        ("", r#"{"projection_dim": 640, "temperature_init_value": null}"#),
        (
            "text_config",
            r#"{"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
                "intermediate_size": 3072, "hidden_act": "gelu", "max_position_embeddings": 512,
                "type_vocab_size": 2, "layer_norm_eps": 1e-12}"#,
        ),
        (
            "vision_config",
            r#"{"num_channels": 3, "image_size": 600, "width_coefficient": 2.0, "depth_coefficient": 3.1,
                "depth_divisor": 8, "kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
                "in_channels": [32, 16, 24, 40, 80, 112, 192],
                "out_channels": [16, 24, 40, 80, 112, 192, 320], "depthwise_padding": [],
                "strides": [1, 2, 2, 2, 1, 2, 1], "num_block_repeats": [1, 2, 2, 3, 3, 4, 1],
                "expand_ratios": [1, 6, 6, 6, 6, 6, 6], "squeeze_expansion_ratio": 0.25,
                "hidden_act": "swish", "hidden_dim": 2560, "pooling_type": "mean", "batch_norm_eps": 0.001,
                "batch_norm_momentum": null, "drop_connect_rate": null, "num_hidden_layers": null}"#,
        ),
    ],
    tensors: &["text_model.", "vision_model.", "text_projection", "temperature"],
    text: text::text,
    image: image::image,
    dim: |settings| Ok(settings.section::<Top>("")?.projection_dim),
    context: |settings| {
        let most = settings.section::<Positions>("text_config")?.max_position_embeddings;
        Ok(Context { longest: LONGEST.min(most), padded: None })
    },
    preprocess: preprocessing::read,
    sigmoid: false,
};

#[derive(Deserialize)]
struct Top {
    projection_dim: usize,
}

#[derive(Deserialize)]
struct Positions {
    max_position_embeddings: usize,
}
