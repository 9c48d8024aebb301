//! A training run: the stages that were asked for, one after the other, each from its own inputs.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tombolo_data::dataset::{Dataset, Split};
use tombolo_models::backbones::{Backbones, WORDS, knows_classes};
use tombolo_models::model::Model;
use tombolo_models::pull::Progress;

use crate::error::{Result, TrainError};
use crate::run::{Event, Logger, PlanFile, RunDir};
use crate::session::{Session, previous};
use crate::settings::Settings;
use tombolo_eval::Retrieval;

/// A stage of training, called by what it learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The text tower, from texts alone.
    Text,
    /// The image tower, from images alone.
    Image,
    /// The map, from pairs.
    Map,
    /// Both towers and the map together, from pairs: not one of the paper's.
    Joint,
    /// A network that sees a text and a photo together, from pairs, which re-ranks what others find: not one of the
    /// paper's.
    Scan,
}

impl Stage {
    /// The paper's stages, in their order.
    pub const ALL: [Self; 3] = [Self::Text, Self::Image, Self::Map];

    /// The stages that there are.
    const KNOWN: [Self; 5] = [Self::Text, Self::Image, Self::Map, Self::Joint, Self::Scan];

    /// The stage's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Map => "map",
            Self::Joint => "joint",
            Self::Scan => "scan",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let stage = Self::KNOWN.into_iter().find(|stage| stage.as_str() == name);
        stage.ok_or_else(|| format!("expected text, image, map, joint or scan, found `{name}`"))
    }
}

/// What to train, on what, and where to put it.
pub struct Plan<'a> {
    /// The data set.
    pub dataset: &'a (dyn Dataset + Sync),
    /// The data set as the user named it.
    pub dataset_name: String,
    /// The stages.
    pub stages: Vec<Stage>,
    /// Their settings.
    pub settings: Settings,
    /// The run directory.
    pub out: PathBuf,
    /// The run whose parts it starts from, if not from those that are in its place already.
    pub start: Option<PathBuf>,
    /// Whether to continue an unfinished run.
    pub resume: bool,
    /// Whether the run directory may exist already, so that single stages of it are trained anew.
    pub retrain: bool,
}

impl Plan<'_> {
    /// The run whose parts it starts from.
    pub(crate) fn start(&self) -> &Path {
        self.start.as_ref().unwrap_or(&self.out)
    }

    pub(crate) fn trains(&self, stage: Stage) -> bool {
        self.stages.contains(&stage)
    }
}

/// What came of a run.
pub struct Outcome {
    /// The run directory.
    pub dir: PathBuf,
    /// Retrieval on the validation split, if the map was trained and there is such a split.
    pub validation: Option<Retrieval>,
    /// Images that could not be read.
    pub skipped: usize,
}

/// Runs the stages of a plan.
///
/// # Errors
/// [`TrainError`]; what was reached is kept in `OUT.partial`, and `resume` goes on from there. Where nothing was reached, nothing is
/// left.
pub fn train(
    plan: &Plan<'_>,
    backbones: &Backbones,
    observer: Box<dyn FnMut(Event)>,
) -> Result<Outcome> {
    let file = PlanFile {
        dataset: plan.dataset_name.clone(),
        stages: plan.stages.iter().map(ToString::to_string).collect(),
        settings: plan.settings.clone(),
        content: content(plan.dataset),
    };
    RunDir::restore(&plan.out)?;
    plan.settings.check(&plan.stages)?;
    plan.dataset.require(Split::Train)?;
    check_pictures(plan)?;
    check_needs(plan)?;
    check_classes(plan)?;
    previous::check(plan, &backbones.device)?;
    let mut observer = observer;
    previous::lost(plan).into_iter().for_each(|message| observer(Event::Warning { message }));
    check_backbones(plan, backbones, &mut observer)?;
    let run = RunDir::start(&plan.out, plan.start(), &file, plan.resume, plan.retrain)?;
    let logger = Logger::open(run.dir(), observer)?;
    let trained = Session::open(plan, file, backbones, &run, logger).and_then(Session::run);
    let (validation, skipped) = trained.inspect_err(|_| run.drop_if_untrained())?;
    Ok(Outcome { dir: run.finish()?, validation, skipped })
}

/// A fingerprint of what is trained on: the images' ids and splits, and the texts. Not of the pictures, which would all have to be read.
fn content(dataset: &dyn Dataset) -> String {
    let mut hash = blake3::Hasher::new();
    for image in dataset.images() {
        hash.update(format!("{:?} {}", image.split, image.id).as_bytes()).update(b"\n");
    }
    for text in dataset.texts() {
        hash.update(format!("{} {:?}", text.image, text.text).as_bytes()).update(b"\n");
    }
    hash.finalize().to_hex()[..16].to_owned()
}

/// Opens what the parts to train stand on, so that a mistyped name is refused before anything is trained.
fn check_backbones(
    plan: &Plan<'_>,
    backbones: &Backbones,
    observer: &mut dyn FnMut(Event),
) -> Result<()> {
    let Settings { text, image, scan, .. } = &plan.settings;
    let progress = &mut |progress: Progress<'_>| observer(progress.into());
    let mut told = BTreeSet::new();
    if plan.trains(Stage::Text) && text.backbone != WORDS {
        backbones.text(&text.backbone, text.trained_blocks, progress)?;
        told.extend(backbones.text_warnings(&text.backbone, progress)?);
    }
    if plan.trains(Stage::Image) {
        backbones.image(&image.backbone, image.trained_blocks, progress)?;
        told.extend(backbones.image_warnings(&image.backbone, progress)?);
    }
    if plan.trains(Stage::Scan) {
        backbones.image(&scan.backbone, 0, progress)?;
        told.extend(backbones.image_warnings(&scan.backbone, progress)?);
        if scan.text != WORDS {
            backbones.text(&scan.text, 0, progress)?;
            told.extend(backbones.text_warnings(&scan.text, progress)?);
        }
    }
    told.into_iter().for_each(|message| observer(Event::Warning { message }));
    Ok(())
}

/// `map.classes` are those of the network that the image tower stands on, trained in this run or before it.
fn check_classes(plan: &Plan<'_>) -> Result<()> {
    if !plan.settings.map.classes || !plan.trains(Stage::Map) {
        return Ok(());
    }
    let before = Model::open(plan.start()).ok().and_then(|model| model.file().image.clone());
    let before = before.filter(|_| !plan.trains(Stage::Image));
    let backbone = before.map_or(plan.settings.image.backbone.clone(), |tower| tower.backbone);
    if knows_classes(&backbone) {
        return Ok(());
    }
    let reason = format!("expected an image backbone of EfficientNet-Lite, found {backbone}");
    Err(TrainError::InvalidSetting { key: "map.classes".to_owned(), reason })
}

/// All stages but one need photos.
fn check_pictures(plan: &Plan<'_>) -> Result<()> {
    match plan.stages.iter().find(|stage| **stage != Stage::Text) {
        Some(stage) if !plan.dataset.has_pictures() => {
            let (dataset, stage) = (plan.dataset_name.clone(), stage.as_str());
            Err(TrainError::NoPictures { dataset, stage })
        }
        _ => Ok(()),
    }
}

/// Stage map needs both towers, and stage joint the map too: trained before it in this run, or there already.
fn check_needs(plan: &Plan<'_>) -> Result<()> {
    let there = Model::open(plan.start()).ok();
    let there = there.as_ref().map(Model::file);
    let parts = [
        (Stage::Text, there.is_some_and(|file| file.text.is_some())),
        (Stage::Image, there.is_some_and(|file| file.image.is_some())),
        (Stage::Map, plan.start().join("map.safetensors").exists()),
    ];
    let needs = [(Stage::Map, &parts[..2]), (Stage::Joint, &parts[..])];
    for (stage, parts) in needs.into_iter().filter(|(stage, _)| plan.trains(*stage)) {
        for &(needs, there) in parts {
            if !plan.trains(needs) && !there {
                let path = plan.start().to_path_buf();
                let (stage, needs) = (stage.as_str(), needs.as_str());
                return Err(TrainError::MissingStage { stage, needs, path });
            }
        }
    }
    check_map_is_not_stale(plan)
}

/// A new tower makes the map stale that stage joint would move.
fn check_map_is_not_stale(plan: &Plan<'_>) -> Result<()> {
    let new = [Stage::Text, Stage::Image].into_iter().filter(|&tower| plan.trains(tower));
    let new: Vec<&str> = new.map(Stage::as_str).collect();
    match new.first() {
        Some(&tower) if plan.trains(Stage::Joint) && !plan.trains(Stage::Map) => {
            let stages = format!("{},map,joint", new.join(","));
            Err(TrainError::StaleMap { tower, stages, path: plan.start().to_path_buf() })
        }
        _ => Ok(()),
    }
}
