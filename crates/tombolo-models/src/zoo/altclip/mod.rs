//! AltCLIP (Chen et al. 2022): CLIP's picture half beside a multilingual encoder of texts, XLM-RoBERTa.

mod text;

use super::clip::{VISION, image, preprocess, projection_dim};
use super::{Architecture, Context};

#[derive(serde::Deserialize)]
struct Text {
    max_position_embeddings: usize,
    pad_token_id: usize,
}

/// `model_type: altclip`.
pub(crate) const ALTCLIP: Architecture = Architecture {
    model_type: "altclip",
    sections: &[
        ("", r#"{"projection_dim": 768, "direct_kd": null, "num_layers": null}"#),
        (
            "text_config",
            r#"{"vocab_size": 250002, "hidden_size": 1024, "intermediate_size": 4096,
                "num_hidden_layers": 24, "num_attention_heads": 16, "max_position_embeddings": 514,
                "hidden_act": "gelu", "layer_norm_eps": 1e-5, "type_vocab_size": 1, "project_dim": 768,
                "pad_token_id": 1, "pooler_fn": null}"#,
        ),
        ("vision_config", VISION),
    ],
    tensors: &[
        "text_model.",
        "vision_model.",
        "text_projection",
        "visual_projection",
        "logit_scale",
    ],
    text: text::text,
    image,
    dim: projection_dim,
    context: |settings| {
        let text: Text = settings.section("text_config")?;
        let longest = text.max_position_embeddings.saturating_sub(text.pad_token_id + 1);
        Ok(Context { longest, padded: None })
    },
    preprocess,
    sigmoid: false,
};
