//! Re-rankers: networks that must see a text and a picture together to say whether they match.

mod scan;

use std::path::Path;

use self::scan::ScanReranker;
use crate::backbones::Backbones;
use crate::error::Result;
use crate::image::Preprocessing;
use crate::pull::OnProgress;
use crate::zoo::MatchingReranker;

/// A network that sees a text and a picture together, what reads its texts and its preprocessing.
///
/// It is far slower than a comparison of vectors, so that it is asked about the best hits of another model alone.
pub enum Reranker {
    /// The matching head of BLIP.
    Matching(Box<MatchingReranker>),
    /// A SCAN that was trained here.
    Scan(Box<ScanReranker>),
}

/// What the scores of a re-ranker are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Of a match, between 0 and 1.
    Probability,
    /// A mean of cosines, of the first score among them, from −1 to 1: it orders, and no more can be read from it.
    Cosine,
}

/// A text, as a re-ranker reads it.
pub struct ReadText(Read);

enum Read {
    /// The ids of its tokens.
    Ids(Vec<u32>),
    /// A vector a word, `[words, dim]`.
    Words(candle_core::Tensor),
}

impl Reranker {
    /// Opens a run directory whose stage scan was trained, or a directory in Hugging Face's layout.
    ///
    /// # Errors
    /// [`ModelError::NotAModel`](crate::ModelError::NotAModel) if there is no model,
    /// [`ModelError::NotAReranker`](crate::ModelError::NotAReranker) if it has no matching head, or if a file or the
    /// backbone is missing or malformed.
    pub fn open(dir: &Path, backbones: &Backbones, progress: OnProgress<'_>) -> Result<Self> {
        match dir.join("model.toml").exists() {
            true => Ok(Self::Scan(Box::new(ScanReranker::open(dir, backbones, progress)?))),
            false => Ok(Self::Matching(Box::new(MatchingReranker::open(dir, &backbones.device)?))),
        }
    }

    /// What its scores are.
    pub fn measure(&self) -> Measure {
        match self {
            Self::Matching(_) => Measure::Probability,
            Self::Scan(_) => Measure::Cosine,
        }
    }

    /// What orders: of a matching head its score, of a SCAN the mean of it and of the first score.
    pub fn combined(&self, first: f32, score: f32) -> f32 {
        match self {
            Self::Matching(_) => score,
            Self::Scan(scan) => scan.combined(first, score),
        }
    }

    /// What a photo must be brought to.
    pub fn preprocessing(&self) -> &Preprocessing {
        match self {
            Self::Matching(matching) => matching.preprocessing(),
            Self::Scan(scan) => scan.preprocessing(),
        }
    }

    /// Reads texts, once for all pictures.
    ///
    /// # Errors
    /// If the tokenizer refuses a text, or a tensor operation fails.
    pub fn read(&self, texts: &[&str]) -> Result<Vec<ReadText>> {
        match self {
            Self::Matching(matching) => {
                Ok(matching.read(texts)?.into_iter().map(|ids| ReadText(Read::Ids(ids))).collect())
            }
            Self::Scan(scan) => {
                Ok(scan.read(texts)?.into_iter().map(|w| ReadText(Read::Words(w))).collect())
            }
        }
    }

    /// How well each picture's texts say what is in it.
    ///
    /// # Shapes
    /// `pictures`: each as [`Preprocessing::apply`] makes it, and the texts to match it with. Returns as many scores for
    /// each.
    /// # Errors
    /// If a text has a token that is none of the vocabulary's, or a tensor operation fails.
    /// # Panics
    /// If a text was read by another re-ranker.
    pub fn score(&self, pictures: &[(&[f32], Vec<&ReadText>)]) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Matching(matching) => matching.score(&with_texts(pictures, ReadText::ids)),
            Self::Scan(scan) => scan.score(&with_texts(pictures, ReadText::words)),
        }
    }
}

/// The pictures with what a re-ranker keeps of their texts.
fn with_texts<'a, T: ?Sized>(
    pictures: &[(&'a [f32], Vec<&'a ReadText>)],
    read: fn(&'a ReadText) -> &'a T,
) -> Vec<(&'a [f32], Vec<&'a T>)> {
    let texts = |texts: &[&'a ReadText]| texts.iter().map(|text| read(text)).collect();
    pictures.iter().map(|(picture, of)| (*picture, texts(of))).collect()
}

impl ReadText {
    fn ids(&self) -> &[u32] {
        match &self.0 {
            Read::Ids(ids) => ids,
            Read::Words(_) => panic!("a text is scored by the re-ranker that read it"),
        }
    }

    fn words(&self) -> &candle_core::Tensor {
        match &self.0 {
            Read::Words(words) => words,
            Read::Ids(_) => panic!("a text is scored by the re-ranker that read it"),
        }
    }
}
