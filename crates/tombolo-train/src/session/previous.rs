//! The map that was there before a new one: beside it, what few pairs cannot tell is still known.

use candle_core::Device;
use tombolo_eval::OwnedGallery;
use tombolo_models::ModelError;
use tombolo_models::backbones::SHARED;
use tombolo_models::map::{Hubness, Map, Restraint};
use tombolo_models::model::{Model, ModelFile, TowerFile};
use tombolo_models::tower::Readout;
use tombolo_vectors::EmbeddingMatrix;

use super::Session;
use super::hubs::FEWEST;
use crate::error::{Result, TrainError};
use crate::joined::{Joined, Ranked};
use crate::run::Event;
use crate::settings::StageSettings;
use crate::train::{Plan, Stage};

/// The part of a score that is the map's of before where there is too little to choose by: pairs are few there.
const UNCHOSEN: f64 = 0.8;

/// What is tried of it: of those that do as well the first.
const SHARES: [f64; 11] = [0.5, 0.35, 0.65, 0.2, 0.8, 0.1, 0.9, 0.05, 0.95, 0.0, 1.0];

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

    fn share(
        &mut self,
        map: &Map,
        previous: &Map,
        ranked: &dyn Fn(&Map) -> Result<Option<Ranked>>,
    ) -> Result<f64> {
        let galleries = ranked(map)?.zip(ranked(previous)?);
        let Some((new, old)) = galleries.filter(|(new, _)| new.gallery.query_texts.len() >= FEWEST)
        else {
            let percent = 100.0 * UNCHOSEN;
            self.end(format!(
                "the map before: {percent:.0}% of a score; {FEWEST} validation texts would let it be chosen"
            ));
            return Ok(UNCHOSEN);
        };
        self.begin("the map before".to_owned(), SHARES.len());
        let mut best = (f64::NEG_INFINITY, UNCHOSEN);
        for (done, share) in (1..).zip(SHARES) {
            let recalls = recalls(&new.gallery, &old.gallery, share)?;
            if recalls > best.0 {
                best = (recalls, share);
            }
            self.logger.event(Event::Advance { done, loss: None });
        }
        self.end(format!("the map before: {:.0}% of a score", 100.0 * best.1));
        Ok(best.1)
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

/// Refuses a plan in which no map could be there before, so that it is known before anything is trained. Returns what the user should
/// be told where the map loses what was beside it.
///
/// # Errors
/// [`TrainError::InvalidSetting`], or if the map of a run cannot be read.
pub(crate) fn check(plan: &Plan<'_>, device: &Device) -> Result<Option<String>> {
    let start = Model::open(plan.start()).ok();
    let kept = start.as_ref().map(Model::file);
    if !plan.settings.map.previous || !plan.trains(Stage::Map) {
        let anew = plan.trains(Stage::Map) || plan.trains(Stage::Joint);
        let had = kept.is_some_and(|file| file.training.contains_key(RECORD));
        let place = plan.start().display();
        return Ok((anew && had).then(|| {
            format!("the map of {place} had one of before beside it, which the new one has not; --set map.previous=true keeps all that it was made of")
        }));
    }
    let side =
        |stage, settings: &StageSettings, tower: &dyn Fn(&ModelFile) -> Option<String>| match plan
            .trains(stage)
        {
            true => shared_as_set(settings).map(str::to_owned),
            false => kept.and_then(tower),
        };
    let of = |tower: &Option<TowerFile>| shared_by(tower).map(str::to_owned);
    let text = side(Stage::Text, &plan.settings.text, &|file| of(&file.text));
    let image = side(Stage::Image, &plan.settings.image, &|file| of(&file.image));
    if text.is_some() && text == image {
        return Ok(None);
    }
    match kept.filter(|_| !plan.trains(Stage::Text) && !plan.trains(Stage::Image)) {
        Some(file) => map_of_run(plan, file, device).map(|_| None),
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
    let halves = [&file.text, &file.image]
        .map(|tower| Some((shared_by(tower)?, tower.as_ref()?.backbone_fingerprint.as_str())));
    halves[0].is_some() && halves[0] == halves[1]
}

/// The jointly trained model in whose shared space a tower's vectors are.
fn shared_by(tower: &Option<TowerFile>) -> Option<&str> {
    let tower = tower.as_ref().filter(|tower| tower.tower.readout == Readout::Pooled(0))?;
    tower.backbone.strip_suffix(SHARED)
}

/// The same of a tower that the settings ask for.
fn shared_as_set(settings: &StageSettings) -> Option<&str> {
    let as_it_is = settings.output == 0 && settings.pool_top == 0;
    settings.backbone.strip_suffix(SHARED).filter(|_| as_it_is)
}

fn no_previous() -> TrainError {
    let reason = "found none: it is that of the run that --model names, with --stages map, or the space of a jointly trained model, with output and pool_top 0 on both sides";
    TrainError::InvalidSetting { key: "map.previous".to_owned(), reason: reason.to_owned() }
}

/// The map in which a score is for this share that of `previous`.
fn joined_by(map: Map, previous: &Map, share: f64) -> Map {
    match share {
        0.0 => map,
        1.0 => previous.clone(),
        _ => {
            let weight = map.weight() * share / (1.0 - share);
            map.with_beside(previous, weight)
        }
    }
}

/// The sum of recalls where a score is for this share that of the old vectors.
fn recalls(new: &OwnedGallery, old: &OwnedGallery, share: f64) -> Result<f64> {
    let factors = [1.0 - share, share].map(|share| share.sqrt() as f32);
    let both = |new: &EmbeddingMatrix, old: &EmbeddingMatrix| {
        let mut rows = EmbeddingMatrix::new(new.dim() + old.dim())?;
        for (new, old) in new.iter().zip(old.iter()) {
            let new = new.iter().map(|x| x * factors[0]);
            let row: Vec<f32> = new.chain(old.iter().map(|x| x * factors[1])).collect();
            rows.push(&row)?;
        }
        Ok::<_, ModelError>(rows)
    };
    let both = OwnedGallery {
        images: both(&new.images, &old.images)?,
        texts: both(&new.texts, &old.texts)?,
        image_of_text: new.image_of_text.clone(),
        query_images: new.query_images.clone(),
        query_texts: new.query_texts.clone(),
    };
    Ok(both.as_gallery().rankings()?.rsum())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each text beside its image in the first components, if it is found by them.
    fn gallery(found: bool) -> OwnedGallery {
        let count = 6;
        let rows = |turn: usize| {
            let row =
                |i: usize| (0..count).map(move |c| f32::from(u8::from(c == (i + turn) % count)));
            EmbeddingMatrix::from_rows(count, (0..count).flat_map(row).collect()).unwrap()
        };
        OwnedGallery {
            images: rows(0),
            texts: rows(usize::from(!found)),
            image_of_text: (0..count).collect(),
            query_images: (0..count).collect(),
            query_texts: (0..count).collect(),
        }
    }

    #[test]
    fn a_share_weighs_old_vectors_against_new_ones() {
        let (good, bad) = (gallery(true), gallery(false));
        let at_1 = |share| recalls(&good, &bad, share).unwrap();
        assert!(at_1(0.35) > at_1(0.65), "{} {}", at_1(0.35), at_1(0.65));
        assert_eq!(recalls(&good, &bad, 1.0).unwrap(), recalls(&bad, &good, 0.0).unwrap());
    }

    #[test]
    fn a_map_joined_by_a_share_scores_by_it() {
        let device = Device::Cpu;
        let map = Map::identity(4, &device).unwrap();
        let both = joined_by(map.clone(), &map, 0.2);
        assert!((both.config().beside[0].weight - 0.25).abs() < 1e-9);
        let again = joined_by(both, &map, 0.5);
        assert!((again.config().beside[1].weight - 1.25).abs() < 1e-9);
        assert!(joined_by(map.clone(), &map, 0.0).config().beside.is_empty());
        assert!(joined_by(map.clone(), &map, 1.0).config().beside.is_empty());
    }
}
