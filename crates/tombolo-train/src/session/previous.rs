//! The map that was there before a new one: beside it, what few pairs cannot tell is still known.

use tombolo_models::backbones::SHARED;
use tombolo_models::map::Map;
use tombolo_models::model::{Model, ModelFile, TowerFile};

use super::Session;
use crate::error::{Result, TrainError};
use crate::run::Event;
use crate::settings::Settings;
use crate::stage::map::Task;
use crate::train::{Plan, Stage};

const MAP_FILE: &str = "map.safetensors";

/// How much the map that was there before may count, where a member of the new one counts 1.
const WEIGHTS: [f64; 9] = [0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];

/// Where there is no validation split to choose on.
const UNCHOSEN: f64 = 1.0;

impl Session<'_> {
    /// A map with the one that was there before beside it, which counts as is best on the validation split.
    pub(super) fn with_previous(&mut self, map: Map, task: &Task<'_>) -> Result<Map> {
        let previous = self.previous_map()?;
        self.begin("the map before".to_owned(), WEIGHTS.len());
        let mut best = None;
        let mut chosen = map.clone().with_beside(&previous, UNCHOSEN);
        for (done, weight) in (1..).zip(WEIGHTS) {
            let both = map.clone().with_beside(&previous, weight);
            let Some(recalls) = (task.validate)(&both)? else { break };
            if best.is_none_or(|(most, _)| recalls > most) {
                best = Some((recalls, weight));
                chosen = both;
            }
            self.logger.event(Event::Advance { done, loss: None });
        }
        let weight = best.map_or(UNCHOSEN, |(_, weight)| weight);
        self.end(format!("the map before: beside the new one, weight {weight}"));
        Ok(chosen)
    }

    /// The map of the run whose towers these are, or the space that the halves of a jointly trained model share.
    fn previous_map(&self) -> Result<Map> {
        let device = &self.backbones.device;
        let start = Model::open(self.plan.start()).ok();
        let same = start.filter(|start| towers(start.file()) == towers(&self.model));
        if let Some(start) = same.filter(|start| start.dir().join(MAP_FILE).exists()) {
            return Ok(start.map(device)?);
        }
        let shares = |tower: &&TowerFile| tower.backbone.ends_with(SHARED);
        match [&self.model.text, &self.model.image].map(|tower| tower.as_ref().filter(shares)) {
            [Some(text), Some(image)] if text.backbone == image.backbone => {
                Ok(Map::identity(text.tower.dim(), device)?)
            }
            _ => Err(no_previous()),
        }
    }
}

/// Refuses a plan in which no map could be there before, so that it is known before anything is trained.
///
/// # Errors
/// [`TrainError::InvalidSetting`].
pub(crate) fn check(plan: &Plan<'_>) -> Result<()> {
    let Settings { text, image, map, .. } = &plan.settings;
    if !map.previous || !plan.trains(Stage::Map) {
        return Ok(());
    }
    let shared = text.backbone.ends_with(SHARED) && text.backbone == image.backbone;
    let kept = !plan.trains(Stage::Text) && !plan.trains(Stage::Image);
    match shared || kept && plan.start().join(MAP_FILE).exists() {
        true => Ok(()),
        false => Err(no_previous()),
    }
}

fn no_previous() -> TrainError {
    let reason = "expected the towers of a run with a map, kept as they are, or the halves of a jointly trained model, found neither";
    TrainError::InvalidSetting { key: "map.previous".to_owned(), reason: reason.to_owned() }
}

/// Fingerprints of the towers.
fn towers(file: &ModelFile) -> [Option<&str>; 2] {
    [&file.text, &file.image].map(|tower| Some(tower.as_ref()?.fingerprint.as_str()))
}
