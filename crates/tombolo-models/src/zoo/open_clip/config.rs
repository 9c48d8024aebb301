//! `open_clip_config.json`, told in Hugging Face's words.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{CONFIG, transform};
use crate::error::{ModelError, Result};
use crate::settings::read_json;
use crate::zoo::Settings;

/// `open_clip_config.json`.
#[derive(Deserialize)]
struct File {
    model_cfg: Model,
    preprocess_cfg: Option<Value>,
    #[serde(flatten)]
    others: Others,
}

/// Fields beyond those that make the network.
type Others = serde_json::Map<String, Value>;

#[derive(Deserialize)]
struct Model {
    embed_dim: usize,
    #[serde(default)]
    quick_gelu: bool,
    vision_cfg: Vision,
    text_cfg: Text,
    #[serde(flatten)]
    others: Others,
}

#[derive(Deserialize)]
struct Vision {
    #[serde(default)]
    layers: Value,
    width: Option<usize>,
    #[serde(default = "head_width")]
    head_width: usize,
    #[serde(default = "mlp_ratio")]
    mlp_ratio: f64,
    #[serde(default)]
    patch_size: Value,
    image_size: usize,
    #[serde(flatten)]
    others: Others,
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
    others: Others,
}

/// Fields of open_clip's that ask for another network, unless they are what they are by default.
const OTHER_NETWORKS: [(&str, &str, &str); 23] = [
    ("vision_cfg", "act_kwargs", "{}"),
    ("vision_cfg", "attentional_pool", "false"),
    ("vision_cfg", "final_ln_after_pool", "false"),
    ("vision_cfg", "ls_init_value", "null"),
    ("vision_cfg", "no_ln_pre", "false"),
    ("vision_cfg", "norm_kwargs", "{}"),
    ("vision_cfg", "pool_type", "\"tok\""),
    ("vision_cfg", "pos_embed_type", "\"learnable\""),
    ("vision_cfg", "qk_norm", "false"),
    ("vision_cfg", "timm_model_name", "null"),
    ("text_cfg", "act_kwargs", "{}"),
    ("text_cfg", "embed_cls", "false"),
    ("text_cfg", "final_ln_after_pool", "false"),
    ("text_cfg", "hf_model_name", "null"),
    ("text_cfg", "hf_tokenizer_name", "null"),
    ("text_cfg", "ls_init_value", "null"),
    ("text_cfg", "no_causal_mask", "false"),
    ("text_cfg", "norm_kwargs", "{}"),
    ("text_cfg", "pool_type", "\"argmax\""),
    ("text_cfg", "proj_bias", "false"),
    ("text_cfg", "proj_type", "\"linear\""),
    ("text_cfg", "qk_norm", "false"),
    ("text_cfg", "tokenizer_kwargs", "{}"),
];

/// Fields that the network does not depend on: of training, of networks that are named in other fields, of other formats.
const WITHOUT_BEARING: [&str; 18] = [
    "attn_pooler_heads",
    "attn_pooler_queries",
    "cast_dtype",
    "custom_text",
    "eos_id",
    "init_logit_scale",
    "model_name",
    "output_dict",
    "output_tokens",
    "pad_id",
    "patch_dropout",
    "timm_drop",
    "timm_drop_path",
    "timm_model_pretrained",
    "timm_pool",
    "timm_proj",
    "timm_proj_bias",
    "tokenizer_mode",
];

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
    let (path, file) = read(dir)?;
    let refused = |reason: String| ModelError::Settings { path: path.clone(), reason };
    let config = config(&file.model_cfg, file.preprocess_cfg).map_err(refused)?;
    Settings::new(dir, &path, config)
}

/// The names of fields that nothing here knows: what they ask for is not done.
///
/// # Errors
/// If the file is malformed.
pub(crate) fn unknown(dir: &Path) -> Result<Vec<String>> {
    let (_, file) = read(dir)?;
    let mut unknown: Vec<String> = file.others.keys().cloned().collect();
    for (section, others) in sections(&file.model_cfg) {
        let known = |name: &&String| {
            WITHOUT_BEARING.contains(&name.as_str())
                || OTHER_NETWORKS.iter().any(|(of, field, _)| *of == section && field == name)
        };
        // A null or a false asks for nothing.
        let asked = others.iter().filter(|(_, value)| !value.is_null() && **value != false);
        let names = asked.map(|(name, _)| name).filter(|name| !known(name));
        unknown.extend(names.map(|name| place(section, name)));
    }
    unknown.extend(transform::unknown(file.preprocess_cfg.as_ref()));
    Ok(unknown)
}

fn read(dir: &Path) -> Result<(PathBuf, File)> {
    let path = dir.join(CONFIG);
    let raw: Value = read_json(&path)?;
    // An OpenAI or open_clip file of model settings alone is as good.
    let raw = if raw["model_cfg"].is_object() { raw } else { json!({ "model_cfg": raw }) };
    match serde_json::from_value(raw) {
        Ok(file) => Ok((path, file)),
        Err(error) => Err(ModelError::Settings { path, reason: error.to_string() }),
    }
}

fn sections(model: &Model) -> [(&'static str, &Others); 3] {
    let (vision, text) = (&model.vision_cfg.others, &model.text_cfg.others);
    [("", &model.others), ("vision_cfg", vision), ("text_cfg", text)]
}

/// Refuses what asks for a network that is not here.
fn check(model: &Model) -> Result<(), String> {
    for (section, others) in sections(model) {
        for (_, field, default) in OTHER_NETWORKS.iter().filter(|(of, _, _)| *of == section) {
            let as_by_default = |found: &&Value| {
                found.is_null()
                    || serde_json::from_str(default).is_ok_and(|value: Value| **found == value)
            };
            if let Some(found) = others.get(*field).filter(|found| !as_by_default(found)) {
                let place = place(section, field);
                return Err(format!("{place}: expected {default}, found {found}"));
            }
        }
    }
    Ok(())
}

/// Where a field stands in the file.
fn place(section: &str, field: &str) -> String {
    let dot = if section.is_empty() { "" } else { "." };
    format!("model_cfg.{section}{dot}{field}")
}

fn config(model: &Model, preprocess: Option<Value>) -> Result<Value, String> {
    check(model)?;
    let act = if model.quick_gelu { "quick_gelu" } else { "gelu" };
    let (vision, text) = (&model.vision_cfg, &model.text_cfg);
    let width = needed("text_cfg.width", text.width)?;
    Ok(json!({
        "model_type": "clip",
        "projection_dim": model.embed_dim,
        "preprocess_cfg": preprocess,
        "text_config": {
            "vocab_size": text.vocab_size,
            "hidden_size": width,
            "intermediate_size": (width as f64 * text.mlp_ratio) as usize,
            "num_hidden_layers": needed("text_cfg.layers", text.layers)?,
            "num_attention_heads": needed("text_cfg.heads", text.heads)?,
            "max_position_embeddings": text.context_length,
            "hidden_act": act,
            "eos_token_id": 2,
        },
        "vision_config": vision_config(vision, act)?,
    }))
}

fn vision_config(vision: &Vision, act: &str) -> Result<Value, String> {
    let width = needed("vision_cfg.width", vision.width)?;
    if vision.layers.is_array() {
        return Ok(json!({
            "resnet": { "layers": vision.layers, "width": width, "head_width": vision.head_width },
            "image_size": vision.image_size,
        }));
    }
    Ok(json!({
        "hidden_size": width,
        "intermediate_size": (width as f64 * vision.mlp_ratio) as usize,
        "num_hidden_layers": vision.layers,
        "num_attention_heads": width / vision.head_width.max(1),
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
        "hidden_act": act,
    }))
}

fn needed(name: &str, value: Option<usize>) -> Result<usize, String> {
    value.ok_or_else(|| format!("model_cfg.{name}: expected a number, found none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(file: &Value) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(CONFIG), file.to_string()).unwrap();
        folder
    }

    fn file() -> Value {
        json!({ "model_cfg": {
            "embed_dim": 8,
            "vision_cfg": { "layers": 1, "width": 64, "image_size": 32, "patch_size": 8 },
            "text_cfg": { "layers": 1, "width": 8, "heads": 1 },
        } })
    }

    #[test]
    fn defaults_that_are_written_out_are_as_good_as_none() {
        let mut file = file();
        for (section, field, default) in OTHER_NETWORKS {
            let section = match section {
                "" => &mut file["model_cfg"],
                name => &mut file["model_cfg"][name],
            };
            section[field] = serde_json::from_str(default).unwrap();
        }
        for field in WITHOUT_BEARING {
            file["model_cfg"]["vision_cfg"][field] = json!(1);
        }
        file["preprocess_cfg"] = json!({ "mode": "RGB", "fill_color": 0, "size": 32 });
        let folder = folder(&file);
        settings(folder.path()).unwrap();
        assert_eq!(unknown(folder.path()).unwrap(), [""; 0]);
    }

    #[test]
    fn another_network_is_refused_and_what_nothing_knows_is_told() {
        let mut other = file();
        other["model_cfg"]["text_cfg"]["pool_type"] = json!("last");
        let error = settings(folder(&other).path()).err().unwrap().to_string();
        let expected = "text_cfg.pool_type: expected \"argmax\", found \"last\"";
        assert!(error.contains(expected), "{error}");
        let siglip = json!({ "model_cfg": {
            "embed_dim": 768,
            "init_logit_bias": -10,
            "custom_text": true,
            "vision_cfg": { "image_size": 224, "timm_model_name": "vit_base_patch16_siglip_224", "timm_pool": "map" },
            "text_cfg": { "context_length": 64, "vocab_size": 32000, "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
                          "width": 768, "heads": 12, "layers": 12, "no_causal_mask": true },
        } });
        let error = settings(folder(&siglip).path()).err().unwrap().to_string();
        assert!(error.contains("timm_model_name: expected null, found"), "{error}");
        let mut new = file();
        new["version"] = json!(2);
        new["model_cfg"]["vision_cfg"]["registers"] = json!(4);
        new["model_cfg"]["vision_cfg"]["block_type"] = Value::Null;
        new["preprocess_cfg"] = json!({ "sharpen": true });
        let folder = folder(&new);
        settings(folder.path()).unwrap();
        let told = ["version", "model_cfg.vision_cfg.registers", "preprocess_cfg.sharpen"];
        assert_eq!(unknown(folder.path()).unwrap(), told);
    }
}
