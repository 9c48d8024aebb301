//! The files of a jointly trained model: which layout a directory has, and its tensors by Hugging Face's names.

use std::path::{Path, PathBuf};

use super::open_clip;
use super::settings::Settings;
use crate::checkpoint::MappedTensors;
use crate::error::{ModelError, Result};
use crate::settings::read_json;

/// Weights in Hugging Face's layout, best first.
const WEIGHTS: [&str; 3] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"];

/// How a directory names things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `config.json` and `model.safetensors`, as transformers writes them.
    HuggingFace,
    /// `open_clip_config.json` and `open_clip_model.safetensors`.
    OpenClip,
}

impl Layout {
    /// The layout of a directory, if it has one: Hugging Face's where both are there, but for a `config.json` that names no
    /// architecture, as timm writes it beside open_clip's files.
    pub fn of(dir: &Path) -> Option<Self> {
        let has = |name: &str| dir.join(name).exists();
        if has(open_clip::CONFIG) && has("config.json") && !names_architecture(dir) {
            Some(Self::OpenClip)
        } else if has("config.json") && WEIGHTS.iter().any(|name| has(name)) {
            Some(Self::HuggingFace)
        } else if has(open_clip::CONFIG) {
            Some(Self::OpenClip)
        } else {
            has("config.json").then_some(Self::HuggingFace)
        }
    }

    /// Reads the settings of a directory.
    ///
    /// # Errors
    /// If a file is malformed, or of an architecture that is not known.
    pub fn settings(self, dir: &Path) -> Result<Settings> {
        match self {
            Self::HuggingFace => Settings::read(dir),
            Self::OpenClip => open_clip::settings(dir),
        }
    }

    /// The weights, by Hugging Face's names of today.
    ///
    /// # Errors
    /// If there are none, or a file is malformed.
    pub fn tensors(self, dir: &Path) -> Result<MappedTensors> {
        let path = self.weights(dir)?;
        let tensors = match path.extension().is_some_and(|ending| ending == "json") {
            true => MappedTensors::open_shards(&path)?,
            false => MappedTensors::open_any(&path)?,
        };
        Ok(match self {
            Self::HuggingFace => tensors.renamed(of_today),
            Self::OpenClip => open_clip::translated(tensors)?,
        })
    }

    /// Where the weights are.
    ///
    /// # Errors
    /// If there are none.
    pub fn weights(self, dir: &Path) -> Result<PathBuf> {
        let names: &[&str] = match self {
            Self::HuggingFace => &WEIGHTS,
            Self::OpenClip => &open_clip::WEIGHTS,
        };
        let found = names.iter().map(|name| dir.join(name)).find(|path| path.exists());
        found.ok_or_else(|| ModelError::NoWeights { path: dir.into(), expected: names.join(", ") })
    }
}

/// The first checkpoints of BERT call weight and bias of a norm as TensorFlow does.
fn of_today(name: String) -> String {
    let renamed = |(old, new)| Some(format!("{}{new}", name.strip_suffix(old)?));
    let found = [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")];
    found.into_iter().find_map(renamed).unwrap_or(name)
}

fn names_architecture(dir: &Path) -> bool {
    let config = read_json::<serde_json::Value>(&dir.join("config.json"));
    // What cannot be read is told by who reads it for its settings.
    !config.is_ok_and(|config| config["model_type"].is_null())
}

/// A directory of a model, opened: its settings and its tensors, those of safetensors files not read yet.
pub(crate) struct Files {
    /// What the model is.
    pub settings: Settings,
    /// The weights, by Hugging Face's names.
    pub tensors: MappedTensors,
}

impl Files {
    /// Opens the weights that go with settings.
    ///
    /// # Errors
    /// If a file is missing or malformed, or holds tensors that the architecture has not.
    pub fn open(layout: Layout, settings: Settings) -> Result<Self> {
        let tensors = layout.tensors(&settings.dir)?;
        // What is under none of these belongs to no half: an adapter, say, without which the vectors are others.
        tensors.expect_only(settings.architecture.tensors)?;
        Ok(Self { settings, tensors })
    }

    /// Refuses tensors under these prefixes that no part of the network asked for: the file is then of another network
    /// than its settings say.
    ///
    /// # Errors
    /// [`CheckpointError::Extra`].
    pub fn expect_no_others(&self, prefixes: &[&str]) -> Result<()> {
        self.expect_no_others_but("", prefixes)
    }

    /// As [`Files::expect_no_others`], but names with `unread` in them may be left over.
    ///
    /// # Errors
    /// [`CheckpointError::Extra`].
    pub fn expect_no_others_but(&self, unread: &str, prefixes: &[&str]) -> Result<()> {
        Ok(self.tensors.expect_no_others(prefixes, unread)?)
    }
}
