//! How much the score of a network that sees a text and a photo together counts beside that of the run's own model.

use std::collections::HashMap;

use tombolo_data::dataset::{Gallery, Split};
use tombolo_models::model::Model;
use tombolo_models::scan::{Scan, combined};

use super::Session;
use crate::error::Result;
use crate::joined::{Joined, Ranked, Used};
use crate::run::Event;
use crate::stage::scan::{ScanPairs, scores};
use crate::train::Stage;

/// What is tried.
const WEIGHTS: [f64; 5] = [0.1, 0.25, 0.5, 1.0, 2.0];

/// How many of the best of each query are judged; the default of `--rerank-top`.
const TOP: usize = 50;

/// What the run's model ranks on the validation split.
pub(super) struct First {
    ranked: Ranked,
    /// The text of the data set that each row is.
    texts: Vec<usize>,
    /// The image of the data set that each row is.
    images: Vec<usize>,
}

/// The items that the network read, by those of the data set.
pub(super) struct Sides<'a> {
    pairs: &'a ScanPairs<'a>,
    texts: HashMap<usize, usize>,
    images: HashMap<usize, usize>,
}

impl<'a> Sides<'a> {
    /// `read`: which of the images could be read.
    pub(super) fn new(
        pairs: &'a ScanPairs<'a>,
        (texts, images, read): (&Used, &Used, &[usize]),
    ) -> Self {
        let texts = texts.items.iter().enumerate().map(|(place, &text)| (text, place)).collect();
        let images = read.iter().enumerate().map(|(row, &place)| (images.items[place], row));
        Self { pairs, texts, images: images.collect() }
    }
}

impl Session<'_> {
    /// What the run's towers and map rank on the validation split; none where they are not there, or nothing is to rank.
    pub(super) fn first_ranking(&mut self) -> Result<Option<First>> {
        let map = self.run.dir().join("map.safetensors").exists();
        let towers = (self.trained_tower(Stage::Text)?, self.trained_tower(Stage::Image)?, map);
        let (Some(text_tower), Some(image_tower), true) = towers else { return Ok(None) };
        let dataset = self.plan.dataset;
        let texts = self.ranked_items(&|split| dataset.text_indices(split));
        let images = self.ranked_items(&|split| dataset.image_indices(split));
        let (inputs, _) = self.text_inputs(&texts)?;
        let views = inputs.views.as_ref();
        let text_vectors = self.vectors("texts", &text_tower, views, 0..texts.items.len())?;
        let inputs = self.image_inputs(&images)?;
        let views = inputs.views.as_ref();
        let image_vectors = self.vectors("images", &image_tower, views, 0..inputs.read.len())?;
        let joined = Joined::new(dataset, &texts, &images, &inputs.read);
        let map = Model::open(self.run.dir())?.map(&self.backbones.device)?;
        let Some(ranked) = joined.ranked(&map, &text_vectors, &image_vectors)? else {
            return Ok(None);
        };
        let image_of = |row: &usize| images.items[inputs.read[*row]];
        Ok(Some(First {
            texts: ranked.text_rows.iter().map(|&row| texts.items[row]).collect(),
            images: ranked.image_rows.iter().map(image_of).collect(),
            ranked,
        }))
    }

    /// What queries of the validation split are ranked against.
    fn ranked_items(&self, items: &dyn Fn(Split) -> Vec<usize>) -> Used {
        let training = match self.plan.dataset.gallery() {
            Gallery::SameSplit => Vec::new(),
            Gallery::Everything => items(Split::Train),
        };
        Used::new(training, items(Split::Val))
    }

    /// The weight with which the best of the first ranking, judged again, give the largest sum of recalls.
    pub(super) fn best_weight(
        &mut self,
        network: &Scan,
        first: &First,
        sides: &Sides<'_>,
    ) -> Result<f64> {
        let gallery = first.ranked.gallery();
        let ranking = gallery.rankings()?;
        let candidates = gallery.candidates(TOP)?;
        let pairs = gallery.pairs(&candidates);
        self.begin("scores on the validation split".to_owned(), pairs.len());
        let wanted: Vec<(usize, Vec<usize>)> = pairs
            .iter()
            .map(|(&image, texts)| {
                let texts = texts.iter().map(|&text| sides.texts[&first.texts[text]]);
                (sides.images[&first.images[image]], texts.collect())
            })
            .collect();
        let logger = &mut self.logger;
        let found = scores(network, sides.pairs, &wanted, &mut |done| {
            logger.event(Event::Advance { done: done as u64, loss: None });
        })?;
        let scores: HashMap<(usize, usize), f32> = pairs
            .iter()
            .zip(found)
            .flat_map(|((&image, texts), found)| {
                texts.iter().zip(found).map(move |(&text, score)| ((image, text), score))
            })
            .collect();
        let mut best = (0.0, f64::NEG_INFINITY);
        for weight in WEIGHTS {
            let combined = |first, score| combined(first, (score, weight));
            let rsum = gallery.judged(&ranking, &candidates, &scores, &combined)?.rsum();
            if rsum > best.1 {
                best = (weight, rsum);
            }
        }
        let (weight, rsum) = best;
        self.model.metrics.insert("val.judged.rsum".to_owned(), rsum);
        self.end(format!(
            "weight {weight}: rsum {rsum:.1} on the validation split, {:.1} without",
            ranking.rsum()
        ));
        Ok(weight)
    }
}
