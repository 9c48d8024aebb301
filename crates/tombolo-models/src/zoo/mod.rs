//! Jointly trained models: text and picture encoders that share a space, from their public layouts.
//!
//! Each architecture is a folder here with its two halves and a line in [`ARCHITECTURES`]. A half is loaded by itself:
//! a search by words never reads the weights of the half that sees pictures.

pub mod blip;
#[cfg(test)]
mod golden;

use candle_core::{Device, Tensor};
use tombolo_data::image::Preprocess;

use crate::error::Result;

/// The half of a jointly trained model that reads texts.
pub trait TextHalf: Send + Sync {
    /// Width of a text's vector.
    fn dim(&self) -> usize;

    /// Width of a token's state.
    fn width(&self) -> usize;

    /// The vectors of texts in the shared space.
    ///
    /// # Shapes
    /// `ids`: the token ids of each text, special tokens included, none empty. Returns `[texts, dim]`, unit length.
    /// # Errors
    /// If a text is too long or has a token that is none of the vocabulary's, or a tensor operation fails.
    fn embed(&self, ids: &[Vec<u32>]) -> Result<Tensor>;

    /// What the last layer says of each token, after the final norm where there is one.
    ///
    /// # Shapes
    /// Returns `[rows, width]`, the tokens of one text after those of the other.
    /// # Errors
    /// As [`TextHalf::embed`].
    fn states(&self, ids: &[Vec<u32>]) -> Result<Tensor>;
}

/// The half that sees pictures.
pub trait ImageHalf: Send + Sync {
    /// Width of a picture's vector.
    fn dim(&self) -> usize;

    /// Width of a cell's state.
    fn width(&self) -> usize;

    /// How the cells of a picture lie.
    fn grid(&self) -> Grid;

    /// The vectors of pictures in the shared space.
    ///
    /// # Shapes
    /// `pictures`: each `[size, size, 3]`, as the model's [`Preprocess`] makes it. Returns `[pictures, dim]`, unit length.
    /// # Errors
    /// If a tensor operation fails.
    fn embed(&self, pictures: &[&[f32]]) -> Result<Tensor>;

    /// What the last layer says of each place of a picture, before anything is pooled.
    ///
    /// # Shapes
    /// Returns `[pictures, class + side², width]`, the class vector first where there is one, cells row by row.
    /// # Errors
    /// If a tensor operation fails.
    fn cells(&self, pictures: &[&[f32]]) -> Result<Tensor>;

    /// A vector of each cell in the shared space: what the picture's would be if this cell stood for all of it.
    ///
    /// # Shapes
    /// Returns `[pictures, side², dim]`, unit length, cells row by row.
    /// # Errors
    /// If a tensor operation fails.
    fn located(&self, pictures: &[&[f32]]) -> Result<Tensor>;
}

/// How the cells that a network makes of a picture lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Vectors of the whole picture before the cells: 1 for a class vector, else 0.
    pub class: usize,
    /// Cells of a side.
    pub side: usize,
}

/// How the texts of an architecture become token ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The most tokens of a text, special ones included.
    pub longest: usize,
    /// Whether every text is filled up to `longest` with the padding token, which then counts as any other (SigLIP).
    pub padded: bool,
}

/// An architecture: how its halves are read from a directory.
pub(crate) struct Architecture {
    /// As `config.json` names it.
    pub model_type: &'static str,
    /// Loads the half that reads texts.
    pub text: fn(&Files, &Device) -> Result<Box<dyn TextHalf>>,
    /// Loads the half that sees pictures.
    pub image: fn(&Files, &Device) -> Result<Box<dyn ImageHalf>>,
    /// What texts are brought to.
    pub context: fn(&Files) -> Result<Context>,
    /// What pictures are brought to.
    pub preprocess: fn(&Files) -> Result<Preprocess>,
    /// Whether `logit_scale` and `logit_bias` make a probability of a score through a sigmoid (SigLIP).
    pub sigmoid: bool,
}

/// Every architecture that can be read.
pub(crate) const ARCHITECTURES: &[Architecture] = &[];

/// A directory of a model, opened: its settings and its tensors, none of them read yet.
pub(crate) struct Files {
    /// `config.json`, or what it would be for open_clip's layout.
    pub config: serde_json::Value,
    /// The weights, by Hugging Face's names.
    pub tensors: crate::checkpoint::MappedTensors,
    /// The directory.
    pub dir: std::path::PathBuf,
}
