//! How much the score of a network that sees a text and a photo together counts beside that of the run's own model.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tombolo_data::dataset::{Gallery, Split};
use tombolo_models::model::Model;
use tombolo_models::scan::{Scan, ScanFile, combined};

use super::Session;
use crate::error::Result;
use crate::joined::{Joined, Ranked, Used};
use crate::run::Event;
use crate::stage::scan::{ScanPairs, scores};
use crate::train::Stage;

/// The metric that says what the model reaches with the network beside it.
pub(super) const JUDGED: &str = "val.judged.rsum";

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
        if dataset.text_indices(Split::Val).is_empty() {
            return Ok(None);
        }
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

    /// Lets the trained network's score count as is best for the first ranking; as the settings have it where the network
    /// could not read an image that the towers could.
    pub(super) fn weigh(&mut self, first: &First, sides: &Sides<'_>) -> Result<()> {
        let Some(file) = self.model.scan.clone() else { return Ok(()) };
        let gallery = first.ranked.gallery.as_gallery();
        let ranking = gallery.rankings()?;
        let candidates = gallery.candidates(TOP)?;
        // As it was stored.
        let network = file.load(self.run.dir(), &self.backbones.device)?;
        let Some(scores) = self.scores(&network, gallery.pairs(&candidates), (first, sides))?
        else {
            return Ok(());
        };
        let rsum = |weight: f64| {
            let combined = |first, score| combined(first, (score, weight));
            let judged = gallery.judged(&ranking, &candidates, &scores, &combined)?;
            Ok((weight, judged.rsum()))
        };
        let found = WEIGHTS.into_iter().map(rsum).collect::<Result<Vec<_>>>()?;
        // Of weights that are as good the smallest, which trusts the first ranking the most.
        let best = found.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best });
        let Some((weight, rsum)) = best else { return Ok(()) };
        self.model.scan = Some(ScanFile { weight, ..file });
        self.model.metrics.insert(JUDGED.to_owned(), rsum);
        self.end(format!(
            "weight {weight}: rsum {rsum:.1} on the validation split, {:.1} without",
            ranking.rsum()
        ));
        Ok(())
    }

    /// The network's scores of pairs of an image and a text, by their rows; none if it could not read one of them.
    fn scores(
        &mut self,
        network: &Scan,
        pairs: BTreeMap<usize, BTreeSet<usize>>,
        (first, sides): (&First, &Sides<'_>),
    ) -> Result<Option<HashMap<(usize, usize), f32>>> {
        let text = |row: &usize| sides.texts.get(&first.texts[*row]).copied();
        let wanted = pairs.iter().map(|(image, texts)| {
            let image = *sides.images.get(&first.images[*image])?;
            Some((image, texts.iter().map(text).collect::<Option<Vec<_>>>()?))
        });
        let Some(wanted) = wanted.collect::<Option<Vec<_>>>() else { return Ok(None) };
        self.begin("scores on the validation split".to_owned(), wanted.len());
        let logger = &mut self.logger;
        let found = scores(network, sides.pairs, &wanted, &mut |done| {
            logger.event(Event::Advance { done: done as u64, loss: None });
        })?;
        let of_image = |((image, texts), found): ((usize, BTreeSet<usize>), Vec<f32>)| {
            texts.into_iter().zip(found).map(move |(text, score)| ((image, text), score))
        };
        Ok(Some(pairs.into_iter().zip(found).flat_map(of_image).collect()))
    }
}
