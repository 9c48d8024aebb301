//! Settings of the stages: defaults by the kind of data, changed by file and by `--set`.

mod check;
mod curriculum;
mod preset;
mod scan;

use std::path::Path;

use serde::{Deserialize, Serialize};
use tombolo_models::features::PhotoView;
use tombolo_models::tower::{EncoderKind, Pooling};
use toml::Value;

pub(crate) use self::check::perturbations;
pub use self::curriculum::{CurriculumSettings, Group, Order};
pub use self::preset::Preset;
pub use self::scan::ScanSettings;
use crate::error::{Result, TrainError};
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
    /// Whether the tower's vector holds pooled backbone vectors beside the class vector: 0 for none,
    /// else how many of the largest values of each component are averaged.
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

impl Settings {
    /// Defaults for photos with captions, on frozen backbones.
    pub fn photos() -> Self {
        let text = StageSettings {
            backbone: "all-minilm-l6-v2@0,2,4,6".into(),
            trained_blocks: 0,
            trained_rate: 0.1,
            encoder: EncoderKind::Transformer,
            width: 256,
            layers: 2,
            heads: 4,
            output: 256,
            positions: 64,
            pool_top: 1,
            pooling: Pooling::Largest,
            epochs: 1,
            batch: 256,
            learning_rate: 5e-4,
            weight_decay: 0.05,
            loss: Loss::SupCon,
            temperature: 0.05,
            margin: 0.2,
            reference: true,
            queue: 4096,
            momentum: 0.99,
            drop: 0.1,
            neighbours: 0,
            copies: Vec::new(),
            views: Vec::new(),
        };
        let image = StageSettings {
            backbone: "efficientnet-lite0+efficientnet-lite2+middle+mirror".into(),
            positions: 1024,
            pool_top: 5,
            epochs: 1,
            layers: 1,
            batch: 128,
            drop: 0.5,
            neighbours: 5,
            ..text.clone()
        };
        let map = MapSettings {
            kind: MapKind::Mlp,
            dim: 768,
            hidden: 1536,
            members: 1,
            classes: false,
            pairs: 0,
            regularisation: Regularisation::Chosen(Auto::Auto),
            epochs: 60,
            batch: 1500,
            learning_rate: 1e-3,
            weight_decay: 0.15,
            loss: Loss::InfoNce,
            temperature: 0.05,
            margin: 0.2,
            input_dropout: 0.4,
            dropout: 0.6,
            mixup: 0.5,
            two_texts: 0.33,
            average: 0.99,
        };
        let joint =
            JointSettings { epochs: 5, batch: 256, learning_rate: 2e-4, weight_decay: 0.15 };
        let (scan, curriculum) = (ScanSettings::default(), CurriculumSettings::default());
        Self { seed: 0, half: false, text, image, map, joint, scan, curriculum }
    }

    /// Defaults for the embedded emoji set, from scratch.
    pub fn emoji() -> Self {
        let photos = Self::photos();
        let text = StageSettings {
            backbone: "words".into(),
            width: 128,
            layers: 2,
            heads: 4,
            output: 128,
            positions: 24,
            pool_top: 0,
            epochs: 15,
            batch: 256,
            learning_rate: 1e-3,
            temperature: 0.1,
            queue: 1024,
            momentum: 0.9,
            drop: 0.1,
            ..photos.text
        };
        let image = StageSettings {
            backbone: "patches:48/8".into(),
            layers: 3,
            positions: 36,
            epochs: 5,
            batch: 128,
            drop: 0.0,
            neighbours: 0,
            ..text.clone()
        };
        let map = MapSettings {
            dim: 128,
            hidden: 256,
            epochs: 120,
            batch: 512,
            learning_rate: 2e-3,
            weight_decay: 0.01,
            input_dropout: 0.0,
            dropout: 0.0,
            mixup: 0.0,
            two_texts: 0.0,
            average: 0.95,
            ..photos.map
        };
        Self { text, image, map, ..photos }
    }

    /// These settings with those of a TOML file in their place.
    ///
    /// # Errors
    /// If the file cannot be read or parsed, or a key or value is not one of ours.
    pub fn with_file(self, path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(TrainError::io(path))?;
        let table: toml::Table = toml::from_str(&text).map_err(|e| TrainError::InvalidSetting {
            key: path.display().to_string(),
            reason: e.to_string(),
        })?;
        let mut settings = self;
        for (key, value) in leaves("", &Value::Table(table)) {
            settings = settings.with(&key, value)?;
        }
        Ok(settings)
    }

    /// These settings with one changed: `assignment` is `key=value`, as `map.dim=256`.
    ///
    /// # Errors
    /// If there is no such key (the nearest is named), or the value is of the wrong kind.
    pub fn with_assignment(self, assignment: &str) -> Result<Self> {
        let invalid = |reason: &str| TrainError::InvalidSetting {
            key: assignment.to_owned(),
            reason: reason.to_owned(),
        };
        let (key, text) =
            assignment.split_once('=').ok_or_else(|| invalid("expected key=value"))?;
        let value = toml::from_str::<toml::Table>(&format!("value = {text}"))
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| Value::String(text.to_owned()));
        self.with(key.trim(), value)
    }

    fn with(self, key: &str, value: Value) -> Result<Self> {
        let mut root = Value::try_from(&self).expect("settings are always TOML");
        let unknown =
            TrainError::UnknownSetting { key: key.to_owned(), nearest: nearest(key, &root) };
        let mut place = &mut root;
        for part in key.split('.') {
            match place.get_mut(part) {
                Some(next) => place = next,
                None => return Err(unknown),
            }
        }
        if place.is_table() {
            return Err(unknown);
        }
        *place = match (&*place, value) {
            (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
            (_, value) => value,
        };
        root.try_into().map_err(|e: toml::de::Error| TrainError::InvalidSetting {
            key: key.to_owned(),
            reason: e.message().to_owned(),
        })
    }
}

fn nearest(key: &str, root: &Value) -> Option<String> {
    let known = leaves("", root).into_iter().map(|(known, _)| known);
    let scored = known.map(|known| (strsim::damerau_levenshtein(key, &known), known));
    let (distance, known) = scored.min()?;
    (distance <= 1 + known.len() / 3).then_some(known)
}

/// Every value below `value` that is not a table, with its dotted key.
fn leaves(prefix: &str, value: &Value) -> Vec<(String, Value)> {
    let Value::Table(table) = value else { return vec![(prefix.to_owned(), value.clone())] };
    let join =
        |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    table.iter().flat_map(|(key, value)| leaves(&join(key), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_change_one_setting() {
        let changed = Settings::photos().with_assignment("map.kind=cca").unwrap();
        assert_eq!(changed.map.kind, MapKind::Cca);
        let changed = changed.with_assignment("image.backbone=hf:facebook/dinov2-small").unwrap();
        assert_eq!(changed.image.backbone, "hf:facebook/dinov2-small");
        let changed = changed.with_assignment("map.regularisation=2").unwrap();
        assert_eq!(changed.map.regularisation, Regularisation::Share(2.0));
        let changed = changed.with_assignment("text.drop=0").unwrap();
        assert_eq!(changed.text.drop, 0.0);
    }

    #[test]
    fn groups_of_the_curriculum_are_numbers() {
        let changed = Settings::photos().with_assignment("curriculum.groups=[3, 1]").unwrap();
        assert_eq!(changed.curriculum.groups, [Group::Ambiguous, Group::Precise]);
        let changed = changed.with_assignment("curriculum.order=reversed").unwrap();
        assert_eq!(changed.curriculum.order, Order::Reversed);
        let error = changed.with_assignment("curriculum.groups=[4]").unwrap_err().to_string();
        assert!(error.contains("expected group 1, 2 or 3, found 4"), "{error}");
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = Settings::photos().with_assignment("map.dims=3").unwrap_err();
        assert_eq!(error.hint().unwrap(), "did you mean `map.dim`?");
        let error = Settings::photos().with_assignment("image.epoch=3").unwrap_err();
        assert_eq!(error.hint().unwrap(), "did you mean `image.epochs`?");
        assert!(Settings::photos().with_assignment("map=3").is_err());
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused() {
        for wrong in [
            "map.dim=wide",
            "map.regularisation=some",
            "map.kind=best",
            "map.dim=-1",
            "map.dim",
            "seed=1.5",
        ] {
            assert!(Settings::photos().with_assignment(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_changes_what_it_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.toml");
        std::fs::write(&path, "seed = 7\n[map]\ndim = 64\n").unwrap();
        let changed = Settings::photos().with_file(&path).unwrap();
        assert_eq!((changed.seed, changed.map.dim, changed.map.hidden), (7, 64, 1536));
    }
}
