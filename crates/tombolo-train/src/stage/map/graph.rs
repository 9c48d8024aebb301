//! A step of stage map through candle's graph: on any device, and what the fused pass is compared with.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};
use tombolo_kernels::Dropout;
use tombolo_models::map::{Head, Map};

use super::TrainingPairs;
use super::draw::{Draw, SideDraw};
use super::training::{LARGEST_SCALE, Pass};
use crate::error::{Result, TrainError};
use crate::loss::{Loss, Terms};
use crate::optimizer::AdamW;
use crate::settings::MapSettings;

/// Two heads in a graph, and the gradients of the last step.
pub(super) struct Graph {
    map: Map,
    log_scale: Tensor,
    bias: Tensor,
    loss: Loss,
    margin: f64,
    /// Standardised vectors.
    texts: Tensor,
    images: Tensor,
    dropout: f64,
    gradients: Option<GradStore>,
}

impl Graph {
    pub(super) fn new(
        pairs: &TrainingPairs<'_>,
        map: Map,
        (log_scale, bias): (Tensor, Tensor),
        settings: &MapSettings,
    ) -> Result<Self> {
        let device = log_scale.device();
        let standard = |matrix: &tombolo_vectors::EmbeddingMatrix, head: &Head| {
            let shape = (matrix.len(), matrix.dim());
            let rows = Tensor::from_slice(matrix.as_slice(), shape, device)?;
            Ok::<_, TrainError>(head.standardise(&rows)?.detach())
        };
        let texts = standard(pairs.texts, map.text())?;
        let images = standard(pairs.images, map.image())?;
        let MapSettings { loss, margin, dropout, .. } = *settings;
        let gradients = None;
        Ok(Self { map, log_scale, bias, loss, margin, texts, images, dropout, gradients })
    }

    fn mapped(&self, head: &Head, rows: &Tensor, draw: &SideDraw, count: usize) -> Result<Tensor> {
        let x = dropped(blended(rows, draw, count)?, draw.input)?;
        let mut drop = |x: Tensor| match self.dropout > 0.0 {
            true => dropped(x, draw.inner),
            false => Ok(x),
        };
        Ok(head.forward_with(&x, &mut drop)?)
    }
}

impl Pass for Graph {
    fn loss(&mut self, draw: &Draw) -> Result<f32> {
        let images = self.mapped(self.map.image(), &self.images, &draw.image, draw.rows)?;
        let texts = self.mapped(self.map.text(), &self.texts, &draw.text, draw.rows)?;
        let largest = Tensor::new(LARGEST_SCALE, self.log_scale.device())?;
        let scale = self.log_scale.exp()?.minimum(&largest)?;
        let terms = Terms { scale, bias: self.bias.clone(), margin: self.margin };
        let loss = self.loss.in_epoch(draw.epoch).both_ways(&images, &texts, &terms)?;
        self.gradients = Some(loss.backward()?);
        Ok(loss.to_dtype(DType::F32)?.to_scalar()?)
    }

    fn move_weights(&mut self, optimizer: &mut AdamW, rate: f64) -> Result<()> {
        match self.gradients.take() {
            Some(gradients) => optimizer.step(&gradients, rate),
            None => Ok(()),
        }
    }
}

/// The rows that a batch is mixed of.
fn blended(rows: &Tensor, draw: &SideDraw, count: usize) -> Result<Tensor> {
    let each = draw.terms.len() / count;
    let device = rows.device();
    let part = |place: usize| {
        let terms = draw.terms.iter().skip(place).step_by(each);
        let chosen: Vec<u32> = terms.map(|term| term.row).collect();
        let share = f64::from(draw.terms[place].share);
        let chosen = Tensor::from_vec(chosen, count, device)?;
        rows.index_select(&chosen, 0)? * share
    };
    let mut sum = part(0)?;
    for place in 1..each {
        sum = (sum + part(place)?)?;
    }
    Ok(sum)
}

/// A tensor `[rows, columns]` after dropout.
pub(in crate::stage) fn dropped(x: Tensor, dropout: Dropout) -> tombolo_models::Result<Tensor> {
    let mut mask = vec![1.0; x.elem_count()];
    dropout.apply(&mut mask, x.dim(candle_core::D::Minus1)?);
    let device: &Device = x.device();
    Ok((&x * Tensor::from_vec(mask, x.shape(), device)?)?)
}
