//! Recall after the texts or the images were perturbed.

use anyhow::Context;
use rayon::prelude::*;
use tombolo_data::dataset::Dataset;
use tombolo_data::image::{Loader, LoaderConfig, Pixels};
use tombolo_data::perturbation::{
    ImagePerturbation, Perturbation, PerturbedTexts, TextPerturbation,
};
use tombolo_eval::{Gallery, Retrieval};
use tombolo_vectors::EmbeddingMatrix;

use super::Vectors;
use super::rerank::Shown;
use crate::cli::Terminal;
use crate::model::{Encoder, PHOTOS};
use crate::rerank::Judge;

/// What a perturbation made of a model's retrieval.
pub struct Perturbed {
    /// The perturbation.
    pub perturbation: Perturbation,
    /// Retrieval with all texts, or all images, perturbed: queries and what they are ranked against alike.
    pub retrieval: Retrieval,
    /// Inputs that it really changed.
    pub changed: usize,
    /// Inputs that there are.
    pub of: usize,
}

impl Perturbed {
    /// The share of rsum that is lost: 1 − rsum ÷ rsum without the perturbation; below 0 where it grew.
    pub fn relative_drop(&self, clean: &Retrieval) -> f64 {
        if clean.rsum == 0.0 { 0.0 } else { 1.0 - self.retrieval.rsum / clean.rsum }
    }
}

/// A model and what it has encoded of a data set.
pub struct Subject<'a> {
    pub dataset: &'a dyn Dataset,
    pub vectors: &'a Vectors,
    pub encoder: &'a Encoder,
    /// What orders the best of each query anew.
    pub judge: Option<&'a Judge>,
    pub terminal: &'a Terminal,
}

impl Subject<'_> {
    /// Measures the model with its texts or images perturbed. An input is perturbed by its index in the data set.
    ///
    /// # Errors
    /// If a backbone fails, or a photo that was read before cannot be read again.
    pub fn perturbed(&self, perturbation: Perturbation, seed: u64) -> anyhow::Result<Perturbed> {
        let vectors = self.vectors;
        let (retrieval, changed, of) = match perturbation {
            Perturbation::Text(perturbation) => {
                let perturbed = self.texts(perturbation, seed);
                let words: Vec<&str> = perturbed.texts.iter().map(String::as_str).collect();
                let texts = self.encoder.texts(&words, self.terminal)?;
                let gallery = vectors.gallery_of(&vectors.images, &texts);
                let shown = Shown { texts: words, ..Shown::new(self.dataset, vectors) };
                (self.retrieval(&gallery, &shown)?, perturbed.changed, texts.len())
            }
            Perturbation::Image(perturbation) => {
                let (images, changed) = self.images(perturbation, seed)?;
                let gallery = vectors.gallery_of(&images, &vectors.texts);
                let perturbation = Some((perturbation, seed));
                let shown = Shown { perturbation, ..Shown::new(self.dataset, vectors) };
                (self.retrieval(&gallery, &shown)?, changed, images.len())
            }
        };
        Ok(Perturbed { perturbation, retrieval, changed, of })
    }

    fn retrieval(&self, gallery: &Gallery<'_>, shown: &Shown<'_>) -> anyhow::Result<Retrieval> {
        let first = gallery.rankings()?;
        let rankings = match self.judge {
            Some(judge) => shown.reranked(gallery, (&first, judge), self.terminal)?,
            None => first,
        };
        Ok(rankings.retrieval()?)
    }

    fn texts(&self, perturbation: TextPerturbation, seed: u64) -> PerturbedTexts {
        let texts = self.vectors.text_indices.iter();
        let texts: Vec<(usize, &str)> =
            texts.map(|&text| (text, self.dataset.texts()[text].text.as_str())).collect();
        perturbation.apply_to_all(&texts, seed)
    }

    fn images(
        &self,
        perturbation: ImagePerturbation,
        seed: u64,
    ) -> anyhow::Result<(EmbeddingMatrix, usize)> {
        let indices = &self.vectors.image_indices;
        let sources: Vec<_> =
            indices.iter().map(|&image| self.dataset.images()[image].source.clone()).collect();
        let config = LoaderConfig { ahead: 2 * PHOTOS, ..LoaderConfig::default() };
        let mut photos = Loader::new(sources, config, |decoded| decoded.pixels);
        let mut vectors = EmbeddingMatrix::new(self.vectors.images.dim())?;
        let mut changed = 0;
        self.terminal.begin(&perturbation.to_string(), Some(indices.len() as u64));
        while photos.len() > 0 {
            let batch: Vec<(usize, Pixels)> = photos
                .by_ref()
                .take(PHOTOS)
                .map(|(row, photo)| Ok((indices[row], photo?)))
                .collect::<anyhow::Result<_>>()
                .context("a photo that was read a moment ago cannot be read again")?;
            let perturbed: Vec<Pixels> = batch
                .par_iter()
                .map(|(index, photo)| perturbation.apply(photo, seed, *index))
                .collect();
            changed += perturbed.iter().zip(&batch).filter(|(new, (_, old))| *new != old).count();
            vectors.extend(&self.encoder.photo_vectors(&perturbed, self.terminal)?)?;
            self.terminal.advance(vectors.len() as u64, None);
        }
        self.terminal.end_bar();
        Ok((vectors, changed))
    }
}
