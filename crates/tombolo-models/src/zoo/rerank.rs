//! The matching head of BLIP as a re-ranker.

use std::path::Path;

use candle_core::Device;
use rayon::prelude::*;

use super::blip::{self, BlipMatching};
use super::files::{Files, Layout};
use super::reading::Reader;
use crate::error::{ModelError, Result};
use crate::image::Preprocessing;

/// Pictures seen at a time, at most: what is remembered of each may take some tens of megabytes.
const PICTURES: usize = 4;

/// A network that matches texts with pictures, its tokenizer and its preprocessing.
pub struct MatchingReranker {
    matching: BlipMatching,
    reader: Reader,
    preprocessing: Preprocessing,
}

impl MatchingReranker {
    /// Opens a directory in Hugging Face's layout.
    ///
    /// # Errors
    /// [`ModelError::NotAModel`] if there is no model, [`ModelError::NotAReranker`] if it has no matching head, or if a file
    /// is missing or malformed.
    pub(crate) fn open(dir: &Path, device: &Device) -> Result<Self> {
        let layout = Layout::of(dir).ok_or_else(|| ModelError::NotAModel { path: dir.into() })?;
        let settings = layout.settings(dir)?;
        let architecture = settings.architecture;
        if architecture.model_type != blip::BLIP.model_type {
            let (path, found) = (settings.path, architecture.model_type);
            return Err(ModelError::NotAReranker { path, found });
        }
        let reader = Reader::load(Layout::HuggingFace, dir, (architecture.context)(&settings)?)?;
        let preprocess = (architecture.preprocess)(&settings)?;
        let files = Files::open(layout, settings)?;
        let matching = BlipMatching::load(&files, device)?;
        files.settings.expect_size(Some(matching.size()), preprocess.size)?;
        let preprocessing = Preprocessing::alone(preprocess);
        Ok(Self { matching, reader, preprocessing })
    }

    /// What a photo must be brought to.
    pub(crate) fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// The token ids of texts.
    ///
    /// # Errors
    /// If the tokenizer refuses a text.
    pub(crate) fn read(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        texts.par_iter().map(|text| self.reader.ids(text)).collect()
    }

    /// The probability that a text describes a picture, for each picture and each of its texts.
    ///
    /// # Shapes
    /// `pictures`: each as [`Preprocessing::apply`] makes it, and the texts to match it with. Returns as many probabilities
    /// for each.
    /// # Errors
    /// If a text has a token that is none of the vocabulary's, or a tensor operation fails.
    pub(crate) fn score(&self, pictures: &[(&[f32], Vec<&[u32]>)]) -> Result<Vec<Vec<f32>>> {
        let mut scores = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(PICTURES) {
            let values: Vec<&[f32]> = pictures.iter().map(|(picture, _)| *picture).collect();
            let seen = self.matching.see(&values)?;
            let pairs: Vec<_> = seen
                .iter()
                .zip(pictures)
                .flat_map(|(seen, (_, texts))| texts.iter().map(move |text| (seen, *text)))
                .collect();
            let mut found = self.matching.score(&pairs)?.into_iter();
            let counts = pictures.iter().map(|(_, texts)| texts.len());
            scores.extend(counts.map(|count| found.by_ref().take(count).collect::<Vec<f32>>()));
        }
        Ok(scores)
    }
}
