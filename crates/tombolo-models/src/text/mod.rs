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
    /// Last layers that are left to the tower.
    trained: usize,
    device: Device,
}

enum Network {
    Bert {
        network: Box<Bert>,
        tokenizer: Box<Tokenizer>,
    },
    /// The text half of a jointly trained model: its tokens' states.
    Half(Box<JointTexts>),
    /// The same: its texts' vectors.
    Shared(Box<JointTexts>),
}

impl TextBackbone {
    /// BERT or RoBERTa from a directory in the Hugging Face layout, with its `tokenizer.json`.
    ///
    /// # Errors
    /// If a file is missing or malformed.
    pub fn bert(dir: &Path, device: &Device) -> Result<Self> {
        let network = Bert::load(dir, device)?;
        let longest = LONGEST.min(network.longest());
        let file = dir.join("tokenizer.json");
        if !file.exists() {
            return Err(ModelError::NoTokenizer { path: dir.into() });
        }
        let tokenizer = Box::new(Tokenizer::load(&file, longest)?);
        let network = Network::Bert { network: Box::new(network), tokenizer };
        Ok(Self::of(network, device))
    }

    fn of(network: Network, device: &Device) -> Self {
        Self { network, trained: 0, device: device.clone() }
    }

    /// The text half of a jointly trained model: the states of its last layer.
    ///
    /// # Errors
    /// If a file is missing or malformed.
    pub fn joint(model: &Joint, device: &Device) -> Result<Self> {
        Ok(Self::of(Network::Half(Box::new(model.texts(device)?)), device))
    }

    /// The text half of a jointly trained model: one vector a text, in the space that texts and pictures share.
    ///
    /// # Errors
    /// If a file is missing or malformed.
    pub fn shared(model: &Joint, device: &Device) -> Result<Self> {
        Ok(Self::of(Network::Shared(Box::new(model.texts(device)?)), device))
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
            Network::Half(_) | Network::Shared(_) => {
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
            Network::Half(_) | Network::Shared(_) => {
                let (name, found) = ("the half of a jointly trained model".to_owned(), trained);
                let reason = "expected a BERT".to_owned();
                return Err(ModelError::Untrainable { name, found, reason });
            }
        };
        Ok(Self { network, trained, ..self })
    }

    /// What its vectors are cached as: differs when they may, for the same network and layers.
    pub fn cached_as(&self) -> String {
        match self.trained {
            0 => "tokens".to_owned(),
            layers => format!("tokens below {layers} layers"),
        }
    }

    /// Width of a vector.
    pub fn dim(&self) -> usize {
        match &self.network {
            Network::Bert { network, .. } => network.dim(),
            Network::Half(half) => half.width(),
            Network::Shared(half) => half.dim(),
        }
    }

    /// The most vectors that a text has.
    pub fn longest(&self) -> usize {
        match &self.network {
            Network::Bert { tokenizer, .. } => tokenizer.longest(),
            Network::Half(half) => half.longest(),
            Network::Shared(_) => 1,
        }
    }

    /// The vectors of each text, special tokens included.
    ///
    /// # Shapes
    /// Returns `[rows, dim]`, the vectors of one text after those of the other, and how many each has.
    /// # Errors
    /// If the tokenizer refuses a text, or a tensor operation fails.
    pub fn forward(&self, texts: &[&str]) -> Result<(Tensor, Vec<usize>)> {
        let (network, tokenizer) = match &self.network {
            Network::Bert { network, tokenizer } => (network, tokenizer),
            Network::Half(half) => {
                let (states, lengths) = half.states(texts)?;
                return Ok((states.to_device(&self.device)?, lengths));
            }
            Network::Shared(half) => {
                let vectors = half.embed(texts)?;
                let shape = (texts.len(), half.dim());
                let vectors = Tensor::from_slice(vectors.as_slice(), shape, &self.device)?;
                return Ok((vectors, vec![1; texts.len()]));
            }
        };
        let ids = texts.par_iter().map(|text| tokenizer.ids(text));
        let ids = ids.collect::<Result<Vec<_>>>()?;
        let lengths = ids.iter().map(Vec::len).collect();
        Ok((network.forward(&ids)?, lengths))
    }
}
