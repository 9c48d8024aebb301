//! The run directory in the making: written beside its final name, renamed when whole.

mod place;
mod replace;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tombolo_models::checkpoint::{self, Tensors};
use tombolo_models::settings::{read_toml, write_toml};

use crate::error::{Result, TrainError};
use crate::settings::Settings;

/// What a run that retrains a stage takes over from the one in its place.
const KEPT: [&str; 7] = [
    "model.toml",
    "text.safetensors",
    "image.safetensors",
    "tokenizer.json",
    "scan.safetensors",
    "scan-tokenizer.json",
    "metrics.jsonl",
];

/// The map, and what stands or falls with it: [`stays`].
const MAP: [&str; 2] = ["map.safetensors", "calibration.json"];

/// Whether a part of [`MAP`] is taken over too: a map where no stage before it makes it stale, and what was measured of
/// it where it stays as it is.
fn stays(part: &str, stages: &[String]) -> bool {
    let trains = |stage: &str| stages.iter().any(|trained| trained == stage);
    let stale = ["text", "image", "map"].into_iter().any(trains);
    !stale && (part == MAP[0] || !trains("joint"))
}

/// What a run was started with: `plan.toml` of an unfinished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanFile {
    /// The data set, as the user named it.
    pub dataset: String,
    /// The stages to train, in order.
    pub stages: Vec<String>,
    /// Their settings.
    pub settings: Settings,
    /// A fingerprint of the data set's ids of images, splits and texts; blank in runs of a version that took none.
    #[serde(default)]
    pub content: String,
}

/// The file of a [`PlanFile`] in an unfinished run.
const PLAN: &str = "plan.toml";

/// A run directory that is not finished: `RUN.partial` until it becomes `RUN`.
pub struct RunDir {
    out: PathBuf,
    partial: PathBuf,
    /// Held while it is trained in.
    lock: Option<File>,
}

impl RunDir {
    /// Starts a run that will become `out`, or takes up the unfinished one. With `retrain`, `out` may be
    /// there already: the new run takes its place when whole. It starts from the parts of the run `start`.
    ///
    /// # Errors
    /// [`TrainError::RunExists`], [`TrainError::NotARun`], [`TrainError::Unfinished`], [`TrainError::InTraining`],
    /// [`TrainError::OtherRun`], or if the directory cannot be written.
    pub fn start(
        out: &Path,
        start: &Path,
        plan: &PlanFile,
        resume: bool,
        retrain: bool,
    ) -> Result<Self> {
        let mut run = Self::at(out)?;
        if run.partial.exists() {
            if !run.partial.join(PLAN).exists() {
                return Err(TrainError::NotARun { path: run.partial });
            }
            run.lock()?;
            run.check_place()?;
            if !resume {
                return Err(TrainError::Unfinished { path: run.partial });
            }
            run.check_plan(plan)?;
            run.take_over("joint")?;
            return Ok(run);
        }
        run.check_place()?;
        if run.out.exists() && !retrain {
            return Err(TrainError::RunExists { path: run.out });
        }
        run.create(start, plan)?;
        run.lock()?;
        Ok(run)
    }

    /// The run of this name, and if it is a link, the one that it leads to.
    fn at(out: &Path) -> Result<Self> {
        let out = match out.is_symlink() {
            true => out.canonicalize().map_err(TrainError::io(out))?,
            false => out.to_path_buf(),
        };
        let name = out.file_name().ok_or_else(|| TrainError::RunExists { path: out.clone() })?;
        let partial = out.with_file_name(format!("{}.partial", name.to_string_lossy()));
        Ok(Self { out, partial, lock: None })
    }

    fn create(&self, start: &Path, plan: &PlanFile) -> Result<()> {
        let staging = self.partial.with_extension("partial.new");
        if staging.exists() {
            fs::remove_dir_all(&staging).map_err(TrainError::io(&staging))?;
        }
        fs::create_dir_all(staging.join("checkpoints")).map_err(TrainError::io(&staging))?;
        let map = MAP.into_iter().filter(|part| stays(part, &plan.stages));
        for part in KEPT.into_iter().chain(map) {
            let from = start.join(part);
            if from.exists() {
                fs::copy(&from, staging.join(part)).map_err(TrainError::io(&from))?;
            }
        }
        write_toml(&staging.join(PLAN), plan)?;
        fs::rename(&staging, &self.partial).map_err(TrainError::io(&self.partial))
    }

    fn check_plan(&self, plan: &PlanFile) -> Result<()> {
        let found: PlanFile = read_toml(&self.partial.join(PLAN))?;
        let reason = if found.dataset != plan.dataset {
            format!("data set {}, not {}", found.dataset, plan.dataset)
        } else if !found.content.is_empty() && found.content != plan.content {
            format!("{} has changed since", plan.dataset)
        } else if found.stages != plan.stages {
            format!("stages {}, not {}", found.stages.join(","), plan.stages.join(","))
        } else if found.settings != plan.settings {
            format!("its settings are in {}", self.partial.join(PLAN).display())
        } else {
            return Ok(());
        };
        Err(TrainError::OtherRun { path: self.partial.clone(), reason })
    }

    /// The directory to write into.
    pub fn dir(&self) -> &Path {
        &self.partial
    }

    /// The checkpoints of this run.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints { dir: self.partial.join("checkpoints") }
    }
}

/// Where stages leave what `--resume` continues from.
pub struct Checkpoints {
    dir: PathBuf,
}

impl Checkpoints {
    fn path(&self, stage: &str) -> PathBuf {
        self.dir.join(format!("{stage}.safetensors"))
    }

    /// Replaces the stage's checkpoint: `epoch` is the one to go on with.
    ///
    /// # Errors
    /// If it cannot be written; the older one is then still there.
    pub fn save(&self, stage: &str, epoch: usize, state: &Tensors) -> Result<()> {
        let entries: Vec<_> = state
            .iter()
            .map(|(name, t)| (name.as_str(), t.shape.as_slice(), t.data.as_slice()))
            .collect();
        let metadata = BTreeMap::from([("epoch".to_owned(), epoch.to_string())]);
        let write = checkpoint::safetensors::write(&self.path(stage), &entries, &metadata);
        Ok(write.map_err(tombolo_models::ModelError::from)?)
    }

    /// Marks a stage as done: its part is in the run directory, and its checkpoint is no longer needed.
    ///
    /// # Errors
    /// If the mark cannot be written.
    pub fn done(&self, stage: &str) -> Result<()> {
        let mark = self.dir.join(format!("{stage}.done"));
        File::create(&mark).and_then(|file| file.sync_all()).map_err(TrainError::io(&mark))?;
        self.discard(stage)
    }

    /// Removes the stage's checkpoint, if there is one.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn discard(&self, stage: &str) -> Result<()> {
        let path = self.path(stage);
        if path.exists() {
            fs::remove_file(&path).map_err(TrainError::io(&path))?;
        }
        Ok(())
    }

    /// Whether a stage was marked as done.
    pub fn is_done(&self, stage: &str) -> bool {
        self.dir.join(format!("{stage}.done")).exists()
    }

    /// The stage's checkpoint and the epoch to go on with, if there is one.
    ///
    /// # Errors
    /// If it is there but cannot be read.
    pub fn load(&self, stage: &str) -> Result<Option<(usize, Tensors)>> {
        let path = self.path(stage);
        if !path.exists() {
            return Ok(None);
        }
        let read = || {
            let metadata = checkpoint::safetensors::read_metadata(&path)?;
            let epoch = metadata.get("epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
            Ok::<_, tombolo_models::ModelError>((epoch, checkpoint::safetensors::read(&path)?))
        };
        Ok(Some(read()?))
    }
}

/// One step of a stage.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Step {
    /// The stage.
    pub stage: &'static str,
    /// Steps done before this one.
    pub step: usize,
    /// Steps of the whole stage.
    pub steps: usize,
    /// The epoch, from 0.
    pub epoch: usize,
    /// The loss of the step; of the triplet losses in scores, else in nats.
    pub loss: f32,
    /// The learning rate of the step.
    pub rate: f64,
    /// Items of the step.
    pub items: usize,
}

/// What training reports while it runs.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something has begun, such as `stage text`, with so many units of work to do.
    Begin {
        /// What has begun.
        what: String,
        /// Units of work, if they can be counted.
        total: Option<u64>,
    },
    /// So many units of the current work are done.
    Advance {
        /// Units done.
        done: u64,
        /// The current loss, in a stage.
        loss: Option<f32>,
    },
    /// The current work is done; a sentence for the user.
    End {
        /// What came of it.
        summary: String,
    },
    /// A model is being fetched.
    Pull {
        /// What is being fetched.
        what: String,
        /// Bytes fetched.
        bytes: u64,
        /// Bytes to fetch, if known.
        total: Option<u64>,
    },
    /// Something that the user should know.
    Warning {
        /// What.
        message: String,
    },
    /// An input was left out.
    Skipped {
        /// What it is and why it was left out.
        reason: String,
    },
}

impl From<tombolo_models::pull::Progress<'_>> for Event {
    fn from(progress: tombolo_models::pull::Progress<'_>) -> Self {
        let what = format!("pulling {}", progress.model);
        Self::Pull { what, bytes: progress.bytes, total: progress.total }
    }
}

/// Writes `metrics.jsonl` and passes events on.
pub struct Logger {
    path: PathBuf,
    file: File,
    observer: Box<dyn FnMut(Event)>,
    started: Instant,
}

impl Logger {
    /// Opens `metrics.jsonl` of a run directory for appending.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(dir: &Path, observer: Box<dyn FnMut(Event)>) -> Result<Self> {
        let path = dir.join("metrics.jsonl");
        let file = append_to(&path)?;
        Ok(Self { path, file, observer, started: Instant::now() })
    }

    /// Passes on how far the pull of a model has come.
    pub fn pull(&mut self, progress: tombolo_models::pull::Progress<'_>) {
        self.event(progress.into());
    }

    /// Passes an event on.
    pub fn event(&mut self, event: Event) {
        (self.observer)(event);
    }

    /// Records one step.
    ///
    /// # Errors
    /// If the line cannot be written.
    pub fn step(&mut self, step: Step) -> Result<()> {
        self.line(&step)?;
        let done = (step.step + 1) as u64;
        self.event(Event::Advance { done, loss: Some(step.loss) });
        Ok(())
    }

    /// Records what a stage reached, such as recalls on the validation split, by name.
    ///
    /// # Errors
    /// If the line cannot be written.
    pub fn metrics(
        &mut self,
        stage: &str,
        epoch: usize,
        values: &BTreeMap<String, f64>,
    ) -> Result<()> {
        self.line(&serde_json::json!({ "stage": stage, "epoch": epoch, "metrics": values }))
    }

    fn line(&mut self, value: &impl Serialize) -> Result<()> {
        let mut value = serde_json::to_value(value).expect("numbers and names are always JSON");
        let seconds = (self.started.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        value["seconds"] = seconds.into();
        writeln!(self.file, "{value}").map_err(TrainError::io(&self.path))
    }

    /// Takes out the lines of a stage from `epoch` on, which a resumed run will write again.
    ///
    /// # Errors
    /// If the file cannot be read or replaced.
    pub fn rewind(&mut self, stage: &str, epoch: usize) -> Result<()> {
        let file = File::open(&self.path).map_err(TrainError::io(&self.path))?;
        let kept: Vec<String> = BufReader::new(file)
            .lines()
            .map_while(Result::ok)
            .filter(|line| match serde_json::from_str::<serde_json::Value>(line) {
                Ok(value) => {
                    value["stage"] != stage || value["epoch"].as_u64() < Some(epoch as u64)
                }
                Err(_) => false,
            })
            .collect();
        checkpoint::write_atomically(&self.path, |file| {
            kept.iter().try_for_each(|line| writeln!(file, "{line}"))
        })
        .map_err(TrainError::io(&self.path))?;
        self.file = append_to(&self.path)?;
        Ok(())
    }
}

fn append_to(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(path).map_err(TrainError::io(path))
}
