//! The semantic encoder of the paper, and the tower that it makes of a backbone.

mod learned;
mod pool;
mod semantic;
mod tail;

use candle_core::{D, DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use self::learned::LearnedPooling;
use self::pool::pool;
pub use self::semantic::EncoderKind;
use self::semantic::SemanticEncoder;
use self::tail::Tail;
pub use self::tail::{BlocksConfig, LayersConfig, TailBlock, TailConfig};
use crate::error::Result;
use crate::layers::unit_norm;
use crate::weights::Scope;

/// What one position of a sequence is before the encoder projects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TowerInput {
    /// An id into a table of so many learned token embeddings.
    Tokens(usize),
    /// A vector of this width: a patch's pixels, or a backbone's cell or token.
    Vectors(usize),
}

/// What the vector of a tower is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readout {
    /// The state of the `[class]` token alone, as in the paper, or the last state of a recurrent encoder.
    Class,
    /// The state of the `[class]` token beside the mean of the backbone's vectors and, for each of their
    /// components, the mean of its so many largest values. What stage training may forget, the map can
    /// still use.
    ClassAndPooled(usize),
    /// The pooled vectors alone: nothing of the tower is trained. Of 0 largest values the mean alone.
    Pooled(usize),
}

/// What stands beside the mean of each component of a backbone's vectors, where they are pooled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean of its largest values, as many as the readout says.
    #[default]
    Largest,
    /// Its values, sorted, by learned weights: GPO (Chen et al. 2021). Trained where the whole tower is, in stage joint.
    Learned,
}

impl Pooling {
    fn is_largest(&self) -> bool {
        matches!(self, Self::Largest)
    }
}

/// Sizes of a tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TowerConfig {
    /// What the encoder reads.
    pub input: TowerInput,
    /// What the encoder is.
    #[serde(default, skip_serializing_if = "EncoderKind::is_transformer")]
    pub encoder: EncoderKind,
    /// Width of the encoder; of what a recurrent one reads.
    pub width: usize,
    /// Layers of the encoder.
    pub layers: usize,
    /// Heads of each layer; a recurrent one has none.
    pub heads: usize,
    /// The most positions that a sequence may have, `[class]` not counted; later ones are cut.
    pub positions: usize,
    /// Width of the class vector.
    pub output: usize,
    /// How many of a sequence's vectors come from each network of the backbone; empty where there is one.
    /// Each network's are pooled by themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<usize>,
    /// The backbone's last blocks or layers, where they are trained with the tower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<TailConfig>,
    /// How vectors are pooled beside their mean.
    #[serde(default, skip_serializing_if = "Pooling::is_largest")]
    pub pooling: Pooling,
    /// What the tower's vector is made of.
    pub readout: Readout,
}

impl TowerConfig {
    /// Width of the tower's vector.
    pub fn dim(&self) -> usize {
        let pooled = self.pooled();
        match (self.readout, self.encoded()) {
            (Readout::ClassAndPooled(_), TowerInput::Vectors(dim)) => self.output + pooled * dim,
            (Readout::Pooled(_), TowerInput::Vectors(dim)) => pooled * dim,
            _ => self.output,
        }
    }

    /// How many pooled vectors of the backbone's width there are, where the readout has any.
    pub fn pooled(&self) -> usize {
        self.segments.len().max(1) * self.pooled_of_each()
    }

    /// And of each network of the backbone.
    pub fn pooled_of_each(&self) -> usize {
        if self.readout == Readout::Pooled(0) { 1 } else { 2 }
    }

    /// What the encoder reads: the input, past the backbone's last blocks where there are any.
    pub fn encoded(&self) -> TowerInput {
        match &self.tail {
            Some(tail) => TowerInput::Vectors(tail.output()),
            None => self.input,
        }
    }

    /// How many of the backbone's last blocks or layers are trained with the tower.
    pub fn trained_blocks(&self) -> usize {
        self.tail.as_ref().map_or(0, TailConfig::trained)
    }
}

/// Sequences for a tower, one after the other, without padding.
pub struct Sequences {
    /// `[rows]` token ids (u32), or `[rows, dim]` vectors (f32).
    pub values: Tensor,
    /// The rows of each sequence; at least one each.
    pub lengths: Vec<usize>,
}

impl Sequences {
    /// Leaves out the rows of each sequence beyond the first `positions`.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn cut(self, positions: usize) -> Result<Self> {
        if self.lengths.iter().all(|&length| length <= positions) {
            return Ok(self);
        }
        let starts = starts(&self.lengths);
        let lengths: Vec<usize> = self.lengths.iter().map(|&n| n.min(positions)).collect();
        let kept = starts.iter().zip(&lengths).flat_map(|(&start, &n)| start..start + n as u32);
        let kept: Vec<u32> = kept.collect();
        let kept = Tensor::from_vec(kept, lengths.iter().sum::<usize>(), self.values.device())?;
        Ok(Self { values: self.values.index_select(&kept, 0)?, lengths })
    }
}

/// Where the weights of a backbone's last blocks are in those of a tower.
pub const TAIL: &str = "tail";

/// The paper's tower: a backbone's vectors or bare embeddings, read by the semantic encoder and pooled, as its
/// readout says.
pub struct Tower {
    config: TowerConfig,
    device: Device,
    tail: Option<Tail>,
    encoder: Option<SemanticEncoder>,
    pooling: Option<LearnedPooling>,
}

impl Tower {
    /// Reads or creates a tower at `scope`.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or holds one of another shape.
    pub fn new(config: TowerConfig, scope: &Scope<'_>) -> Result<Self> {
        let encoder = match config.readout {
            Readout::Pooled(_) => None,
            _ => Some(SemanticEncoder::new(&config, scope)?),
        };
        let tail = match (&config.tail, config.input) {
            (Some(tail), TowerInput::Vectors(dim)) => Some(Tail::new(tail, dim, &scope.at(TAIL))?),
            _ => None,
        };
        let pooling = match (config.pooling, config.readout) {
            (Pooling::Largest, _) | (_, Readout::Class) => None,
            _ => Some(LearnedPooling::new(&scope.at("pooling"))?),
        };
        Ok(Self { config, device: scope.device().clone(), tail, encoder, pooling })
    }

    /// The tower's sizes.
    pub fn config(&self) -> &TowerConfig {
        &self.config
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What the stages of one modality train: the state of the `[class]` token, projected and scaled to unit
    /// norm; or the pooled vectors, where there is no class but blocks of the backbone to train.
    ///
    /// # Shapes
    /// Returns `[batch, width]`, no columns if nothing of the tower is trained.
    /// # Errors
    /// If the sequences are not what the tower reads, or longer than its positions.
    pub fn trained_vectors(&self, sequences: &Sequences) -> Result<Tensor> {
        match (&self.encoder, &self.tail) {
            (Some(encoder), Some(tail)) => encoder.forward(&tail.forward(sequences)?),
            (Some(encoder), None) => encoder.forward(sequences),
            (None, Some(_)) => self.forward(sequences),
            (None, None) => self.nothing(sequences),
        }
    }

    /// The tower's vectors: one unit vector a sequence.
    ///
    /// # Shapes
    /// Returns `[batch, dim]`, `dim` being [`TowerConfig::dim`].
    /// # Errors
    /// As [`Tower::trained_vectors`].
    pub fn forward(&self, sequences: &Sequences) -> Result<Tensor> {
        match &self.tail {
            Some(tail) => self.read_out(&tail.forward(sequences)?),
            None => self.read_out(sequences),
        }
    }

    /// Vectors of no components.
    fn nothing(&self, sequences: &Sequences) -> Result<Tensor> {
        Ok(Tensor::zeros((sequences.lengths.len(), 0), DType::F32, &self.device)?)
    }

    fn read_out(&self, sequences: &Sequences) -> Result<Tensor> {
        let class = self.encoder.as_ref().map(|encoder| encoder.forward(sequences)).transpose()?;
        let top = match self.config.readout {
            Readout::Class => None,
            Readout::ClassAndPooled(top) | Readout::Pooled(top) => Some(top),
        };
        let (Some(top), TowerInput::Vectors(dim)) = (top, self.config.encoded()) else {
            return class.map_or_else(|| self.nothing(sequences), Ok);
        };
        // The kernel gives a mean and the largest values of each segment; of none of these the mean alone is kept.
        let pooled = pool(sequences, &self.config.segments, top.max(1), self.pooling.as_ref())?;
        let parts = (0..pooled.dim(D::Minus1)? / dim).step_by(2 / self.config.pooled_of_each());
        let parts = parts.map(|part| Ok(unit_norm(&pooled.narrow(1, part * dim, dim)?)?));
        let parts = class.into_iter().map(Ok).chain(parts).collect::<Result<Vec<_>>>()?;
        Ok(unit_norm(&Tensor::cat(&parts, 1)?)?)
    }
}

/// The first row of each sequence.
fn starts(lengths: &[usize]) -> Vec<u32> {
    let ends = lengths.iter().scan(0, |end, &length| {
        *end += length as u32;
        Some(*end)
    });
    std::iter::once(0).chain(ends).take(lengths.len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Weights;

    fn config() -> TowerConfig {
        TowerConfig {
            input: TowerInput::Vectors(6),
            encoder: EncoderKind::Transformer,
            width: 8,
            layers: 2,
            heads: 2,
            positions: 9,
            output: 5,
            segments: Vec::new(),
            tail: None,
            pooling: Pooling::Largest,
            readout: Readout::ClassAndPooled(2),
        }
    }

    fn sequence(length: usize, seed: usize) -> Vec<f32> {
        (0..length * 6).map(|i| ((i * 37 + seed * 11) % 17) as f32 / 8.0 - 1.0).collect()
    }

    fn check_that_neighbours_change_nothing(encoder: EncoderKind) {
        let weights = Weights::trainable(1, &Device::Cpu);
        let tower = Tower::new(TowerConfig { encoder, ..config() }, &weights.root()).unwrap();
        let alone = Sequences {
            values: Tensor::from_vec(sequence(3, 1), (3, 6), &Device::Cpu).unwrap(),
            lengths: vec![3],
        };
        let both = [sequence(3, 1), sequence(7, 2)].concat();
        let batch = Sequences {
            values: Tensor::from_vec(both, (10, 6), &Device::Cpu).unwrap(),
            lengths: vec![3, 7],
        };
        let alone = tower.forward(&alone).unwrap();
        let first = tower.forward(&batch).unwrap().narrow(0, 0, 1).unwrap();
        let difference = (alone - first).unwrap().abs().unwrap().sum_all().unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-5);
    }

    #[test]
    fn a_sequence_in_a_batch_gives_the_vector_that_it_gives_alone() {
        check_that_neighbours_change_nothing(EncoderKind::Transformer);
        check_that_neighbours_change_nothing(EncoderKind::Gru);
    }

    #[test]
    fn the_encoder_is_named_only_where_it_is_another_than_the_papers() {
        let written = |config: &TowerConfig| toml::to_string(config).unwrap();
        assert!(!written(&config()).contains("encoder"));
        let recurrent = TowerConfig { encoder: EncoderKind::Gru, ..config() };
        assert!(written(&recurrent).contains("encoder = \"gru\""));
        assert_eq!(toml::from_str::<TowerConfig>(&written(&config())).unwrap(), config());
    }

    #[test]
    fn sequences_are_cut_one_by_one() {
        let values = Tensor::from_vec(vec![0u32, 1, 2, 3, 4, 5], 6, &Device::Cpu).unwrap();
        let cut = Sequences { values, lengths: vec![3, 1, 2] }.cut(2).unwrap();
        assert_eq!(cut.values.to_vec1::<u32>().unwrap(), [0, 1, 3, 4, 5]);
        assert_eq!(cut.lengths, [2, 1, 2]);
    }

    #[test]
    fn each_network_is_pooled_by_itself() {
        let readout = Readout::Pooled(2);
        let weights = Weights::trainable(2, &Device::Cpu);
        let tower = |segments| {
            let config = TowerConfig { readout, segments, ..config() };
            Tower::new(config, &weights.root()).unwrap()
        };
        let vectors = |tower: &Tower, values: Vec<f32>| {
            let rows = values.len() / 6;
            let values = Tensor::from_vec(values, (rows, 6), &Device::Cpu).unwrap();
            let vectors = tower.forward(&Sequences { values, lengths: vec![rows] }).unwrap();
            vectors.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let (first, second) = (sequence(3, 1), sequence(4, 2));
        let mean = Tower::new(
            TowerConfig { readout: Readout::Pooled(0), segments: vec![3, 4], ..config() },
            &weights.root(),
        );
        let mean = vectors(&mean.unwrap(), [first.clone(), second.clone()].concat());
        let both = vectors(&tower(vec![3, 4]), [first.clone(), second.clone()].concat());
        assert_eq!((mean.len(), both.len()), (12, 24));
        let means = [&both[..6], &both[12..18]].concat();
        let scale = 2_f32.sqrt();
        assert!(mean.iter().zip(&means).all(|(m, b)| (m - scale * b).abs() < 1e-6));
        let alone = [first, second].map(|values| vectors(&tower(Vec::new()), values)).concat();
        for (found, expected) in both.iter().zip(&alone) {
            assert!((found - expected * 0.5f32.sqrt()).abs() < 1e-5);
        }
    }

    #[test]
    fn weights_that_are_learned_start_as_the_mean_and_are_moved() {
        let config = TowerConfig {
            readout: Readout::Pooled(1),
            pooling: Pooling::Learned,
            segments: vec![3, 4],
            ..config()
        };
        let weights = Weights::trainable(3, &Device::Cpu);
        let tower = Tower::new(config, &weights.root()).unwrap();
        let values = Tensor::from_vec(sequence(10, 1), (10, 6), &Device::Cpu).unwrap();
        // The second sequence ends where the second segment begins.
        let vectors = tower.forward(&Sequences { values, lengths: vec![7, 3] }).unwrap();
        let parts = vectors.get(0).unwrap().reshape((4, 6)).unwrap().to_vec2::<f32>().unwrap();
        for (mean, learned) in [(0, 1), (2, 3)] {
            for (mean, learned) in parts[mean].iter().zip(&parts[learned]) {
                assert!((mean - learned).abs() < 1e-6);
            }
        }
        let second = vectors.get(1).unwrap().narrow(0, 12, 12).unwrap();
        assert_eq!(second.to_vec1::<f32>().unwrap(), [0.0; 12]);
        let loss = vectors.get(0).unwrap() * Tensor::arange(0f32, 24.0, &Device::Cpu).unwrap();
        let gradients = loss.unwrap().sum_all().unwrap().backward().unwrap();
        let score = &weights.variables()["pooling.score.weight"];
        let moved = gradients.get(score).unwrap().abs().unwrap().sum_all().unwrap();
        assert!(moved.to_scalar::<f32>().unwrap() > 0.0);
    }

    #[test]
    fn vectors_have_unit_norm_and_the_width_that_the_config_says() {
        let weights = Weights::trainable(2, &Device::Cpu);
        let tower = Tower::new(config(), &weights.root()).unwrap();
        let values = Tensor::from_vec(sequence(9, 3), (9, 6), &Device::Cpu).unwrap();
        let vectors = tower.forward(&Sequences { values, lengths: vec![9] }).unwrap();
        assert_eq!(vectors.dims(), [1, config().dim()]);
        let norm = vectors.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert!((norm - 1.0).abs() < 1e-5);
    }
}
