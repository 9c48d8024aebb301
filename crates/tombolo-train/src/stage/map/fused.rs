//! A step of stage map on the CPU: matrix products into buffers that are kept, and one pass over memory for
//! whatever lies between two of them.

use std::collections::BTreeMap;

use candle_core::Var;
use tombolo_kernels::{HostValues, InfoNce, Matrix, infonce, product};
use tombolo_models::map::Standardise;
use tombolo_models::weights::Weights;

use self::side::Side;
use super::draw::Draw;
use super::{LARGEST_SCALE, Pass, TrainingPairs};
use crate::error::Result;
use crate::optimizer::AdamW;
use crate::settings::MapSettings;

mod side;

/// Gradients by the names of their variables; the buffers are kept from step to step.
type Gradients = BTreeMap<String, Vec<f32>>;

/// Two heads, and what a step needs between their forward and backward passes.
pub(super) struct Fused<'a> {
    image: Side<'a>,
    text: Side<'a>,
    variables: BTreeMap<String, Var>,
    dim: usize,
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
        let variables = super::trained_variables(weights);
        let gradients = variables.iter();
        let gradients = gradients.map(|(name, v)| (name.clone(), vec![0.0; v.elem_count()]));
        Self {
            image: Side::new("image", pairs.images.as_slice(), image.clone(), settings),
            text: Side::new("text", pairs.texts.as_slice(), text.clone(), settings),
            gradients: gradients.collect(),
            variables,
            dim: settings.dim,
            logits: Vec::new(),
        }
    }

    /// The learned scale, and whether it may still grow.
    fn scale(&self) -> Result<(f32, bool)> {
        let scale = HostValues::of(&self.variables["log_scale"])?[0].exp();
        Ok((scale.min(LARGEST_SCALE), scale < LARGEST_SCALE))
    }
}

impl Pass for Fused<'_> {
    fn loss(&mut self, draw: &Draw) -> Result<f32> {
        let (scale, free) = self.scale()?;
        self.image.forward(&draw.image, draw.rows, &self.variables)?;
        self.text.forward(&draw.text, draw.rows, &self.variables)?;
        self.logits.resize(draw.rows * draw.rows, 0.0);
        let (image, text) =
            (Matrix::new(self.image.unit(), self.dim), Matrix::new(self.text.unit(), self.dim));
        product(image, text.transposed(), scale, 0.0, &mut self.logits);
        let InfoNce { loss, log_scale_gradient } = infonce(&mut self.logits, draw.rows);
        let logits = Matrix::new(&self.logits, draw.rows);
        product(logits, text, scale, 0.0, self.image.gradient());
        let image = Matrix::new(self.image.unit(), self.dim);
        product(logits.transposed(), image, scale, 0.0, self.text.gradient());
        self.image.backward(&draw.image, &self.variables, &mut self.gradients)?;
        self.text.backward(&draw.text, &self.variables, &mut self.gradients)?;
        let log_scale = if free { log_scale_gradient } else { 0.0 };
        self.gradients.insert("log_scale".to_owned(), vec![log_scale]);
        Ok(loss)
    }

    fn move_weights(&mut self, optimizer: &mut AdamW, rate: f64) -> Result<()> {
        optimizer.step_with(rate, |name| self.gradients.get(name).map(Vec::as_slice))
    }
}
