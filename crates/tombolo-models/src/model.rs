//! A trained model on disk: two towers and the map that joins them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use tombolo_vectors::EmbeddingMatrix;

use crate::backbones::{Backbones, WORDS};
use crate::checkpoint::safetensors::Precision;
use crate::checkpoint::{self, Tensors};
use crate::error::{ModelError, Result};
use crate::image::{ImageBackbone, Preprocessing};
use crate::map::Map;
use crate::pull::OnProgress;
use crate::settings::{read_toml, write_toml};
use crate::text::{TextBackbone, Tokenizer};
use crate::tower::{Sequences, Tower, TowerConfig};
use crate::weights::Weights;

/// The format of a run directory that this version writes and reads.
const FORMAT: u32 = 1;

/// Texts encoded at a time.
const TEXTS: usize = 64;

/// `model.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelFile {
    /// Version of the directory's format.
    pub format: u32,
    /// The text tower, once stage text is done.
    pub text: Option<TowerFile>,
    /// The image tower, once stage image is done.
    pub image: Option<TowerFile>,
    /// What the map reached on the validation split when it was trained, by name.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    /// The data set and the settings that each stage was trained with.
    #[serde(default)]
    pub training: toml::Table,
}

impl Default for ModelFile {
    fn default() -> Self {
        let (metrics, training) = (BTreeMap::new(), toml::Table::new());
        Self { format: FORMAT, text: None, image: None, metrics, training }
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

/// A run directory, opened; its parts are loaded when they are asked for.
pub struct Model {
    dir: PathBuf,
    /// Where the map is.
    map_dir: PathBuf,
    file: ModelFile,
}

impl Model {
    /// Opens a run directory.
    ///
    /// # Errors
    /// If it is not one, or of a newer format.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("model.toml");
        if !path.exists() {
            return Err(ModelError::NotAModel { path: dir.to_path_buf() });
        }
        let file: ModelFile = read_toml(&path)?;
        if file.format != FORMAT {
            let reason = format!("format: expected {FORMAT}, found {}", file.format);
            return Err(ModelError::Settings { path, reason });
        }
        Ok(Self { dir: dir.to_path_buf(), map_dir: dir.to_path_buf(), file })
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

    /// What `model.toml` says.
    pub fn file(&self) -> &ModelFile {
        &self.file
    }

    /// Loads the text tower.
    ///
    /// # Errors
    /// If the run has none, or a file is missing, malformed or of another tower than `model.toml` says.
    pub fn text_tower(&self, backbones: &Backbones, progress: OnProgress<'_>) -> Result<TextTower> {
        let part = self.part("text", self.file.text.as_ref())?;
        let reader = if part.backbone == WORDS {
            let longest = part.tower.positions;
            TextReader::Words(Box::new(Tokenizer::load(&self.dir.join("tokenizer.json"), longest)?))
        } else {
            let (backbone, fingerprint) = backbones.text(&part.backbone, progress)?;
            self.check_backbone("text", part, &fingerprint)?;
            TextReader::Backbone(Box::new(backbone))
        };
        Ok(TextTower { reader, tower: self.tower("text", &backbones.device)? })
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
        let part = self.part("image", self.file.image.as_ref())?;
        let trained = part.tower.trained_blocks();
        let (backbone, fingerprint) = backbones.image(&part.backbone, trained, progress)?;
        self.check_backbone("image", part, &fingerprint)?;
        Ok(ImageTower { backbone, tower: self.tower("image", &backbones.device)? })
    }

    /// Loads the map, and makes sure that it joins the towers that are there.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] if it joins others; or if the file is missing or malformed.
    pub fn map(&self, device: &Device) -> Result<Map> {
        let (map, towers) = Map::load(&self.map_dir.join("map.safetensors"), device)?;
        let parts = [("text", &self.file.text), ("image", &self.file.image)];
        for ((part, tower), expected) in parts.into_iter().zip(towers) {
            let found = self.part(part, tower.as_ref())?.fingerprint.clone();
            if found != expected {
                let path = self.map_dir.clone();
                return Err(ModelError::Mismatch { path, part, expected, found });
            }
        }
        Ok(map)
    }

    /// A fingerprint of the map's file: two runs that share it map alike.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn map_fingerprint(&self) -> Result<String> {
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

    fn check_backbone(&self, part: &'static str, file: &TowerFile, found: &str) -> Result<()> {
        if file.backbone_fingerprint == found {
            return Ok(());
        }
        Err(ModelError::Settings {
            path: self.dir.join("model.toml"),
            reason: format!(
                "{part}.backbone: expected {} with fingerprint {}, found {found} installed",
                file.backbone, file.backbone_fingerprint
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
        let found = tower_fingerprint(&tensors, &file.tower, &file.backbone_fingerprint);
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
        fingerprint: tower_fingerprint(&tensors, tower, backbone.1),
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

fn tower_fingerprint(tensors: &Tensors, config: &TowerConfig, backbone: &str) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(serde_json::to_string(config).expect("sizes are always JSON").as_bytes());
    hash.update(backbone.as_bytes());
    for (name, tensor) in tensors {
        hash.update(name.as_bytes());
        hash.update(bytemuck::cast_slice(&tensor.data));
    }
    hash.finalize().to_hex()[..16].to_owned()
}

enum TextReader {
    Words(Box<Tokenizer>),
    Backbone(Box<TextBackbone>),
}

/// The text tower with what it stands on.
pub struct TextTower {
    reader: TextReader,
    tower: Tower,
}

impl TextTower {
    /// Width of a vector.
    pub fn dim(&self) -> usize {
        self.tower.config().dim()
    }

    /// The vectors of texts, in their order. Texts are encoded in the order of their length.
    ///
    /// # Errors
    /// If the tokenizer refuses a text, or a tensor operation fails.
    pub fn embed(&self, texts: &[&str]) -> Result<EmbeddingMatrix> {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&i| texts[i].len());
        let mut out = vec![0.0; texts.len() * self.dim()];
        for batch in order.chunks(TEXTS) {
            let chunk: Vec<&str> = batch.iter().map(|&i| texts[i]).collect();
            let sequences = self.sequences(&chunk)?.cut(self.tower.config().positions)?;
            let vectors = self.tower.forward(&sequences)?;
            let vectors = vectors.flatten_all()?.to_vec1::<f32>()?;
            for (&i, vector) in batch.iter().zip(vectors.chunks_exact(self.dim())) {
                out[i * self.dim()..(i + 1) * self.dim()].copy_from_slice(vector);
            }
        }
        Ok(EmbeddingMatrix::from_rows(self.dim(), out)?)
    }

    fn sequences(&self, texts: &[&str]) -> Result<Sequences> {
        match &self.reader {
            TextReader::Words(tokenizer) => {
                let ids = texts.iter().map(|t| tokenizer.ids(t)).collect::<Result<Vec<_>>>()?;
                id_sequences(&ids, self.tower.device())
            }
            TextReader::Backbone(backbone) => {
                let (rows, lengths) = backbone.forward(texts)?;
                Ok(Sequences { values: rounded(&rows)?, lengths })
            }
        }
    }
}

/// Token ids as sequences.
///
/// # Errors
/// If the tensor cannot be made.
pub fn id_sequences(ids: &[Vec<u32>], device: &Device) -> Result<Sequences> {
    let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
    let rows = lengths.iter().sum::<usize>();
    Ok(Sequences { values: Tensor::from_vec(ids.concat(), rows, device)?, lengths })
}

/// The image tower with what it stands on.
pub struct ImageTower {
    backbone: ImageBackbone,
    tower: Tower,
}

impl ImageTower {
    /// Width of a vector.
    pub fn dim(&self) -> usize {
        self.tower.config().dim()
    }

    /// What a photo must be brought to.
    pub fn preprocessing(&self) -> &Preprocessing {
        self.backbone.preprocessing()
    }

    /// The vectors of parts of a photo, `[WINDOWS², dim]`, row by row: each as if all of the photo were like the cells
    /// around one place. Compared with a query, they tell which part of the photo it is that matches.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn windows(&self, picture: Vec<f32>) -> Result<EmbeddingMatrix> {
        let cells = rounded(&self.backbone.forward(&[picture])?.flatten(0, 1)?)?;
        let windows = self.backbone.windows(WINDOWS);
        let mut vectors = EmbeddingMatrix::new(self.dim())?;
        for window in windows {
            let lengths = vec![window.len()];
            let places = Tensor::from_vec(window, lengths[0], cells.device())?;
            let sequences = Sequences { values: cells.index_select(&places, 0)?, lengths };
            let vector = self.tower.forward(&sequences.cut(self.tower.config().positions)?)?;
            vectors.push(&vector.flatten_all()?.to_vec1::<f32>()?)?;
        }
        Ok(vectors)
    }

    /// The vectors of photos, each as [`Preprocessing::apply`] makes it.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn embed(&self, pictures: &[Vec<f32>]) -> Result<EmbeddingMatrix> {
        let cells = self.backbone.forward(pictures)?.flatten(0, 1)?;
        let lengths = vec![self.backbone.cells(); pictures.len()];
        let sequences = Sequences { values: rounded(&cells)?, lengths };
        let vectors = self.tower.forward(&sequences.cut(self.tower.config().positions)?)?;
        let values = vectors.flatten_all()?.to_vec1()?;
        Ok(EmbeddingMatrix::from_rows(self.dim(), values)?)
    }
}

/// Cells of the side of the grid in which [`ImageTower::windows`] looks at a photo.
pub const WINDOWS: usize = 7;

/// Rounded to f16 and back: features that come from the cache and features that do not are the same.
fn rounded(features: &Tensor) -> Result<Tensor> {
    Ok(features.to_dtype(DType::F16)?.to_dtype(DType::F32)?)
}
