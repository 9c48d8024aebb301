//! A step of stage map on the CPU: matrix products into buffers that are kept, and one pass over memory for
//! whatever lies between two of them.

use std::collections::BTreeMap;

use candle_core::Var;
use tombolo_kernels::HostValues;
use tombolo_models::map::Standardise;
use tombolo_models::weights::Weights;

use self::objective::{Units, by_graph, infonce_of};
use self::side::Side;
use super::TrainingPairs;
use super::draw::Draw;
use super::training::{LARGEST_SCALE, LOG_SCALE, LOGIT_BIAS, Pass, trained_variables};
use crate::error::Result;
use crate::loss::Loss;
use crate::optimizer::AdamW;
use crate::settings::MapSettings;

mod objective;
mod side;

/// Gradients by the names of their variables; the buffers are kept from step to step.
type Gradients = BTreeMap<String, Vec<f32>>;

/// Two heads, and what a step needs between their forward and backward passes.
pub(super) struct Fused<'a> {
    image: Side<'a>,
    text: Side<'a>,
    variables: BTreeMap<String, Var>,
    dim: usize,
    loss: Loss,
    margin: f64,
    logits: Vec<f32>,
    gradients: Gradients,
}

impl<'a> Fused<'a> {
    pub(super) fn new(
        pairs: &TrainingPairs<'a>,
        standards: &[(&str, Standardise); 2],
        weights: &Weights,
        settings: &MapSettings,
    ) -> Self {
        let [(_, text), (_, image)] = standards;
        let variables = trained_variables(weights);
        let gradients = variables.iter();
        let gradients = gradients.map(|(name, v)| (name.clone(), vec![0.0; v.elem_count()]));
        Self {
            image: Side::new("image", pairs.images.as_slice(), image.clone(), settings),
            text: Side::new("text", pairs.texts.as_slice(), text.clone(), settings),
            gradients: gradients.collect(),
            variables,
            dim: settings.dim,
            loss: settings.loss,
            margin: settings.margin,
            logits: Vec::new(),
        }
    }

    /// The learned scale, and whether it may still grow.
    fn scale(&self) -> Result<(f32, bool)> {
        let scale = HostValues::of(&self.variables[LOG_SCALE])?[0].exp();
        Ok((scale.min(LARGEST_SCALE), scale < LARGEST_SCALE))
    }
}

impl Pass for Fused<'_> {
    fn loss(&mut self, draw: &Draw) -> Result<f32> {
        let (scale, free) = self.scale()?;
        self.image.forward(&draw.image, draw.rows, &self.variables)?;
        self.text.forward(&draw.text, draw.rows, &self.variables)?;
        let ((image, image_gradient), (text, text_gradient)) =
            (self.image.units(), self.text.units());
        let units = Units { dim: self.dim, image, text, image_gradient, text_gradient };
        let found = match self.loss.in_epoch(draw.epoch) {
            Loss::InfoNce | Loss::SupCon => infonce_of(units, scale, &mut self.logits),
            loss => {
                let bias = HostValues::of(&self.variables[LOGIT_BIAS])?[0];
                by_graph(loss, units, (scale.ln(), bias), self.margin)?
            }
        };
        self.image.backward(&draw.image, &self.variables, &mut self.gradients)?;
        self.text.backward(&draw.text, &self.variables, &mut self.gradients)?;
        let log_scale = if free { found.log_scale_gradient } else { 0.0 };
        self.gradients.insert(LOG_SCALE.to_owned(), vec![log_scale]);
        self.gradients.insert(LOGIT_BIAS.to_owned(), vec![found.bias_gradient]);
        Ok(found.loss)
    }

    fn move_weights(&mut self, optimizer: &mut AdamW, rate: f64) -> Result<()> {
        optimizer.step_with(rate, |name| self.gradients.get(name).map(Vec::as_slice))
    }
}
