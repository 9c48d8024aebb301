//! Stage scan: a network that must see a text and a photo together, from pairs. It re-ranks what a model finds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use candle_core::{Device, Tensor, Var};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tombolo_kernels::Dropout;
use tombolo_models::checkpoint::Tensors;
use tombolo_models::scan::{SCAN, Scan, ScanConfig};
use tombolo_models::tower::TowerInput;
use tombolo_models::weights::Weights;

use super::lessons::Lessons;
use super::map::graph::dropped;
use crate::error::{Result, TrainError};
use crate::loss::{Loss, score_infonce, score_triplet};
use crate::optimizer::AdamW;
use crate::run::Step;
use crate::schedule::one_cycle;
use crate::settings::ScanSettings;
use crate::stage::Context;
use crate::stage::contrast::epoch_rng;
use crate::variables::{Sets, checkpoint, host, restore};
use crate::views::Views;

/// Texts and images that belong together, as the network reads them.
pub struct ScanPairs<'a> {
    /// All texts, as words.
    pub texts: &'a dyn Views,
    /// All images, as cells.
    pub images: &'a dyn Views,
    /// The texts to train on.
    pub training_texts: &'a [usize],
    /// The image of each of them.
    pub image_of_text: &'a [usize],
}

impl ScanPairs<'_> {
    fn lessons(&self, settings: &ScanSettings, seed: u64) -> Lessons {
        Lessons::new(self.image_of_text, None, settings.epochs, seed)
    }

    /// Steps of the stage.
    pub fn steps(&self, settings: &ScanSettings, seed: u64) -> usize {
        self.lessons(settings, seed).steps(settings.epochs, settings.batch)
    }
}

/// Trains a network of these sizes from nothing, or from the last checkpoint. Returns its weights by name.
///
/// # Errors
/// [`TrainError::Diverged`], or if an item, a tensor operation or a checkpoint fails.
pub fn train(
    pairs: &ScanPairs<'_>,
    config: &ScanConfig,
    settings: &ScanSettings,
    device: &Device,
    context: &mut Context<'_>,
) -> Result<Tensors> {
    let weights = Weights::trainable(context.seed, device);
    let scan = Scan::new(config.clone(), &weights.root())?;
    let optimizer = AdamW::new(weights.variables(), settings.weight_decay);
    let mut training = Training { settings, weights, scan, optimizer };
    training.run(pairs, context)?;
    host(&training.weights.variables())
}

/// Texts read at a time.
const TEXTS: usize = 64;

/// The scores of some images, each with some texts, by their places among the pairs.
///
/// # Errors
/// If an item or a tensor operation fails.
pub(crate) fn scores(
    scan: &Scan,
    pairs: &ScanPairs<'_>,
    wanted: &[(usize, Vec<usize>)],
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Vec<f32>>> {
    let all: BTreeSet<usize> = wanted.iter().flat_map(|(_, texts)| texts).copied().collect();
    let all: Vec<usize> = all.into_iter().collect();
    let mut words = HashMap::new();
    for texts in all.chunks(TEXTS) {
        let each = scan.words_of_each(&pairs.texts.whole(texts)?)?;
        words.extend(texts.iter().copied().zip(each));
    }
    let mut scores = Vec::with_capacity(wanted.len());
    for (image, texts) in wanted {
        let cells = pairs.images.whole(&[*image])?.values;
        let texts: Vec<&Tensor> = texts.iter().map(|text| &words[text]).collect();
        scores.push(scan.scores_of_picture(&cells, &texts)?);
        progress(scores.len());
    }
    Ok(scores)
}

struct Training<'a> {
    settings: &'a ScanSettings,
    weights: Weights,
    scan: Scan,
    optimizer: AdamW,
}

impl Training<'_> {
    fn run(&mut self, pairs: &ScanPairs<'_>, context: &mut Context<'_>) -> Result<()> {
        let first = self.resume(context)?;
        context.logger.rewind(SCAN, first)?;
        let ScanSettings { epochs, batch, learning_rate, .. } = *self.settings;
        let lessons = pairs.lessons(self.settings, context.seed);
        let steps = lessons.steps(epochs, batch);
        for epoch in first..epochs {
            let mut rng = epoch_rng(context.seed, SCAN, epoch);
            let mut order = lessons.of(epoch).to_vec();
            order.shuffle(&mut rng);
            for (index, items) in order.chunks(batch).enumerate() {
                let step = lessons.steps(epoch, batch) + index;
                let rate = one_cycle(learning_rate, step, steps);
                let loss = self.loss(items, epoch, &lessons, pairs, &mut rng)?;
                self.optimizer.step(&loss.backward()?, rate)?;
                let loss = loss.to_scalar::<f32>()?;
                if !loss.is_finite() {
                    return Err(TrainError::Diverged { stage: SCAN, step, loss });
                }
                let items = items.len();
                context.logger.step(Step { stage: SCAN, step, steps, epoch, loss, rate, items })?;
            }
            let state = checkpoint(&self.sets(), &self.optimizer)?;
            context.checkpoints.save(SCAN, epoch + 1, &state)?;
        }
        Ok(())
    }

    /// Each image against one text of each image of the batch.
    fn loss(
        &self,
        items: &[usize],
        epoch: usize,
        lessons: &Lessons,
        pairs: &ScanPairs<'_>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Tensor> {
        let (images, texts) = lessons.captions.pairs(items, pairs.training_texts, rng);
        let cells = match self.settings.drop > 0.0 {
            true => pairs.images.view(&images, rng)?.values,
            false => pairs.images.whole(&images)?.values,
        };
        let regions = self.scan.regions(&self.thinned(cells, rng)?)?;
        let mut texts = pairs.texts.whole(&texts)?;
        if matches!(self.scan.config().word, TowerInput::Vectors(_)) {
            texts.values = self.thinned(texts.values, rng)?;
        }
        let words = self.scan.words(&texts)?;
        let scores = self.scan.scores((&regions, images.len()), (&words, &texts.lengths))?;
        let ScanSettings { loss, margin, temperature, epochs, .. } = *self.settings;
        Ok(match loss {
            Loss::TripletSum => score_triplet(&scores, margin, false)?,
            // All negatives in the first third: the hardest alone lead nowhere from the start.
            Loss::TripletHardest => score_triplet(&scores, margin, 3 * epoch >= epochs)?,
            _ => {
                let scale = Tensor::new(1.0 / temperature as f32, scores.device())?;
                score_infonce(&scores, &scale)?
            }
        })
    }

    /// Rows after dropout.
    fn thinned(&self, rows: Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        match self.settings.drop > 0.0 {
            true => Ok(dropped(rows, Dropout::new(rng.random(), self.settings.drop))?),
            false => Ok(rows),
        }
    }

    fn sets(&self) -> Sets<'static> {
        [("model", self.weights.variables()), ("average", BTreeMap::<String, Var>::new())]
    }

    /// Takes up the last checkpoint; returns the epoch to go on with.
    fn resume(&mut self, context: &Context<'_>) -> Result<usize> {
        let Some((epoch, state)) = context.checkpoints.load(SCAN)? else { return Ok(0) };
        restore(&self.sets(), &mut self.optimizer, &state)?;
        Ok(epoch)
    }
}
