//! The stages that need pairs: map and joint, and what they reach on the validation split.

use std::collections::BTreeMap;

use tombolo_eval::Retrieval;
use tombolo_models::checkpoint::safetensors;
use tombolo_models::checkpoint::{CheckpointError, Tensors};
use tombolo_models::map::{Map, MapConfig, Restraint};
use tombolo_models::model::{Model, TowerFile, save_model_file, save_tower};
use tombolo_models::weights::Weights;
use tombolo_vectors::EmbeddingMatrix;

use super::Session;
use super::classes::Paired;
use crate::calibration;
use crate::curriculum::Lesson;
use crate::error::{Result, TrainError};
use crate::joined::Joined;
use crate::settings::{Beside, MapKind, MapSettings};
use crate::stage::map::TrainingPairs;
use crate::stage::{joint, map};
use crate::train::Stage;
use crate::views::Views;

impl Session<'_> {
    /// Finds a map of the towers' vectors.
    pub(super) fn map(
        &mut self,
        joined: &Joined,
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
    ) -> Result<Option<Retrieval>> {
        let settings = &self.settings.map.clone();
        if !settings.kind.is_trained() {
            // Steps of a map that was there before are not of this one.
            self.logger.rewind(Stage::Map.as_str(), 0)?;
        }
        let lesson = joined.lesson(&self.settings.curriculum.groups)?;
        let lesson = lesson.few(settings.pairs, self.settings.seed)?;
        let own = texts.select(&lesson.texts);
        let own = TrainingPairs {
            texts: &own,
            images,
            training_images: joined.training_images,
            image_of_text: &lesson.image_of_text,
            course: lesson.course(self.settings.curriculum.order),
        };
        let more = if settings.classes { Some(self.with_classes(&own, joined)?) } else { None };
        let pairs = more.as_ref().map_or(own, Paired::pairs);
        let steps = settings.members * pairs.steps(settings, self.settings.seed);
        self.begin(format!("stage map: {} pairs", pairs.texts.len()), steps);
        let validate =
            |map: &Map| Ok(joined.rankings(map, texts, images)?.map(|rankings| rankings.rsum()));
        let device = &self.backbones.device;
        let task = map::Task { pairs, settings, device, validate: &validate };
        let map::Found { map, regularisation } = map::train(&task, &mut self.context())?;
        let chosen = regularisation.map(|share| format!(", regularisation {share}"));
        self.end(format!("stage map: joined{}", chosen.unwrap_or_default()));
        let (map, beside) = self.with_form_beside(map, &task)?;
        let (map, restraint) = match settings.previous {
            true => self.with_previous(map, joined, texts, images)?,
            false => (map, None),
        };
        if let Some(share) = regularisation.or(beside) {
            record(&mut self.model.training, share);
        }
        let validation = self.conclude((map, restraint), joined, texts, images, Stage::Map)?;
        self.done(Stage::Map)?;
        Ok(validation)
    }

    /// Trains all parts together. `views`: of the texts and of the images, and how many of them there are.
    pub(super) fn joint(
        &mut self,
        joined: &Joined,
        views: [(&dyn Views, usize); 2],
    ) -> Result<Option<Retrieval>> {
        let [(text_views, _), (image_views, _)] = views;
        let device = &self.backbones.device;
        let dir = self.run.dir().to_path_buf();
        let (Some(text), Some(image)) = (self.model.text.clone(), self.model.image.clone()) else {
            let (stage, needs, path) = ("joint", "text", dir);
            return Err(TrainError::MissingStage { stage, needs, path });
        };
        let (map, _) = Map::load(&dir.join("map.safetensors"), device)?;
        if map.config().members > 1 {
            let reason = "expected 1: stage joint moves one map".to_owned();
            return Err(TrainError::InvalidSetting { key: "map.members".to_owned(), reason });
        }
        let sizes = joint::Sizes {
            text: text.tower.clone(),
            image: image.tower.clone(),
            map: MapConfig { beside: Vec::new(), ..map.config() },
        };
        let read = |part: &str| safetensors::read(&dir.join(format!("{part}.safetensors")));
        let parts =
            || Ok(joint::Parts { text: read("text")?, image: read("image")?, map: read("map")? });
        let parts = parts().map_err(|e: CheckpointError| tombolo_models::ModelError::from(e))?;
        let settings = self.settings.clone();
        let lesson = joined.lesson(&settings.curriculum.groups)?;
        let pairs = joint::JointPairs {
            texts: text_views,
            images: image_views,
            training_texts: &lesson.texts,
            image_of_text: &lesson.image_of_text,
            course: lesson.course(settings.curriculum.order),
        };
        let steps = pairs.steps(&settings.joint, settings.seed);
        self.begin(format!("stage joint: {} pairs", pairs.training_texts.len()), steps);
        let trained = joint::train(parts, &sizes, &pairs, &settings, device, &mut self.context())?;
        let precision = self.precision();
        let new = self.run.new_parts(Stage::Joint.as_str())?;
        let save = |part: &str, tensors: &Tensors, old: &TowerFile| {
            let backbone = (old.backbone.as_str(), old.backbone_fingerprint.as_str());
            save_tower(&new, part, tensors, &old.tower, backbone, precision)
        };
        self.model.text = Some(save("text", &trained.text, &text)?);
        self.model.image = Some(save("image", &trained.image, &image)?);
        save_model_file(&new, &self.model)?;
        self.end("stage joint: trained".to_owned());
        let map = Map::from_weights(&sizes.map, &Weights::fixed(trained.map, device)?)?;
        self.conclude_joint(map, joined, &lesson, views)
    }

    /// Puts a map that was trained with both towers, which are saved, to the use that one of stage map has.
    fn conclude_joint(
        &mut self,
        map: Map,
        joined: &Joined,
        lesson: &Lesson,
        views: [(&dyn Views, usize); 2],
    ) -> Result<Option<Retrieval>> {
        let [(text_views, text_count), (image_views, image_count)] = views;
        let (new, device) = (self.run.new_parts_dir(Stage::Joint.as_str()), &self.backbones.device);
        let tower = |part: &'static str| Model::open(&new)?.tower(part, device);
        let texts = self.vectors("texts", &tower("text")?, text_views, 0..text_count)?;
        let images = self.vectors("images", &tower("image")?, image_views, 0..image_count)?;
        let own = texts.select(&lesson.texts);
        let (image_of_text, training_images) = (&lesson.image_of_text[..], joined.training_images);
        let pairs = TrainingPairs {
            texts: &own,
            images: &images,
            training_images,
            image_of_text,
            course: None,
        };
        let validate =
            |map: &Map| Ok(joined.rankings(map, &texts, &images)?.map(|rankings| rankings.rsum()));
        let settings = &self.settings.map.clone();
        let task = map::Task { pairs, settings, device, validate: &validate };
        let (map, _) = self.with_form_beside(map, &task)?;
        let validation = self.conclude((map, None), joined, &texts, &images, Stage::Joint)?;
        save_model_file(&new, &self.model)?;
        self.run.replace_parts(Stage::Joint.as_str())?;
        Ok(validation)
    }

    /// A trained map with what the settings ask for beside it, and the regularisation of that.
    fn with_form_beside(&mut self, map: Map, task: &map::Task<'_>) -> Result<(Map, Option<f64>)> {
        let settings = task.settings;
        if settings.beside == Beside::None || !settings.kind.is_trained() {
            return Ok((map, None));
        }
        let settings =
            MapSettings { kind: MapKind::Cca, dim: settings.beside_dim, ..settings.clone() };
        let task = map::Task { settings: &settings, ..*task };
        self.begin("map beside".to_owned(), task.pairs.steps(&settings, self.settings.seed));
        let map::Found { map: beside, regularisation } = map::train(&task, &mut self.context())?;
        self.end(format!("map beside: cca of {} dimensions", settings.dim));
        Ok((map.with_beside(&beside, 1.0), regularisation))
    }

    /// Saves a map that was found, with what it reaches on the validation split. `restraint`: how strongly hubs are held back where there
    /// is too little to choose by.
    fn conclude(
        &mut self,
        (map, restraint): (Map, Option<Restraint>),
        joined: &Joined,
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
        stage: Stage,
    ) -> Result<Option<Retrieval>> {
        let fingerprint = |part: &Option<TowerFile>| {
            part.as_ref().map(|tower| tower.fingerprint.clone()).unwrap_or_default()
        };
        let (text, image) = (fingerprint(&self.model.text), fingerprint(&self.model.image));
        let dir = self.parts_dir(stage);
        let path = dir.join("map.safetensors");
        let map = match self.settings.map.querybank {
            0 => map,
            _ => self.with_hubs_held_back((map, restraint), joined, texts, images)?,
        };
        map.save(&path, [&text, &image], self.precision())?;
        let (map, _) = Map::load(&path, &self.backbones.device)?;
        calibration::write(&dir, joined.calibrate(&map, texts, images)?.as_ref())?;
        let validation = joined.validate(&map, texts, images)?;
        if let Some(validation) = &validation {
            self.model.metrics = summary("val", validation);
            self.model.metrics.insert("val.rsum".to_owned(), validation.rsum);
            if let Some(groups) = &joined.groups {
                for (group, retrieval) in groups.validate(joined, &map, (texts, images))? {
                    let name = format!("val.group{}", u8::from(group));
                    self.model.metrics.extend(summary(&name, &retrieval));
                }
            }
            let epochs = match stage {
                Stage::Joint => self.settings.joint.epochs,
                _ => self.settings.map.members * self.settings.map.epochs,
            };
            self.logger.metrics(stage.as_str(), epochs, &self.model.metrics)?;
        }
        Ok(validation)
    }
}

/// Puts the regularisation that was chosen where `auto` stood.
fn record(training: &mut toml::Table, regularisation: f64) {
    let map = training.get_mut("settings").and_then(|settings| settings.get_mut("map"));
    if let Some(toml::Value::Table(map)) = map {
        map.insert("regularisation".to_owned(), regularisation.into());
    }
}

/// The recalls that `model.toml` records of some queries.
fn summary(queries: &str, retrieval: &Retrieval) -> BTreeMap<String, f64> {
    let sides =
        [("image_to_text", &retrieval.image_to_text), ("text_to_image", &retrieval.text_to_image)];
    let recalls = sides.into_iter().flat_map(|(side, m)| {
        let recalls = [(1, m.recall_at_1), (5, m.recall_at_5), (10, m.recall_at_10)];
        recalls.map(|(k, recall)| (format!("{queries}.{side}.recall@{k}"), recall))
    });
    recalls.collect()
}
