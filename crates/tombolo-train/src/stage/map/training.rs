//! A trained map: a head on each side, moved against the gradient of a loss of matching pairs.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use rand::seq::SliceRandom;
use tombolo_models::checkpoint::Tensors;
use tombolo_models::map::{HeadConfig, Map, MapConfig, Standardise};
use tombolo_models::weights::{Init, Weights};

use super::draw::Draw;
use super::{Form, Found, STAGE, Task, TrainingPairs, fused, graph};
use crate::error::{Result, TrainError};
use crate::loss::SIGLIP_BIAS;
use crate::optimizer::AdamW;
use crate::reference::follow;
use crate::run::Step;
use crate::schedule::one_cycle;
use crate::settings::{MapKind, MapSettings};
use crate::stage::Context;
use crate::stage::contrast::epoch_rng;
use crate::stage::lessons::Lessons;
use crate::variables::{Sets, checkpoint, host, restore};

/// Names of the learned scalars: log s, and the bias of the sigmoid loss.
pub(in crate::stage) const LOG_SCALE: &str = "log_scale";
pub(in crate::stage) const LOGIT_BIAS: &str = "logit_bias";

/// The learned scale s = 1/τ is kept below this (Radford et al. 2021).
pub(in crate::stage) const LARGEST_SCALE: f32 = 100.0;

/// A linear layer, or one with a residual MLP beside it, trained; or several from different seeds, side by side.
pub(super) struct Trained;

impl Form for Trained {
    fn find(&self, task: &Task<'_>, context: &mut Context<'_>) -> Result<Found> {
        let TrainingPairs { image_of_text, course, .. } = task.pairs;
        let lessons = Lessons::new(image_of_text, course, task.settings.epochs, context.seed);
        let members =
            (0..task.settings.members).map(|member| member_of(task, &lessons, member, context));
        let map = Map::side_by_side(members.collect::<Result<_>>()?);
        Ok(Found { map, regularisation: None })
    }
}

/// Trains one member, or takes it as an interrupted run left it.
fn member_of(
    task: &Task<'_>,
    lessons: &Lessons,
    member: usize,
    context: &mut Context<'_>,
) -> Result<Map> {
    let done = format!("{STAGE}-{member}");
    let tensors = match context.checkpoints.load(&done)? {
        Some((_, tensors)) => tensors,
        None => {
            // The lower half of the seeds is for users to name.
            let seed = context.seed ^ ((member as u64) << 32);
            let training = Training::new(&task.pairs, lessons, task.settings, task.device, seed)?;
            let tensors = training.run(member, context)?;
            context.checkpoints.save(&done, task.settings.epochs, &tensors)?;
            context.checkpoints.discard(&in_progress(member))?;
            tensors
        }
    };
    let config = training_config(&task.pairs, task.settings);
    Ok(Map::from_weights(&config, &Weights::fixed(tensors, task.device)?)?)
}

/// The checkpoint of a member in training.
fn in_progress(member: usize) -> String {
    format!("{STAGE}-{member}-in-progress")
}

/// The sizes of one member.
fn training_config(pairs: &TrainingPairs<'_>, settings: &MapSettings) -> MapConfig {
    let hidden = (settings.kind == MapKind::Mlp).then_some(settings.hidden);
    let head = |input| HeadConfig { input, linear: Some(settings.dim), hidden };
    MapConfig {
        text: head(pairs.texts.dim()),
        image: head(pairs.images.dim()),
        members: 1,
        beside: Vec::new(),
    }
}

/// How one step is computed: fused on the CPU, or through candle's graph on any device.
pub(super) trait Pass {
    /// The loss of the drawn batch; leaves the gradients for [`Pass::move_weights`].
    fn loss(&mut self, draw: &Draw) -> Result<f32>;

    /// Moves the weights against the gradients of the last [`Pass::loss`].
    fn move_weights(&mut self, optimizer: &mut AdamW, rate: f64) -> Result<()>;
}

/// The weights of a map in training, with the standardisation of its inputs.
struct Start {
    weights: Weights,
    map: Map,
    /// log s, and the sigmoid loss's bias.
    scalars: (Tensor, Tensor),
}

impl Start {
    fn new(
        pairs: &TrainingPairs<'_>,
        standards: &[(&str, Standardise); 2],
        settings: &MapSettings,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let weights = Weights::trainable(seed, device);
        let map = Map::from_weights(&training_config(pairs, settings), &weights)?;
        let scale = Init::Constant((1.0 / settings.temperature).ln() as f32);
        let bias = Init::Constant(SIGLIP_BIAS as f32);
        let scalars = (
            weights.root().get(LOG_SCALE, &[], scale)?,
            weights.root().get(LOGIT_BIAS, &[], bias)?,
        );
        let variables = weights.variables();
        for (side, standard) in standards {
            for (name, values) in [("mean", &standard.mean), ("scale", &standard.scale)] {
                let variable = &variables[&format!("{side}.{name}")];
                variable.set(&Tensor::from_slice(values, variable.shape(), device)?)?;
            }
        }
        Ok(Self { weights, map, scalars })
    }
}

/// A map in training.
struct Training<'a> {
    settings: &'a MapSettings,
    weights: Weights,
    average: Weights,
    optimizer: AdamW,
    pass: Box<dyn Pass + 'a>,
    lessons: &'a Lessons,
}

impl<'a> Training<'a> {
    fn new(
        pairs: &TrainingPairs<'a>,
        lessons: &'a Lessons,
        settings: &'a MapSettings,
        device: &Device,
        seed: u64,
    ) -> Result<Self> {
        let text = Standardise::fit(pairs.texts.as_slice(), pairs.texts.dim());
        let image = Standardise::fit(pairs.image_rows(), pairs.images.dim());
        let standards = [("text", text), ("image", image)];
        let start = || Start::new(pairs, &standards, settings, seed, device);
        let (Start { weights, map, scalars }, average) = (start()?, start()?.weights);
        let optimizer = AdamW::new(trained_variables(&weights), settings.weight_decay);
        let pass: Box<dyn Pass + 'a> = match device.is_cpu() {
            true => Box::new(fused::Fused::new(pairs, &standards, &weights, settings)),
            false => Box::new(graph::Graph::new(pairs, map, scalars, settings)?),
        };
        Ok(Self { settings, weights, average, optimizer, pass, lessons })
    }

    /// Trains the member at this place; its epochs are counted on from those of the members before it.
    fn run(mut self, member: usize, context: &mut Context<'_>) -> Result<Tensors> {
        let first = self.resume(member, context)?;
        let MapSettings { epochs, batch, members, .. } = *self.settings;
        let (before, steps) = (member * epochs, self.lessons.steps(epochs, batch));
        context.logger.rewind(STAGE, before + first)?;
        for epoch in first..epochs {
            let mut rng = epoch_rng(context.seed, STAGE, before + epoch);
            let mut order = self.lessons.of(epoch).to_vec();
            order.shuffle(&mut rng);
            // Of one size, as far as possible.
            let even = order.len().div_ceil(order.len().div_ceil(batch).max(1)).max(1);
            for (index, items) in order.chunks(even).enumerate() {
                let step = self.lessons.steps(epoch, batch) + index;
                let rate = one_cycle(self.settings.learning_rate, step, steps);
                let captions = &self.lessons.captions;
                let draw = Draw::new(items, captions, self.settings, (epoch, &mut rng));
                let loss = self.step(&draw, rate, step)?;
                if !loss.is_finite() {
                    return Err(TrainError::Diverged { stage: STAGE, step, loss });
                }
                let (stage, items, epoch) = (STAGE, items.len(), before + epoch);
                let (step, steps) = (member * steps + step, members * steps);
                context.logger.step(Step { stage, step, steps, epoch, loss, rate, items })?;
            }
            if (epoch + 1) % 10 == 0 {
                let state = checkpoint(&self.sets(), &self.optimizer)?;
                context.checkpoints.save(&in_progress(member), epoch + 1, &state)?;
            }
        }
        host(&self.average.variables())
    }

    fn step(&mut self, draw: &Draw, rate: f64, step: usize) -> Result<f32> {
        let loss = self.pass.loss(draw)?;
        self.pass.move_weights(&mut self.optimizer, rate)?;
        // Early on, an average over few steps: the start is not worth remembering.
        let keep = self.settings.average.min((1.0 + step as f64) / (10.0 + step as f64));
        follow(&self.average.variables(), &self.weights.variables(), keep)?;
        Ok(loss)
    }

    fn sets(&self) -> Sets<'static> {
        [("map", self.weights.variables()), ("average", self.average.variables())]
    }

    /// Takes up the last checkpoint; returns the epoch to go on with.
    fn resume(&mut self, member: usize, context: &Context<'_>) -> Result<usize> {
        let Some((epoch, state)) = context.checkpoints.load(&in_progress(member))? else {
            return Ok(0);
        };
        restore(&self.sets(), &mut self.optimizer, &state)?;
        Ok(epoch)
    }
}

/// Mean and scale are fitted, not trained.
pub(in crate::stage) fn trained_variables(weights: &Weights) -> BTreeMap<String, Var> {
    let mut variables = weights.variables();
    variables.retain(|name, _| !name.ends_with(".mean") && !name.ends_with(".scale"));
    variables
}

#[cfg(test)]
mod tests {
    use tombolo_vectors::EmbeddingMatrix;

    use super::*;
    use crate::loss::Loss;

    const DIM: usize = 24;

    fn matrix(rows: usize, seed: usize) -> EmbeddingMatrix {
        let value = |i: usize| ((i * 7919 + seed * 104_729) % 1013) as f32 / 506.5 - 1.0;
        EmbeddingMatrix::from_rows(DIM, (0..rows * DIM).map(value).collect()).unwrap()
    }

    fn settings(kind: MapKind) -> MapSettings {
        let photos = crate::settings::Settings::photos().map;
        MapSettings { kind, dim: 8, hidden: 12, batch: 20, temperature: 0.5, ..photos }
    }

    /// Losses and weights after three steps, each pass drawing the same.
    fn trained(settings: &MapSettings, fused: bool) -> (Vec<f32>, BTreeMap<String, Vec<f32>>) {
        let (texts, images) = (matrix(60, 1), matrix(30, 2));
        let image_of_text: Vec<usize> = (0..60).map(|text| text / 2).collect();
        let (image_of_text, course) = (&image_of_text[..], None);
        let pairs = TrainingPairs {
            texts: &texts,
            images: &images,
            training_images: images.len(),
            image_of_text,
            course,
        };
        let lessons = Lessons::new(image_of_text, None, settings.epochs, 3);
        let mut training = Training::new(&pairs, &lessons, settings, &Device::Cpu, 3).unwrap();
        if !fused {
            let fit = |matrix: &EmbeddingMatrix| Standardise::fit(matrix.as_slice(), DIM);
            let standards = [("text", fit(&texts)), ("image", fit(&images))];
            let start = Start::new(&pairs, &standards, settings, 3, &Device::Cpu).unwrap();
            let graph = graph::Graph::new(&pairs, start.map, start.scalars, settings).unwrap();
            training.optimizer = AdamW::new(trained_variables(&start.weights), 0.1);
            (training.weights, training.pass) = (start.weights, Box::new(graph));
        } else {
            training.optimizer = AdamW::new(trained_variables(&training.weights), 0.1);
        }
        let mut rng = epoch_rng(1, STAGE, 0);
        let losses = (0..3).map(|step| {
            let items: Vec<usize> = (0..20).map(|i| (i + step) % 30).collect();
            let draw = Draw::new(&items, &training.lessons.captions, settings, (step, &mut rng));
            training.step(&draw, 0.01, step).unwrap()
        });
        let losses = losses.collect();
        let weights = host(&training.average.variables()).unwrap();
        (losses, weights.into_iter().map(|(name, tensor)| (name, tensor.data)).collect())
    }

    #[test]
    fn the_fused_pass_trains_as_the_graph_does() {
        let losses = [Loss::InfoNce, Loss::SigLip, Loss::TripletHardest];
        let kinds = [MapKind::Mlp, MapKind::Linear, MapKind::Mlp];
        for (kind, loss) in kinds.into_iter().zip(losses).chain([(MapKind::Linear, Loss::InfoNce)])
        {
            for mixup in [0.0, 1.0] {
                let settings = MapSettings { mixup, two_texts: mixup, loss, ..settings(kind) };
                let (fused, graph) = (trained(&settings, true), trained(&settings, false));
                for (found, expected) in fused.0.iter().zip(&graph.0) {
                    assert!((found - expected).abs() < 1e-4, "{:?} and {:?}", fused.0, graph.0);
                }
                for (name, expected) in &graph.1 {
                    for (found, expected) in fused.1[name].iter().zip(expected) {
                        assert!((found - expected).abs() < 1e-3, "{name}: {found}, {expected}");
                    }
                }
            }
        }
    }
}
