//! The work of a training run: each stage from its own inputs, its part saved when it is done.

use std::collections::{BTreeMap, HashMap};

use tombolo_data::dataset::{Dataset, Split};
use tombolo_models::backbones::Backbones;
use tombolo_models::map::Map;
use tombolo_models::model::{Model, ModelFile, save_model_file, save_tower};
use tombolo_models::tower::{Tower, TowerConfig};
use tombolo_vectors::EmbeddingMatrix;

use crate::error::Result;
use crate::positives::Positives;
use crate::run::{Checkpoints, Event, Logger, PlanFile, RunDir};
use crate::settings::Settings;
use crate::stage::image::ImageInputs;
use crate::stage::map::TrainingPairs;
use crate::stage::text::{TextInputs, Words};
use crate::stage::{Context, Contrast, embed, image, map, text};
use crate::train::{Plan, Stage};
use crate::views::Views;
use tombolo_eval::{Gallery, Retrieval};

/// Items read at a time when a trained tower makes the vectors of all items.
const BATCH: usize = 128;

/// Indices of the data set's items that training reads: those of the training split first.
struct Used {
    items: Vec<usize>,
    training: usize,
}

impl Used {
    fn new(training: Vec<usize>, validation: Vec<usize>) -> Self {
        let count = training.len();
        Self { items: [training, validation].concat(), training: count }
    }
}

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
        let (Some(text_vectors), Some(tower), true) =
            (text_vectors, tower, self.plan.stages.contains(&Stage::Map))
        else {
            return Ok((None, inputs.skipped));
        };
        let image_vectors = self.vectors("images", &tower, inputs.views.as_ref())?;
        let joined = Joined::new(dataset, &texts, &images, &inputs.read);
        let validation = self.map(&joined, &text_vectors, &image_vectors)?;
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
        let part = (&inputs.config, inputs.fingerprint.as_str());
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
        let part = (&inputs.config, inputs.fingerprint.as_str());
        Ok(Some(self.contrast(Stage::Image, inputs.views.as_ref(), &positives, part)?))
    }

    /// Trains a tower and saves it. `part`: its sizes and its backbone's fingerprint.
    fn contrast(
        &mut self,
        stage: Stage,
        views: &dyn Views,
        positives: &Positives,
        part: (&TowerConfig, &str),
    ) -> Result<Tower> {
        let settings = match stage {
            Stage::Text => self.settings.text.clone(),
            _ => self.settings.image.clone(),
        };
        let (seed, device) = (self.settings.seed, &self.backbones.device);
        let contrast = Contrast::new(stage.as_str(), part.0, &settings, seed, device)?;
        let steps = positives.len().div_ceil(settings.batch) * settings.epochs;
        self.begin(format!("stage {stage}: {} items", positives.len()), steps);
        let trained = contrast.train(views, positives, &mut self.context())?;
        let backbone = (settings.backbone.as_str(), part.1);
        let file = save_tower(self.run.dir(), stage.as_str(), &trained.tensors, part.0, backbone)?;
        let parameters: usize = trained.tensors.values().map(|t| t.data.len()).sum();
        match stage {
            Stage::Text => self.model.text = Some(file),
            _ => self.model.image = Some(file),
        }
        self.done(stage)?;
        self.end(format!("stage {stage}: {parameters} parameters trained"));
        Ok(trained.tower)
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
        let map = map::train(&pairs, settings, &self.backbones.device, &mut self.context())?;
        let fingerprint = |part: &Option<tombolo_models::model::TowerFile>| {
            part.as_ref().map(|tower| tower.fingerprint.clone()).unwrap_or_default()
        };
        let (text, image) = (fingerprint(&self.model.text), fingerprint(&self.model.image));
        map.save(&self.run.dir().join("map.safetensors"), [&text, &image])?;
        let validation = joined.validate(&map, texts, images)?;
        if let Some(validation) = &validation {
            self.model.metrics = summary(validation);
            self.logger.metrics("map", settings.epochs, &self.model.metrics)?;
        }
        self.done(Stage::Map)?;
        self.end("stage map: joined".to_owned());
        Ok(validation)
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

/// Which rows of text and image vectors belong together, without the images that could not be read.
struct Joined {
    training_texts: Vec<usize>,
    training_image_of_text: Vec<usize>,
    training_images: usize,
    texts: Vec<usize>,
    image_of_text: Vec<usize>,
    query_images: Vec<usize>,
    query_texts: Vec<usize>,
    everything: bool,
}

impl Joined {
    fn new(dataset: &dyn Dataset, texts: &Used, images: &Used, read: &[usize]) -> Self {
        let row_of_image: HashMap<usize, usize> =
            read.iter().enumerate().map(|(row, &place)| (images.items[place], row)).collect();
        let mut joined = Self {
            training_texts: Vec::new(),
            training_image_of_text: Vec::new(),
            training_images: read.iter().filter(|&&place| place < images.training).count(),
            texts: Vec::new(),
            image_of_text: Vec::new(),
            query_images: Vec::new(),
            query_texts: Vec::new(),
            everything: dataset.gallery() == tombolo_data::dataset::Gallery::Everything,
        };
        for (row, &text) in texts.items.iter().enumerate() {
            let Some(&image) = row_of_image.get(&dataset.texts()[text].image) else { continue };
            if row < texts.training {
                joined.training_texts.push(row);
                joined.training_image_of_text.push(image);
            } else {
                joined.query_texts.push(joined.texts.len());
                joined.query_images.push(image);
            }
            joined.texts.push(row);
            joined.image_of_text.push(image);
        }
        joined.query_images.dedup();
        joined
    }

    /// Retrieval on the validation split, ranked against what the data set says queries are ranked against.
    fn validate(
        &self,
        map: &Map,
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
    ) -> Result<Option<Retrieval>> {
        if self.query_texts.is_empty() {
            return Ok(None);
        }
        let texts = map.map_texts(&texts.select(&self.texts))?;
        let images = map.map_images(images)?;
        let gallery = Gallery {
            images: &images,
            texts: &texts,
            image_of_text: &self.image_of_text,
            query_images: &self.query_images,
            query_texts: &self.query_texts,
        };
        let restricted = if self.everything { None } else { Some(gallery.queries_only()) };
        Ok(Some(match &restricted {
            Some(restricted) => restricted.as_gallery().retrieval()?,
            None => gallery.retrieval()?,
        }))
    }
}
