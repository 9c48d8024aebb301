//! SCAN (Lee et al. 2018): words that attend over the regions of a picture, a network that must see both together.

mod attention;
mod file;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use self::attention::cross_attention;
pub use self::file::{SCAN, SCAN_TOKENIZER, ScanFile};
use crate::error::Result;
use crate::layers::{Gru, LayerNorm, Linear, unit_norm};
use crate::tower::Sequences;
use crate::weights::{Init, Scope};

/// Sizes of a [`Scan`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanConfig {
    /// Number of words, the unknown one included.
    pub words: usize,
    /// Width of a word before it is read.
    pub embedding: usize,
    /// Width of a cell of the image backbone.
    pub cell: usize,
    /// Width in which words and regions are compared.
    pub dim: usize,
    /// The most words of a text.
    pub positions: usize,
    /// λ: how sharply a word attends.
    pub sharpness: f64,
}

/// Both sides of SCAN: words are learned embeddings read by a GRU both ways, regions the cells of a frozen backbone,
/// normalised and projected.
pub struct Scan {
    config: ScanConfig,
    words: Tensor,
    gru: Gru,
    norm: LayerNorm,
    projection: Linear,
}

impl Scan {
    /// Reads or creates the network at `scope`.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or holds one of another shape.
    pub fn new(config: ScanConfig, scope: &Scope<'_>) -> Result<Self> {
        let ScanConfig { words, embedding, cell, dim, .. } = config;
        Ok(Self {
            words: scope.get("words.weight", &[words, embedding], Init::Uniform(0.1))?,
            gru: Gru::both_ways(embedding, dim, &scope.at("gru"))?,
            norm: LayerNorm::new(cell, 1e-5, &scope.at("norm"))?,
            projection: Linear::new(cell, dim, &scope.at("projection"))?,
            config,
        })
    }

    /// The sizes.
    pub fn config(&self) -> &ScanConfig {
        &self.config
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        self.words.device()
    }

    /// Words in their texts: the mean of both states at each.
    ///
    /// # Shapes
    /// `texts`: token ids. Returns `[words, dim]`, rows of unit norm.
    /// # Errors
    /// If an id is none of the words'.
    pub fn words(&self, texts: &Sequences) -> Result<Tensor> {
        let words = self.words.index_select(&texts.values, 0)?;
        Ok(unit_norm(&self.gru.forward(&words, &texts.lengths)?)?)
    }

    /// Regions of pictures.
    ///
    /// # Shapes
    /// `cells`: `[rows, cell]`. Returns `[rows, dim]`, rows of unit norm.
    /// # Errors
    /// If the width is another.
    pub fn regions(&self, cells: &Tensor) -> Result<Tensor> {
        Ok(unit_norm(&self.projection.forward(&self.norm.forward(cells)?)?)?)
    }

    /// How well each text says what is in each picture: [`cross_attention`].
    ///
    /// # Shapes
    /// `regions`: those of so many pictures, as many each; `words` and the number of them in each text. Returns
    /// `[pictures, texts]`.
    /// # Errors
    /// If the shapes do not agree.
    pub fn scores(&self, regions: (&Tensor, usize), words: (&Tensor, &[usize])) -> Result<Tensor> {
        Ok(cross_attention(regions, words, self.config.sharpness)?)
    }
}
