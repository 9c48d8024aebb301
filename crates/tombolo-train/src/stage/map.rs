//! Stage map: joins the two spaces from pairs, in closed form or by training (§3.3 of the paper).

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Tensor, Var};
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use tombolo_models::checkpoint::{HostTensor, Tensors};
use tombolo_models::map::{HeadConfig, Map, MapConfig, Pairs, Standardise, cca, procrustes, ridge};
use tombolo_models::weights::{Init, Weights};
use tombolo_vectors::EmbeddingMatrix;

use crate::error::{Result, TrainError};
use crate::loss::infonce;
use crate::optimizer::AdamW;
use crate::reference::follow;
use crate::run::Step;
use crate::schedule::one_cycle;
use crate::settings::{MapKind, MapSettings};
use crate::stage::Context;
use crate::stage::contrast::{epoch_rng, host};

const STAGE: &str = "map";

/// The learned scale s = 1/τ is kept below this (Radford et al. 2021).
const LARGEST_SCALE: f32 = 100.0;

/// Texts and images of the training split that belong together.
pub struct TrainingPairs<'a> {
    /// The text tower's vectors.
    pub texts: &'a EmbeddingMatrix,
    /// The image tower's vectors.
    pub images: &'a EmbeddingMatrix,
    /// The image of each text.
    pub image_of_text: &'a [usize],
}

/// Finds the map that the settings ask for.
///
/// # Errors
/// [`TrainError::TooLittle`] without pairs, [`TrainError::Diverged`], or if a closed form has no solution.
pub fn train(
    pairs: &TrainingPairs<'_>,
    settings: &MapSettings,
    device: &Device,
    context: &mut Context<'_>,
) -> Result<Map> {
    if pairs.texts.len() < 2 {
        let (expected, found) = ("at least two training pairs", pairs.texts.len());
        return Err(TrainError::TooLittle { stage: STAGE, expected, found });
    }
    let closed = Pairs {
        texts: pairs.texts.as_slice(),
        text_dim: pairs.texts.dim(),
        images: pairs.images.as_slice(),
        image_dim: pairs.images.dim(),
        image_of_text: pairs.image_of_text,
    };
    Ok(match settings.kind {
        MapKind::Ridge => ridge(closed, settings.regularisation, device)?,
        MapKind::Procrustes => procrustes(closed, device)?,
        MapKind::Cca => cca(closed, settings.dim, settings.regularisation, device)?,
        MapKind::Linear | MapKind::Mlp => {
            Training::new(pairs, settings, device, context)?.run(context)?
        }
    })
}

/// A map in training.
struct Training<'a> {
    settings: &'a MapSettings,
    config: MapConfig,
    weights: Weights,
    average: Weights,
    map: Map,
    log_scale: Tensor,
    optimizer: AdamW,
    texts: Tensor,
    images: Tensor,
    /// The texts of each image that has any.
    captions: Vec<(u32, Vec<u32>)>,
    device: Device,
}

impl<'a> Training<'a> {
    fn new(
        pairs: &TrainingPairs<'_>,
        settings: &'a MapSettings,
        device: &Device,
        context: &Context<'_>,
    ) -> Result<Self> {
        let hidden = (settings.kind == MapKind::Mlp).then_some(settings.hidden);
        let head = |input| HeadConfig { input, linear: Some(settings.dim), hidden };
        let config = MapConfig { text: head(pairs.texts.dim()), image: head(pairs.images.dim()) };
        let start = |seed| {
            let weights = Weights::trainable(seed, device);
            let map = Map::from_weights(&config, &weights)?;
            let scale = Init::Constant((1.0 / settings.temperature).ln() as f32);
            let log_scale = weights.root().get("log_scale", &[], scale)?;
            set_standard(&weights, "text", pairs.texts)?;
            set_standard(&weights, "image", pairs.images)?;
            Ok::<_, TrainError>((weights, map, log_scale))
        };
        let (weights, map, log_scale) = start(context.seed)?;
        let (average, ..) = start(context.seed)?;
        let optimizer = AdamW::new(trained_variables(&weights), settings.weight_decay);
        let standard = |matrix: &EmbeddingMatrix, head: &tombolo_models::map::Head| {
            let shape = (matrix.len(), matrix.dim());
            Ok::<_, TrainError>(
                head.standardise(&Tensor::from_slice(matrix.as_slice(), shape, device)?)?.detach(),
            )
        };
        let texts = standard(pairs.texts, map.text())?;
        let images = standard(pairs.images, map.image())?;
        let captions = captions_by_image(pairs.image_of_text);
        let device = device.clone();
        Ok(Self {
            settings,
            config,
            weights,
            average,
            map,
            log_scale,
            optimizer,
            texts,
            images,
            captions,
            device,
        })
    }

    fn run(mut self, context: &mut Context<'_>) -> Result<Map> {
        let first = self.resume(context)?;
        context.logger.rewind(STAGE, first)?;
        let steps_an_epoch = self.captions.len().div_ceil(self.settings.batch);
        let steps = steps_an_epoch * self.settings.epochs;
        for epoch in first..self.settings.epochs {
            let mut rng = epoch_rng(context.seed, STAGE, epoch);
            let mut order: Vec<usize> = (0..self.captions.len()).collect();
            order.shuffle(&mut rng);
            let batch = self.captions.len().div_ceil(steps_an_epoch);
            for (index, items) in order.chunks(batch).enumerate() {
                let step = epoch * steps_an_epoch + index;
                let rate = one_cycle(self.settings.learning_rate, step, steps);
                let loss = self.step(items, rate, step, &mut rng)?;
                if !loss.is_finite() {
                    return Err(TrainError::Diverged { stage: STAGE, step, loss });
                }
                let items = items.len();
                context.logger.step(Step {
                    stage: STAGE,
                    step,
                    steps,
                    epoch,
                    loss,
                    rate,
                    items,
                })?;
            }
            if (epoch + 1) % 10 == 0 {
                context.checkpoints.save(STAGE, epoch + 1, &self.state()?)?;
            }
        }
        let tensors = host(&self.average.variables())?;
        Ok(Map::from_weights(&self.config, &Weights::fixed(tensors, &self.device)?)?)
    }

    fn step(
        &mut self,
        items: &[usize],
        rate: f64,
        step: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<f32> {
        let (mut images, mut texts) = self.batch(items, rng)?;
        if rng.random::<f64>() < self.settings.mixup {
            let mix = Mix::draw(items.len(), rng, &self.device)?;
            (images, texts) = (mix.apply(&images)?, mix.apply(&texts)?);
        }
        let (input, inner) = (self.settings.input_dropout, self.settings.dropout);
        let images = dropout(images, input, rng)?;
        let texts = dropout(texts, input, rng)?;
        let mut drop = |x: Tensor| dropout(x, inner, rng);
        let images = self.map.image().forward_with(&images, &mut drop)?;
        let texts = self.map.text().forward_with(&texts, &mut drop)?;
        let scale = self.log_scale.exp()?.minimum(&Tensor::new(LARGEST_SCALE, &self.device)?)?;
        let loss = infonce(&images, &texts, &scale)?;
        self.optimizer.step(&loss.backward()?, rate)?;
        // Early on, an average over few steps: the start is not worth remembering.
        let keep = self.settings.average.min((1.0 + step as f64) / (10.0 + step as f64));
        follow(&self.average.variables(), &self.weights.variables(), keep)?;
        Ok(loss.to_dtype(DType::F32)?.to_scalar()?)
    }

    /// Images and, for each, one of its texts, or the mean of two.
    fn batch(&self, items: &[usize], rng: &mut ChaCha8Rng) -> Result<(Tensor, Tensor)> {
        let two = rng.random::<f64>() < self.settings.two_texts;
        let mut draw = || {
            let drawn = items.iter().map(|&item| {
                let texts = &self.captions[item].1;
                *texts.choose(rng).expect("only images with texts are trained on")
            });
            let drawn: Vec<u32> = drawn.collect();
            self.texts.index_select(&Tensor::from_vec(drawn, items.len(), &self.device)?, 0)
        };
        let texts = match two {
            true => ((draw()? + draw()?)? * 0.5)?,
            false => draw()?,
        };
        let rows: Vec<u32> = items.iter().map(|&item| self.captions[item].0).collect();
        let rows = Tensor::from_vec(rows, items.len(), &self.device)?;
        Ok((self.images.index_select(&rows, 0)?, texts))
    }

    fn state(&self) -> Result<Tensors> {
        let mut state = Tensors::new();
        for (prefix, weights) in [("map", &self.weights), ("average", &self.average)] {
            for (name, tensor) in host(&weights.variables())? {
                state.insert(format!("{prefix}.{name}"), tensor);
            }
        }
        self.optimizer.export(&mut state);
        Ok(state)
    }

    fn resume(&mut self, context: &Context<'_>) -> Result<usize> {
        let Some((epoch, state)) = context.checkpoints.load(STAGE)? else { return Ok(0) };
        for (prefix, weights) in [("map", &self.weights), ("average", &self.average)] {
            for (name, variable) in weights.variables() {
                if let Some(HostTensor { data, .. }) = state.get(&format!("{prefix}.{name}")) {
                    variable.set(&Tensor::from_slice(data, variable.shape(), &self.device)?)?;
                }
            }
        }
        self.optimizer.import(&state);
        Ok(epoch)
    }
}

/// Mean and scale are fitted, not trained.
fn trained_variables(weights: &Weights) -> BTreeMap<String, Var> {
    let mut variables = weights.variables();
    variables.retain(|name, _| !name.ends_with(".mean") && !name.ends_with(".scale"));
    variables
}

fn set_standard(weights: &Weights, side: &str, matrix: &EmbeddingMatrix) -> Result<()> {
    let standard = Standardise::fit(matrix.as_slice(), matrix.dim());
    let variables = weights.variables();
    for (name, values) in [("mean", &standard.mean), ("scale", &standard.scale)] {
        let variable = &variables[&format!("{side}.{name}")];
        variable.set(&Tensor::from_slice(values, variable.shape(), weights.device())?)?;
    }
    Ok(())
}

fn captions_by_image(image_of_text: &[usize]) -> Vec<(u32, Vec<u32>)> {
    let mut captions = BTreeMap::<u32, Vec<u32>>::new();
    for (text, &image) in image_of_text.iter().enumerate() {
        captions.entry(image as u32).or_default().push(text as u32);
    }
    captions.into_iter().collect()
}

/// Each row mixed with another, both sides of a pair with the same share and partner, so that mixed pairs
/// still match (FuseMix, Vouitsis et al. 2024).
struct Mix {
    partners: Tensor,
    share: f64,
}

impl Mix {
    fn draw(rows: usize, rng: &mut ChaCha8Rng, device: &Device) -> Result<Self> {
        let mut partners: Vec<u32> = (0..rows as u32).collect();
        partners.shuffle(rng);
        Ok(Self { partners: Tensor::from_vec(partners, rows, device)?, share: rng.random() })
    }

    fn apply(&self, rows: &Tensor) -> Result<Tensor> {
        let others = (rows.index_select(&self.partners, 0)? * (1.0 - self.share))?;
        Ok(((rows * self.share)? + others)?)
    }
}

/// Sets a share of the values to zero and scales the rest up, drawing for each row from a generator of its
/// own so that rows can be drawn side by side.
fn dropout(x: Tensor, share: f64, rng: &mut ChaCha8Rng) -> tombolo_models::Result<Tensor> {
    if share <= 0.0 {
        return Ok(x);
    }
    let width = x.dim(D::Minus1)?;
    let seed = rng.random::<u64>();
    let (limit, scale) = ((share * f64::from(u32::MAX)) as u32, (1.0 / (1.0 - share)) as f32);
    let mut mask = vec![0.0f32; x.elem_count()];
    mask.par_chunks_mut(width).enumerate().for_each(|(row, mask)| {
        let mut state = seed ^ (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for value in mask {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if (state >> 32) as u32 >= limit {
                *value = scale;
            }
        }
    });
    Ok((&x * Tensor::from_vec(mask, x.shape(), x.device())?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn dropout_keeps_its_share_and_the_mean() {
        let x = Tensor::ones((200, 300), DType::F32, &Device::Cpu).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let dropped = dropout(x, 0.3, &mut rng).unwrap().flatten_all().unwrap();
        let values = dropped.to_vec1::<f32>().unwrap();
        let zeros = values.iter().filter(|&&v| v == 0.0).count() as f64 / values.len() as f64;
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!((zeros - 0.3).abs() < 0.01 && (mean - 1.0).abs() < 0.02, "{zeros} {mean}");
    }

    #[test]
    fn mixing_keeps_pairs_together() {
        let rows = Tensor::new(&[[1f32], [2.], [3.], [4.]], &Device::Cpu).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mix = Mix::draw(4, &mut rng, &Device::Cpu).unwrap();
        let (a, b) = (mix.apply(&rows).unwrap(), mix.apply(&(&rows * 10.0).unwrap()).unwrap());
        let difference = ((a * 10.0).unwrap() - b).unwrap().abs().unwrap().sum_all().unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-4);
    }
}
