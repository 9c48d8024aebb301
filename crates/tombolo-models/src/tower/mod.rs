//! The semantic encoder of the paper, and the tower that it makes of a backbone.

use candle_core::{D, Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::layers::{EncoderLayer, LayerNorm, Linear, running_places, unit_norm};
use crate::weights::{Init, Scope};

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
    /// The state of the `[class]` token alone, as in the paper.
    Class,
    /// The state of the `[class]` token beside the mean of the backbone's vectors and, for each of their
    /// components, the mean of its so many largest values. What stage training may forget, the map can
    /// still use.
    ClassAndPooled(usize),
}

/// Sizes of a tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TowerConfig {
    /// What the encoder reads.
    pub input: TowerInput,
    /// Width of the encoder.
    pub width: usize,
    /// Layers of the encoder.
    pub layers: usize,
    /// Heads of each layer.
    pub heads: usize,
    /// The most positions that a sequence may have, `[class]` not counted; later ones are cut.
    pub positions: usize,
    /// Width of the class vector.
    pub output: usize,
    /// What the tower's vector is made of.
    pub readout: Readout,
}

impl TowerConfig {
    /// Width of the tower's vector.
    pub fn dim(&self) -> usize {
        match (self.readout, self.input) {
            (Readout::ClassAndPooled(_), TowerInput::Vectors(dim)) => self.output + 2 * dim,
            _ => self.output,
        }
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

/// A standard Transformer encoder over `[class]` and a sequence, with learned 1-D positions: §3.1 and
/// §3.2 of the paper.
pub struct Tower {
    config: TowerConfig,
    input: Input,
    class: Tensor,
    positions: Tensor,
    layers: Vec<EncoderLayer>,
    norm: LayerNorm,
    output: Linear,
}

enum Input {
    Tokens(Tensor),
    Vectors { norm: LayerNorm, projection: Linear },
}

impl Tower {
    /// Reads or creates a tower at `scope`.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or holds one of another shape.
    pub fn new(config: TowerConfig, scope: &Scope<'_>) -> Result<Self> {
        let width = config.width;
        let small = Init::Normal(0.02);
        let input = match config.input {
            TowerInput::Tokens(count) => {
                Input::Tokens(scope.get("tokens.weight", &[count, width], Init::Normal(0.1))?)
            }
            TowerInput::Vectors(dim) => Input::Vectors {
                norm: LayerNorm::new(dim, 1e-5, &scope.at("input_norm"))?,
                projection: Linear::new(dim, width, &scope.at("projection"))?,
            },
        };
        let layers = (0..config.layers)
            .map(|i| EncoderLayer::new(width, config.heads, 4 * width, &scope.at("layer").at(i)))
            .collect::<Result<_>>()?;
        Ok(Self {
            class: scope.get("class", &[1, width], small)?,
            positions: scope.get("positions", &[config.positions + 1, width], small)?,
            norm: LayerNorm::new(width, 1e-5, &scope.at("norm"))?,
            output: Linear::new(width, config.output, &scope.at("output"))?,
            config,
            input,
            layers,
        })
    }

    /// The tower's sizes.
    pub fn config(&self) -> &TowerConfig {
        &self.config
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        self.class.device()
    }

    /// The state of the `[class]` token, projected and scaled to unit norm: what the stages train.
    ///
    /// # Shapes
    /// Returns `[batch, output]`.
    /// # Errors
    /// If the sequences are not what the tower reads, or longer than its positions.
    pub fn class_vectors(&self, sequences: &Sequences) -> Result<Tensor> {
        let (mut x, lengths) = self.with_class(sequences)?;
        let starts: Vec<u32> = starts(&lengths);
        let starts = Tensor::from_vec(starts, lengths.len(), x.device())?;
        let Some((last, layers)) = self.layers.split_last() else {
            return self.read_out(&x.index_select(&starts, 0)?);
        };
        for layer in layers {
            x = layer.forward(&x, &lengths)?;
        }
        self.read_out(&last.forward_at(&x, &lengths, &starts)?)
    }

    fn read_out(&self, class: &Tensor) -> Result<Tensor> {
        Ok(unit_norm(&self.output.forward(&self.norm.forward(class)?)?)?)
    }

    /// `[class]` before each sequence, and positions added. Returns `[rows + sequences, width]` and the
    /// rows of each sequence.
    fn with_class(&self, sequences: &Sequences) -> Result<(Tensor, Vec<usize>)> {
        let rows = Tensor::cat(&[&self.class, &self.embed(&sequences.values)?], 0)?;
        let lengths: Vec<usize> = sequences.lengths.iter().map(|n| n + 1).collect();
        let count = lengths.iter().sum::<usize>();
        let places = running_places(&lengths, 0);
        // Row 0 is the class; the sequences' own rows follow in order.
        let mut next = 0;
        let order: Vec<u32> = places
            .iter()
            .map(|&place| {
                next += u32::from(place > 0);
                if place == 0 { 0 } else { next }
            })
            .collect();
        let x = rows.index_select(&Tensor::from_vec(order, count, rows.device())?, 0)?;
        let places = Tensor::from_vec(places, count, rows.device())?;
        Ok(((x + self.positions.index_select(&places, 0)?)?, lengths))
    }

    /// The tower's vectors: one unit vector a sequence.
    ///
    /// # Shapes
    /// Returns `[batch, dim]`, `dim` being [`TowerConfig::dim`].
    /// # Errors
    /// As [`Tower::class_vectors`].
    pub fn forward(&self, sequences: &Sequences) -> Result<Tensor> {
        let class = self.class_vectors(sequences)?;
        let Readout::ClassAndPooled(top) = self.config.readout else { return Ok(class) };
        let TowerInput::Vectors(dim) = self.config.input else { return Ok(class) };
        let pooled = pool(&sequences.values, &sequences.lengths, top)?;
        let mean = unit_norm(&pooled.narrow(D::Minus1, 0, dim)?)?;
        let largest = unit_norm(&pooled.narrow(D::Minus1, dim, dim)?)?;
        Ok(unit_norm(&Tensor::cat(&[class, mean, largest], 1)?)?)
    }

    fn embed(&self, values: &Tensor) -> Result<Tensor> {
        match &self.input {
            Input::Tokens(table) => Ok(table.index_select(values, 0)?),
            Input::Vectors { norm, projection } => projection.forward(&norm.forward(values)?),
        }
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

/// Mean of each sequence's vectors, and mean of each component's `top` largest values.
///
/// `values`: `[rows, dim]`. Returns `[sequences, 2 · dim]`.
fn pool(values: &Tensor, lengths: &[usize], top: usize) -> Result<Tensor> {
    let (_, dim) = values.dims2()?;
    let rows = values.flatten_all()?.to_vec1::<f32>()?;
    let mut pooled = vec![0.0; lengths.len() * 2 * dim];
    let tasks = starts(lengths).into_par_iter().zip(lengths);
    pooled.par_chunks_exact_mut(2 * dim).zip(tasks).for_each(|(out, (start, &length))| {
        let (mean, largest) = out.split_at_mut(dim);
        let rows = &rows[start as usize * dim..][..length * dim];
        pool_sequence(rows, top.min(length), mean, largest);
    });
    Ok(Tensor::from_vec(pooled, (lengths.len(), 2 * dim), values.device())?)
}

/// Keeps the `top` largest values seen so far of every component, smallest first.
fn pool_sequence(rows: &[f32], top: usize, mean: &mut [f32], largest: &mut [f32]) {
    let dim = mean.len();
    let mut kept = vec![f32::NEG_INFINITY; top * dim];
    for row in rows.chunks_exact(dim) {
        mean.iter_mut().zip(row).for_each(|(m, x)| *m += x);
        for (component, &value) in row.iter().enumerate() {
            let mut value = value;
            for place in (0..top).rev() {
                let slot = &mut kept[place * dim + component];
                if value > *slot {
                    std::mem::swap(slot, &mut value);
                }
            }
        }
    }
    let count = (rows.len() / dim) as f32;
    mean.iter_mut().for_each(|m| *m /= count);
    for row in kept.chunks_exact(dim) {
        largest.iter_mut().zip(row).for_each(|(l, x)| *l += x / top as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Weights;

    fn config() -> TowerConfig {
        TowerConfig {
            input: TowerInput::Vectors(6),
            width: 8,
            layers: 2,
            heads: 2,
            positions: 9,
            output: 5,
            readout: Readout::ClassAndPooled(2),
        }
    }

    fn sequence(length: usize, seed: usize) -> Vec<f32> {
        (0..length * 6).map(|i| ((i * 37 + seed * 11) % 17) as f32 / 8.0 - 1.0).collect()
    }

    #[test]
    fn a_sequence_in_a_batch_gives_the_vector_that_it_gives_alone() {
        let weights = Weights::trainable(1, &Device::Cpu);
        let tower = Tower::new(config(), &weights.root()).unwrap();
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
    fn sequences_are_cut_one_by_one() {
        let values = Tensor::from_vec(vec![0u32, 1, 2, 3, 4, 5], 6, &Device::Cpu).unwrap();
        let cut = Sequences { values, lengths: vec![3, 1, 2] }.cut(2).unwrap();
        assert_eq!(cut.values.to_vec1::<u32>().unwrap(), [0, 1, 3, 4, 5]);
        assert_eq!(cut.lengths, [2, 1, 2]);
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

    #[test]
    fn pooling_takes_the_mean_and_the_mean_of_the_largest() {
        let (mut mean, mut largest) = ([0.0; 2], [0.0; 2]);
        pool_sequence(&[1.0, 8.0, 5.0, 2.0, 3.0, 2.0], 2, &mut mean, &mut largest);
        assert_eq!((mean, largest), ([3.0, 4.0], [4.0, 5.0]));
    }
}
