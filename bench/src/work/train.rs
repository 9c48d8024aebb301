//! Training: one epoch of the map, and of a text tower over cached features.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::ensure;
use candle_core::Device;
use tombolo_models::checkpoint::{Tensors, safetensors};
use tombolo_models::features::{FeatureKey, FeatureStore};
use tombolo_models::map::Map;
use tombolo_models::tower::{Pooling, Readout, TowerConfig, TowerInput};
use tombolo_train::positives::Positives;
use tombolo_train::run::{Event, Logger, PlanFile, RunDir};
use tombolo_train::settings::{MapSettings, Settings, StageSettings};
use tombolo_train::stage::map::{self, Task, TrainingPairs};
use tombolo_train::stage::{Context, Contrast};
use tombolo_train::views::{FeatureViews, ViewOf};
use tombolo_vectors::EmbeddingMatrix;

use super::Work;
use crate::Inputs;
use crate::npy::{self, Array};

/// Steps whose losses are compared.
const STEPS: usize = 5;

/// Width of a token's vector, that of all-MiniLM-L6-v2.
const TOKEN_DIM: usize = 384;

/// Texts that mean the same, one after the other.
const GROUP: usize = 5;

/// One epoch of a map of the sizes and the dropout that the peers train with: `map_start` of `prepare.py` and
/// `train_map.py`.
fn map_settings() -> MapSettings {
    let defaults = Settings::photos().map;
    MapSettings { epochs: 1, dim: 512, hidden: 1024, input_dropout: 0.3, dropout: 0.5, ..defaults }
}

/// One epoch of the map over all pairs. Its result is the loss of every step.
pub fn train_map(inputs: &Inputs) -> anyhow::Result<Work> {
    let (texts, images) = (side(inputs, "text", usize::MAX)?, side(inputs, "image", usize::MAX)?);
    let settings = map_settings();
    Ok(Box::new(move || map_losses(&texts, &images, &settings, None)))
}

/// One epoch of the map over so many synthetic pairs, of vectors as wide as towers over one layer and one network
/// give.
pub fn grow_map(pairs: &str) -> anyhow::Result<Work> {
    let pairs: usize = pairs.parse()?;
    let side = |dim: usize, factor: usize| {
        let value = |i: usize| ((i.wrapping_mul(factor) >> 7) % 1013) as f32 / 506.5 - 1.0;
        EmbeddingMatrix::from_rows(dim, (0..pairs * dim).map(value).collect())
    };
    let (texts, images) = (side(1024, 0x9e37_79b9)?, side(2816, 0x85eb_ca6b)?);
    let settings = map_settings();
    Ok(Box::new(move || map_losses(&texts, &images, &settings, None)))
}

/// The losses of the map's first steps without anything random, from given weights.
pub fn train_map_check(inputs: &Inputs) -> anyhow::Result<Work> {
    let defaults = map_settings();
    let (texts, images) =
        (side(inputs, "text", defaults.batch)?, side(inputs, "image", defaults.batch)?);
    let settings = MapSettings {
        epochs: STEPS,
        input_dropout: 0.0,
        dropout: 0.0,
        mixup: 0.0,
        two_texts: 0.0,
        ..defaults
    };
    let start = safetensors::read(&inputs.cache.join("map_start.safetensors"))?;
    let start = prefixed(&start, &["map", "average"]);
    Ok(Box::new(move || map_losses(&texts, &images, &settings, Some(&start))))
}

/// One epoch of the text tower over all texts, with the default settings.
pub fn train_tower(inputs: &Inputs) -> anyhow::Result<Work> {
    let settings = Settings::photos().text;
    let (views, texts) = features(inputs, "features", settings.drop)?;
    let positives = Positives::from_groups(texts, (0..texts).map(|text| (text, text / GROUP)));
    Ok(Box::new(move || tower_losses(&views, &positives, &settings, None)))
}

/// The losses of the tower's first steps on whole texts, each its own only positive, from given weights.
pub fn train_tower_check(inputs: &Inputs) -> anyhow::Result<Work> {
    let settings = StageSettings { epochs: STEPS, drop: 0.0, ..Settings::photos().text };
    let (views, texts) = features(inputs, "few_features", settings.drop)?;
    let positives = Positives::from_groups(texts, (0..texts).map(|text| (text, text)));
    let start = safetensors::read(&inputs.cache.join("tower_start.safetensors"))?;
    let start = prefixed(&start, &["tower", "reference"]);
    Ok(Box::new(move || tower_losses(&views, &positives, &settings, Some(&start))))
}

/// The first `count` vectors of one side of the pairs.
fn side(inputs: &Inputs, name: &str, count: usize) -> anyhow::Result<EmbeddingMatrix> {
    let Array { shape, mut values } =
        npy::read(&inputs.cache.join("pairs").join(format!("{name}.npy")))?;
    values.truncate(count.saturating_mul(shape[1]));
    Ok(EmbeddingMatrix::from_rows(shape[1], values)?)
}

/// Views of all texts of a cache of features, and their number.
fn features(inputs: &Inputs, name: &str, drop: f64) -> anyhow::Result<(FeatureViews, usize)> {
    let mut store = FeatureStore::open(&inputs.cache.join(name), TOKEN_DIM)?;
    store.map()?;
    let (texts, positions) = (store.len(), Settings::photos().text.positions);
    let keys = (0..texts).map(key).collect();
    Ok((FeatureViews::new(store, keys, positions, ViewOf::Share(1.0 - drop), &Device::Cpu), texts))
}

/// The key that `prepare.py` gives a text: its number, little-endian.
fn key(text: usize) -> FeatureKey {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&(text as u64).to_le_bytes());
    key
}

/// The default text tower over vectors as wide as those of all-MiniLM-L6-v2.
fn tower_config(settings: &StageSettings) -> TowerConfig {
    TowerConfig {
        input: TowerInput::Vectors(TOKEN_DIM),
        encoder: settings.encoder,
        width: settings.width,
        layers: settings.layers,
        heads: settings.heads,
        positions: settings.positions,
        output: settings.output,
        segments: Vec::new(),
        tail: None,
        pooling: Pooling::Largest,
        readout: Readout::ClassAndPooled(settings.pool_top),
    }
}

fn prefixed(tensors: &Tensors, prefixes: &[&str]) -> Tensors {
    let named = |prefix: &&str| {
        let prefix = prefix.to_string();
        tensors.iter().map(move |(name, tensor)| (format!("{prefix}.{name}"), tensor.clone()))
    };
    prefixes.iter().flat_map(named).collect()
}

/// The loss of every step of stage map, from a checkpoint before the first epoch if one is given.
fn map_losses(
    texts: &EmbeddingMatrix,
    images: &EmbeddingMatrix,
    settings: &MapSettings,
    start: Option<&Tensors>,
) -> anyhow::Result<Array> {
    let image_of_text: Vec<usize> = (0..texts.len()).collect();
    let pairs = TrainingPairs {
        texts,
        images,
        training_images: images.len(),
        image_of_text: &image_of_text,
        course: None,
    };
    losses("map", start, |context| {
        let (device, validate) = (&Device::Cpu, &|_: &Map| Ok(None));
        map::train(&Task { pairs, settings, device, validate }, context)?;
        Ok(())
    })
}

/// The loss of every step of stage text, as [`map_losses`].
fn tower_losses(
    views: &FeatureViews,
    positives: &Positives,
    settings: &StageSettings,
    start: Option<&Tensors>,
) -> anyhow::Result<Array> {
    let config = tower_config(settings);
    losses("text", start, |context| {
        let stage = Contrast::new(
            "text",
            (&config, &Tensors::new()),
            settings,
            context.seed,
            &Device::Cpu,
        )?;
        stage.train(views, positives, context)?;
        Ok(())
    })
}

/// Runs a stage in a run directory of its own and gathers the losses that it reports.
fn losses(
    stage: &str,
    start: Option<&Tensors>,
    train: impl FnOnce(&mut Context<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Array> {
    let folder = tempfile::tempdir()?;
    let settings = Settings::photos();
    let plan = PlanFile {
        dataset: "bench".into(),
        stages: vec![stage.into()],
        settings,
        content: String::new(),
    };
    let out = folder.path().join("run");
    let run = RunDir::start(&out, &out, &plan, false, false)?;
    let checkpoints = run.checkpoints();
    if let Some(start) = start {
        checkpoints.save(stage, 0, start)?;
    }
    let losses = Rc::new(RefCell::new(Vec::new()));
    let heard = losses.clone();
    let observer = move |event| {
        if let Event::Advance { loss: Some(loss), .. } = event {
            heard.borrow_mut().push(loss);
        }
    };
    let mut logger = Logger::open(run.dir(), Box::new(observer))?;
    train(&mut Context { checkpoints: &checkpoints, logger: &mut logger, seed: 0 })?;
    let values = losses.take();
    ensure!(!values.is_empty(), "{stage}: no steps");
    Ok(Array { shape: vec![values.len()], values })
}
