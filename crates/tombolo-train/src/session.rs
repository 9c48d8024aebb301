//! The work of a training run: each stage from its own inputs, its part saved when it is done.

mod classes;
mod grouped;
mod scan;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::PathBuf;

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
use crate::stage::text::{Copies, TextInputs, Words};
use crate::stage::{Context, Contrast, embed, epochs, image, joint, map, text};
use crate::train::{Plan, Stage};
use crate::views::Views;
use tombolo_eval::Retrieval;

use self::classes::Paired;
use self::grouped::Reading;

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
        if plan.stages != [Stage::Scan] {
            // They were those of the old map, which a new tower makes stale.
            model.metrics.clear();
        }
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
        let (mut validation, mut skipped) = (None, 0);
        if self.plan.stages.iter().any(|&stage| stage != Stage::Scan) {
            (validation, skipped) = self.towers_and_map()?;
        }
        if self.pending(Stage::Scan) {
            skipped = skipped.max(self.scan()?);
        }
        Ok((validation, skipped))
    }

    /// All stages but scan.
    fn towers_and_map(&mut self) -> Result<(Option<Retrieval>, usize)> {
        let dataset = self.plan.dataset;
        let texts = Used::new(dataset.text_indices(Split::Train), dataset.text_indices(Split::Val));
        let images =
            Used::new(dataset.image_indices(Split::Train), dataset.image_indices(Split::Val));
        let (text_inputs, copied) = self.text_inputs(&texts)?;
        let text_tower = self.text_tower(&texts, &text_inputs, &copied)?;
        let text_vectors = match &text_tower {
            Some(tower) => {
                let views = text_inputs.views.as_ref();
                Some(self.vectors("texts", tower, views, 0..texts.items.len())?)
            }
            None => None,
        };
        if self.plan.stages.iter().all(|stage| [Stage::Text, Stage::Scan].contains(stage)) {
            return Ok((None, 0));
        }
        let inputs = self.image_inputs(&images)?;
        let tower = self.image_tower(&images, &inputs, &texts, text_vectors.as_ref())?;
        let pairs = [Stage::Map, Stage::Joint].into_iter().any(|s| self.plan.stages.contains(&s));
        let (Some(text_tower), Some(vectors), Some(tower), true) =
            (text_tower, text_vectors, tower, pairs)
        else {
            return Ok((None, inputs.skipped));
        };
        let mut joined = Joined::new(dataset, &texts, &images, &inputs.read);
        let reading = Reading { inputs: text_inputs, vectors };
        let reading =
            self.grouped((&mut joined, reading), (&texts, &text_tower), (&images, &inputs))?;
        let mut validation = None;
        if self.pending(Stage::Map) {
            let views = inputs.views.as_ref();
            let image_vectors = self.vectors("images", &tower, views, 0..inputs.read.len())?;
            validation = self.map(&joined, &reading.vectors, &image_vectors)?;
        }
        if self.pending(Stage::Joint) {
            let texts = (reading.inputs.views.as_ref(), reading.vectors.len());
            let views = [texts, (inputs.views.as_ref(), inputs.read.len())];
            validation = self.joint(&joined, views)?;
        }
        Ok((validation, inputs.skipped))
    }

    fn texts(&self, used: &Used) -> Vec<&'a str> {
        used.items.iter().map(|&i| self.plan.dataset.texts()[i].text.as_str()).collect()
    }

    /// The texts as their tower reads them, and which text each of the copies that follow is of.
    fn text_inputs(&mut self, used: &Used) -> Result<(TextInputs, Vec<usize>)> {
        let texts = self.texts(used);
        let copies = match self.pending(Stage::Text) {
            true => {
                let training = &texts[..used.training];
                text::copies(training, &self.settings.text.copies, self.settings.seed)?
            }
            false => Copies::default(),
        };
        let texts: Vec<&str> =
            texts.into_iter().chain(copies.texts.iter().map(String::as_str)).collect();
        let (settings, dir) = (self.settings.text.clone(), self.run.dir());
        let words = match self.pending(Stage::Text) {
            true => Words::OfFirst(used.training),
            false => Words::AsTrained,
        };
        let inputs =
            text::prepare(&texts, words, &settings, self.backbones, dir, &mut self.logger)?;
        Ok((inputs, copies.copied))
    }

    fn image_inputs(&mut self, used: &Used) -> Result<ImageInputs> {
        let images = self.plan.dataset.images();
        let sources: Vec<_> = used.items.iter().map(|&i| images[i].source.clone()).collect();
        let mut settings = self.settings.image.clone();
        if !self.pending(Stage::Image) {
            settings.views.clear();
        }
        let sources = (&sources[..], used.training);
        image::prepare(sources, &settings, self.backbones, &mut self.logger)
    }

    fn pending(&self, stage: Stage) -> bool {
        self.plan.stages.contains(&stage) && !self.checkpoints.is_done(stage.as_str())
    }

    /// The text tower, trained now or before; none if it never was.
    fn text_tower(
        &mut self,
        used: &Used,
        inputs: &TextInputs,
        copied: &[usize],
    ) -> Result<Option<Tower>> {
        if !self.pending(Stage::Text) {
            return self.trained_tower(Stage::Text);
        }
        let positives = text::positives(self.plan.dataset, &used.items[..used.training])?;
        let positives = positives.with_copies(used.items.len(), copied);
        let part = (&inputs.config, &inputs.initial, inputs.fingerprint.as_str());
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
        let settings = &self.settings.image;
        // Neighbours are sought among all photos, for seconds: not where nothing is trained.
        let neighbours = if epochs(settings) > 0 { settings.neighbours } else { 0 };
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
        let positives = positives.with_copies(inputs.read.len(), &inputs.copied);
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

    /// The vectors of some items.
    fn vectors(
        &mut self,
        what: &str,
        tower: &Tower,
        views: &dyn Views,
        items: Range<usize>,
    ) -> Result<EmbeddingMatrix> {
        let count = items.len();
        self.begin(format!("vectors of {what}"), count);
        let logger = &mut self.logger;
        let items: Vec<usize> = items.collect();
        let rows = embed(tower, views, items.chunks(BATCH), |done| {
            logger.event(Event::Advance { done: done as u64, loss: None });
        })?;
        self.end(format!("vectors of {count} {what}"));
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
        let lesson = joined.lesson(&self.settings.curriculum.groups)?;
        let lesson = lesson.few(settings.pairs, self.settings.seed)?;
        let own = texts.select(&lesson.texts);
        let own = TrainingPairs {
            texts: &own,
            images,
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
        if let Some(share) = regularisation {
            record(&mut self.model.training, share);
        }
        let validation = self.conclude(map, joined, texts, images, Stage::Map)?;
        self.done(Stage::Map)?;
        let chosen = regularisation.map(|share| format!(", regularisation {share}"));
        self.end(format!("stage map: joined{}", chosen.unwrap_or_default()));
        Ok(validation)
    }

    /// Trains all parts together. `views`: of the texts and of the images, and how many of them there are.
    fn joint(
        &mut self,
        joined: &Joined,
        views: [(&dyn Views, usize); 2],
    ) -> Result<Option<Retrieval>> {
        let [(text_views, text_count), (image_views, image_count)] = views;
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
            map: map.config(),
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
        let tower = |part: &'static str| Model::open(&new)?.tower(part, device);
        let texts = self.vectors("texts", &tower("text")?, text_views, 0..text_count)?;
        let images = self.vectors("images", &tower("image")?, image_views, 0..image_count)?;
        let map = Map::from_weights(&sizes.map, &Weights::fixed(trained.map, device)?)?;
        let validation = self.conclude(map, joined, &texts, &images, Stage::Joint)?;
        save_model_file(&new, &self.model)?;
        self.run.replace_parts(Stage::Joint.as_str())?;
        Ok(validation)
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
        let dir = self.parts_dir(stage);
        let path = dir.join("map.safetensors");
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

    /// Where the parts that a stage makes are written: those of stage joint replace older ones together.
    fn parts_dir(&self, stage: Stage) -> PathBuf {
        match stage {
            Stage::Joint => self.run.new_parts_dir(stage.as_str()),
            _ => self.run.dir().to_path_buf(),
        }
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
    let kept = Stage::ALL.into_iter().chain([Stage::Scan]).map(Stage::as_str);
    let kept = kept.filter(|stage| !plan.stages.iter().any(|trained| trained == stage));
    for (stage, settings) in kept.filter_map(|stage| Some((stage, old.get(stage)?))) {
        if let Some(toml::Value::Table(table)) = new.get_mut("settings") {
            table.insert(stage.to_owned(), settings.clone());
        }
    }
    new
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
