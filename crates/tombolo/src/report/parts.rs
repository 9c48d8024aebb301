//! What a run is made of, as the report says it.

use std::path::Path;

use tombolo_models::backbones::{WORDS, text_model};
use tombolo_models::catalogue::Entry;
use tombolo_models::checkpoint::{self, CheckpointError};
use tombolo_models::map::{BesideConfig, Restraint};
use tombolo_models::model::{Model, TowerFile};
use tombolo_models::tower::{EncoderKind, Readout, TailConfig, TowerConfig, TowerInput};
use tombolo_train::MAP_BEFORE;
use tombolo_train::run::PlanFile;
use tombolo_train::settings::StageSettings;

use super::markup::{counted, grouped};
use super::page::{Fact, Part};

/// The three parts of a run, in the order of the stages. `plan`: what it was trained with last, if known.
///
/// # Errors
/// If the weights of a part are there but cannot be read.
pub fn describe(model: &Model, plan: Option<&PlanFile>) -> anyhow::Result<Vec<Part>> {
    let (file, dir) = (model.file(), model.dir());
    let settings = |stage: &str| {
        let plan = plan.filter(|plan| plan.stages.iter().any(|trained| trained == stage))?;
        Some(if stage == "text" { &plan.settings.text } else { &plan.settings.image })
    };
    let tower = |stage: &'static str, title, tower: Option<&TowerFile>| {
        let facts = match tower {
            Some(tower) => tower_facts(tower, settings(stage), parameters(dir, stage)?),
            None => Vec::new(),
        };
        Ok::<_, anyhow::Error>(Part { stage, title, facts })
    };
    Ok(vec![
        tower("text", "Text tower", file.text.as_ref())?,
        tower("image", "Image tower", file.image.as_ref())?,
        Part { stage: "map", title: "Map", facts: map_facts(model, plan)? },
    ])
}

fn tower_facts(
    tower: &TowerFile,
    settings: Option<&StageSettings>,
    parameters: usize,
) -> Vec<Fact> {
    let sizes = &tower.tower;
    let encoder = encoder(sizes);
    let pooled = sizes.pooled();
    let vector = match (sizes.readout, sizes.encoded()) {
        (Readout::ClassAndPooled(_), TowerInput::Vectors(dim)) => {
            format!("{} ({} class + {pooled} × {dim} pooled)", sizes.dim(), sizes.output)
        }
        (Readout::Pooled(_), TowerInput::Vectors(dim)) => {
            format!("{} ({pooled} × {dim} pooled)", sizes.dim())
        }
        _ => sizes.dim().to_string(),
    };
    let mut facts = vec![
        Fact::new("backbone", backbone(&tower.backbone)),
        Fact::new("encoder", encoder),
        Fact::new("vector", vector),
        Fact::new("parameters", format!("{} trained", grouped(parameters as u64))),
    ];
    if sizes.trained_blocks() > 0 {
        let part = match sizes.tail {
            Some(TailConfig::Layers(_)) => "last layer",
            _ => "last block",
        };
        facts.insert(1, Fact::new("trained of it", counted(sizes.trained_blocks(), part)));
    }
    if let Some(settings) = settings {
        let StageSettings { epochs, batch, learning_rate, .. } = settings;
        facts.push(Fact::new("training", training(*epochs, *batch, *learning_rate)));
    }
    facts
}

fn encoder(sizes: &TowerConfig) -> String {
    match (sizes.readout, sizes.encoder) {
        (Readout::Pooled(_), _) => "none".to_owned(),
        (_, EncoderKind::Gru) => {
            format!("GRU, {} → {}, {} positions", sizes.width, sizes.output, sizes.positions)
        }
        (_, EncoderKind::Transformer) => format!(
            "{} × {}, {} heads, {} positions",
            counted(sizes.layers, "layer"),
            sizes.width,
            sizes.heads,
            sizes.positions
        ),
    }
}

fn backbone(name: &str) -> String {
    if name == WORDS {
        return "none: the words themselves".to_owned();
    }
    if let Some((size, patch)) =
        name.strip_prefix("patches:").and_then(|sizes| sizes.split_once('/'))
    {
        return format!("none: patches of {patch} × {patch} out of {size} × {size} pixels");
    }
    match Entry::parse(text_model(name)).ok().and_then(|entry| entry.parameters) {
        Some(parameters) => format!("{name}, {:.1} M parameters, frozen", parameters as f64 / 1e6),
        None => format!("{name}, frozen"),
    }
}

fn map_facts(model: &Model, plan: Option<&PlanFile>) -> anyhow::Result<Vec<Fact>> {
    if !model.dir().join("map.safetensors").exists() {
        return Ok(Vec::new());
    }
    let map = model.map(&candle_core::Device::Cpu)?;
    let (text, image) = (map.text().config(), map.image().config());
    let parameters = parameters(model.dir(), "map")?;
    let mut facts = vec![
        Fact::new("text side", format!("{} → {}", text.input, text.output())),
        Fact::new("image side", format!("{} → {}", image.input, image.output())),
        Fact::new("parameters", grouped(parameters as u64)),
    ];
    if let Some(hidden) = text.hidden.or(image.hidden) {
        facts.insert(2, Fact::new("residual MLP", format!("{hidden} wide")));
    }
    let config = map.config();
    for BesideConfig { text, weight, .. } in &config.beside {
        let what = match text.linear {
            Some(width) => format!("another of {width} dimensions"),
            None => "the towers' own space".to_owned(),
        };
        facts.push(Fact::new("beside it", format!("{what}, weight {weight:.2}")));
    }
    if let Some(hubness) = map.hubness() {
        let Restraint { temperature, weight } = hubness.restraint();
        let restraint = format!("held back, weight {weight} at temperature {temperature}");
        facts.push(Fact::new("hubs", restraint));
    }
    if let Some(plan) = plan.filter(|plan| plan.stages.iter().any(|stage| stage == "map")) {
        let map = &plan.settings.map;
        let kind = serde_json::to_value(map.kind)?;
        facts.insert(0, Fact::new("kind", kind.as_str().unwrap_or_default().to_owned()));
        facts.push(Fact::new("training", training(map.epochs, map.batch, map.learning_rate)));
    }
    if let Some(share) = model.file().training.get(MAP_BEFORE).and_then(toml::Value::as_float) {
        facts.push(Fact::new("the map before", format!("{:.0}% of a score", 100.0 * share)));
    }
    Ok(facts)
}

fn training(epochs: usize, batch: usize, rate: f64) -> String {
    format!("{}, batches of {batch}, peak rate {rate:e}", counted(epochs, "epoch"))
}

/// Numbers in a part's file.
fn parameters(dir: &Path, part: &str) -> Result<usize, CheckpointError> {
    let tensors = checkpoint::safetensors::read(&dir.join(format!("{part}.safetensors")))?;
    let own = tensors.iter().filter(|(name, _)| !name.starts_with(tombolo_models::map::BANKS));
    Ok(own.map(|(_, tensor)| tensor.data.len()).sum())
}
