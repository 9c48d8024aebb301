//! A jointly trained model on disk, and its halves at work.

use std::path::Path;
use std::sync::OnceLock;

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use tombolo_vectors::EmbeddingMatrix;

use super::files::{Files, Layout};
use super::fingerprint::fingerprint;
use super::reading::Reader;
use super::settings::Settings;
use super::{ImageHalf, TextHalf, open_clip};
use crate::config::not_followed;
use crate::error::{ModelError, Result};
use crate::image::{Preprocessing, processor};

/// A directory with a jointly trained model in a public layout; its halves are loaded when they are asked for.
pub struct Joint {
    layout: Layout,
    settings: Settings,
    dim: usize,
    /// Fingerprints of the halves.
    fingerprint: OnceLock<String>,
}

/// The half that reads texts, with its tokenizer.
pub struct JointTexts {
    half: Box<dyn TextHalf>,
    reader: Reader,
}

/// The half that sees pictures, with its preprocessing.
pub struct JointImages {
    half: Box<dyn ImageHalf>,
    preprocessing: Preprocessing,
}

impl Joint {
    /// The jointly trained model of a directory, whose halves can be backbones too; none if the directory holds a network
    /// of another kind.
    ///
    /// # Errors
    /// If its settings are malformed, or ask for what is not supported.
    pub fn find(dir: &Path) -> Result<Option<Self>> {
        match Self::open(dir) {
            Ok(joint) => Ok(Some(joint)),
            Err(ModelError::Architecture { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a directory's settings.
    ///
    /// # Errors
    /// [`ModelError::NotAModel`] if there are none, [`ModelError::Architecture`] if they are of an architecture that is not
    /// known, or if they are malformed.
    pub fn open(dir: &Path) -> Result<Self> {
        let layout =
            Layout::of(dir).ok_or_else(|| ModelError::NotAModel { path: dir.to_path_buf() })?;
        let settings = layout.settings(dir)?;
        let dim = (settings.architecture.dim)(&settings)?;
        Ok(Self { layout, settings, dim, fingerprint: OnceLock::new() })
    }

    /// The architecture, as `config.json` names it.
    pub fn architecture(&self) -> &'static str {
        self.settings.architecture.model_type
    }

    /// Width of the shared space.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// What the user should be told: fields of the settings that nothing here knows.
    pub fn warnings(&self) -> Vec<String> {
        let Settings { dir, path, .. } = &self.settings;
        // A malformed file is an error where it is read, which is not here.
        let (unknown, of_pictures) = match self.layout {
            Layout::HuggingFace => {
                (self.settings.unknown(), processor::warnings(dir).unwrap_or_default())
            }
            Layout::OpenClip => (open_clip::unknown(dir).unwrap_or_default(), Vec::new()),
        };
        let unknown = unknown.iter().map(|field| not_followed(path, field));
        unknown.chain(of_pictures).collect()
    }

    /// Loads the half that reads texts.
    ///
    /// # Errors
    /// If a file is missing or malformed, or a tensor is missing, left over or of another shape.
    pub fn texts(&self, device: &Device) -> Result<JointTexts> {
        let architecture = self.settings.architecture;
        let context = (architecture.context)(&self.settings)?;
        let reader = Reader::load(self.layout, &self.settings.dir, context)?;
        Ok(JointTexts { half: (architecture.text)(&self.files()?, device)?, reader })
    }

    /// Loads the half that sees pictures.
    ///
    /// # Errors
    /// If a file is missing or malformed, or a tensor is missing, left over or of another shape.
    pub fn images(&self, device: &Device) -> Result<JointImages> {
        let architecture = self.settings.architecture;
        let preprocess = (architecture.preprocess)(&self.settings)?;
        let half = (architecture.image)(&self.files()?, device)?;
        self.settings.expect_size(half.size(), preprocess.size)?;
        Ok(JointImages { half, preprocessing: Preprocessing::alone(preprocess) })
    }

    /// Scale and bias that make a probability of a score, through a sigmoid, where the model was trained so.
    ///
    /// # Errors
    /// If the weights cannot be read or lack them.
    pub fn sigmoid(&self) -> Result<Option<(f64, f64)>> {
        if !self.settings.architecture.sigmoid {
            return Ok(None);
        }
        let files = self.files()?;
        let scalar = |name: &str| Ok::<_, ModelError>(f64::from(files.tensors.scalar(name)?));
        Ok(Some((scalar("logit_scale")?.exp(), scalar("logit_bias")?)))
    }

    /// Differs when the vectors of texts or pictures may.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn fingerprint(&self) -> Result<&str> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known);
        }
        let found = fingerprint(self.layout, &self.settings.dir)?;
        Ok(self.fingerprint.get_or_init(|| found))
    }

    fn files(&self) -> Result<Files> {
        let settings = self.layout.settings(&self.settings.dir)?;
        Files::open(self.layout, settings)
    }
}

impl JointTexts {
    /// Width of a text's vector.
    pub fn dim(&self) -> usize {
        self.half.dim()
    }

    /// Width of a token's state.
    pub fn width(&self) -> usize {
        self.half.width()
    }

    /// The most tokens of a text.
    pub fn longest(&self) -> usize {
        self.reader.longest()
    }

    /// The token ids of each text, special ones and padding included.
    ///
    /// # Errors
    /// If the tokenizer refuses a text.
    pub fn ids(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        texts.par_iter().map(|text| self.reader.ids(text)).collect()
    }

    /// The vectors of texts.
    ///
    /// # Errors
    /// If the tokenizer refuses a text, or a tensor operation fails.
    pub fn embed(&self, texts: &[&str]) -> Result<EmbeddingMatrix> {
        let vectors = self.half.embed(&self.ids(texts)?)?.flatten_all()?.to_vec1()?;
        Ok(EmbeddingMatrix::from_rows(self.dim(), vectors)?)
    }

    /// Token states, `[rows, width]`, and the tokens of each text.
    ///
    /// # Errors
    /// If the tokenizer refuses a text, or a tensor operation fails.
    pub fn states(&self, texts: &[&str]) -> Result<(Tensor, Vec<usize>)> {
        let ids = self.ids(texts)?;
        let states = self.half.states(&ids)?;
        let states = Tensor::from_vec(states, ((), self.width()), &Device::Cpu)?;
        Ok((states, ids.iter().map(Vec::len).collect()))
    }
}

impl JointImages {
    /// Width of a picture's vector.
    pub fn dim(&self) -> usize {
        self.half.dim()
    }

    /// The network.
    pub fn half(&self) -> &dyn ImageHalf {
        self.half.as_ref()
    }

    /// The network and what pictures are brought to for it.
    pub(crate) fn into_parts(self) -> (Box<dyn ImageHalf>, Preprocessing) {
        (self.half, self.preprocessing)
    }

    /// What a photo must be brought to.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// The vectors of photos, each as [`Preprocessing::apply`] makes it.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn embed(&self, pictures: &[Vec<f32>]) -> Result<EmbeddingMatrix> {
        let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
        let vectors = self.half.embed(&pictures)?.flatten_all()?.to_vec1()?;
        Ok(EmbeddingMatrix::from_rows(self.dim(), vectors)?)
    }

    /// The vectors of the cells of a photo, row by row, as many rows as columns.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn windows(&self, picture: &[f32]) -> Result<EmbeddingMatrix> {
        self.half.windows(picture)
    }
}
