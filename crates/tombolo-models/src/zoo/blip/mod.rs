//! BLIP (Li et al. 2022) for retrieval: two encoders that share a space, and one that looks at the picture while it
//! reads the text.

mod image;
mod matching;
mod text;

#[cfg(test)]
mod tests;

use serde::Deserialize;

use super::vision::VisionConfig;
use super::{Architecture, Context};
use crate::image::processor;
use crate::text::BertConfig;
pub(crate) use matching::BlipMatching;

/// `model_type: blip`.
pub(crate) const BLIP: Architecture = Architecture {
    model_type: "blip",
    sections: &[
        ("", r#"{"image_text_hidden_size": 256, "label_smoothing": null}"#),
        (
            "text_config",
            r#"{"vocab_size": 30524, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                "num_attention_heads": 8, "max_position_embeddings": 512, "hidden_act": "gelu",
                "layer_norm_eps": 1e-12, "type_vocab_size": 0, "encoder_hidden_size": null,
                "label_smoothing": null}"#,
        ),
        (
            "vision_config",
            r#"{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                "num_attention_heads": 12, "num_channels": 3, "image_size": 384, "patch_size": 16,
                "hidden_act": "gelu", "layer_norm_eps": 1e-5}"#,
        ),
    ],
    tensors: &[
        "text_encoder.",
        "vision_model.",
        "text_proj.",
        "vision_proj.",
        "itm_head",
        "logit_scale",
    ],
    text: text::text,
    image: image::image,
    dim: |settings| Ok(settings.section::<Top>("")?.image_text_hidden_size),
    context: |settings| {
        let longest = settings.section::<BertConfig>("text_config")?.max_position_embeddings;
        Ok(Context { longest, padded: None })
    },
    preprocess: |settings| {
        let size = settings.section::<VisionConfig>("vision_config")?.image_size;
        processor::read(&settings.dir, processor::blip(size))
    },
    sigmoid: false,
};

#[derive(Deserialize)]
struct Top {
    image_text_hidden_size: usize,
}
