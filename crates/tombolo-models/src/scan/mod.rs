//! SCAN (Lee et al. 2018): words that attend over the regions of a picture, a network that must see both together.

mod attention;
mod file;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use self::attention::cross_attention;
pub use self::file::{SCAN, SCAN_TOKENIZER, ScanFile, words_fingerprint};
use crate::error::Result;
use crate::layers::{Gru, LayerNorm, Linear, unit_norm};
use crate::tower::{Sequences, TowerInput};
use crate::weights::{Init, Scope};

/// The mean of a first score, which counts 1, and of a score of a [`Scan`] by its weight.
pub fn combined(first: f32, (score, weight): (f32, f64)) -> f32 {
    ((f64::from(first) + weight * f64::from(score)) / (1.0 + weight)) as f32
}

/// Sizes of a [`Scan`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanConfig {
    /// What a word is: an id of so many, the unknown one included, or the state of a frozen text network at it.
    pub word: TowerInput,
    /// Width of a word before it is read, where it is an id.
    pub embedding: usize,
    /// Width of a cell of the image backbone.
    pub cell: usize,
    /// Width in which words and regions are compared.
    pub dim: usize,
    /// The most words of a text that is read as ids.
    pub positions: usize,
    /// λ: how sharply a word attends.
    pub sharpness: f64,
}

/// Both sides of SCAN. Regions are the cells of a frozen backbone, normalised and projected. So are words, of a frozen text
/// network; or they are learned embeddings read by a GRU both ways, as in the paper.
pub struct Scan {
    config: ScanConfig,
    words: Words,
    regions: Projection,
}

enum Words {
    Learned { embeddings: Tensor, gru: Gru },
    Projected(Projection),
}

/// A norm, then a linear layer.
struct Projection {
    norm: LayerNorm,
    linear: Linear,
}

impl Projection {
    fn new(input: usize, output: usize, scope: &Scope<'_>) -> Result<Self> {
        let norm = LayerNorm::new(input, 1e-5, &scope.at("norm"))?;
        Ok(Self { norm, linear: Linear::new(input, output, &scope.at("projection"))? })
    }

    fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        self.linear.forward(&self.norm.forward(rows)?)
    }
}

impl Scan {
    /// Reads or creates the network at `scope`.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or holds one of another shape.
    pub fn new(config: ScanConfig, scope: &Scope<'_>) -> Result<Self> {
        let ScanConfig { word, embedding, cell, dim, .. } = config;
        let words = match word {
            TowerInput::Tokens(count) => Words::Learned {
                embeddings: scope.get("words.weight", &[count, embedding], Init::Uniform(0.1))?,
                gru: Gru::both_ways(embedding, dim, &scope.at("gru"))?,
            },
            TowerInput::Vectors(width) => {
                Words::Projected(Projection::new(width, dim, &scope.at("words"))?)
            }
        };
        Ok(Self { words, regions: Projection::new(cell, dim, scope)?, config })
    }

    /// The sizes.
    pub fn config(&self) -> &ScanConfig {
        &self.config
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        self.regions.linear.bias().device()
    }

    /// Words in their texts; of learned ones the mean of the states that the GRU has at each, both ways.
    ///
    /// # Shapes
    /// `texts`: token ids, or the states `[words, word]` of the text network. Returns `[words, dim]`, rows of unit norm.
    /// # Errors
    /// If an id is none of the words', or the width is another.
    pub fn words(&self, texts: &Sequences) -> Result<Tensor> {
        let words = match &self.words {
            Words::Learned { embeddings, gru } => {
                gru.forward(&embeddings.index_select(&texts.values, 0)?, &texts.lengths)?
            }
            Words::Projected(projection) => projection.forward(&texts.values)?,
        };
        Ok(unit_norm(&words)?)
    }

    /// Regions of pictures.
    ///
    /// # Shapes
    /// `cells`: `[rows, cell]`. Returns `[rows, dim]`, rows of unit norm.
    /// # Errors
    /// If the width is another.
    pub fn regions(&self, cells: &Tensor) -> Result<Tensor> {
        Ok(unit_norm(&self.regions.forward(cells)?)?)
    }

    /// The words of each text by itself, `[words, dim]`, as [`Scan::words`] gives them.
    ///
    /// # Errors
    /// As [`Scan::words`].
    pub fn words_of_each(&self, texts: &Sequences) -> Result<Vec<Tensor>> {
        let words = self.words(texts)?;
        let mut first = 0;
        let each = texts.lengths.iter().map(|&length| {
            first += length;
            Ok(words.narrow(0, first - length, length)?)
        });
        each.collect()
    }

    /// How well each of some texts says what is in one picture.
    ///
    /// # Shapes
    /// `cells`: `[regions, cell]`; `texts`: the words of each, of [`Scan::words_of_each`].
    /// # Errors
    /// If the shapes do not agree.
    pub fn scores_of_picture(&self, cells: &Tensor, texts: &[&Tensor]) -> Result<Vec<f32>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let regions = self.regions(cells)?;
        let lengths = texts.iter().map(|words| Ok(words.dim(0)?)).collect::<Result<Vec<_>>>()?;
        let words = Tensor::cat(texts, 0)?;
        Ok(self.scores((&regions, 1), (&words, &lengths))?.flatten_all()?.to_vec1()?)
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
