//! A model on disk: two towers and the map that joins them, trained here or jointly trained elsewhere.

mod encode;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::backbones::{Backbones, SHARED, WORDS};
use crate::checkpoint::safetensors::Precision;
use crate::checkpoint::{self, Tensors};
use crate::error::{ModelError, Result};
use crate::map::Map;
use crate::pull::OnProgress;
use crate::scan::ScanFile;
use crate::settings::{read_toml, write_toml};
use crate::text::Tokenizer;
use crate::tower::{Readout, Tower, TowerConfig};
use crate::weights::Weights;
use crate::zoo::Joint;

pub(crate) use encode::TextReader;
pub use encode::{ImageTower, TextTower, id_sequences};
use encode::{Images, Texts};

/// The format of a run directory that this version writes and reads.
const FORMAT: u32 = 1;

/// `model.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelFile {
    /// Version of the directory's format.
    pub format: u32,
    /// The text tower, once stage text is done.
    pub text: Option<TowerFile>,
    /// The image tower, once stage image is done.
    pub image: Option<TowerFile>,
    /// The network that re-ranks, once stage scan is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<ScanFile>,
    /// What the map reached on the validation split when it was trained, by name, and what a scan made of it.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    /// The data set and the settings that each stage was trained with.
    #[serde(default)]
    pub training: toml::Table,
}

impl Default for ModelFile {
    fn default() -> Self {
        let (metrics, training) = (BTreeMap::new(), toml::Table::new());
        Self { format: FORMAT, text: None, image: None, scan: None, metrics, training }
    }
}

/// A tower, as `model.toml` records it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TowerFile {
    /// Name of the backbone; `words` or `patches:SIZE/PATCH` where there is none.
    pub backbone: String,
    /// Fingerprint of the backbone's files.
    pub backbone_fingerprint: String,
    /// Fingerprint of the tower: of its weights, its sizes and its backbone.
    pub fingerprint: String,
    /// The tower's sizes.
    pub tower: TowerConfig,
}

impl TowerFile {
    /// The backbone's name and fingerprint.
    fn on(&self) -> (&str, &str) {
        (&self.backbone, &self.backbone_fingerprint)
    }

    /// The name and the fingerprint of the jointly trained model whose vectors this tower gives as they are.
    pub fn shared_space(&self) -> Option<(&str, &str)> {
        shared_space(&self.tower, self.on())
    }
}

fn shared_space<'a>(tower: &TowerConfig, on: (&'a str, &'a str)) -> Option<(&'a str, &'a str)> {
    let as_it_is = tower.readout == Readout::Pooled(0);
    let shared = on.0.strip_suffix(SHARED).zip(on.1.strip_suffix(SHARED));
    shared.filter(|(name, _)| as_it_is && !name.contains('+'))
}

/// A run directory, or a directory of a jointly trained model in a public layout, opened; its parts are loaded when they
/// are asked for.
pub struct Model {
    dir: PathBuf,
    /// Where the map is.
    map_dir: PathBuf,
    file: ModelFile,
    /// Where towers and map come from, if it is no run.
    joint: Option<Joint>,
}

impl Model {
    /// Opens a run directory, or one with a jointly trained model: see [`Joint`].
    ///
    /// # Errors
    /// If it is neither, of a newer format, or of an architecture that is not known.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("model.toml");
        if !path.exists() {
            let (dir, map_dir) = (dir.to_path_buf(), dir.to_path_buf());
            let joint = Some(Joint::open(&dir)?);
            return Ok(Self { dir, map_dir, file: ModelFile::default(), joint });
        }
        let file: ModelFile = read_toml(&path)?;
        if file.format != FORMAT {
            let reason = format!("format: expected {FORMAT}, found {}", file.format);
            return Err(ModelError::Settings { path, reason });
        }
        let (dir, map_dir) = (dir.to_path_buf(), dir.to_path_buf());
        Ok(Self { dir, map_dir, file, joint: None })
    }

    /// The same towers with the map of another run, which must join them.
    pub fn with_map(self, run: &Path) -> Self {
        Self { map_dir: run.to_path_buf(), ..self }
    }

    /// The run that the map is of.
    pub fn map_dir(&self) -> &Path {
        &self.map_dir
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What `model.toml` says; of a jointly trained model, nothing.
    pub fn file(&self) -> &ModelFile {
        &self.file
    }

    /// The jointly trained model, if it is one.
    pub fn joint(&self) -> Option<&Joint> {
        self.joint.as_ref()
    }

    /// The fingerprint of the image tower: libraries of vectors of another are not of this model.
    ///
    /// # Errors
    /// If the model has no image tower, or a file cannot be read.
    pub fn image_fingerprint(&self) -> Result<String> {
        self.fingerprint("image", self.file.image.as_ref())
    }

    fn fingerprint(&self, part: &str, tower: Option<&TowerFile>) -> Result<String> {
        match &self.joint {
            Some(joint) => joint.fingerprint().map(str::to_owned),
            None => Ok(self.part(part, tower)?.fingerprint.clone()),
        }
    }

    /// Loads the text tower.
    ///
    /// # Errors
    /// If the model has none, or a file is missing, malformed or of another tower than `model.toml` says.
    pub fn text_tower(&self, backbones: &Backbones, progress: OnProgress<'_>) -> Result<TextTower> {
        if let Some(joint) = &self.joint {
            return Ok(TextTower(Texts::Joint(Box::new(joint.texts(&backbones.device)?))));
        }
        let part = self.part("text", self.file.text.as_ref())?;
        let reader = if part.backbone == WORDS {
            let longest = part.tower.positions;
            TextReader::Words(Box::new(Tokenizer::load(&self.dir.join("tokenizer.json"), longest)?))
        } else {
            let (backbone, fingerprint) =
                backbones.text(&part.backbone, part.tower.trained_blocks(), progress)?;
            self.check_backbone("text", part.on(), &fingerprint)?;
            TextReader::Backbone(Box::new(backbone))
        };
        let tower = self.tower("text", &backbones.device)?;
        Ok(TextTower(Texts::Trained(Box::new((reader, tower)))))
    }

    /// Loads the image tower.
    ///
    /// # Errors
    /// As [`Model::text_tower`].
    pub fn image_tower(
        &self,
        backbones: &Backbones,
        progress: OnProgress<'_>,
    ) -> Result<ImageTower> {
        if let Some(joint) = &self.joint {
            return Ok(ImageTower(Images::Joint(Box::new(joint.images(&backbones.device)?))));
        }
        let part = self.part("image", self.file.image.as_ref())?;
        let trained = part.tower.trained_blocks();
        let (backbone, fingerprint) = backbones.image(&part.backbone, trained, progress)?;
        self.check_backbone("image", part.on(), &fingerprint)?;
        let tower = self.tower("image", &backbones.device)?;
        Ok(ImageTower(Images::Trained(Box::new((backbone, tower)))))
    }

    /// Loads the map, and makes sure that it joins the towers that are there. Between the halves of a jointly trained
    /// model, it leaves vectors as they are.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] if it joins others; or if the file is missing or malformed.
    pub fn map(&self, device: &Device) -> Result<Map> {
        if let Some(joint) = self.unmapped() {
            return Map::identity(joint.dim(), device);
        }
        let (map, towers) = Map::load(&self.map_dir.join("map.safetensors"), device)?;
        let parts = [("text", &self.file.text), ("image", &self.file.image)];
        for ((part, tower), expected) in parts.into_iter().zip(towers) {
            let found = self.fingerprint(part, tower.as_ref())?;
            if found != expected {
                let path = self.map_dir.clone();
                return Err(ModelError::Mismatch { path, part, expected, found });
            }
        }
        Ok(map)
    }

    /// The jointly trained model, if there is no other map than its own.
    fn unmapped(&self) -> Option<&Joint> {
        self.joint.as_ref().filter(|_| self.map_dir == self.dir)
    }

    /// Scale and bias that make a probability of a score through a sigmoid, where the model was trained so and has its own
    /// map.
    ///
    /// # Errors
    /// If the weights cannot be read.
    pub fn sigmoid(&self) -> Result<Option<(f64, f64)>> {
        self.unmapped().map_or(Ok(None), Joint::sigmoid)
    }

    /// A fingerprint of the map's file: two runs that share it map alike.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn map_fingerprint(&self) -> Result<String> {
        if let Some(joint) = self.unmapped() {
            return Ok(format!("identity-{}", joint.dim()));
        }
        let path = self.map_dir.join("map.safetensors");
        let bytes = std::fs::read(&path).map_err(ModelError::io(&path))?;
        Ok(blake3::hash(&bytes).to_hex()[..16].to_owned())
    }

    fn part<'a>(&self, part: &str, tower: Option<&'a TowerFile>) -> Result<&'a TowerFile> {
        tower.ok_or_else(|| ModelError::Settings {
            path: self.dir.join("model.toml"),
            reason: format!("there is no {part} tower: stage {part} has not been trained"),
        })
    }

    /// Refuses a backbone that is another than the one, by name and fingerprint, that a part was trained on.
    pub(crate) fn check_backbone(
        &self,
        part: &'static str,
        (name, expected): (&str, &str),
        found: &str,
    ) -> Result<()> {
        if expected == found {
            return Ok(());
        }
        Err(ModelError::Settings {
            path: self.dir.join("model.toml"),
            reason: format!(
                "{part}.backbone: expected {name} with fingerprint {expected}, found {found} installed"
            ),
        })
    }

    /// Loads the `text` or `image` tower alone, without its backbone.
    ///
    /// # Errors
    /// If the run has none, or its file is missing, malformed or of another tower than `model.toml` says.
    pub fn tower(&self, part: &'static str, device: &Device) -> Result<Tower> {
        let file = match part {
            "text" => self.file.text.as_ref(),
            _ => self.file.image.as_ref(),
        };
        let file = self.part(part, file)?;
        let path = self.dir.join(format!("{part}.safetensors"));
        let tensors = checkpoint::safetensors::read(&path)?;
        let found = tower_fingerprint(&tensors, &file.tower, file.on());
        if found != file.fingerprint {
            let (path, expected) = (self.dir.clone(), file.fingerprint.clone());
            return Err(ModelError::Mismatch { path, part, expected, found });
        }
        let weights = Weights::fixed(tensors, device)?;
        Tower::new(file.tower.clone(), &weights.root())
    }
}

/// Writes a tower's weights into a run directory and returns what `model.toml` says of it. The fingerprint is
/// that of the weights as they will be read.
///
/// # Errors
/// If the file cannot be written.
pub fn save_tower(
    dir: &Path,
    part: &str,
    tensors: &Tensors,
    tower: &TowerConfig,
    backbone: (&str, &str),
    precision: Precision,
) -> Result<TowerFile> {
    let entries: Vec<_> = tensors
        .iter()
        .map(|(name, t)| (name.as_str(), t.shape.as_slice(), t.data.as_slice()))
        .collect();
    let path = dir.join(format!("{part}.safetensors"));
    checkpoint::safetensors::write_as(&path, &entries, &BTreeMap::new(), precision)?;
    let tensors = checkpoint::safetensors::read(&path)?;
    Ok(TowerFile {
        backbone: backbone.0.to_owned(),
        backbone_fingerprint: backbone.1.to_owned(),
        fingerprint: tower_fingerprint(&tensors, tower, backbone),
        tower: tower.clone(),
    })
}

/// Writes `model.toml`.
///
/// # Errors
/// If the file cannot be written.
pub fn save_model_file(dir: &Path, file: &ModelFile) -> Result<()> {
    write_toml(&dir.join("model.toml"), file)
}

/// The fingerprint of a tower. One that gives the vectors of a jointly trained model as they are has that model's, and
/// fits every library of it.
fn tower_fingerprint(tensors: &Tensors, tower: &TowerConfig, backbone: (&str, &str)) -> String {
    match shared_space(tower, backbone).filter(|_| tensors.is_empty()) {
        Some((_, joint)) => joint.to_owned(),
        None => fingerprint_of(tensors, tower, backbone.1),
    }
}

/// The fingerprint of a part: of its weights, its sizes and its backbone.
pub(crate) fn fingerprint_of(tensors: &Tensors, sizes: &impl Serialize, backbone: &str) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(serde_json::to_string(sizes).expect("sizes are always JSON").as_bytes());
    hash.update(backbone.as_bytes());
    for (name, tensor) in tensors {
        hash.update(name.as_bytes());
        hash.update(bytemuck::cast_slice(&tensor.data));
    }
    hash.finalize().to_hex()[..16].to_owned()
}
