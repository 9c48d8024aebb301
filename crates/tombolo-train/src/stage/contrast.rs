//! Contrastive training of one tower alone: what stages text and image share.

use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use tombolo_models::checkpoint::Tensors;
use tombolo_models::tower::{TAIL, Tower, TowerConfig};
use tombolo_models::weights::Weights;

use crate::error::{Result, TrainError};
use crate::loss::{Batch, SIGLIP_BIAS, Terms};
use crate::optimizer::AdamW;
use crate::positives::Positives;
use crate::reference::{Queue, follow};
use crate::run::Step;
use crate::schedule::one_cycle;
use crate::settings::StageSettings;
use crate::stage::Context;
use crate::variables::{Sets, assign, checkpoint, host, restore};
use crate::views::Views;

/// Chance that an item with positives is paired with another view of itself all the same.
const SELF_PAIR: f64 = 0.25;

/// A tower in training, its reference model and all that a checkpoint holds.
pub struct Contrast<'a> {
    stage: &'static str,
    settings: &'a StageSettings,
    weights: Weights,
    tower: Tower,
    reference_weights: Weights,
    reference: Tower,
    optimizer: AdamW,
    queue: Queue,
    terms: Terms,
    device: Device,
}

impl<'a> Contrast<'a> {
    /// A new tower of this stage, and its reference as a copy. `initial`: the weights that do not start at random.
    ///
    /// # Errors
    /// If the tower cannot be made.
    pub fn new(
        stage: &'static str,
        (config, initial): (&TowerConfig, &Tensors),
        settings: &'a StageSettings,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let (weights, reference_weights) =
            (Weights::trainable(seed, device), Weights::trainable(seed, device));
        let tower = Tower::new(config.clone(), &weights.root())?;
        let reference = Tower::new(config.clone(), &reference_weights.root())?;
        for weights in [&weights, &reference_weights] {
            assign(&weights.variables(), |name| initial.get(name))?;
        }
        let rate = |name: &str| trained_rate(name.starts_with(TAIL), settings);
        let optimizer = AdamW::new(weights.variables(), settings.weight_decay).with_rates(rate);
        let terms = Terms {
            scale: Tensor::new((1.0 / settings.temperature) as f32, device)?,
            bias: Tensor::new(SIGLIP_BIAS as f32, device)?,
            margin: settings.margin,
        };
        let queue = if settings.reference { settings.queue } else { 0 };
        let (queue, device) = (Queue::new(queue), device.clone());
        Ok(Self {
            stage,
            settings,
            weights,
            tower,
            reference_weights,
            reference,
            optimizer,
            queue,
            terms,
            device,
        })
    }

    /// Trains over the items that `positives` speaks of, the first of `views`, for the epochs that the
    /// settings name, from the last checkpoint if there is one. Each epoch draws from its own generator, so that a resumed run
    /// draws what an unbroken one does. Returns the tower's weights by name.
    ///
    /// # Errors
    /// [`TrainError::Diverged`], or if an item, a tensor operation or a checkpoint fails.
    pub fn train(
        mut self,
        views: &dyn Views,
        positives: &Positives,
        context: &mut Context<'_>,
    ) -> Result<Tensors> {
        let first = self.resume(context)?;
        context.logger.rewind(self.stage, first)?;
        let steps_an_epoch = positives.len().div_ceil(self.settings.batch);
        let epochs = epochs(self.settings);
        let steps = steps_an_epoch * epochs;
        for epoch in first..epochs {
            let mut rng = epoch_rng(context.seed, self.stage, epoch);
            let mut order: Vec<usize> = (0..positives.len()).collect();
            order.shuffle(&mut rng);
            for (index, items) in order.chunks(self.settings.batch).enumerate() {
                let step = epoch * steps_an_epoch + index;
                let rate = one_cycle(self.settings.learning_rate, step, steps);
                let loss = self.loss(items, epoch, views, positives, &mut rng)?;
                let loss = self.move_weights(&loss, rate)?;
                if !loss.is_finite() {
                    return Err(TrainError::Diverged { stage: self.stage, step, loss });
                }
                let (stage, items) = (self.stage, items.len());
                context.logger.step(Step { stage, step, steps, epoch, loss, rate, items })?;
            }
            context.checkpoints.save(self.stage, epoch + 1, &self.state()?)?;
        }
        host(&self.weights.variables())
    }

    /// The loss of a batch of items, each against a view of one of its positives and the queue.
    fn loss(
        &mut self,
        items: &[usize],
        epoch: usize,
        views: &dyn Views,
        positives: &Positives,
        rng: &mut ChaCha8Rng,
    ) -> Result<Tensor> {
        let partners: Vec<usize> =
            items.iter().map(|&item| positives.draw(item, SELF_PAIR, rng)).collect();
        let queries = self.tower.trained_vectors(&views.view(items, rng)?)?;
        let partner_views = views.view(&partners, rng)?;
        let keys = match self.settings.reference {
            true => self.reference.trained_vectors(&partner_views)?.detach(),
            false => self.tower.trained_vectors(&partner_views)?,
        };
        let all_keys = match &self.queue.keys(&self.device)? {
            Some(queued) => Tensor::cat(&[&keys, queued], 0)?,
            None => keys.clone(),
        };
        let key_items: Vec<usize> = partners.iter().copied().chain(self.queue.items()).collect();
        let mask = positive_mask(items, &key_items, positives, &self.device)?;
        let batch = Batch { queries: &queries, keys: &all_keys, positives: &mask };
        let loss = self.settings.loss.in_epoch(epoch).one_way(&batch, &self.terms)?;
        self.queue.push(&partners, &keys)?;
        Ok(loss)
    }

    /// Moves the tower against the gradient of `loss`, and the reference after it. Returns the loss.
    fn move_weights(&mut self, loss: &Tensor, rate: f64) -> Result<f32> {
        self.optimizer.step(&loss.backward()?, rate)?;
        if self.settings.reference {
            let (reference, tower) = (self.reference_weights.variables(), self.weights.variables());
            follow(&reference, &tower, self.settings.momentum)?;
        }
        Ok(loss.to_dtype(DType::F32)?.to_scalar()?)
    }

    fn sets(&self) -> Sets<'static> {
        let reference = self.reference_weights.variables();
        [("tower", self.weights.variables()), ("reference", reference)]
    }

    fn state(&self) -> Result<Tensors> {
        let mut state = checkpoint(&self.sets(), &self.optimizer)?;
        self.queue.export(&mut state);
        Ok(state)
    }

    /// Takes up the last checkpoint; returns the epoch to go on with.
    fn resume(&mut self, context: &Context<'_>) -> Result<usize> {
        let Some((epoch, state)) = context.checkpoints.load(self.stage)? else { return Ok(0) };
        restore(&self.sets(), &mut self.optimizer, &state)?;
        self.queue.import(&state);
        Ok(epoch)
    }
}

/// Epochs that a stage trains for: none if nothing of the tower is trained.
pub(crate) fn epochs(settings: &StageSettings) -> usize {
    if settings.output == 0 && settings.trained_blocks == 0 { 0 } else { settings.epochs }
}

/// The share of the learning rate that a weight moves with: one of the backbone's, or another.
pub(crate) fn trained_rate(of_backbone: bool, settings: &StageSettings) -> f32 {
    if of_backbone { settings.trained_rate as f32 } else { 1.0 }
}

/// A generator of its own for each epoch of each stage.
pub(crate) fn epoch_rng(seed: u64, stage: &str, epoch: usize) -> ChaCha8Rng {
    let hash = stage.bytes().fold(seed ^ 0x9e37_79b9_7f4a_7c15, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut rng = ChaCha8Rng::seed_from_u64(hash);
    rng.set_stream(epoch as u64);
    rng
}

/// 1 where a key's item means the same as a query's.
fn positive_mask(
    queries: &[usize],
    keys: &[usize],
    positives: &Positives,
    device: &Device,
) -> Result<Tensor> {
    let mut mask = vec![0.0; queries.len() * keys.len()];
    mask.par_chunks_mut(keys.len()).zip(queries).for_each(|(mask, &query)| {
        for (place, &key) in mask.iter_mut().zip(keys) {
            *place = f32::from(positives.contains(query, key));
        }
    });
    Ok(Tensor::from_vec(mask, (queries.len(), keys.len()), device)?)
}

/// The vectors of items, read whole a batch at a time, row by row.
///
/// # Errors
/// If an item or a tensor operation fails.
pub(crate) fn embed(
    tower: &Tower,
    views: &dyn Views,
    batches: std::slice::Chunks<'_, usize>,
    mut done: impl FnMut(usize),
) -> Result<Vec<f32>> {
    let mut out = Vec::new();
    for batch in batches {
        let vectors = tower.forward(&views.whole(batch)?)?;
        out.extend(vectors.flatten_all()?.to_vec1::<f32>()?);
        done(out.len() / tower.config().dim());
    }
    Ok(out)
}
