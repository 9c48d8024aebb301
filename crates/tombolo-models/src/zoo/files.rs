//! The files of a jointly trained model: which layout a directory has, and its tensors by Hugging Face's names.

use std::path::{Path, PathBuf};

use super::open_clip;
use super::settings::Settings;
use crate::checkpoint::{CheckpointError, MappedTensors};
use crate::error::{ModelError, Result};

/// Weights in Hugging Face's layout, best first.
const WEIGHTS: [&str; 3] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"];

/// Ends of names of tensors that are computed or left from training, whatever a file holds in them.
const WITHOUT_USE: [&str; 6] = [
    "position_ids",
    "attn_mask",
    "num_batches_tracked",
    "token_type_ids",
    ".pooler.dense.weight",
    ".pooler.dense.bias",
];

/// How a directory names things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `config.json` and `model.safetensors`, as transformers writes them.
    HuggingFace,
    /// `open_clip_config.json` and `open_clip_model.safetensors`.
    OpenClip,
}

impl Layout {
    /// The layout of a directory, if it has one: Hugging Face's where both are there.
    pub fn of(dir: &Path) -> Option<Self> {
        let has = |name: &str| dir.join(name).exists();
        if has("config.json") && WEIGHTS.iter().any(|name| has(name)) {
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
    /// If a file is missing or malformed.
    pub fn open(layout: Layout, settings: Settings) -> Result<Self> {
        let path = layout.weights(&settings.dir)?;
        let tensors = match path.extension().is_some_and(|ending| ending == "json") {
            true => MappedTensors::open_shards(&path)?,
            false => MappedTensors::open_any(&path)?,
        };
        let tensors = match layout {
            Layout::HuggingFace => tensors,
            Layout::OpenClip => open_clip::translated(tensors)?,
        };
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
        let names = prefixes.iter().flat_map(|prefix| self.tensors.left_over(prefix));
        let left = |name: &String| !unread.is_empty() && name.contains(unread);
        let useless =
            |name: &String| left(name) || WITHOUT_USE.iter().any(|end| name.ends_with(end));
        let names: Vec<String> = names.filter(|name| !useless(name)).collect();
        if names.is_empty() {
            return Ok(());
        }
        let path = self.tensors.path().to_owned();
        Err(CheckpointError::Extra { path, count: names.len(), first: names[0].clone() }.into())
    }
}
