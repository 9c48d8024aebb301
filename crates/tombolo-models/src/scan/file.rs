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

/// Its words.
pub const SCAN_TOKENIZER: &str = "scan-tokenizer.json";

/// A SCAN, as `model.toml` records it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanFile {
    /// Name of the image backbone.
    pub backbone: String,
    /// Fingerprint of the backbone's files.
    pub backbone_fingerprint: String,
    /// Fingerprint of its weights, its sizes and its backbone.
    pub fingerprint: String,
    /// Its sizes.
    pub sizes: ScanConfig,
}

impl ScanFile {
    /// Writes the weights into a run directory and returns what `model.toml` says of them.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(
        dir: &Path,
        tensors: &Tensors,
        sizes: &ScanConfig,
        (backbone, backbone_fingerprint): (&str, &str),
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
            backbone: backbone.to_owned(),
            backbone_fingerprint: backbone_fingerprint.to_owned(),
            fingerprint: fingerprint_of(&tensors, sizes, backbone_fingerprint),
            sizes: sizes.clone(),
        })
    }

    /// Reads the network from the run directory.
    ///
    /// # Errors
    /// If the file is missing, malformed or of another network than this.
    pub fn load(&self, dir: &Path, device: &Device) -> Result<Scan> {
        let tensors = safetensors::read(&dir.join(format!("{SCAN}.safetensors")))?;
        let found = fingerprint_of(&tensors, &self.sizes, &self.backbone_fingerprint);
        if found != self.fingerprint {
            let (path, part, expected) = (dir.to_path_buf(), SCAN, self.fingerprint.clone());
            return Err(ModelError::Mismatch { path, part, expected, found });
        }
        Scan::new(self.sizes.clone(), &Weights::fixed(tensors, device)?.root())
    }
}
