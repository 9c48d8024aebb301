//! The map that was there before a new one: beside it, what few pairs cannot tell is still known.

use candle_core::Device;
use tombolo_models::backbones::SHARED;
use tombolo_models::map::{Hubness, Map, Restraint};
use tombolo_models::model::{Model, ModelFile, TowerFile};
use tombolo_vectors::EmbeddingMatrix;

use super::Session;
use super::share::joined_by;
use crate::error::{Result, TrainError};
use crate::joined::Joined;
use crate::settings::StageSettings;
use crate::train::{Plan, Stage};

/// Where `model.toml` says for what part of a score the map of before counts, below `training`.
pub const RECORD: &str = "map_before";

impl Session<'_> {
    /// A map with the one of before beside it, which counts for as much of a score as serves the validation split best: for none, or
    /// for all of it, if that is best. And how strongly that one held hubs back.
    pub(super) fn with_previous(
        &mut self,
        map: Map,
        joined: &Joined,
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
    ) -> Result<(Map, Option<Restraint>)> {
        let previous = self.previous_map()?;
        let restraint = previous.hubness().map(Hubness::restraint);
        let previous = previous.with_hubness(None);
        let share = self.share(&map, &previous, &|map| joined.ranked(map, texts, images))?;
        self.model.training.insert(RECORD.to_owned(), share.into());
        Ok((joined_by(map, &previous, share), restraint))
    }

    /// The space that the halves of a jointly trained model share, or the map of the run whose towers these are.
    fn previous_map(&self) -> Result<Map> {
        let device = &self.backbones.device;
        match self.model.text.as_ref().filter(|_| share_a_space(&self.model)) {
            Some(text) => Ok(Map::identity(text.tower.dim(), device)?),
            None => map_of_run(self.plan, &self.model, device),
        }
    }
}

/// What the user should be told where a new map has no longer what was beside the one of before.
pub(crate) fn lost(plan: &Plan<'_>) -> Option<String> {
    let anew = plan.trains(Stage::Map) && !plan.settings.map.previous || plan.trains(Stage::Joint);
    let start = Model::open(plan.start()).ok().filter(|_| anew)?;
    start.file().training.contains_key(RECORD).then(|| {
        let place = plan.start().display();
        format!("the map of {place} had one of before beside it, which the new one has not; --set map.previous=true keeps all that it was made of")
    })
}

/// Refuses a plan in which no map could be there before, so that it is known before anything is trained.
///
/// # Errors
/// [`TrainError::InvalidSetting`], or if the map of a run cannot be read.
pub(crate) fn check(plan: &Plan<'_>, device: &Device) -> Result<()> {
    if !plan.settings.map.previous || !plan.trains(Stage::Map) {
        return Ok(());
    }
    let start = Model::open(plan.start()).ok();
    let kept = start.as_ref().map(Model::file);
    let side =
        |stage, settings: &StageSettings, tower: &dyn Fn(&ModelFile) -> Option<String>| match plan
            .trains(stage)
        {
            true => shared_as_set(settings).map(str::to_owned),
            false => kept.and_then(tower),
        };
    let of =
        |tower: &Option<TowerFile>| tower.as_ref()?.shared_space().map(|(name, _)| name.to_owned());
    let text = side(Stage::Text, &plan.settings.text, &|file| of(&file.text));
    let image = side(Stage::Image, &plan.settings.image, &|file| of(&file.image));
    if text.is_some() && text == image {
        return Ok(());
    }
    match kept.filter(|_| !plan.trains(Stage::Text) && !plan.trains(Stage::Image)) {
        Some(file) => map_of_run(plan, file, device).map(drop),
        None => Err(no_previous()),
    }
}

/// The map of the run that the plan starts from, which must join these towers.
fn map_of_run(plan: &Plan<'_>, file: &ModelFile, device: &Device) -> Result<Map> {
    let towers = |file: &ModelFile| {
        [&file.text, &file.image].map(|tower| Some(tower.as_ref()?.fingerprint.clone()))
    };
    let start = Model::open(plan.start()).ok();
    let start = start.filter(|start| towers(start.file()) == towers(file));
    match start.filter(|start| start.dir().join("map.safetensors").exists()) {
        Some(start) => Ok(start.map(device)?),
        None => Err(no_previous()),
    }
}

/// Whether the towers of a run are the halves of one jointly trained model, whose vectors they give as they are.
pub fn share_a_space(file: &ModelFile) -> bool {
    let halves = [&file.text, &file.image].map(|tower| tower.as_ref()?.shared_space());
    halves[0].is_some() && halves[0] == halves[1]
}

/// The jointly trained model in whose shared space the vectors will be of a tower that the settings ask for.
fn shared_as_set(settings: &StageSettings) -> Option<&str> {
    let as_it_is = settings.output == 0 && settings.pool_top == 0;
    settings.backbone.strip_suffix(SHARED).filter(|_| as_it_is)
}

fn no_previous() -> TrainError {
    let reason = "found none: it is that of the run that --model names, with --stages map, or the space of a jointly trained model, with output and pool_top 0 on both sides";
    TrainError::InvalidSetting { key: "map.previous".to_owned(), reason: reason.to_owned() }
}
