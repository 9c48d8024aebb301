//! BERT (Devlin et al. 2019), the encoder of all-MiniLM-L6-v2, and RoBERTa (Liu et al. 2019), from their Hugging Face layout.

use std::path::Path;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::BertConfig;
use crate::checkpoint::{CheckpointError, HostTensor, MappedTensors, Tensors, Values};
use crate::encoder::{Encoder, Layer, Names, Norm};
use crate::error::{ModelError, Result};
use crate::tower::{LayersConfig, TAIL};
use crate::zoo::Layout;

/// Rows embedded at a time.
const ROWS: usize = 64;

/// What names begin with where a network has a head beside the encoder.
const PREFIXES: [&str; 2] = ["bert.", "roberta."];

pub(crate) const NAMES: Names = Names {
    attention: &["attention.self.query", "attention.self.key", "attention.self.value"],
    output: "attention.output.dense",
    norms: ["attention.output.LayerNorm", "output.LayerNorm"],
    expand: "intermediate.dense",
    contract: "output.dense",
    scales: None,
};

/// What BERT's first layer reads: the embeddings of a text's tokens, their places added, normalised.
pub(crate) struct BertEmbeddings {
    hidden: usize,
    words: Values,
    /// Position and segment embeddings in one, `[positions, hidden]`.
    positions: Vec<f32>,
    norm: Norm,
    /// The position of a text's first token.
    first: usize,
}

impl BertEmbeddings {
    /// The tensors below `name`; texts begin at position `first`.
    pub(crate) fn read(
        tensors: &MappedTensors,
        name: &str,
        config: &BertConfig,
        first: usize,
    ) -> Result<Self, CheckpointError> {
        let hidden = config.hidden_size;
        let table = |table: &str, rows: usize| {
            tensors.get(&format!("{name}.{table}_embeddings.weight"), &[rows, hidden])
        };
        let words = table("word", config.vocab_size)?;
        let mut positions = table("position", config.max_position_embeddings)?.to_vec();
        if config.type_vocab_size > 0 {
            // Retrieval texts are one segment, the first, so that its embedding is part of every position's.
            let segments = table("token_type", config.type_vocab_size)?;
            for row in positions.chunks_exact_mut(hidden) {
                row.iter_mut().zip(&segments[..]).for_each(|(p, s)| *p += s);
            }
        }
        let norm =
            Norm::read(tensors, &format!("{name}.LayerNorm"), hidden, config.layer_norm_eps)?;
        Ok(Self { hidden, words, positions, norm, first })
    }

    /// `[tokens, hidden]`, the tokens of one text after those of the other.
    ///
    /// # Errors
    /// If a text has more tokens than there are positions, or a token that is none of the vocabulary's.
    pub(crate) fn forward(&self, ids: &[&[u32]]) -> Result<Vec<f32>> {
        self.check(ids)?;
        let hidden = self.hidden;
        let tokens: Vec<(usize, u32)> =
            ids.iter().flat_map(|ids| ids.iter().copied().enumerate()).collect();
        let mut x = vec![0.0; tokens.len() * hidden];
        x.par_chunks_mut(ROWS * hidden).zip(tokens.par_chunks(ROWS)).for_each(|(rows, tokens)| {
            for (row, &(position, id)) in rows.chunks_exact_mut(hidden).zip(tokens) {
                let word = &self.words[id as usize * hidden..][..hidden];
                let position = &self.positions[(self.first + position) * hidden..][..hidden];
                for ((x, w), p) in row.iter_mut().zip(word).zip(position) {
                    *x = w + p;
                }
            }
            self.norm.apply(rows);
        });
        Ok(x)
    }

    /// The most tokens of a text.
    fn longest(&self) -> usize {
        (self.positions.len() / self.hidden).saturating_sub(self.first)
    }

    fn check(&self, ids: &[&[u32]]) -> Result<()> {
        let longest = ids.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let largest = ids.iter().flat_map(|ids| ids.iter()).copied().max().unwrap_or(0);
        let (most, words) = (self.longest(), self.words.len() / self.hidden);
        let reason = if longest > most {
            format!("expected at most {most} tokens, found {longest}")
        } else if largest as usize >= words {
            format!("expected token ids under {words}, found {largest}: is it another model's?")
        } else {
            return Ok(());
        };
        Err(ModelError::Tokenizer { reason })
    }
}

/// A frozen BERT encoder. Its weights stay in their file until they are used.
pub struct Bert {
    config: BertConfig,
    embeddings: BertEmbeddings,
    encoder: Encoder,
    /// The layers whose outputs make up a token's vector.
    read: Vec<usize>,
}

impl Bert {
    /// Loads the network of a directory. A token's vector is the output of the last layer.
    ///
    /// # Errors
    /// If a file is missing or malformed, of another kind of network, or lacks a tensor or has one too many.
    pub fn load(dir: &Path, device: &Device) -> Result<Self> {
        let (config, first) = BertConfig::read(dir)?;
        let (tensors, prefix) = tensors(dir)?;
        let bert = Self::from_tensors(&tensors, prefix, config, first, device)?;
        tensors.expect_no_others(&[prefix], "")?;
        Ok(bert)
    }

    /// The encoder whose tensors' names begin with `prefix`, whose texts begin at position `first`: that is 0 in BERT
    /// and 2 in RoBERTa.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape.
    pub(crate) fn from_tensors(
        tensors: &MappedTensors,
        prefix: &str,
        config: BertConfig,
        first: usize,
        device: &Device,
    ) -> Result<Self> {
        let name = format!("{prefix}embeddings");
        let embeddings = BertEmbeddings::read(tensors, &name, &config, first)?;
        let layer = |i| {
            let name = format!("{prefix}encoder.layer.{i}");
            Ok(Layer::read(tensors, &name, &NAMES, config.encoder())?)
        };
        let layers = (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?;
        let encoder = Encoder::new(config.encoder(), layers, device)?;
        let read = vec![encoder.layers()];
        Ok(Self { config, embeddings, encoder, read })
    }

    /// The same, but a token's vector is the outputs of these layers side by side; 0 stands for the embeddings.
    ///
    /// # Errors
    /// If a layer is named twice, or there are not so many.
    pub fn reading(self, layers: &[usize]) -> Result<Self> {
        let last = self.encoder.layers();
        let twice = (1..layers.len()).any(|i| layers[..i].contains(&layers[i]));
        if layers.is_empty() || twice || layers.iter().any(|&layer| layer > last) {
            return Err(ModelError::Layers { last, found: layers.to_vec() });
        }
        Ok(Self { read: layers.to_vec(), ..self })
    }

    /// The same without its last `trained` layers, which are the tower's: of what it reads, that which lies below them and
    /// the output that they go on from.
    ///
    /// # Errors
    /// If there are no more layers than that.
    pub fn below(self, trained: usize) -> Result<Self> {
        let layers = self.encoder.layers();
        check_trained(layers, trained)?;
        let read = LayersConfig::reads(&self.read, layers, trained);
        Ok(Self { read, encoder: self.encoder.below(layers - trained), ..self })
    }

    /// The sizes and the weights, by their names in a tower, of what [`Bert::below`] leaves out of a directory's network.
    /// `read`: the layers whose outputs make up a token's vector; none for the last.
    ///
    /// # Errors
    /// As [`Bert::load`] and [`Bert::below`].
    pub fn tail(
        dir: &Path,
        read: Option<&[usize]>,
        trained: usize,
    ) -> Result<(LayersConfig, Tensors)> {
        let (config, _) = BertConfig::read(dir)?;
        let (tensors, prefix) = tensors(dir)?;
        let layers = config.num_hidden_layers;
        check_trained(layers, trained)?;
        let mut weights = Tensors::new();
        for place in 0..trained {
            let layer = format!("{prefix}encoder.layer.{}", layers - trained + place);
            read_layer(&tensors, &layer, &config, place, &mut weights)?;
        }
        let gives = read.map_or_else(|| vec![layers], <[usize]>::to_vec);
        let sizes = LayersConfig {
            hidden: config.hidden_size,
            mlp: config.intermediate_size,
            heads: config.num_attention_heads,
            eps: config.layer_norm_eps,
            trained,
            reads: LayersConfig::reads(&gives, layers, trained),
            gives,
        };
        Ok((sizes, weights))
    }

    /// Width of a token's vector.
    pub fn dim(&self) -> usize {
        self.read.len() * self.config.hidden_size
    }

    /// The most tokens of a text.
    pub fn longest(&self) -> usize {
        self.embeddings.longest()
    }

    /// Contextual token vectors. No padding is computed.
    ///
    /// # Shapes
    /// `ids`: one sequence of token ids per text, none empty. Returns `[rows, dim]`, the tokens of one
    /// text after those of the other.
    /// # Errors
    /// If a text has more tokens than position embeddings, or a token that is none of the vocabulary's.
    pub fn forward(&self, ids: &[Vec<u32>]) -> Result<Tensor> {
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        self.encoder.forward(self.embeddings.forward(&ids)?, &lengths, &self.read)
    }
}

/// The tensors of a directory's network, and what all their names begin with.
fn tensors(dir: &Path) -> Result<(MappedTensors, &'static str)> {
    let tensors = Layout::HuggingFace.tensors(dir)?;
    let prefix = PREFIXES.into_iter().find(|prefix| tensors.has_prefix(prefix));
    Ok((tensors, prefix.unwrap_or_default()))
}

/// The first layer stays frozen, with the embeddings that it reads.
fn check_trained(layers: usize, trained: usize) -> Result<()> {
    if trained < layers {
        return Ok(());
    }
    let reason = format!("it has {} beside the first", layers.saturating_sub(1));
    Err(ModelError::Untrainable { name: "BERT".into(), found: trained, reason })
}

/// Adds the weights of a layer to `weights`, as layer `place` of a tail.
fn read_layer(
    tensors: &MappedTensors,
    layer: &str,
    config: &BertConfig,
    place: usize,
    weights: &mut Tensors,
) -> Result<()> {
    let (hidden, mlp) = (config.hidden_size, config.intermediate_size);
    let linears = [
        ("qkv", NAMES.attention, hidden, hidden),
        ("output", &[NAMES.output], hidden, hidden),
        ("expand", &[NAMES.expand], hidden, mlp),
        ("contract", &[NAMES.contract], mlp, hidden),
    ];
    let norms = [("norm_attention", &NAMES.norms[..1]), ("norm_mlp", &NAMES.norms[1..])];
    let matrices =
        linears.map(|(to, from, input, output)| (to, "weight", from, vec![output, input]));
    let biases = linears.map(|(to, from, _, output)| (to, "bias", from, vec![output]));
    let scales = norms.map(|(to, from)| (to, "weight", from, vec![hidden]));
    let shifts = norms.map(|(to, from)| (to, "bias", from, vec![hidden]));
    for (to, kind, from, mut shape) in
        matrices.into_iter().chain(biases).chain(scales).chain(shifts)
    {
        let mut data = Vec::new();
        for part in from {
            data.extend_from_slice(&tensors.get(&format!("{layer}.{part}.{kind}"), &shape)?);
        }
        shape[0] *= from.len();
        weights.insert(format!("{TAIL}.{place}.{to}.{kind}"), HostTensor { shape, data });
    }
    Ok(())
}
