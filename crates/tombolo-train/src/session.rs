//! The work of a training run: each stage from its own inputs, its part saved when it is done.

use std::collections::{BTreeMap, HashMap};

use tombolo_data::dataset::Split;
use tombolo_models::backbones::Backbones;
use tombolo_models::checkpoint::safetensors::{self, Precision};
use tombolo_models::checkpoint::{CheckpointError, Tensors};
use tombolo_models::map::Map;
use tombolo_models::model::{Model, ModelFile, TowerFile, save_model_file, save_tower};
use tombolo_models::tower::{Tower, TowerConfig};
use tombolo_models::weights::Weights;
use tombolo_vectors::EmbeddingMatrix;

use crate::calibration;
use crate::error::{Result, TrainError};
use crate::joined::{Joined, Used};
use crate::positives::Positives;
use crate::run::{Checkpoints, Event, Logger, PlanFile, RunDir};
use crate::settings::Settings;
use crate::stage::image::ImageInputs;
use crate::stage::map::TrainingPairs;
use crate::stage::text::{TextInputs, Words};
use crate::stage::{Context, Contrast, embed, epochs, image, joint, map, text};
use crate::train::{Plan, Stage};
use crate::views::Views;
use tombolo_eval::Retrieval;

/// Items read at a time when a trained tower makes the vectors of all items.
const BATCH: usize = 128;

/// A run in progress.
pub(crate) struct Session<'a> {
    plan: &'a Plan<'a>,
    settings: Settings,
    backbones: &'a Backbones,
    run: &'a RunDir,
    checkpoints: Checkpoints,
    logger: Logger,
    model: ModelFile,
}

impl<'a> Session<'a> {
    pub(crate) fn open(
        plan: &'a Plan<'a>,
        file: PlanFile,
        backbones: &'a Backbones,
        run: &'a RunDir,
        logger: Logger,
    ) -> Result<Self> {
        let mut model = match run.dir().join("model.toml").exists() {
            true => Model::open(run.dir())?.file().clone(),
            false => ModelFile::default(),
        };
        model.training = training_record(&model.training, &file);
        // They were those of the old map, which a new tower makes stale.
        model.metrics.clear();
        let checkpoints = run.checkpoints();
        let settings = plan.settings.clone();
        let mut session = Self { plan, settings, backbones, run, checkpoints, logger, model };
        session.keep_trained_towers();
        Ok(session)
    }

    /// A tower that is not trained in this run stays on its own backbone, whatever the settings say.
    fn keep_trained_towers(&mut self) {
        let towers = [
            (Stage::Text, &mut self.settings.text, &self.model.text),
            (Stage::Image, &mut self.settings.image, &self.model.image),
        ];
        for (stage, settings, tower) in towers {
            if let (false, Some(tower)) = (self.plan.stages.contains(&stage), tower) {
                settings.backbone.clone_from(&tower.backbone);
                settings.trained_blocks = tower.tower.trained_blocks();
                settings.positions = tower.tower.positions;
            }
        }
    }

    /// Trains what the plan asks for. Returns retrieval on the validation split and the number of images
    /// left out.
    pub(crate) fn run(mut self) -> Result<(Option<Retrieval>, usize)> {
        let dataset = self.plan.dataset;
        let texts = Used::new(dataset.text_indices(Split::Train), dataset.text_indices(Split::Val));
        let images =
            Used::new(dataset.image_indices(Split::Train), dataset.image_indices(Split::Val));
        let text_inputs = self.text_inputs(&texts)?;
        let text_tower = self.text_tower(&texts, &text_inputs)?;
        let text_vectors = match &text_tower {
            Some(tower) => Some(self.vectors("texts", tower, text_inputs.views.as_ref())?),
            None => None,
        };
        if self.plan.stages == [Stage::Text] {
            return Ok((None, 0));
        }
        let inputs = self.image_inputs(&images)?;
        let tower = self.image_tower(&images, &inputs, &texts, text_vectors.as_ref())?;
        let pairs = [Stage::Map, Stage::Joint].into_iter().any(|s| self.plan.stages.contains(&s));
        let (Some(text_vectors), Some(tower), true) = (text_vectors, tower, pairs) else {
            return Ok((None, inputs.skipped));
        };
        let joined = Joined::new(dataset, &texts, &images, &inputs.read);
        let mut validation = None;
        if self.pending(Stage::Map) {
            let image_vectors = self.vectors("images", &tower, inputs.views.as_ref())?;
            validation = self.map(&joined, &text_vectors, &image_vectors)?;
        }
        if self.pending(Stage::Joint) {
            let views = [text_inputs.views.as_ref(), inputs.views.as_ref()];
            validation = self.joint(&joined, views)?;
        }
        Ok((validation, inputs.skipped))
    }

    fn text_inputs(&mut self, used: &Used) -> Result<TextInputs> {
        let texts: Vec<&str> =
            used.items.iter().map(|&i| self.plan.dataset.texts()[i].text.as_str()).collect();
        let (settings, dir) = (self.settings.text.clone(), self.run.dir());
        let words = match self.pending(Stage::Text) {
            true => Words::OfFirst(used.training),
            false => Words::AsTrained,
        };
        text::prepare(&texts, words, &settings, self.backbones, dir, &mut self.logger)
    }

    fn image_inputs(&mut self, used: &Used) -> Result<ImageInputs> {
        let images = self.plan.dataset.images();
        let sources: Vec<_> = used.items.iter().map(|&i| images[i].source.clone()).collect();
        image::prepare(&sources, &self.settings.image, self.backbones, &mut self.logger)
    }

    fn pending(&self, stage: Stage) -> bool {
        self.plan.stages.contains(&stage) && !self.checkpoints.is_done(stage.as_str())
    }

    /// The text tower, trained now or before; none if it never was.
    fn text_tower(&mut self, used: &Used, inputs: &TextInputs) -> Result<Option<Tower>> {
        if !self.pending(Stage::Text) {
            return self.trained_tower(Stage::Text);
        }
        let positives = text::positives(self.plan.dataset, &used.items[..used.training])?;
        let part = (&inputs.config, &Tensors::new(), inputs.fingerprint.as_str());
        Ok(Some(self.contrast(Stage::Text, inputs.views.as_ref(), &positives, part)?))
    }

    /// The image tower, trained now or before; none if it never was.
    fn image_tower(
        &mut self,
        used: &Used,
        inputs: &ImageInputs,
        texts: &Used,
        text_vectors: Option<&EmbeddingMatrix>,
    ) -> Result<Option<Tower>> {
        if !self.pending(Stage::Image) {
            return self.trained_tower(Stage::Image);
        }
        let read = inputs.read.iter().filter(|&&place| place < used.training);
        let training: Vec<usize> = read.map(|&place| used.items[place]).collect();
        let neighbours = self.settings.image.neighbours;
        let mut positives = image::positives(self.plan.dataset, &training)?;
        if let (0, Some(vectors), 1..) = (positives.paired(), text_vectors, neighbours) {
            let rows: HashMap<usize, usize> =
                texts.items.iter().enumerate().map(|(row, &text)| (text, row)).collect();
            let captions: Vec<Vec<usize>> = training
                .iter()
                .map(|&image| self.plan.dataset.texts_of(image).map(|text| rows[&text]).collect())
                .collect();
            let (rows, dim) = (vectors.as_slice(), vectors.dim());
            positives = image::positives_by_captions(rows, dim, &captions, neighbours);
        }
        let part = (&inputs.config, &inputs.initial, inputs.fingerprint.as_str());
        Ok(Some(self.contrast(Stage::Image, inputs.views.as_ref(), &positives, part)?))
    }

    /// Trains a tower and saves it. `part`: its sizes, the weights that it does not start at random, and its
    /// backbone's fingerprint.
    fn contrast(
        &mut self,
        stage: Stage,
        views: &dyn Views,
        positives: &Positives,
        (config, initial, fingerprint): (&TowerConfig, &Tensors, &str),
    ) -> Result<Tower> {
        let settings = match stage {
            Stage::Text => self.settings.text.clone(),
            _ => self.settings.image.clone(),
        };
        let (seed, device) = (self.settings.seed, &self.backbones.device);
        let contrast = Contrast::new(stage.as_str(), (config, initial), &settings, seed, device)?;
        let steps = positives.len().div_ceil(settings.batch) * epochs(&settings);
        self.begin(format!("stage {stage}: {} items", positives.len()), steps);
        let tensors = contrast.train(views, positives, &mut self.context())?;
        let backbone = (settings.backbone.as_str(), fingerprint);
        let (dir, precision) = (self.run.dir(), self.precision());
        let file = save_tower(dir, stage.as_str(), &tensors, config, backbone, precision)?;
        let parameters = match epochs(&settings) {
            0 => 0,
            _ => tensors.values().map(|t| t.data.len()).sum::<usize>(),
        };
        match stage {
            Stage::Text => self.model.text = Some(file),
            _ => self.model.image = Some(file),
        }
        self.done(stage)?;
        self.end(format!("stage {stage}: {parameters} parameters trained"));
        // As it was stored.
        Ok(Model::open(self.run.dir())?.tower(stage.as_str(), &self.backbones.device)?)
    }

    fn trained_tower(&self, stage: Stage) -> Result<Option<Tower>> {
        let model = Model::open(self.run.dir());
        let has = match stage {
            Stage::Text => self.model.text.is_some(),
            _ => self.model.image.is_some(),
        };
        if !has {
            return Ok(None);
        }
        Ok(Some(model?.tower(stage.as_str(), &self.backbones.device)?))
    }

    /// The vectors of all items that training reads.
    fn vectors(&mut self, what: &str, tower: &Tower, views: &dyn Views) -> Result<EmbeddingMatrix> {
        self.begin(format!("vectors of {what}"), views.len());
        let logger = &mut self.logger;
        let rows = embed(tower, views, BATCH, |done| {
            logger.event(Event::Advance { done: done as u64, loss: None });
        })?;
        self.end(format!("vectors of {} {what}", views.len()));
        Ok(EmbeddingMatrix::from_rows(tower.config().dim(), rows)
            .map_err(tombolo_models::ModelError::from)?)
    }

    fn map(
        &mut self,
        joined: &Joined,
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
    ) -> Result<Option<Retrieval>> {
        let settings = &self.settings.map.clone();
        let pairs = TrainingPairs {
            texts: &texts.select(&joined.training_texts),
            images,
            image_of_text: &joined.training_image_of_text,
        };
        let steps = joined.training_images.div_ceil(settings.batch) * settings.epochs;
        self.begin(format!("stage map: {} pairs", pairs.texts.len()), steps);
        let validate =
            |map: &Map| Ok(joined.rankings(map, texts, images)?.map(|rankings| rankings.rsum()));
        let device = &self.backbones.device;
        let task = map::Task { pairs, settings, device, validate: &validate };
        let map::Found { map, regularisation } = map::train(&task, &mut self.context())?;
        if let Some(share) = regularisation {
            record(&mut self.model.training, share);
        }
        let validation = self.conclude(map, joined, texts, images, Stage::Map)?;
        let chosen = regularisation.map(|share| format!(", regularisation {share}"));
        self.end(format!("stage map: joined{}", chosen.unwrap_or_default()));
        Ok(validation)
    }

    /// Trains all parts together. `views`: of the texts and of the images.
    fn joint(&mut self, joined: &Joined, views: [&dyn Views; 2]) -> Result<Option<Retrieval>> {
        let device = &self.backbones.device;
        let dir = self.run.dir().to_path_buf();
        let (Some(text), Some(image)) = (self.model.text.clone(), self.model.image.clone()) else {
            let (stage, needs, path) = ("joint", "text", dir);
            return Err(TrainError::MissingStage { stage, needs, path });
        };
        let (map, _) = Map::load(&dir.join("map.safetensors"), device)?;
        let sizes = joint::Sizes {
            text: text.tower.clone(),
            image: image.tower.clone(),
            map: map.config(),
        };
        let read = |part: &str| safetensors::read(&dir.join(format!("{part}.safetensors")));
        let parts =
            || Ok(joint::Parts { text: read("text")?, image: read("image")?, map: read("map")? });
        let parts = parts().map_err(|e: CheckpointError| tombolo_models::ModelError::from(e))?;
        let settings = self.settings.clone();
        let pairs = joint::JointPairs {
            texts: views[0],
            images: views[1],
            training_texts: &joined.training_texts,
            image_of_text: &joined.training_image_of_text,
        };
        let steps = joined.training_images.div_ceil(settings.joint.batch) * settings.joint.epochs;
        self.begin(format!("stage joint: {} pairs", pairs.training_texts.len()), steps);
        let trained = joint::train(parts, &sizes, &pairs, &settings, device, &mut self.context())?;
        let precision = self.precision();
        let save = |part: &str, tensors: &Tensors, old: &TowerFile| {
            let backbone = (old.backbone.as_str(), old.backbone_fingerprint.as_str());
            save_tower(&dir, part, tensors, &old.tower, backbone, precision)
        };
        self.model.text = Some(save("text", &trained.text, &text)?);
        self.model.image = Some(save("image", &trained.image, &image)?);
        save_model_file(&dir, &self.model)?;
        self.end("stage joint: trained".to_owned());
        let tower = |part: &'static str| Model::open(&dir)?.tower(part, device);
        let texts = self.vectors("texts", &tower("text")?, views[0])?;
        let images = self.vectors("images", &tower("image")?, views[1])?;
        let map = Map::from_weights(&sizes.map, &Weights::fixed(trained.map, device)?)?;
        self.conclude(map, joined, &texts, &images, Stage::Joint)
    }

    /// Saves a map that was found, with what it reaches on the validation split.
    fn conclude(
        &mut self,
        map: Map,
        joined: &Joined,
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
        stage: Stage,
    ) -> Result<Option<Retrieval>> {
        let fingerprint = |part: &Option<TowerFile>| {
            part.as_ref().map(|tower| tower.fingerprint.clone()).unwrap_or_default()
        };
        let (text, image) = (fingerprint(&self.model.text), fingerprint(&self.model.image));
        let path = self.run.dir().join("map.safetensors");
        map.save(&path, [&text, &image], self.precision())?;
        let (map, _) = Map::load(&path, &self.backbones.device)?;
        calibration::write(self.run.dir(), joined.calibrate(&map, texts, images)?.as_ref())?;
        let validation = joined.validate(&map, texts, images)?;
        if let Some(validation) = &validation {
            self.model.metrics = summary(validation);
            let epochs = match stage {
                Stage::Joint => self.settings.joint.epochs,
                _ => self.settings.map.epochs,
            };
            self.logger.metrics(stage.as_str(), epochs, &self.model.metrics)?;
        }
        self.done(stage)?;
        Ok(validation)
    }

    fn precision(&self) -> Precision {
        if self.settings.half { Precision::F16 } else { Precision::F32 }
    }

    fn context(&mut self) -> Context<'_> {
        let seed = self.settings.seed;
        Context { checkpoints: &self.checkpoints, logger: &mut self.logger, seed }
    }

    /// Records a stage as done, after its part was written.
    fn done(&self, stage: Stage) -> Result<()> {
        save_model_file(self.run.dir(), &self.model)?;
        self.checkpoints.done(stage.as_str())
    }

    fn begin(&mut self, what: String, total: usize) {
        self.logger.event(Event::Begin { what, total: Some(total as u64) });
    }

    fn end(&mut self, summary: String) {
        self.logger.event(Event::End { summary });
    }
}

/// Puts the regularisation that was chosen where `auto` stood.
fn record(training: &mut toml::Table, regularisation: f64) {
    let map = training.get_mut("settings").and_then(|settings| settings.get_mut("map"));
    if let Some(toml::Value::Table(map)) = map {
        map.insert("regularisation".to_owned(), regularisation.into());
    }
}

/// What `model.toml` says of the training: this run's plan, but of a tower that it does not train the
/// settings that it was trained with.
fn training_record(old: &toml::Table, plan: &PlanFile) -> toml::Table {
    let mut new = toml::Table::try_from(plan).expect("settings are always TOML");
    let Some(old) = old.get("settings").and_then(toml::Value::as_table) else { return new };
    let kept = Stage::ALL.map(Stage::as_str).into_iter();
    let kept = kept.filter(|stage| !plan.stages.iter().any(|trained| trained == stage));
    for (stage, settings) in kept.filter_map(|stage| Some((stage, old.get(stage)?))) {
        if let Some(toml::Value::Table(table)) = new.get_mut("settings") {
            table.insert(stage.to_owned(), settings.clone());
        }
    }
    new
}

/// The recalls that `model.toml` records.
fn summary(retrieval: &Retrieval) -> BTreeMap<String, f64> {
    let sides =
        [("image_to_text", &retrieval.image_to_text), ("text_to_image", &retrieval.text_to_image)];
    let recalls = sides.into_iter().flat_map(|(side, m)| {
        let recalls = [(1, m.recall_at_1), (5, m.recall_at_5), (10, m.recall_at_10)];
        recalls.map(|(k, recall)| (format!("val.{side}.recall@{k}"), recall))
    });
    recalls.chain([("val.rsum".to_owned(), retrieval.rsum)]).collect()
}
