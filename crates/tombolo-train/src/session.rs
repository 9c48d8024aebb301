//! The work of a training run: each stage from its own inputs, its part saved when it is done.

mod beside;
mod classes;
mod grouped;
mod hubs;
mod pairs;
pub(crate) mod previous;
mod scan;
mod share;

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use tombolo_data::dataset::Split;
use tombolo_models::backbones::Backbones;
use tombolo_models::checkpoint::Tensors;
use tombolo_models::checkpoint::safetensors::Precision;
use tombolo_models::model::{Model, ModelFile, save_model_file, save_tower};
use tombolo_models::tower::{Tower, TowerConfig};
use tombolo_vectors::EmbeddingMatrix;

use crate::error::Result;
use crate::joined::{Joined, Used};
use crate::positives::Positives;
use crate::run::{Checkpoints, Event, Logger, PlanFile, RunDir};
use crate::settings::Settings;
use crate::stage::image::ImageInputs;
use crate::stage::text::{Copies, TextInputs, Words};
use crate::stage::{Context, Contrast, embed, epochs, image, text};
use crate::train::{Plan, Stage};
use crate::views::Views;
use tombolo_eval::Retrieval;

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
        let checkpoints = run.checkpoints();
        let pending =
            |stage: Stage| plan.stages.contains(&stage) && !checkpoints.is_done(stage.as_str());
        model.training = training_record(&model.training, &file, &pending);
        if [Stage::Text, Stage::Image, Stage::Map, Stage::Joint].into_iter().any(pending) {
            // They were those of the old map, which a new tower makes stale.
            model.metrics.clear();
        }
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
        let stages = [Stage::Text, Stage::Image, Stage::Map, Stage::Joint];
        if stages.into_iter().any(|stage| self.pending(stage)) {
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

/// What `model.toml` says of the training: this run's plan, but of a stage that is not trained from here on the settings
/// that it was trained with.
fn training_record(
    old: &toml::Table,
    plan: &PlanFile,
    pending: &dyn Fn(Stage) -> bool,
) -> toml::Table {
    let mut new = toml::Table::try_from(plan).expect("settings are always TOML");
    if let Some(share) = old.get(previous::RECORD).filter(|_| !pending(Stage::Map)) {
        new.insert(previous::RECORD.to_owned(), share.clone());
    }
    let Some(old) = old.get("settings").and_then(toml::Value::as_table) else { return new };
    let kept = Stage::ALL.into_iter().chain([Stage::Scan]);
    let kept = kept.filter(|&stage| !pending(stage)).map(Stage::as_str);
    for (stage, settings) in kept.filter_map(|stage| Some((stage, old.get(stage)?))) {
        if let Some(toml::Value::Table(table)) = new.get_mut("settings") {
            table.insert(stage.to_owned(), settings.clone());
        }
    }
    new
}
