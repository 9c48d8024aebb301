//! Rankings whose best are judged again, both directions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::bail;
use tombolo_data::dataset::Dataset;
use tombolo_data::image::Pixels;
use tombolo_data::perturbation::ImagePerturbation;
use tombolo_eval::{BothRankings, Gallery};

use super::Vectors;
use crate::cli::Terminal;
use crate::rerank::{Case, Judge};

/// What a judge is shown of a gallery.
pub struct Shown<'a> {
    /// The data set.
    pub dataset: &'a dyn Dataset,
    /// What a model has encoded of it.
    pub vectors: &'a Vectors,
    /// The texts of the gallery.
    pub texts: Vec<&'a str>,
    /// What is done to its photos, and the seed of that.
    pub perturbation: Option<(ImagePerturbation, u64)>,
}

impl<'a> Shown<'a> {
    /// All as it is.
    pub fn new(dataset: &'a dyn Dataset, vectors: &'a Vectors) -> Self {
        let texts = vectors.text_indices.iter();
        let texts = texts.map(|&text| dataset.texts()[text].text.as_str()).collect();
        Self { dataset, vectors, texts, perturbation: None }
    }

    /// The rankings of a gallery with the best of each query in the order of `judge`, and all else as it was.
    ///
    /// A photo is looked at once, for all texts that it is to be matched with in either direction.
    ///
    /// # Errors
    /// If the network fails, or a photo that was read before cannot be read again.
    pub fn reranked(
        &self,
        gallery: &Gallery<'_>,
        (first, judge): (&BothRankings, &Judge),
        terminal: &Terminal,
    ) -> anyhow::Result<BothRankings> {
        let candidates = gallery.candidates(judge.top())?;
        let scores = self.scores(&gallery.pairs(&candidates), (judge, terminal))?;
        let combined = |first, score| judge.combined(first, score);
        Ok(gallery.judged(first, &candidates, &scores, &combined)?)
    }

    /// The score of each pair of an image and a text, by their rows.
    fn scores(
        &self,
        pairs: &BTreeMap<usize, BTreeSet<usize>>,
        (judge, terminal): (&Judge, &Terminal),
    ) -> anyhow::Result<HashMap<(usize, usize), f32>> {
        let images: Vec<usize> =
            pairs.keys().map(|&image| self.vectors.image_indices[image]).collect();
        let cases = images.iter().zip(pairs.values()).map(|(&image, texts)| Case {
            photo: self.dataset.images()[image].source.clone(),
            texts: texts.iter().copied().collect(),
        });
        let perturbation = self.perturbation;
        let seen = |place: usize, photo: Pixels| match perturbation {
            Some((perturbation, seed)) => perturbation.apply(&photo, seed, images[place]),
            None => photo,
        };
        let found = judge.judge(&self.texts, (cases.collect(), &seen), terminal)?;
        let mut scores = HashMap::new();
        for ((&image, texts), found) in pairs.iter().zip(found) {
            let Some(found) = found else {
                bail!("a photo that was read a moment ago cannot be read again");
            };
            scores.extend(texts.iter().zip(found).map(|(&text, score)| ((image, text), score)));
        }
        Ok(scores)
    }
}
