//! Texts and photos through the towers of a model.

use candle_core::{DType, Device, Tensor};
use tombolo_vectors::EmbeddingMatrix;

use crate::error::Result;
use crate::image::{ImageBackbone, Preprocessing};
use crate::text::{TextBackbone, Tokenizer};
use crate::tower::{Sequences, Tower};
use crate::zoo::{JointImages, JointTexts};

/// Texts encoded at a time.
const TEXTS: usize = 64;

/// Windows of the side of the grid in which [`ImageTower::windows`] looks at a photo, where the network's own cells have no vectors.
const WINDOWS: usize = 7;

/// What a text is read with.
pub(crate) enum TextReader {
    Words(Box<Tokenizer>),
    Backbone(Box<TextBackbone>),
}

/// The text tower with what it stands on.
pub struct TextTower(pub(super) Texts);

pub(super) enum Texts {
    Trained(Box<(TextReader, Tower)>),
    Joint(Box<JointTexts>),
}

impl TextTower {
    /// Width of a vector.
    pub fn dim(&self) -> usize {
        match &self.0 {
            Texts::Trained(parts) => parts.1.config().dim(),
            Texts::Joint(half) => half.dim(),
        }
    }

    /// The vectors of texts, in their order. Texts are encoded in the order of their length.
    ///
    /// # Errors
    /// If the tokenizer refuses a text, or a tensor operation fails.
    pub fn embed(&self, texts: &[&str]) -> Result<EmbeddingMatrix> {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&i| texts[i].len());
        let dim = self.dim();
        let mut out = vec![0.0; texts.len() * dim];
        for batch in order.chunks(TEXTS) {
            let chunk: Vec<&str> = batch.iter().map(|&i| texts[i]).collect();
            let vectors = self.encode(&chunk)?;
            for (&i, vector) in batch.iter().zip(vectors.iter()) {
                out[i * dim..(i + 1) * dim].copy_from_slice(vector);
            }
        }
        Ok(EmbeddingMatrix::from_rows(dim, out)?)
    }

    fn encode(&self, texts: &[&str]) -> Result<EmbeddingMatrix> {
        let (reader, tower) = match &self.0 {
            Texts::Trained(parts) => (&parts.0, &parts.1),
            Texts::Joint(half) => return half.embed(texts),
        };
        let sequences = reader.sequences(texts, tower.device())?.cut(tower.config().positions)?;
        let vectors = tower.forward(&sequences)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(EmbeddingMatrix::from_rows(self.dim(), vectors)?)
    }
}

impl TextReader {
    /// Texts as ids, or as the states of the backbone, rounded as features are.
    pub(crate) fn sequences(&self, texts: &[&str], device: &Device) -> Result<Sequences> {
        match self {
            Self::Words(tokenizer) => {
                let ids = texts.iter().map(|t| tokenizer.ids(t)).collect::<Result<Vec<_>>>()?;
                id_sequences(&ids, device)
            }
            Self::Backbone(backbone) => {
                let (rows, lengths) = backbone.forward(texts)?;
                Ok(Sequences { values: rounded(&rows)?, lengths })
            }
        }
    }
}

/// Token ids as sequences.
///
/// # Errors
/// If the tensor cannot be made.
pub fn id_sequences(ids: &[Vec<u32>], device: &Device) -> Result<Sequences> {
    let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
    let rows = lengths.iter().sum::<usize>();
    Ok(Sequences { values: Tensor::from_vec(ids.concat(), rows, device)?, lengths })
}

/// The image tower with what it stands on.
pub struct ImageTower(pub(super) Images);

pub(super) enum Images {
    Trained(Box<(ImageBackbone, Tower)>),
    Joint(Box<JointImages>),
}

impl ImageTower {
    /// Width of a vector.
    pub fn dim(&self) -> usize {
        match &self.0 {
            Images::Trained(parts) => parts.1.config().dim(),
            Images::Joint(half) => half.dim(),
        }
    }

    /// What a photo must be brought to.
    pub fn preprocessing(&self) -> &Preprocessing {
        match &self.0 {
            Images::Trained(parts) => parts.0.preprocessing(),
            Images::Joint(half) => half.preprocessing(),
        }
    }

    /// The vectors of parts of a photo, row by row: each as if all of the photo were like the cells around one place. Compared
    /// with a query, they tell which part of the photo it is that matches.
    ///
    /// # Shapes
    /// Returns `[side², dim]`: 7 windows a side of a tower of ours, the network's own cells of a jointly trained model.
    /// # Errors
    /// If a tensor operation fails.
    pub fn windows(&self, picture: Vec<f32>) -> Result<EmbeddingMatrix> {
        let (backbone, tower) = match &self.0 {
            Images::Trained(parts) => (&parts.0, &parts.1),
            Images::Joint(half) => return half.windows(&picture),
        };
        if let Some(windows) = backbone.shared_windows(&picture)? {
            let values = rounded(&Tensor::from_slice(
                windows.as_slice(),
                (windows.len(), windows.dim()),
                tower.device(),
            )?)?;
            let lengths = vec![1; windows.len()];
            return self.rows(&tower.forward(&Sequences { values, lengths })?);
        }
        let cells = rounded(&backbone.forward(&[picture])?.flatten(0, 1)?)?;
        let mut vectors = EmbeddingMatrix::new(self.dim())?;
        for window in backbone.windows(WINDOWS) {
            let lengths = vec![window.len()];
            let places = Tensor::from_vec(window, lengths[0], cells.device())?;
            let sequences = Sequences { values: cells.index_select(&places, 0)?, lengths };
            let vector = tower.forward(&sequences.cut(tower.config().positions)?)?;
            vectors.push(&vector.flatten_all()?.to_vec1::<f32>()?)?;
        }
        Ok(vectors)
    }

    /// The vectors of photos, each as [`Preprocessing::apply`] makes it.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn embed(&self, pictures: &[Vec<f32>]) -> Result<EmbeddingMatrix> {
        let (backbone, tower) = match &self.0 {
            Images::Trained(parts) => (&parts.0, &parts.1),
            Images::Joint(half) => return half.embed(pictures),
        };
        let cells = backbone.forward(pictures)?.flatten(0, 1)?;
        let lengths = vec![backbone.cells(); pictures.len()];
        let sequences = Sequences { values: rounded(&cells)?, lengths };
        self.rows(&tower.forward(&sequences.cut(tower.config().positions)?)?)
    }

    fn rows(&self, vectors: &Tensor) -> Result<EmbeddingMatrix> {
        Ok(EmbeddingMatrix::from_rows(self.dim(), vectors.flatten_all()?.to_vec1()?)?)
    }
}

/// Rounded to f16 and back: features that come from the cache and features that do not are the same.
fn rounded(features: &Tensor) -> Result<Tensor> {
    Ok(features.to_dtype(DType::F16)?.to_dtype(DType::F32)?)
}
