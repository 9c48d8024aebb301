//! open_clip's layout: its settings and the names of its tensors, told in Hugging Face's words.

mod names;

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use tombolo_data::image::{Filter, Fit, Preprocess};

use super::settings::Settings;
use crate::error::{ModelError, Result};
use crate::image::processor;
use crate::settings::read_json;

pub(crate) use names::translated;

/// The file that makes a directory one of this layout.
pub(crate) const CONFIG: &str = "open_clip_config.json";

/// Weights, best first.
pub(crate) const WEIGHTS: [&str; 2] =
    ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"];

/// `open_clip_config.json`.
#[derive(Deserialize)]
struct File {
    model_cfg: Model,
    preprocess_cfg: Option<Value>,
}

/// Fields beyond these are named to the user: they ask for another network.
#[derive(Deserialize)]
struct Model {
    embed_dim: usize,
    #[serde(default)]
    quick_gelu: bool,
    vision_cfg: Vision,
    text_cfg: Text,
    /// What the network below does not depend on.
    #[serde(default, rename = "init_logit_scale")]
    _scale: Value,
    #[serde(default, rename = "custom_text")]
    _custom: Value,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Vision {
    layers: Value,
    width: usize,
    #[serde(default = "head_width")]
    head_width: usize,
    #[serde(default = "mlp_ratio")]
    mlp_ratio: f64,
    #[serde(default)]
    patch_size: Value,
    image_size: usize,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Text {
    #[serde(default = "context_length")]
    context_length: usize,
    #[serde(default = "vocab_size")]
    vocab_size: usize,
    width: Option<usize>,
    heads: Option<usize>,
    layers: Option<usize>,
    #[serde(default = "mlp_ratio")]
    mlp_ratio: f64,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

fn head_width() -> usize {
    64
}

fn mlp_ratio() -> f64 {
    4.0
}

fn context_length() -> usize {
    77
}

fn vocab_size() -> usize {
    49408
}

/// Reads `open_clip_config.json`.
///
/// # Errors
/// If the file is malformed, or asks for another network than CLIP with a vision transformer or a ResNet.
pub(crate) fn settings(dir: &Path) -> Result<Settings> {
    let path = dir.join(CONFIG);
    let raw: Value = read_json(&path)?;
    // An OpenAI or open_clip file of model settings alone is as good.
    let raw = if raw["model_cfg"].is_object() { raw } else { json!({ "model_cfg": raw }) };
    let refused = |reason: String| ModelError::Settings { path: path.clone(), reason };
    let file: File = serde_json::from_value(raw).map_err(|error| refused(error.to_string()))?;
    let config = config(&file.model_cfg, file.preprocess_cfg).map_err(refused)?;
    Settings::new(dir, &path, config)
}

fn config(model: &Model, preprocess: Option<Value>) -> Result<Value, String> {
    let sections = [
        ("", &model.others),
        ("vision_cfg.", &model.vision_cfg.others),
        ("text_cfg.", &model.text_cfg.others),
    ];
    // A null or a false asks for nothing.
    for (section, others) in sections {
        let asked = others.iter().find(|(_, value)| !value.is_null() && **value != json!(false));
        if let Some((field, value)) = asked {
            return Err(format!("model_cfg.{section}{field}: {value} is not supported"));
        }
    }
    let act = if model.quick_gelu { "quick_gelu" } else { "gelu" };
    let (vision, text) = (&model.vision_cfg, &model.text_cfg);
    let needed = |name: &str, value: Option<usize>| {
        value.ok_or_else(|| format!("model_cfg.text_cfg.{name}: expected a number, found none"))
    };
    let width = needed("width", text.width)?;
    Ok(json!({
        "model_type": "clip",
        "projection_dim": model.embed_dim,
        "preprocess_cfg": preprocess,
        "text_config": {
            "vocab_size": text.vocab_size,
            "hidden_size": width,
            "intermediate_size": (width as f64 * text.mlp_ratio) as usize,
            "num_hidden_layers": needed("layers", text.layers)?,
            "num_attention_heads": needed("heads", text.heads)?,
            "max_position_embeddings": text.context_length,
            "hidden_act": act,
            "eos_token_id": 2,
        },
        "vision_config": vision_config(vision, act),
    }))
}

fn vision_config(vision: &Vision, act: &str) -> Value {
    if vision.layers.is_array() {
        return json!({
            "resnet": { "layers": vision.layers, "width": vision.width, "head_width": vision.head_width },
            "image_size": vision.image_size,
        });
    }
    json!({
        "hidden_size": vision.width,
        "intermediate_size": (vision.width as f64 * vision.mlp_ratio) as usize,
        "num_hidden_layers": vision.layers,
        "num_attention_heads": vision.width / vision.head_width.max(1),
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
        "hidden_act": act,
    })
}

/// `preprocess_cfg`, as open_clip's transform reads it.
#[derive(Default, Deserialize)]
struct Transform {
    size: Option<Value>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    interpolation: Option<String>,
    resize_mode: Option<String>,
}

/// What open_clip's transform does to a picture of this size.
///
/// # Errors
/// If the settings ask for what is not supported.
pub(crate) fn preprocess(settings: &Settings, size: usize) -> Result<Option<Preprocess>> {
    let given = &settings.config["preprocess_cfg"];
    if settings.path.file_name().is_none_or(|name| name != CONFIG) {
        return Ok(None);
    }
    let transform: Option<Transform> = serde_json::from_value(given.clone())
        .map_err(|error| settings.refused(format!("preprocess_cfg: {error}")))?;
    let transform = transform.unwrap_or_default();
    let side = transform.size.as_ref().map_or(Some(size), side);
    let size =
        side.ok_or_else(|| settings.refused("preprocess_cfg.size: expected a square".into()))?;
    let fit = match transform.resize_mode.as_deref() {
        None | Some("shortest") => Fit::CropCenter { resize_shortest: size },
        Some("squash") => Fit::Squash,
        Some(found) => {
            let reason = "preprocess_cfg.resize_mode: expected shortest or squash, found";
            return Err(settings.refused(format!("{reason} {found}")));
        }
    };
    let filter = match transform.interpolation.as_deref() {
        None | Some("bicubic") => Filter::Bicubic,
        Some("bilinear") => Filter::Bilinear,
        Some(found) => {
            let reason = "preprocess_cfg.interpolation: expected bicubic or bilinear, found";
            return Err(settings.refused(format!("{reason} {found}")));
        }
    };
    let default = processor::clip(size);
    let (mean, std) =
        (transform.mean.unwrap_or(default.mean), transform.std.unwrap_or(default.std));
    Ok(Some(Preprocess { size, fit, filter, mean, std }))
}

fn side(size: &Value) -> Option<usize> {
    let side = match size.as_array() {
        Some(sides) if sides.iter().all(|side| *side == sides[0]) => sides.first()?.as_u64(),
        Some(_) => None,
        None => size.as_u64(),
    };
    side.map(|side| side as usize)
}
