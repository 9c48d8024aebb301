//! Jointly trained models: text and picture encoders that share a space, from their public layouts.
//!
//! Each architecture is a folder here with its two halves and a line in [`ARCHITECTURES`]. A half is loaded by itself:
//! a search by words never reads the weights of the half that sees pictures.

mod align;
mod altclip;
mod batch_norm;
mod blip;
mod clip;
mod files;
mod fingerprint;
#[cfg(test)]
mod golden;
mod groupvit;
mod joint;
mod open_clip;
mod projection;
mod reading;
#[cfg(test)]
mod reading_tests;
mod rerank;
mod settings;
mod siglip;
mod vision;
mod words;

use candle_core::{Device, Tensor};
use tombolo_data::image::Preprocess;
use tombolo_kernels::Activation;
use tombolo_vectors::EmbeddingMatrix;

use crate::error::Result;

pub(crate) use files::{Files, Layout};
pub(crate) use fingerprint::fingerprint;
pub use joint::{Joint, JointImages, JointTexts};
pub use rerank::MatchingReranker;
pub(crate) use settings::Settings;

/// The half of a jointly trained model that reads texts.
pub trait TextHalf: Send + Sync {
    /// Width of a text's vector.
    fn dim(&self) -> usize;

    /// Width of a token's state.
    fn width(&self) -> usize;

    /// What the last layer says of each token, after the final norm where there is one.
    ///
    /// # Shapes
    /// `ids`: the token ids of each text, special tokens included, none empty. Returns `[rows, width]`, the tokens of one
    /// text after those of the other.
    /// # Errors
    /// If a text is too long or has a token that is none of the vocabulary's, or a tensor operation fails.
    fn states(&self, ids: &[Vec<u32>]) -> Result<Vec<f32>>;

    /// The place of the token whose state stands for a text.
    fn place(&self, ids: &[u32]) -> usize;

    /// States taken into the shared space.
    ///
    /// # Shapes
    /// `states`: `[texts, width]`. Returns `[texts, dim]`, unit length, in the host's memory.
    /// # Errors
    /// If a tensor operation fails.
    fn project(&self, states: &[f32]) -> Result<Tensor>;

    /// The vectors of texts in the shared space.
    ///
    /// # Shapes
    /// `ids` as in [`TextHalf::states`]. Returns `[texts, dim]`, unit length, in the host's memory.
    /// # Errors
    /// As [`TextHalf::states`].
    fn embed(&self, ids: &[Vec<u32>]) -> Result<Tensor> {
        let states = self.states(ids)?;
        self.project(&words::rows_at(&states, self.width(), ids, |ids| self.place(ids)))
    }
}

/// The half that sees pictures.
pub trait ImageHalf: Send + Sync {
    /// Width of a picture's vector.
    fn dim(&self) -> usize;

    /// Width of a cell's state.
    fn width(&self) -> usize;

    /// Side of the pictures that it reads; none if it reads pictures of any.
    fn size(&self) -> Option<usize>;

    /// How the cells of a picture lie.
    fn grid(&self) -> Grid;

    /// The vectors of pictures in the shared space.
    ///
    /// # Shapes
    /// `pictures`: each `[size, size, 3]`, as the model's [`Preprocess`] makes it. Returns `[pictures, dim]`, unit length,
    /// in the host's memory.
    /// # Errors
    /// If a tensor operation fails.
    fn embed(&self, pictures: &[&[f32]]) -> Result<Tensor>;

    /// What the last layer says of each place of a picture, before anything is pooled.
    ///
    /// # Shapes
    /// Returns `[pictures, class + side², width]`, the class vector first where there is one, cells row by row, in the
    /// host's memory.
    /// # Errors
    /// If a tensor operation fails.
    fn cells(&self, pictures: &[&[f32]]) -> Result<Tensor>;

    /// A vector of each cell in the shared space: what the picture's would be if this cell stood for all of it.
    ///
    /// # Shapes
    /// Returns `[pictures, side², dim]`, unit length, cells row by row, in the host's memory.
    /// # Errors
    /// If a tensor operation fails.
    fn located(&self, pictures: &[&[f32]]) -> Result<Tensor>;

    /// The vectors of the cells of a picture, row by row, as many rows as columns: of each what [`ImageHalf::located`] says.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn windows(&self, picture: &[f32]) -> Result<EmbeddingMatrix> {
        let located = self.located(&[picture])?.flatten_all()?.to_vec1::<f32>()?;
        Ok(EmbeddingMatrix::from_rows(self.dim(), located)?)
    }
}

/// How the cells that a network makes of a picture lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Vectors of the whole picture before the cells: 1 for a class vector, else 0.
    pub class: usize,
    /// Cells of a side.
    pub side: usize,
}

impl Grid {
    /// Vectors of a picture.
    pub fn rows(self) -> usize {
        self.class + self.side * self.side
    }
}

/// How the texts of an architecture become token ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    /// The most tokens of a text, special ones included.
    pub longest: usize,
    /// The token that every text is filled up with to `longest`, and that then counts as any other (SigLIP); none: texts
    /// are as long as they are. A tokenizer that names its padding token has the last word.
    pub padded: Option<u32>,
}

/// An architecture: how its halves are read from a directory.
pub(crate) struct Architecture {
    /// As `config.json` names it.
    pub model_type: &'static str,
    /// The sections of `config.json` with all fields that are used, as JSON: what a file leaves out is taken from here,
    /// and what it has beyond is told to the user. `""` is the top.
    pub sections: &'static [(&'static str, &'static str)],
    /// Beginnings of the names of all tensors that a checkpoint may hold.
    pub tensors: &'static [&'static str],
    /// Loads the half that reads texts.
    pub text: fn(&Files, &Device) -> Result<Box<dyn TextHalf>>,
    /// Loads the half that sees pictures.
    pub image: fn(&Files, &Device) -> Result<Box<dyn ImageHalf>>,
    /// Width of the shared space.
    pub dim: fn(&Settings) -> Result<usize>,
    /// What texts are brought to.
    pub context: fn(&Settings) -> Result<Context>,
    /// What pictures are brought to.
    pub preprocess: fn(&Settings) -> Result<Preprocess>,
    /// Whether `logit_scale` and `logit_bias` make a probability of a score through a sigmoid (SigLIP).
    pub sigmoid: bool,
}

/// Every architecture that can be read.
pub(crate) const ARCHITECTURES: &[Architecture] =
    &[clip::CLIP, siglip::SIGLIP, altclip::ALTCLIP, align::ALIGN, groupvit::GROUPVIT, blip::BLIP];

/// The activation that a configuration names.
///
/// # Errors
/// If it is none that is known here.
pub(crate) fn activation(files: &Files, name: &str) -> Result<Activation> {
    Ok(match name {
        "quick_gelu" => Activation::QuickGelu,
        "gelu" => Activation::Gelu,
        "gelu_pytorch_tanh" | "gelu_new" => Activation::GeluTanh,
        "relu" => Activation::Relu,
        found => {
            let expected = "quick_gelu, gelu, gelu_pytorch_tanh or relu";
            let reason = format!("hidden_act: expected {expected}, found `{found}`");
            return Err(files.settings.refused(reason));
        }
    })
}
