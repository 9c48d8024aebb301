//! What text halves share: settings of BERT, where a text ends, and for CLIP and SigLIP a transformer over words and positions, with the norm before each
//! branch and one at the end.

use candle_core::Device;
use rayon::prelude::*;
use serde::Deserialize;
use tombolo_kernels::Mask;

use super::vision::{host, layers};
use super::{Files, Settings, activation};
use crate::checkpoint::Values;
use crate::encoder::{Encoder, Norm, NormPlace, Shape};
use crate::error::{ModelError, Result};
use crate::text::BertConfig;

/// `text_config`, as far as the network needs it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TextConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub max_position_embeddings: usize,
    pub hidden_act: String,
    pub layer_norm_eps: f32,
}

impl TextConfig {
    fn shape(&self, files: &Files, mask: Mask) -> Result<Shape> {
        let shape = Shape {
            hidden: self.hidden_size,
            mlp: self.intermediate_size,
            heads: self.num_attention_heads,
            eps: self.layer_norm_eps,
            norms: NormPlace::Before,
            activation: activation(files, &self.hidden_act)?,
            mask,
        };
        match shape.fault() {
            None => Ok(shape),
            Some(fault) => Err(files.settings.refused(format!("text_config.{fault}"))),
        }
    }
}

/// Words, positions and layers.
pub(crate) struct Words {
    pub config: TextConfig,
    words: Values,
    positions: Values,
    encoder: Encoder,
    norm: Norm,
}

impl Words {
    /// The network below `text_model.` of a checkpoint.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape, or the settings make no network.
    pub fn load(files: &Files, mask: Mask, device: &Device) -> Result<Self> {
        let config: TextConfig = files.settings.section("text_config")?;
        let shape = config.shape(files, mask)?;
        let (tensors, hidden) = (&files.tensors, config.hidden_size);
        let table = |name: &str, rows: usize| {
            tensors.get(&format!("text_model.embeddings.{name}_embedding.weight"), &[rows, hidden])
        };
        let words = table("token", config.vocab_size)?;
        let positions = table("position", config.max_position_embeddings)?;
        let encoder = layers(tensors, "text_model", config.num_hidden_layers, shape, device)?;
        let norm = Norm::read(tensors, "text_model.final_layer_norm", hidden, shape.eps)?;
        Ok(Self { config, words, positions, encoder, norm })
    }

    /// Token states after the last norm: `[rows, hidden]`, one text after the other.
    ///
    /// # Errors
    /// If a text is empty, too long, or has a token that is none of the vocabulary's.
    pub fn forward(&self, ids: &[Vec<u32>]) -> Result<Vec<f32>> {
        check_ids(ids, self.config.vocab_size, self.config.max_position_embeddings)?;
        let hidden = self.config.hidden_size;
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        let tokens: Vec<(usize, u32)> =
            ids.iter().flat_map(|ids| ids.iter().copied().enumerate()).collect();
        let mut x = vec![0.0; tokens.len() * hidden];
        x.par_chunks_mut(hidden).zip(&tokens).for_each(|(row, &(position, id))| {
            let word = &self.words[id as usize * hidden..][..hidden];
            let position = &self.positions[position * hidden..][..hidden];
            for ((x, w), p) in row.iter_mut().zip(word).zip(position) {
                *x = w + p;
            }
        });
        let mut x = host(&self.encoder.forward(x, &lengths, &[self.encoder.layers()])?)?;
        x.par_chunks_mut(hidden).for_each(|row| self.norm.apply(row));
        Ok(x)
    }
}

/// The `eos_token_id` of files from before their authors noticed that it was wrong: the text then ends at its token of
/// the highest id.
const BEFORE_THE_CORRECTION: u32 = 2;

/// Where the texts of CLIP and GroupViT are read: at the token that ends them.
pub(crate) struct End {
    /// None: the one of the highest id does.
    token: Option<u32>,
}

impl End {
    /// What `text_config` says.
    ///
    /// # Errors
    /// If it is not a token.
    pub fn read(settings: &Settings) -> Result<Self> {
        #[derive(Deserialize)]
        struct Section {
            eos_token_id: u32,
        }
        let token = settings.section::<Section>("text_config")?.eos_token_id;
        Ok(Self { token: (token != BEFORE_THE_CORRECTION).then_some(token) })
    }

    /// The place of a text's first end, or of its first token of the highest id.
    pub fn place(&self, ids: &[u32]) -> usize {
        let end = self.token.or_else(|| ids.iter().copied().max());
        ids.iter().position(|&id| Some(id) == end).unwrap_or(0)
    }
}

/// Refuses texts that are empty, too long, or of another vocabulary.
///
/// # Errors
/// [`ModelError::Tokenizer`].
pub(crate) fn check_ids(ids: &[Vec<u32>], vocabulary: usize, longest: usize) -> Result<()> {
    let lengths = ids.iter().map(Vec::len);
    let (least, most) = (lengths.clone().min().unwrap_or(1), lengths.max().unwrap_or(1));
    let largest = ids.iter().flatten().copied().max().unwrap_or(0);
    let reason = if least == 0 || most > longest {
        format!("expected 1 to {longest} tokens, found {}", if least == 0 { 0 } else { most })
    } else if largest as usize >= vocabulary {
        format!("expected token ids under {vocabulary}, found {largest}: is it another model's?")
    } else {
        return Ok(());
    };
    Err(ModelError::Tokenizer { reason })
}

/// One row of each text: `[texts, hidden]` of `[rows, hidden]`, at the place in each text that `place` names.
pub(crate) fn rows_at(
    states: &[f32],
    hidden: usize,
    ids: &[Vec<u32>],
    place: impl Fn(&[u32]) -> usize,
) -> Vec<f32> {
    let mut first = 0;
    let mut out = Vec::with_capacity(ids.len() * hidden);
    for ids in ids {
        out.extend_from_slice(&states[(first + place(ids)) * hidden..][..hidden]);
        first += ids.len();
    }
    out
}

/// The settings of a text half that is BERT.
///
/// # Errors
/// If they make no network.
pub(crate) fn bert_config(files: &Files) -> Result<BertConfig> {
    let config: BertConfig = files.settings.section("text_config")?;
    match config.fault() {
        None => Ok(config),
        Some(fault) => Err(files.settings.refused(format!("text_config.{fault}"))),
    }
}
