//! The map that joins the two spaces: closed forms in seconds, or a head trained by a stage.

mod closed;
mod head;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use tombolo_vectors::EmbeddingMatrix;

pub use closed::{Moments, Pairs};
pub use head::{Head, HeadConfig, Standardise};

use crate::checkpoint::safetensors::Precision;
use crate::checkpoint::{self, HostTensor};
use crate::error::{ModelError, Result};
use crate::weights::Weights;

/// Rows mapped at a time.
const ROWS: usize = 4096;

/// Takes text vectors and image vectors into the space where they are compared.
///
/// A library keeps raw image vectors, so that another map needs no encoding.
pub struct Map {
    text: Head,
    image: Head,
}

/// Sizes of a map's two heads, as `map.safetensors` records them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapConfig {
    /// The text side.
    pub text: HeadConfig,
    /// The image side.
    pub image: HeadConfig,
}

impl Map {
    /// Joins two heads.
    pub fn new(text: Head, image: Head) -> Self {
        Self { text, image }
    }

    /// The map that leaves unit vectors of this width as they are.
    ///
    /// # Errors
    /// If a tensor cannot be made.
    pub fn identity(dim: usize, device: &Device) -> Result<Self> {
        let as_it_is = Standardise { mean: vec![0.0; dim], scale: vec![1.0; dim] };
        let head = || Head::closed(&as_it_is, None, device);
        Ok(Self { text: head()?, image: head()? })
    }

    /// Reads or creates both heads.
    ///
    /// # Errors
    /// If the weights lack a tensor or hold one of another shape.
    pub fn from_weights(config: &MapConfig, weights: &Weights) -> Result<Self> {
        Ok(Self {
            text: Head::new(&config.text, &weights.root().at("text"))?,
            image: Head::new(&config.image, &weights.root().at("image"))?,
        })
    }

    /// Sizes of both sides.
    pub fn config(&self) -> MapConfig {
        MapConfig { text: self.text.config().clone(), image: self.image.config().clone() }
    }

    /// The text side.
    pub fn text(&self) -> &Head {
        &self.text
    }

    /// The image side.
    pub fn image(&self) -> &Head {
        &self.image
    }

    /// Width of the space where texts and images are compared.
    pub fn dim(&self) -> usize {
        self.text.config().output()
    }

    /// Text vectors, mapped and scaled to unit norm.
    ///
    /// # Errors
    /// If their width is not that of the text side.
    pub fn map_texts(&self, vectors: &EmbeddingMatrix) -> Result<EmbeddingMatrix> {
        apply(&self.text, vectors)
    }

    /// Image vectors, mapped and scaled to unit norm.
    ///
    /// # Errors
    /// If their width is not that of the image side.
    pub fn map_images(&self, vectors: &EmbeddingMatrix) -> Result<EmbeddingMatrix> {
        apply(&self.image, vectors)
    }

    /// Writes `map.safetensors`; `towers` are the fingerprints of the text and image towers it joins.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path, towers: [&str; 2], precision: Precision) -> Result<()> {
        let mut tensors = BTreeMap::new();
        self.text.export("text", &mut tensors)?;
        self.image.export("image", &mut tensors)?;
        let config = serde_json::to_string(&self.config()).expect("sizes are always JSON");
        let metadata = BTreeMap::from([
            ("config".to_owned(), config),
            ("text".to_owned(), towers[0].to_owned()),
            ("image".to_owned(), towers[1].to_owned()),
        ]);
        let entries: Vec<_> = tensors
            .iter()
            .map(|(name, t)| (name.as_str(), t.shape.as_slice(), t.data.as_slice()))
            .collect();
        Ok(checkpoint::safetensors::write_as(path, &entries, &metadata, precision)?)
    }

    /// Reads `map.safetensors`. Returns the map and the fingerprints of the towers that it joins.
    ///
    /// # Errors
    /// If the file cannot be read or is not a map.
    pub fn load(path: &Path, device: &Device) -> Result<(Self, [String; 2])> {
        let metadata = checkpoint::safetensors::read_metadata(path)?;
        let malformed = |reason: String| ModelError::Settings { path: path.to_path_buf(), reason };
        let field = |name: &str| {
            metadata
                .get(name)
                .cloned()
                .ok_or_else(|| malformed(format!("no `{name}` in its metadata")))
        };
        let config: MapConfig =
            serde_json::from_str(&field("config")?).map_err(|e| malformed(e.to_string()))?;
        let weights = Weights::fixed(checkpoint::safetensors::read(path)?, device)?;
        Ok((Self::from_weights(&config, &weights)?, [field("text")?, field("image")?]))
    }
}

fn apply(head: &Head, vectors: &EmbeddingMatrix) -> Result<EmbeddingMatrix> {
    let mut out = Vec::with_capacity(vectors.len() * head.config().output());
    for rows in vectors.as_slice().chunks(ROWS * vectors.dim()) {
        let shape = (rows.len() / vectors.dim(), vectors.dim());
        let rows = Tensor::from_slice(rows, shape, head.device())?;
        out.extend(head.forward(&rows)?.flatten_all()?.to_vec1::<f32>()?);
    }
    EmbeddingMatrix::from_rows(head.config().output(), out).map_err(ModelError::from)
}

/// A tensor's values in the host's memory.
pub(crate) fn host(tensor: &Tensor) -> Result<HostTensor> {
    Ok(HostTensor { shape: tensor.dims().to_vec(), data: tensor.flatten_all()?.to_vec1()? })
}
