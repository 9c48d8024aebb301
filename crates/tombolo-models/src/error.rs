//! What can go wrong with a model.

use std::path::PathBuf;

use crate::checkpoint::CheckpointError;
use crate::pull::PullError;

/// What can go wrong when a model is loaded, saved or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A tensor operation failed.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A checkpoint could not be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A model could not be fetched.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// A tensor that the architecture needs is not in the checkpoint.
    #[error("tensor `{name}` is missing from the checkpoint")]
    MissingTensor {
        /// Full name of the tensor.
        name: String,
    },
    /// A tensor of the checkpoint has another shape than the architecture needs.
    #[error("tensor `{name}`: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// Full name of the tensor.
        name: String,
        /// What the architecture needs.
        expected: Vec<usize>,
        /// What the checkpoint holds.
        found: Vec<usize>,
    },
    /// Vectors do not fit each other.
    #[error(transparent)]
    Vectors(#[from] tombolo_vectors::VectorError),
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A settings file is not what it should be.
    #[error("{path}: {reason}", path = path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer could not be read, or refused a text.
    #[error("tokenizer: {reason}")]
    Tokenizer {
        /// What it said.
        reason: String,
    },
    /// The directory of a model has no tokenizer that can be read.
    #[error(
        "{path}: expected tokenizer.json, or vocab.json and merges.txt, found neither",
        path = path.display()
    )]
    NoTokenizer {
        /// The directory.
        path: PathBuf,
    },
    /// The directory of a model has no weights.
    #[error("{path}: expected one of {expected}, found none", path = path.display())]
    NoWeights {
        /// The directory.
        path: PathBuf,
        /// The names of weights that are known.
        expected: String,
    },
    /// A configuration of an architecture that is not known here.
    #[error("{path}: model_type: expected one of {known}, found `{found}`", path = path.display())]
    Architecture {
        /// The configuration.
        path: PathBuf,
        /// What can be read.
        known: String,
        /// What the file says.
        found: String,
    },
    /// A model that compares vectors where one is needed that sees a text and a picture together.
    #[error("{path}: model_type: expected blip, which can re-rank, found {found}", path = path.display())]
    NotAReranker {
        /// The configuration.
        path: PathBuf,
        /// What the file says.
        found: &'static str,
    },
    /// A run without the network that sees a text and a picture together.
    #[error("{path}: there is no scan, which can re-rank: stage scan has not been trained", path = path.display())]
    NoScan {
        /// The run's `model.toml`.
        path: PathBuf,
    },
    /// No model, installed or in the catalogue, has this name.
    #[error("unknown model `{name}`")]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// The nearest known name, if one is near.
        nearest: Option<String>,
    },
    /// `+middle` was asked of a network without such maps.
    #[error("{name}: expected EfficientNet-Lites alone before +middle")]
    NoMiddle {
        /// The network.
        name: String,
    },
    /// A backbone has no such layers.
    #[error("layers {found:?}: expected some of 0 to {last}, each once")]
    Layers {
        /// The last layer.
        last: usize,
        /// The layers asked for.
        found: Vec<usize>,
    },
    /// A backbone has one layer to read, and others were asked for.
    #[error(
        "layers {found:?}: the text half of a jointly trained model gives its last layer alone"
    )]
    LastLayerAlone {
        /// The layers asked for.
        found: Vec<usize>,
    },
    /// Blocks of a backbone cannot be trained.
    #[error("{name}: {found} trained blocks: {reason}")]
    Untrainable {
        /// The backbone.
        name: String,
        /// How many blocks were to be trained.
        found: usize,
        /// Why they cannot be.
        reason: String,
    },
    /// The directory is neither a run nor a model in a public layout.
    #[error("{path} is not a model: it has no model.toml, config.json or open_clip_config.json", path = path.display())]
    NotAModel {
        /// The directory.
        path: PathBuf,
    },
    /// What has no shared space was asked for its vectors there.
    #[error("{name}@shared: {name} is no jointly trained model")]
    NotShared {
        /// The name.
        name: String,
    },
    /// The parts of a run do not belong together.
    #[error(
        "{path}: the map joins {part} tower {expected}, but the run holds {part} tower {found}",
        path = path.display()
    )]
    Mismatch {
        /// The run directory.
        path: PathBuf,
        /// `text` or `image`.
        part: &'static str,
        /// Fingerprint that the map was trained for.
        expected: String,
        /// Fingerprint of the tower that is there.
        found: String,
    },
    /// A part of a scan is not the one that `model.toml` records.
    #[error("{path}: expected the file with fingerprint {expected}, found {found}", path = path.display())]
    OtherScan {
        /// The file.
        path: PathBuf,
        /// Fingerprint that `model.toml` has.
        expected: String,
        /// Fingerprint of the file that is there.
        found: String,
    },
    /// A linear system of a closed-form map has no stable solution.
    #[error("the closed-form map has no solution: {reason}")]
    Singular {
        /// What was singular.
        reason: String,
    },
    /// Another process works with the cache of features.
    #[error("{path}: another process is using this feature cache", path = path.display())]
    Busy {
        /// The cache's directory.
        path: PathBuf,
    },
    /// The cache of features does not hold what was asked of it.
    #[error("feature cache {path}: {reason}", path = path.display())]
    Features {
        /// The cache's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl ModelError {
    /// Wraps an input/output error with the path it happened at.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// What the user can do about it, if we know.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Checkpoint(error) => error.hint(),
            Self::Pull(error) => error.hint(),
            Self::MissingTensor { .. } | Self::Shape { .. } => {
                Some("the checkpoint is of another architecture than its settings say".into())
            }
            Self::UnknownModel { nearest, .. } => Some(match nearest {
                Some(name) => format!("did you mean `{name}`? `tombolo models` lists all"),
                None => "`tombolo models` lists what can be used; a run directory works too".into(),
            }),
            Self::NoMiddle { .. } => Some("leave out +middle".into()),
            Self::NotAModel { .. } => {
                Some(
                    "name the directory that `tombolo train … --out RUN` wrote, a model that `tombolo models` lists, \
                     or hf:OWNER/NAME, with --model"
                        .into(),
                )
            }
            Self::NotShared { .. } => Some(
                "leave out @shared: a network of one modality has vectors of its own alone".into(),
            ),
            Self::NoTokenizer { .. } => Some(
                "put the model's tokenizer.json beside its weights; a SentencePiece file becomes one with \
                 AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR) of transformers"
                    .into(),
            ),
            Self::NoWeights { .. } => {
                Some("put the weights beside config.json, or `tombolo pull` the model again".into())
            }
            Self::Architecture { .. } => Some(
                "only models of these architectures can be used as a whole; ViT, DINOv2, BERT and RoBERTa are backbones, as \
                 in `--set image.backbone=hf:OWNER/NAME`"
                    .into(),
            ),
            Self::NotAReranker { .. } => {
                Some("it can be the --model of a search; to re-rank, name a BLIP with its matching head".into())
            }
            Self::NoScan { .. } => {
                Some("train one: `tombolo train scan DATASET --out RUN`; or name a BLIP with its matching head".into())
            }
            Self::OtherScan { .. } => {
                Some("train it anew: `tombolo train scan DATASET --out RUN`".into())
            }
            Self::Mismatch { .. } => {
                Some("retrain the map: `tombolo train map DATASET --out RUN`".into())
            }
            Self::Singular { .. } => Some("raise `map.regularisation`, or give more pairs".into()),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("the disk is full: free some space, then run the same command again".into())
            }
            Self::Layers { last, .. } => {
                Some(format!("name layers after an @, as `all-minilm-l6-v2@0,{last}`; 0 is the embeddings"))
            }
            Self::LastLayerAlone { .. } => Some("leave out the @ and what follows it".into()),
            Self::Untrainable { .. } => Some(
                "blocks are trained of one EfficientNet-Lite (`--set image.backbone=efficientnet-lite0+mirror`), layers of \
                 one BERT; `trained_blocks=0` trains none"
                    .into(),
            ),
            Self::Busy { .. } => Some(
                "wait until the other training is done (this one can then --resume), or set another \
                 TOMBOLO_HOME"
                    .into(),
            ),
            Self::Features { .. } => {
                Some("delete the file: features are computed again when missing".into())
            }
            _ => None,
        }
    }
}

/// Result of an operation on a model.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;
