//! Stage joint: both towers and the map together, from pairs.
//!
//! What the paper argues against. Here to polish what the three stages made, and to compare with.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tombolo_kernels::Dropout;
use tombolo_models::checkpoint::Tensors;
use tombolo_models::map::{Head, Map, MapConfig};
use tombolo_models::tower::{TAIL, Tower, TowerConfig};
use tombolo_models::weights::{Init, Weights};

use super::Course;
use super::lessons::Lessons;
use super::map::draw::Captions;
use super::map::graph::dropped;
use super::map::training::{LARGEST_SCALE, LOG_SCALE, LOGIT_BIAS, trained_variables};
use crate::error::{Result, TrainError};
use crate::loss::{SIGLIP_BIAS, Terms};
use crate::optimizer::AdamW;
use crate::reference::follow;
use crate::run::Step;
use crate::schedule::one_cycle;
use crate::settings::{JointSettings, Settings};
use crate::stage::Context;
use crate::stage::contrast::{epoch_rng, trained_rate};
use crate::variables::{Sets, assign, checkpoint, host, restore};
use crate::views::Views;

const STAGE: &str = "joint";

/// The parts of a model as plain tensors.
pub struct Parts {
    /// The text tower's weights.
    pub text: Tensors,
    /// The image tower's weights.
    pub image: Tensors,
    /// The map's weights.
    pub map: Tensors,
}

/// Sizes of the parts.
pub struct Sizes {
    /// The text tower's.
    pub text: TowerConfig,
    /// The image tower's.
    pub image: TowerConfig,
    /// The map's.
    pub map: MapConfig,
}

/// Texts and images that belong together, as towers read them.
pub struct JointPairs<'a> {
    /// All texts.
    pub texts: &'a dyn Views,
    /// All images.
    pub images: &'a dyn Views,
    /// The texts to train on.
    pub training_texts: &'a [usize],
    /// The image of each of them.
    pub image_of_text: &'a [usize],
    /// The groups to go through, if there are any.
    pub course: Option<Course<'a>>,
}

impl JointPairs<'_> {
    fn lessons(&self, settings: &JointSettings, seed: u64) -> Lessons {
        Lessons::new(self.image_of_text, self.course, settings.epochs, seed)
    }

    /// Steps of the stage.
    pub fn steps(&self, settings: &JointSettings, seed: u64) -> usize {
        self.lessons(settings, seed).steps(settings.epochs, settings.batch)
    }
}

/// Trains all parts together, from what they are.
///
/// # Errors
/// [`TrainError::Diverged`], or if an item, a tensor operation or a checkpoint fails.
pub fn train(
    parts: Parts,
    sizes: &Sizes,
    pairs: &JointPairs<'_>,
    settings: &Settings,
    device: &Device,
    context: &mut Context<'_>,
) -> Result<Parts> {
    let mut joint = Joint::new(sizes, settings, device)?;
    joint.model.import(&parts)?;
    joint.average.import(&parts)?;
    joint.train(pairs, context)?;
    joint.average.parts()
}

/// Both towers and the map, in training.
struct InTraining {
    weights: [(&'static str, Weights); 3],
    text: Tower,
    image: Tower,
    map: Map,
    log_scale: Tensor,
    bias: Tensor,
}

impl InTraining {
    fn new(sizes: &Sizes, settings: &Settings, device: &Device) -> Result<Self> {
        let weights =
            ["text", "image", "map"].map(|part| (part, Weights::trainable(settings.seed, device)));
        let [(_, text), (_, image), (_, map)] = &weights;
        let scale = Init::Constant((1.0 / settings.map.temperature).ln() as f32);
        let bias = Init::Constant(SIGLIP_BIAS as f32);
        Ok(Self {
            text: Tower::new(sizes.text.clone(), &text.root())?,
            image: Tower::new(sizes.image.clone(), &image.root())?,
            log_scale: map.root().get(LOG_SCALE, &[], scale)?,
            bias: map.root().get(LOGIT_BIAS, &[], bias)?,
            map: Map::from_weights(&sizes.map, map)?,
            weights,
        })
    }

    fn import(&self, parts: &Parts) -> Result<()> {
        let tensors = [&parts.text, &parts.image, &parts.map];
        for ((_, weights), tensors) in self.weights.iter().zip(tensors) {
            assign(&weights.variables(), |name| tensors.get(name))?;
        }
        Ok(())
    }

    fn parts(&self) -> Result<Parts> {
        let [text, image, map] =
            self.weights.each_ref().map(|(_, weights)| host(&weights.variables()));
        Ok(Parts { text: text?, image: image?, map: map? })
    }

    /// All variables, those of each part below its name.
    fn variables(&self) -> BTreeMap<String, Var> {
        let parts = self.weights.iter().flat_map(|(part, weights)| {
            trained_variables(weights)
                .into_iter()
                .map(move |(name, v)| (format!("{part}/{name}"), v))
        });
        parts.collect()
    }
}

struct Joint<'a> {
    settings: &'a Settings,
    model: InTraining,
    average: InTraining,
    optimizer: AdamW,
}

impl<'a> Joint<'a> {
    fn new(sizes: &Sizes, settings: &'a Settings, device: &Device) -> Result<Self> {
        let model = InTraining::new(sizes, settings, device)?;
        let average = InTraining::new(sizes, settings, device)?;
        let rate = |name: &str| match name.split_once('/') {
            Some(("text", name)) => trained_rate(name.starts_with(TAIL), &settings.text),
            Some(("image", name)) => trained_rate(name.starts_with(TAIL), &settings.image),
            _ => 1.0,
        };
        let optimizer = AdamW::new(model.variables(), settings.joint.weight_decay).with_rates(rate);
        Ok(Self { settings, model, average, optimizer })
    }

    fn train(&mut self, pairs: &JointPairs<'_>, context: &mut Context<'_>) -> Result<()> {
        let first = self.resume(context)?;
        context.logger.rewind(STAGE, first)?;
        let settings = &self.settings.joint;
        let lessons = pairs.lessons(settings, context.seed);
        let steps = lessons.steps(settings.epochs, settings.batch);
        for epoch in first..settings.epochs {
            let mut rng = epoch_rng(context.seed, STAGE, epoch);
            let mut order = lessons.of(epoch).to_vec();
            order.shuffle(&mut rng);
            for (index, items) in order.chunks(settings.batch).enumerate() {
                let step = lessons.steps(epoch, settings.batch) + index;
                let rate = one_cycle(settings.learning_rate, step, steps);
                let loss = self.loss(items, epoch, &lessons.captions, pairs, &mut rng)?;
                self.optimizer.step(&loss.backward()?, rate)?;
                // Early on, an average over few steps, as in stage map.
                let keep =
                    self.settings.map.average.min((1.0 + step as f64) / (10.0 + step as f64));
                follow(&self.average.variables(), &self.model.variables(), keep)?;
                let loss = loss.to_scalar::<f32>()?;
                if !loss.is_finite() {
                    return Err(TrainError::Diverged { stage: STAGE, step, loss });
                }
                let (stage, items) = (STAGE, items.len());
                context.logger.step(Step { stage, step, steps, epoch, loss, rate, items })?;
            }
            let state = checkpoint(&self.sets(), &self.optimizer)?;
            context.checkpoints.save(STAGE, epoch + 1, &state)?;
        }
        Ok(())
    }

    fn loss(
        &self,
        items: &[usize],
        epoch: usize,
        captions: &Captions,
        pairs: &JointPairs<'_>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Tensor> {
        let (images, texts) = captions.pairs(items, pairs.training_texts, rng);
        let model = &self.model;
        let images = match model.image.config().tail {
            // One of the views of a photo: blocks read whole feature maps.
            Some(_) => pairs.images.view(&images, rng)?,
            None => pairs.images.whole(&images)?,
        };
        let images = model.image.forward(&images)?;
        let texts = model.text.forward(&pairs.texts.whole(&texts)?)?;
        let images = self.mapped(model.map.image(), &images, rng)?;
        let texts = self.mapped(model.map.text(), &texts, rng)?;
        let largest = Tensor::new(LARGEST_SCALE, model.log_scale.device())?;
        let scale = model.log_scale.exp()?.minimum(&largest)?;
        let settings = &self.settings.map;
        let terms = Terms { scale, bias: model.bias.clone(), margin: settings.margin };
        Ok(settings.loss.in_epoch(epoch).both_ways(&images, &texts, &terms)?)
    }

    fn mapped(&self, head: &Head, vectors: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let settings = &self.settings.map;
        let input = Dropout::new(rng.random(), settings.input_dropout);
        let inner = Dropout::new(rng.random(), settings.dropout);
        let x = dropped(head.standardise(vectors)?, input)?;
        Ok(head.forward_with(&x, &mut |x| dropped(x, inner))?)
    }

    fn sets(&self) -> Sets<'static> {
        [("model", self.model.variables()), ("average", self.average.variables())]
    }

    /// Takes up the last checkpoint; returns the epoch to go on with.
    fn resume(&mut self, context: &Context<'_>) -> Result<usize> {
        let Some((epoch, state)) = context.checkpoints.load(STAGE)? else { return Ok(0) };
        restore(&self.sets(), &mut self.optimizer, &state)?;
        Ok(epoch)
    }
}
