//! open_clip's layout: its settings and the names of its tensors, told in Hugging Face's words, and what it does to texts.

mod config;
mod names;
mod texts;
mod transform;

pub(crate) use config::{settings, unknown};
pub(crate) use names::translated;
pub(crate) use texts::cleaned;
pub(crate) use transform::preprocess;

/// The file that makes a directory one of this layout.
pub(crate) const CONFIG: &str = "open_clip_config.json";

/// Weights, best first.
pub(crate) const WEIGHTS: [&str; 2] =
    ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"];
