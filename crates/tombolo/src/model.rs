//! A model at work: towers and map loaded when first needed, texts and photos in, vectors out.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use candle_core::Device;
use tombolo_data::dataset::ImageSource;
use tombolo_data::image::{Loader, LoaderConfig, Pixels, is_called_a_photo};
use tombolo_eval::Calibration;
use tombolo_models::backbones::{Backbones, text_model};
use tombolo_models::catalogue::{ENTRIES, Entry, Kind};
use tombolo_models::map::Map;
use tombolo_models::model::{ImageTower, Model, ModelFile, TextTower};
use tombolo_models::pull::Store;
use tombolo_models::zoo::Joint;
use tombolo_train::CalibrationFile;
use tombolo_vectors::EmbeddingMatrix;

use crate::cli::{DeviceName, Global, Misuse, Terminal};
use crate::starter::{STARTERS, run_dir};

/// Photos encoded at a time.
pub const PHOTOS: usize = 16;

/// Texts between two steps of the progress bar.
const TEXTS: usize = 512;

/// From its model card; Flickr8K's photos are part of Flickr30K.
const MINILM_CAVEAT: &str = "all-minilm-l6-v2 was trained on captions of Flickr30K and COCO among much \
                             else: it has seen captions like theirs, never paired with images";

/// Opens the store of models for the device and network use that the flags ask for.
pub fn backbones(global: &Global) -> anyhow::Result<Backbones> {
    let hub_offline = std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| is_true(&value));
    Ok(Backbones {
        store: Store::from_env()?,
        offline: global.offline || hub_offline,
        device: device(global.device)?,
    })
}

/// As the hub's own tools read their variables.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
}

fn device(name: DeviceName) -> anyhow::Result<Device> {
    let opened = match name {
        DeviceName::Cpu => return Ok(Device::Cpu),
        DeviceName::Cuda => Device::new_cuda(0),
        DeviceName::Metal => Device::new_metal(0),
    };
    opened.map_err(|error| {
        let name = format!("{name:?}").to_lowercase();
        let hint = format!("build with `--features {name}` on a machine that has one, or use cpu");
        Misuse::new(format!("device {name} cannot be used: {error}"), hint).into()
    })
}

/// A model and what of it has been loaded.
pub struct Encoder {
    model: Model,
    backbones: Backbones,
    /// Told once, when something is loaded first.
    warned: OnceLock<()>,
    text: OnceLock<TextTower>,
    image: OnceLock<ImageTower>,
    map: OnceLock<Map>,
    map_fingerprint: OnceLock<String>,
}

/// Vectors of the photos that could be read.
pub struct EncodedImages {
    /// One mapped vector a photo.
    pub vectors: EmbeddingMatrix,
    /// Which of the photos they are, ascending.
    pub read: Vec<usize>,
    /// How many could not be read; each was named.
    pub skipped: usize,
}

impl Encoder {
    /// Opens a run directory, one with a model in a public layout, a starter by its name, or a model by its name or as
    /// `hf:OWNER/NAME[@REVISION]`, which is pulled if it is not there; loads nothing yet.
    pub fn open(model: &Path, global: &Global, terminal: &Terminal) -> anyhow::Result<Self> {
        let (text, image, map) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let backbones = backbones(global)?;
        let dir = model_dir(model, &backbones, terminal)?;
        if let Some(near) = nearest(model).filter(|_| !dir.exists()) {
            let what = format!("there is no model {}", model.display());
            return Err(Misuse::new(what, format!("did you mean {near}?")).into());
        }
        let model = Model::open(&dir)?;
        let (map_fingerprint, warned) = (OnceLock::new(), OnceLock::new());
        Ok(Self { model, backbones, warned, text, image, map, map_fingerprint })
    }

    /// The same with the map of another run, or of a starter, in the place of its own where one is named.
    pub fn open_with_map(
        model: &Path,
        map: Option<&Path>,
        global: &Global,
        terminal: &Terminal,
    ) -> anyhow::Result<Self> {
        let mut encoder = Self::open(model, global, terminal)?;
        if let Some(run) = map {
            let named = run;
            let run = run_dir(named, encoder.backbones.store.home())?;
            if !run.join("map.safetensors").exists() {
                let what = format!("--map {}: there is no run with a map", named.display());
                let hint = "name the directory that `tombolo train map … --out RUN` wrote";
                return Err(Misuse::new(what, hint).into());
            }
            encoder.model = encoder.model.with_map(&run);
        }
        Ok(encoder)
    }

    /// The run directory.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The text tower.
    pub fn text_tower(&self, terminal: &Terminal) -> anyhow::Result<&TextTower> {
        self.warn(terminal);
        load(&self.text, || {
            Ok(self.model.text_tower(&self.backbones, &mut |p| terminal.pulling(p))?)
        })
    }

    /// Makes sure that the text tower can be loaded, and lets go of it again.
    pub fn require_texts(&self) -> anyhow::Result<()> {
        self.model.text_tower(&self.backbones, &mut |_| ())?;
        Ok(())
    }

    /// The image tower.
    pub fn image_tower(&self, terminal: &Terminal) -> anyhow::Result<&ImageTower> {
        self.warn(terminal);
        load(&self.image, || {
            Ok(self.model.image_tower(&self.backbones, &mut |p| terminal.pulling(p))?)
        })
    }

    /// The map.
    pub fn map(&self) -> anyhow::Result<&Map> {
        load(&self.map, || Ok(self.model.map(&self.backbones.device)?))
    }

    /// A fingerprint of the map's file, which is read once.
    pub fn map_fingerprint(&self) -> anyhow::Result<&str> {
        load(&self.map_fingerprint, || Ok(self.model.map_fingerprint()?)).map(String::as_str)
    }

    fn warn(&self, terminal: &Terminal) {
        self.warned.get_or_init(|| {
            let warnings = self.model.joint().map(Joint::warnings).unwrap_or_default();
            warnings.iter().for_each(|warning| terminal.warning(warning));
        });
    }

    /// The probability of a match by the score of a text and a photo, if the model is calibrated.
    pub fn calibration(&self) -> anyhow::Result<Option<Calibration>> {
        if let Some((slope, intercept)) = self.model.sigmoid()? {
            return Ok(Some(Calibration { slope, intercept }));
        }
        Ok(CalibrationFile::read(self.model.map_dir())?.map(|file| file.calibration))
    }

    /// Mapped vectors of a few texts, `[texts, dim]`, at once.
    pub fn text_vectors(
        &self,
        texts: &[&str],
        terminal: &Terminal,
    ) -> anyhow::Result<EmbeddingMatrix> {
        if texts.is_empty() {
            return Ok(EmbeddingMatrix::new(self.map()?.dim())?);
        }
        Ok(self.map()?.map_texts(&self.text_tower(terminal)?.embed(texts)?)?)
    }

    /// Mapped vectors of a few photos, `[photos, dim]`, at once.
    pub fn photo_vectors(
        &self,
        photos: &[Pixels],
        terminal: &Terminal,
    ) -> anyhow::Result<EmbeddingMatrix> {
        let tower = self.image_tower(terminal)?;
        let pictures: Vec<_> = photos.iter().map(|p| tower.preprocessing().apply(p)).collect();
        self.picture_vectors(&pictures, terminal)
    }

    /// The same of photos that are prepared as the image tower wants them.
    pub fn picture_vectors(
        &self,
        pictures: &[Vec<f32>],
        terminal: &Terminal,
    ) -> anyhow::Result<EmbeddingMatrix> {
        Ok(self.map()?.map_images(&self.image_tower(terminal)?.embed(pictures)?)?)
    }

    /// Mapped vectors of texts, with a progress bar.
    pub fn texts(&self, texts: &[&str], terminal: &Terminal) -> anyhow::Result<EmbeddingMatrix> {
        let (tower, map) = (self.text_tower(terminal)?, self.map()?);
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&i| texts[i].len());
        let mut vectors = vec![0.0; texts.len() * map.dim()];
        terminal.begin("texts", Some(texts.len() as u64));
        for (index, chunk) in order.chunks(TEXTS).enumerate() {
            let words: Vec<&str> = chunk.iter().map(|&i| texts[i]).collect();
            let mapped = map.map_texts(&tower.embed(&words)?)?;
            for (&i, vector) in chunk.iter().zip(mapped.iter()) {
                vectors[i * map.dim()..(i + 1) * map.dim()].copy_from_slice(vector);
            }
            terminal.advance((index * TEXTS + chunk.len()) as u64, None);
        }
        terminal.end_bar();
        Ok(EmbeddingMatrix::from_rows(map.dim(), vectors)?)
    }

    /// Mapped vectors of photos; one that cannot be read is named and left out.
    pub fn images(
        &self,
        sources: Vec<ImageSource>,
        terminal: &Terminal,
    ) -> anyhow::Result<EncodedImages> {
        let (tower, map) = (self.image_tower(terminal)?, self.map()?);
        let total = sources.len();
        let preprocessing = tower.preprocessing().clone();
        let config = LoaderConfig { ahead: 2 * PHOTOS, ..LoaderConfig::default() };
        let loader = Loader::new(sources, config, move |d| preprocessing.apply(&d.pixels));
        let mut vectors = EmbeddingMatrix::new(map.dim())?;
        let (mut read, mut pictures, mut skipped) = (Vec::new(), Vec::new(), 0);
        terminal.begin("images", Some(total as u64));
        for (index, picture) in loader {
            match picture {
                Ok(picture) => {
                    read.push(index);
                    pictures.push(picture);
                }
                Err(error) => {
                    skipped += 1;
                    terminal.skipped(&error.to_string());
                }
            }
            let last = index + 1 == total;
            if pictures.len() == PHOTOS || (last && !pictures.is_empty()) {
                vectors.extend(&map.map_images(&tower.embed(&pictures)?)?)?;
                pictures.clear();
                terminal.advance(index as u64 + 1, None);
            }
        }
        terminal.end_bar();
        Ok(EncodedImages { vectors, read, skipped })
    }
}

/// The directory of a model that was named: itself, a starter's, or an installed one's, which is pulled if it is missing.
pub fn model_dir(
    model: &Path,
    backbones: &Backbones,
    terminal: &Terminal,
) -> anyhow::Result<PathBuf> {
    let dir = run_dir(model, backbones.store.home())?;
    let name = dir.to_str().filter(|_| !dir.exists()).unwrap_or_default();
    match Entry::parse(name) {
        Ok(entry) => refuse_backbone(&entry)?,
        Err(error) if name.starts_with("hf:") => return Err(error.into()),
        Err(_) => return Ok(dir),
    }
    let mut progress = |p: tombolo_models::pull::Progress<'_>| terminal.pulling(p);
    let installed = backbones.store.ensure(name, backbones.offline, &mut progress)?;
    terminal.end_bar();
    Ok(installed.dir)
}

/// Refuses what encodes texts or photos alone.
fn refuse_backbone(entry: &Entry) -> anyhow::Result<()> {
    let (reads, side) = match entry.kind {
        Some(Kind::Text) => ("reads texts", "text"),
        Some(Kind::Image) => ("sees photos", "image"),
        Some(Kind::Joint) | None => return Ok(()),
    };
    let what = format!("{0} {reads} alone: it is a backbone, and no model", entry.name);
    let hint = format!("to train a model on it: --set {side}.backbone={}", entry.name);
    Err(Misuse::new(what, hint).into())
}

/// The model that a mistyped name may have been meant for.
pub fn nearest(model: &Path) -> Option<&'static str> {
    let name = model.to_str()?;
    let models = ENTRIES.iter().filter(|entry| entry.kind == Some(Kind::Joint));
    let known = STARTERS.iter().map(|starter| starter.name).chain(models.map(|entry| &*entry.name));
    tombolo_data::nearest(name, known, 0.9).filter(|known| name != *known)
}

/// What must be said wherever a result of this model is printed.
pub fn caveats(file: &ModelFile) -> impl Iterator<Item = &'static str> {
    let texts = file.text.as_ref().map(|text| &text.backbone);
    let mut texts = texts.into_iter().chain(file.scan.as_ref().map(|scan| &scan.text_backbone));
    let minilm = texts.any(|backbone| text_model(backbone) == "all-minilm-l6-v2");
    minilm.then_some(MINILM_CAVEAT).into_iter()
}

/// Refuses what looks like the name of a photo that is not there, rather than take it for words.
pub fn require_words(text: &str) -> anyhow::Result<()> {
    if text.contains(char::is_whitespace) || !is_called_a_photo(Path::new(text)) {
        return Ok(());
    }
    Err(Misuse::new(format!("{text}: no such photo"), "check the path; words need no ending")
        .into())
}

fn load<T>(cell: &OnceLock<T>, make: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<&T> {
    match cell.get() {
        Some(made) => Ok(made),
        None => {
            let made = make()?;
            Ok(cell.get_or_init(|| made))
        }
    }
}
