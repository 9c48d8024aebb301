//! Settings of the stages: defaults by the kind of data, changed by file and by `--set`.

mod change;
mod check;
mod curriculum;
mod defaults;
mod preset;
mod scan;

use serde::{Deserialize, Serialize};
use tombolo_models::features::PhotoView;
use tombolo_models::tower::{EncoderKind, Pooling};

pub(crate) use self::check::perturbations;
pub use self::curriculum::{CurriculumSettings, Group, Order};
pub use self::preset::Preset;
pub use self::scan::{ScanSettings, ScanWeight};
use crate::loss::Loss;

/// Settings of a whole training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Seed of everything that is drawn at random.
    pub seed: u64,
    /// Whether the parts of the model are stored in half precision: half the size, for a model to give away.
    pub half: bool,
    /// Stage text.
    pub text: StageSettings,
    /// Stage image.
    pub image: StageSettings,
    /// Stage map.
    pub map: MapSettings,
    /// Stage joint.
    pub joint: JointSettings,
    /// Stage scan.
    #[serde(default)]
    pub scan: ScanSettings,
    /// The groups that stages map and joint go through.
    #[serde(default)]
    pub curriculum: CurriculumSettings,
}

/// Settings of stage text or stage image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageSettings {
    /// Name of the frozen backbone, `hf:OWNER/NAME` or `dir:PATH`; `words` or `patches:SIZE/PATCH` for none.
    pub backbone: String,
    /// Last blocks of the backbone that are trained with the tower, of an EfficientNet-Lite (stage image) or layers of
    /// BERT (stage text).
    pub trained_blocks: usize,
    /// Their learning rate, as a share of the tower's or the map's.
    pub trained_rate: f64,
    /// The encoder: `transformer`, or `gru`, whose vector is its last state, as wide as the output.
    #[serde(default)]
    pub encoder: EncoderKind,
    /// Width of the encoder; of what a GRU reads.
    pub width: usize,
    /// Layers of the encoder.
    pub layers: usize,
    /// Heads of each layer.
    pub heads: usize,
    /// Width of the class vector; 0 for none, where there are pooled vectors: nothing of the tower is trained.
    pub output: usize,
    /// The most positions of a sequence.
    pub positions: usize,
    /// Whether the tower's vector holds pooled backbone vectors beside the class vector: 0 for none, and for the mean alone where
    /// there is no class vector; else how many of the largest values of each component are averaged.
    pub pool_top: usize,
    /// What stands beside the mean: `largest`, or all values, sorted, by weights that stage joint trains: `learned`.
    #[serde(default)]
    pub pooling: Pooling,
    /// Passes over the training items; 0 leaves the class vector untrained.
    pub epochs: usize,
    /// Items a step.
    pub batch: usize,
    /// Peak of the learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// The loss.
    pub loss: Loss,
    /// Temperature τ of the losses that have one.
    pub temperature: f64,
    /// Margin of the losses that have one.
    pub margin: f64,
    /// Whether keys come from the reference model and its queue, or from the tower in training itself.
    pub reference: bool,
    /// Keys of the reference model that are kept as negatives.
    pub queue: usize,
    /// Share of the reference model that is kept at each step.
    pub momentum: f64,
    /// Share of the cells, tokens or words that is left out of each view.
    pub drop: f64,
    /// Stage image without labels: photos whose captions are among each other's so many nearest are
    /// taken for the same type.
    pub neighbours: usize,
    /// Stage text: perturbations by name, such as `char_swap` and `synonym_noun`; copies of each training text under
    /// them are its positives.
    #[serde(default)]
    pub copies: Vec<String>,
    /// Stage image: other views of each training photo that are its positives; their features are kept beside
    /// the photo's own.
    #[serde(default)]
    pub views: Vec<PhotoView>,
}

/// How the map is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapKind {
    /// Ridge regression of image vectors on text vectors.
    Ridge,
    /// Semi-orthogonal map of text vectors.
    Procrustes,
    /// Regularised canonical correlation analysis.
    Cca,
    /// A linear layer on each side, trained.
    Linear,
    /// A linear layer and a residual MLP on each side, trained.
    Mlp,
}

/// What stands beside a trained map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beside {
    /// Nothing.
    #[default]
    None,
    /// Regularised canonical correlation analysis of the training pairs. What the two get wrong differs, so the mean of their
    /// cosines is better than either.
    Cca,
}

impl MapKind {
    /// Whether it is found by steps against a gradient, and not in closed form.
    pub fn is_trained(self) -> bool {
        matches!(self, Self::Linear | Self::Mlp)
    }
}

/// What is added to covariances, as a share of their mean variance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Regularisation {
    /// This share.
    Share(f64),
    /// `auto`: the share that does best on the validation split.
    Chosen(Auto),
}

/// The word `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auto {
    /// `auto`.
    Auto,
}

/// Settings of stage map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapSettings {
    /// How the map is found.
    pub kind: MapKind,
    /// Width of the space where texts and images are compared (`cca`, `linear`, `mlp`).
    pub dim: usize,
    /// Width inside the MLP (`mlp`).
    pub hidden: usize,
    /// Maps that are trained one after the other, from different seeds, and compared by the mean of their cosines
    /// (`linear`, `mlp`): an ensemble as one map, so many times as wide.
    pub members: usize,
    /// Whether the classes that the image backbone was trained on are pairs as well: see [`crate::stage::map::classes`].
    #[serde(default)]
    pub classes: bool,
    /// Training pairs to use, drawn at random; 0 for all.
    pub pairs: usize,
    /// Share of the mean variance added to covariances (`ridge`, `cca`), or `auto`.
    pub regularisation: Regularisation,
    /// Passes over the training images, one text each (`linear`, `mlp`).
    pub epochs: usize,
    /// Pairs a step.
    pub batch: usize,
    /// Peak of the learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// The loss (`linear`, `mlp`).
    pub loss: Loss,
    /// Temperature τ that the learned one starts from.
    pub temperature: f64,
    /// Margin of the losses that have one.
    pub margin: f64,
    /// Share of the input components dropped.
    pub input_dropout: f64,
    /// Share of the MLP's inner components dropped.
    pub dropout: f64,
    /// Share of the steps whose pairs are mixed with other pairs.
    pub mixup: f64,
    /// Share of the steps whose texts are the mean of two texts of the image.
    pub two_texts: f64,
    /// Share of the averaged weights that is kept at each step.
    pub average: f64,
    /// What stands beside the map, found anew from the towers' vectors after stage map and after stage joint (`linear`, `mlp`).
    #[serde(default)]
    pub beside: Beside,
    /// Width of what stands beside.
    #[serde(default)]
    pub beside_dim: usize,
    /// Whether the map that was there before stands beside the new one too, for as much of a score as is best on the validation
    /// split: that of the run whose towers are kept, or the space that the halves of a jointly trained model share.
    #[serde(default)]
    pub previous: bool,
    /// Texts, and photos, of the training split that vectors are held against, to hold hubs back
    /// ([`tombolo_models::map::Hubness`]); 0 leaves hubs as they are.
    #[serde(default)]
    pub querybank: usize,
}

/// Settings of stage joint, which trains both towers and the map together from pairs. Losses, dropout and
/// averaging are those of stage map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JointSettings {
    /// Passes over the training images, one text each.
    pub epochs: usize,
    /// Pairs a step.
    pub batch: usize,
    /// Peak of the learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
}
