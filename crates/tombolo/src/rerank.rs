//! The best of a first ranking, judged again by a network that sees a text and a photo together.
//!
//! What was judged comes first, ordered by the score that the judge gives, or by that and the first score together;
//! everything else follows in its old order. So a judge that looks at the best 50 can neither lose nor find a photo beyond these.

use std::path::PathBuf;

use clap::Args;
use rayon::prelude::*;
use tombolo_data::dataset::ImageSource;
use tombolo_data::image::{Loader, LoaderConfig, Pixels};
use tombolo_models::model::Model;
use tombolo_models::rerank::{Measure, ReadText, Reranker};
use tombolo_models::zoo::Joint;

use crate::cli::{Global, Terminal};
use crate::model::{backbones, caveats, model_dir};

/// Photos judged at a time.
const PHOTOS: usize = 8;

/// Whether the best are judged again, and by what.
#[derive(Args, Clone, Debug)]
pub struct RerankArguments {
    /// A model that sees a text and a photo together: BLIP with its matching head, or a run whose stage scan was trained. It
    /// orders the best of each query anew
    #[arg(long, env = "TOMBOLO_RERANK", value_name = "MODEL")]
    pub rerank: Option<PathBuf>,
    /// How many of the best of each query it orders
    #[arg(long, env = "TOMBOLO_RERANK_TOP", default_value_t = 50, value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub rerank_top: u64,
}

impl RerankArguments {
    /// Loads the model, if one is named.
    ///
    /// # Errors
    /// If it cannot be loaded, or is none.
    pub fn open(&self, global: &Global, terminal: &Terminal) -> anyhow::Result<Option<Judge>> {
        let Some(model) = &self.rerank else { return Ok(None) };
        let backbones = backbones(global)?;
        let dir = model_dir(model, &backbones, terminal)?;
        let reranker = Reranker::open(&dir, &backbones, &mut |p| terminal.pulling(p))?;
        let opened = Model::open(&dir)?;
        let warnings = opened.joint().map(Joint::warnings).unwrap_or_default();
        warnings.iter().for_each(|warning| terminal.warning(warning));
        let caveats = caveats(opened.file()).collect();
        let (model, top) = (model.display().to_string(), self.rerank_top as usize);
        Ok(Some(Judge { reranker, model, top, caveats }))
    }
}

/// A photo, and the texts that it is to be matched with, by their numbers.
pub struct Case {
    /// Where the photo is.
    pub photo: ImageSource,
    /// Places in the list of texts.
    pub texts: Vec<usize>,
}

/// A network that matches texts with photos.
pub struct Judge {
    reranker: Reranker,
    model: String,
    top: usize,
    caveats: Vec<&'static str>,
}

impl Judge {
    /// The model as it was asked for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What must be said wherever a result of it is printed.
    pub fn caveats(&self) -> &[&'static str] {
        &self.caveats
    }

    /// What its scores are.
    pub fn measure(&self) -> Measure {
        self.reranker.measure()
    }

    /// What orders, of the first score and the judge's: [`Reranker::combined`].
    pub fn combined(&self, first: f32, score: f32) -> f32 {
        self.reranker.combined(first, score)
    }

    /// How many of the best of each query are judged.
    pub fn top(&self) -> usize {
        self.top
    }

    /// The score of each photo and each of its texts; none for a photo that cannot be read, which is
    /// named. `seen`: what is looked at of a photo, by its case's place.
    ///
    /// # Errors
    /// If the tokenizer refuses a text, or the network fails.
    pub fn judge(
        &self,
        texts: &[&str],
        (cases, seen): (Vec<Case>, &(dyn Fn(usize, Pixels) -> Pixels + Sync)),
        terminal: &Terminal,
    ) -> anyhow::Result<Vec<Option<Vec<f32>>>> {
        let read = self.reranker.read(texts)?;
        let (photos, wanted): (Vec<_>, Vec<_>) =
            cases.into_iter().map(|case| (case.photo, case.texts)).unzip();
        let preprocessing = self.reranker.preprocessing();
        let config = LoaderConfig { ahead: 2 * PHOTOS, ..LoaderConfig::default() };
        let total = photos.len();
        let mut pictures = Loader::new(photos, config, |decoded| decoded.pixels);
        let mut found = vec![None; total];
        terminal.begin("matching", Some(total as u64));
        while pictures.len() > 0 {
            let mut photos: Vec<(usize, Pixels)> = Vec::with_capacity(PHOTOS);
            for (place, picture) in pictures.by_ref().take(PHOTOS) {
                match picture {
                    Ok(picture) => photos.push((place, picture)),
                    Err(error) => terminal.skipped(&error.to_string()),
                }
            }
            let prepared = |(place, photo)| (place, preprocessing.apply(&seen(place, photo)));
            let batch: Vec<(usize, Vec<f32>)> = photos.into_par_iter().map(prepared).collect();
            let of =
                |place: usize| wanted[place].iter().map(|&text| &read[text]).collect::<Vec<_>>();
            let cases: Vec<(&[f32], Vec<&ReadText>)> =
                batch.iter().map(|(place, picture)| (&picture[..], of(*place))).collect();
            for ((place, _), scores) in batch.iter().zip(self.reranker.score(&cases)?) {
                found[*place] = Some(scores);
            }
            terminal.advance((total - pictures.len()) as u64, None);
        }
        terminal.end_bar();
        Ok(found)
    }

    /// Orders the first hits of a text anew: those that were judged, the best first, and then all others as they
    /// were. Of equal scores the one that was first stays first.
    ///
    /// `photo` and `score`: where each hit's photo is, and its first score. Returns the hits with what orders them.
    ///
    /// # Errors
    /// As [`Judge::judge`].
    pub fn reorder<T>(
        &self,
        text: &str,
        hits: Vec<T>,
        (photo, score): (impl Fn(&T) -> ImageSource, impl Fn(&T) -> f32),
        terminal: &Terminal,
    ) -> anyhow::Result<Vec<(T, Option<f32>)>> {
        let cases =
            hits.iter().take(self.top).map(|hit| Case { photo: photo(hit), texts: vec![0] });
        let found = self.judge(&[text], (cases.collect(), &|_, photo| photo), terminal)?;
        let scores = hits
            .iter()
            .zip(found)
            .map(|(hit, scores)| scores.map(|scores| self.combined(score(hit), scores[0])));
        let scores: Vec<Option<f32>> = scores.collect();
        Ok(ordered(hits, scores.into_iter().chain(std::iter::repeat(None))))
    }
}

fn ordered<T>(hits: Vec<T>, scores: impl Iterator<Item = Option<f32>>) -> Vec<(T, Option<f32>)> {
    let mut hits: Vec<(T, Option<f32>)> = hits.into_iter().zip(scores).collect();
    let score = |score: &Option<f32>| score.unwrap_or(f32::NEG_INFINITY);
    hits.sort_by(|(_, a), (_, b)| score(b).total_cmp(&score(a)));
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_judged_comes_first_and_the_rest_stays_in_order() {
        let scores = [Some(-0.2), None, Some(0.7), Some(-0.2), None, None];
        let found = ordered(vec!["a", "b", "c", "d", "e", "f"], scores.into_iter());
        let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["c", "a", "d", "b", "e", "f"]);
        assert_eq!(found[0].1, Some(0.7));
        assert_eq!(found[5].1, None);
    }
}
