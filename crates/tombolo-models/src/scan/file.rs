//! A SCAN in a run directory.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use super::{Scan, ScanConfig};
use crate::checkpoint::Tensors;
use crate::checkpoint::safetensors::{self, Precision};
use crate::error::{ModelError, Result};
use crate::model::fingerprint_of;
use crate::weights::Weights;

/// The name of its part: `scan.safetensors`.
pub const SCAN: &str = "scan";

/// Its words, where it has words of its own.
pub const SCAN_TOKENIZER: &str = "scan-tokenizer.json";

/// A SCAN, as `model.toml` records it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanFile {
    /// Name of the image backbone.
    pub backbone: String,
    /// Fingerprint of the backbone's files.
    pub backbone_fingerprint: String,
    /// Name of the text backbone; `words` where texts are read as words of its own.
    pub text_backbone: String,
    /// Fingerprint of the text backbone's files, or of the words.
    pub text_fingerprint: String,
    /// Fingerprint of its weights, its sizes and its backbones.
    pub fingerprint: String,
    /// How much its score counts beside the first score, which counts 1.
    pub weight: f64,
    /// Its sizes.
    pub sizes: ScanConfig,
}

impl ScanFile {
    /// Writes the weights into a run directory and returns what `model.toml` says of them. The backbones, of images and of
    /// texts, are given by name and fingerprint. Its score is not heard yet: the weight is 0.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(
        dir: &Path,
        tensors: &Tensors,
        sizes: &ScanConfig,
        [image, text]: [(&str, &str); 2],
        precision: Precision,
    ) -> Result<Self> {
        let entries: Vec<_> = tensors
            .iter()
            .map(|(name, t)| (name.as_str(), t.shape.as_slice(), t.data.as_slice()))
            .collect();
        let path = dir.join(format!("{SCAN}.safetensors"));
        safetensors::write_as(&path, &entries, &BTreeMap::new(), precision)?;
        let tensors = safetensors::read(&path)?;
        Ok(Self {
            backbone: image.0.to_owned(),
            backbone_fingerprint: image.1.to_owned(),
            text_backbone: text.0.to_owned(),
            text_fingerprint: text.1.to_owned(),
            fingerprint: fingerprint_of(&tensors, sizes, &backbones([image.1, text.1])),
            weight: 0.0,
            sizes: sizes.clone(),
        })
    }

    /// Refuses other words than it was trained with.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`], or if they cannot be read.
    pub fn check_words(&self, dir: &Path) -> Result<()> {
        let (expected, found) = (self.text_fingerprint.clone(), words_fingerprint(dir)?);
        if found == expected {
            return Ok(());
        }
        let path = dir.join(SCAN_TOKENIZER);
        Err(ModelError::OtherScan { path, expected, found })
    }

    /// Reads the network from the run directory.
    ///
    /// # Errors
    /// If the file is missing, malformed or of another network than this.
    pub fn load(&self, dir: &Path, device: &Device) -> Result<Scan> {
        let path = dir.join(format!("{SCAN}.safetensors"));
        let tensors = safetensors::read(&path)?;
        let on = [self.backbone_fingerprint.as_str(), &self.text_fingerprint];
        let found = fingerprint_of(&tensors, &self.sizes, &backbones(on));
        if found != self.fingerprint {
            let expected = self.fingerprint.clone();
            return Err(ModelError::OtherScan { path, expected, found });
        }
        Scan::new(self.sizes.clone(), &Weights::fixed(tensors, device)?.root())
    }
}

/// Both backbones' fingerprints as one.
fn backbones(fingerprints: [&str; 2]) -> String {
    fingerprints.join(" ")
}

/// Fingerprint of words: of the tokenizer's file.
///
/// # Errors
/// If it cannot be read.
pub fn words_fingerprint(dir: &Path) -> Result<String> {
    let path = dir.join(SCAN_TOKENIZER);
    let bytes = std::fs::read(&path).map_err(ModelError::io(&path))?;
    Ok(blake3::hash(&bytes).to_hex()[..16].to_owned())
}
