//! Text backbones: what a text is to a tower.

mod bert;
mod tokenizer;

use std::path::Path;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

pub use bert::{Bert, BertConfig};
pub(crate) use bert::{BertEmbeddings, NAMES as BERT_NAMES};
pub use tokenizer::Tokenizer;

use crate::error::Result;

/// The most tokens that all-MiniLM-L6-v2 was trained for (`sentence_bert_config.json`).
const LONGEST: usize = 256;

/// A frozen network that turns a text into one vector a token.
pub struct TextBackbone {
    network: Bert,
    tokenizer: Tokenizer,
}

impl TextBackbone {
    /// BERT from a directory in the Hugging Face layout, with its `tokenizer.json`.
    ///
    /// # Errors
    /// If a file is missing or malformed.
    pub fn bert(dir: &Path, device: &Device) -> Result<Self> {
        let network = Bert::load(dir, device)?;
        let longest = LONGEST.min(network.config().max_position_embeddings);
        let tokenizer = Tokenizer::load(&dir.join("tokenizer.json"), longest)?;
        Ok(Self { network, tokenizer })
    }

    /// The same, but a token's vector is the outputs of these layers side by side; 0 stands for the embeddings.
    ///
    /// # Errors
    /// As [`Bert::reading`].
    pub fn reading(self, layers: &[usize]) -> Result<Self> {
        Ok(Self { network: self.network.reading(layers)?, ..self })
    }

    /// Width of a vector.
    pub fn dim(&self) -> usize {
        self.network.dim()
    }

    /// The most vectors that a text has.
    pub fn longest(&self) -> usize {
        LONGEST.min(self.network.config().max_position_embeddings)
    }

    /// The vectors of each text, special tokens included.
    ///
    /// # Shapes
    /// Returns `[rows, dim]`, the tokens of one text after those of the other, and the tokens of each.
    /// # Errors
    /// If the tokenizer refuses a text, or a tensor operation fails.
    pub fn forward(&self, texts: &[&str]) -> Result<(Tensor, Vec<usize>)> {
        let ids = texts.par_iter().map(|text| self.tokenizer.ids(text));
        let ids = ids.collect::<Result<Vec<_>>>()?;
        let lengths = ids.iter().map(Vec::len).collect();
        Ok((self.network.forward(&ids)?, lengths))
    }
}
