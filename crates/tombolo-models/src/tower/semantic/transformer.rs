//! The semantic encoder of the paper.

use candle_core::Tensor;

use super::input::Input;
use crate::error::Result;
use crate::layers::{EncoderLayer, LayerNorm, Linear, running_places, unit_norm};
use crate::tower::{Sequences, TowerConfig, starts};
use crate::weights::{Init, Scope};

/// A standard Transformer encoder over `[class]` and a sequence, with learned 1-D positions: §3.1 and
/// §3.2 of the paper.
pub(in crate::tower) struct TransformerEncoder {
    input: Input,
    class: Tensor,
    positions: Tensor,
    layers: Vec<EncoderLayer>,
    norm: LayerNorm,
    output: Linear,
}

impl TransformerEncoder {
    /// Reads or creates an encoder at `scope`.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or holds one of another shape.
    pub(super) fn new(config: &TowerConfig, scope: &Scope<'_>) -> Result<Self> {
        let width = config.width;
        let small = Init::Normal(0.02);
        let input = Input::new(config.encoded(), width, scope)?;
        let layers = (0..config.layers)
            .map(|i| EncoderLayer::new(width, config.heads, 4 * width, &scope.at("layer").at(i)))
            .collect::<Result<_>>()?;
        Ok(Self {
            class: scope.get("class", &[1, width], small)?,
            positions: scope.get("positions", &[config.positions + 1, width], small)?,
            norm: LayerNorm::new(width, 1e-5, &scope.at("norm"))?,
            output: Linear::new(width, config.output, &scope.at("output"))?,
            input,
            layers,
        })
    }

    /// The state of the `[class]` token, projected and scaled to unit norm: what the stages train.
    ///
    /// # Shapes
    /// Returns `[batch, output]`.
    /// # Errors
    /// If the sequences are not what the tower reads, or longer than its positions.
    pub(super) fn forward(&self, sequences: &Sequences) -> Result<Tensor> {
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
        let rows = Tensor::cat(&[&self.class, &self.input.embed(&sequences.values)?], 0)?;
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
}
