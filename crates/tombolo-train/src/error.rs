//! What can go wrong in training.

use std::path::PathBuf;

use tombolo_data::DataError;
use tombolo_eval::EvalError;
use tombolo_models::ModelError;

/// What can go wrong in training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A model operation failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The data set cannot be trained on.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Validation failed.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// A setting is unknown.
    #[error("unknown setting `{key}`")]
    UnknownSetting {
        /// The key as given.
        key: String,
        /// The nearest known key.
        nearest: Option<String>,
    },
    /// A setting has a value of the wrong kind.
    #[error("setting `{key}`: {reason}")]
    InvalidSetting {
        /// The key.
        key: String,
        /// What was expected, what was found.
        reason: String,
    },
    /// There is a run already.
    #[error("{path} exists already", path = path.display())]
    RunExists {
        /// The run directory.
        path: PathBuf,
    },
    /// There is something else where a run should be put.
    #[error("{path} is there, and is no run", path = path.display())]
    NotARun {
        /// The file or directory.
        path: PathBuf,
    },
    /// There is an unfinished run.
    #[error("{path} is an unfinished run", path = path.display())]
    Unfinished {
        /// The unfinished run directory.
        path: PathBuf,
    },
    /// Another process trains in the unfinished run.
    #[error("{path} is being trained by another process", path = path.display())]
    InTraining {
        /// The unfinished run directory.
        path: PathBuf,
    },
    /// An unfinished run was made with other data or settings.
    #[error("{path} cannot be gone on with: {reason}", path = path.display())]
    OtherRun {
        /// The unfinished run directory.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A stage needs what an earlier one makes.
    #[error("stage {stage} needs what stage {needs} trains, and {path} has none of it", path = path.display())]
    MissingStage {
        /// The stage asked for.
        stage: &'static str,
        /// The stage that trains what it needs.
        needs: &'static str,
        /// The run directory.
        path: PathBuf,
    },
    /// Stage joint needs the map, which a new tower makes stale.
    #[error("stage joint needs the map, and a new {tower} tower makes that of {path} stale", path = path.display())]
    StaleMap {
        /// The tower that is trained anew.
        tower: &'static str,
        /// The stages to ask for.
        stages: String,
        /// The run directory.
        path: PathBuf,
    },
    /// There is too little to train on.
    #[error("stage {stage}: expected {expected}, found {found}")]
    TooLittle {
        /// The stage.
        stage: &'static str,
        /// What it needs.
        expected: &'static str,
        /// What there is.
        found: usize,
    },
    /// The data set has texts alone.
    #[error("{dataset} has no photos: stage {stage} cannot be trained on it")]
    NoPictures {
        /// The data set as the user named it.
        dataset: String,
        /// The stage.
        stage: &'static str,
    },
    /// A group of the curriculum is empty.
    #[error("group {group} of the curriculum has no training pairs")]
    EmptyGroup {
        /// The group's number.
        group: u8,
    },
    /// The loss is no longer a number.
    #[error("stage {stage}: the loss is {loss} at step {step}")]
    Diverged {
        /// The stage.
        stage: &'static str,
        /// The step.
        step: usize,
        /// The loss.
        loss: f32,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.into())
    }
}

impl TrainError {
    /// Wraps an input/output error with the path it happened at.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// What the user can do about it, if we know.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Model(error) => error.hint(),
            Self::Data(error) => error.hint(),
            Self::Eval(error) => error.hint(),
            Self::UnknownSetting { nearest, .. } => Some(match nearest {
                Some(key) => format!("did you mean `{key}`?"),
                None => "settings are named as in `model.toml`, such as `map.dim=512`".into(),
            }),
            Self::RunExists { .. } => Some(
                "choose another --out, or retrain one stage: `tombolo train map DATASET --out RUN`"
                    .into(),
            ),
            Self::InTraining { .. } => Some("wait until it is done, or choose another --out".into()),
            Self::NotARun { .. } => Some("it was not touched: move it away, and go on with --resume if training had begun, or choose another --out".into()),
            Self::Unfinished { .. } => Some(
                "run the same command with --resume to continue it, or delete the directory".into(),
            ),
            Self::OtherRun { .. } => Some(
                "resume with the data and settings that the run was started with, or delete the directory"
                    .into(),
            ),
            Self::MissingStage { needs, .. } => {
                Some(format!("train it first: `tombolo train {needs} DATASET --out RUN`"))
            }
            Self::StaleMap { stages, .. } => {
                Some(format!("train the map between them: `--stages {stages}`"))
            }
            Self::NoPictures { dataset, .. } => Some(format!(
                "`tombolo train text {dataset} --out RUN`, and then the other stages on photos, with `--model RUN`"
            )),
            Self::EmptyGroup { group: 3 } => Some("leave it out: `curriculum.groups=[1, 2]`".into()),
            Self::EmptyGroup { .. } => Some(
                "groups 1 and 2 take images with one counted object, or several captions an image; \
                 `curriculum.groups=[3]` leaves them out"
                    .into(),
            ),
            Self::Diverged { stage, .. } => Some(format!("lower `{stage}.learning_rate`")),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("the disk is full: free some space, then run again with --resume".into())
            }
            _ => None,
        }
    }
}

/// Result of training.
pub type Result<T, E = TrainError> = std::result::Result<T, E>;
