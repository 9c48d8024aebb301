//! Text backbones: what a text is to a tower.

mod bert;
mod clip;
mod config;
mod tokenizer;

use std::path::Path;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

pub use bert::Bert;
pub(crate) use bert::{BertEmbeddings, NAMES as BERT_NAMES};
pub use config::BertConfig;
pub(crate) use config::{KINDS, first_of_roberta};
pub use tokenizer::Tokenizer;

use crate::error::{ModelError, Result};
use crate::zoo::{Joint, JointTexts};

/// The most tokens that all-MiniLM-L6-v2 was trained for (`sentence_bert_config.json`).
const LONGEST: usize = 256;

/// A frozen network that turns a text into one vector a token.
pub struct TextBackbone {
    network: Network,
    device: Device,
}

enum Network {
    Bert {
        network: Box<Bert>,
        tokenizer: Box<Tokenizer>,
    },
    /// The text half of a jointly trained model.
    Half(Box<JointTexts>),
}

impl TextBackbone {
    /// BERT or RoBERTa from a directory in the Hugging Face layout, with its `tokenizer.json`.
    ///
    /// # Errors
    /// If a file is missing or malformed.
    pub fn bert(dir: &Path, device: &Device) -> Result<Self> {
        let network = Bert::load(dir, device)?;
        let longest = LONGEST.min(network.longest());
        let tokenizer = Box::new(Tokenizer::load(&dir.join("tokenizer.json"), longest)?);
        let network = Network::Bert { network: Box::new(network), tokenizer };
        Ok(Self { network, device: device.clone() })
    }

    /// The text half of a jointly trained model: the states of its last layer.
    ///
    /// # Errors
    /// If a file is missing or malformed.
    pub fn joint(model: &Joint, device: &Device) -> Result<Self> {
        Ok(Self { network: Network::Half(Box::new(model.texts(device)?)), device: device.clone() })
    }

    /// The same, but a token's vector is the outputs of these layers side by side; 0 stands for the embeddings.
    ///
    /// # Errors
    /// As [`Bert::reading`]; [`ModelError::LastLayerAlone`] for the half of a jointly trained model, which has its last layer alone.
    pub fn reading(self, layers: &[usize]) -> Result<Self> {
        let network = match self.network {
            Network::Bert { network, tokenizer } => {
                Network::Bert { network: Box::new(network.reading(layers)?), tokenizer }
            }
            Network::Half(_) => {
                return Err(ModelError::LastLayerAlone { found: layers.to_vec() });
            }
        };
        Ok(Self { network, ..self })
    }

    /// The same without its last `trained` layers.
    ///
    /// # Errors
    /// As [`Bert::below`]; [`ModelError::Untrainable`] for the half of a jointly trained model.
    pub fn below(self, trained: usize) -> Result<Self> {
        let network = match self.network {
            network if trained == 0 => network,
            Network::Bert { network, tokenizer } => {
                Network::Bert { network: Box::new(network.below(trained)?), tokenizer }
            }
            Network::Half(_) => {
                let (name, found) = ("the half of a jointly trained model".to_owned(), trained);
                let reason = "expected a BERT".to_owned();
                return Err(ModelError::Untrainable { name, found, reason });
            }
        };
        Ok(Self { network, ..self })
    }

    /// Width of a vector.
    pub fn dim(&self) -> usize {
        match &self.network {
            Network::Bert { network, .. } => network.dim(),
            Network::Half(half) => half.width(),
        }
    }

    /// The most vectors that a text has.
    pub fn longest(&self) -> usize {
        match &self.network {
            Network::Bert { tokenizer, .. } => tokenizer.longest(),
            Network::Half(half) => half.longest(),
        }
    }

    /// The vectors of each text, special tokens included.
    ///
    /// # Shapes
    /// Returns `[rows, dim]`, the tokens of one text after those of the other, and the tokens of each.
    /// # Errors
    /// If the tokenizer refuses a text, or a tensor operation fails.
    pub fn forward(&self, texts: &[&str]) -> Result<(Tensor, Vec<usize>)> {
        let (network, tokenizer) = match &self.network {
            Network::Bert { network, tokenizer } => (network, tokenizer),
            Network::Half(half) => {
                let (states, lengths) = half.states(texts)?;
                return Ok((states.to_device(&self.device)?, lengths));
            }
        };
        let ids = texts.par_iter().map(|text| tokenizer.ids(text));
        let ids = ids.collect::<Result<Vec<_>>>()?;
        let lengths = ids.iter().map(Vec::len).collect();
        Ok((network.forward(&ids)?, lengths))
    }
}
