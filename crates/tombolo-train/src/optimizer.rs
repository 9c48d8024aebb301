//! AdamW, one pass over each parameter on all cores.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use rayon::prelude::*;
use tombolo_models::checkpoint::{HostTensor, Tensors};

use crate::error::Result;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.98;
const EPSILON: f32 = 1e-8;
/// Gradients are scaled down to this Euclidean norm if theirs is larger.
const LARGEST_NORM: f32 = 2.0;
/// Values a task.
const CHUNK: usize = 16 * 1024;

/// AdamW (Loshchilov and Hutter 2019) with the gradient's norm clipped; only matrices decay.
pub struct AdamW {
    parameters: Vec<Parameter>,
    weight_decay: f32,
    step: i32,
}

struct Parameter {
    name: String,
    variable: Var,
    mean: Vec<f32>,
    square: Vec<f32>,
}

impl AdamW {
    /// An optimizer of these variables, at its first step.
    pub fn new(variables: BTreeMap<String, Var>, weight_decay: f64) -> Self {
        let parameters = variables
            .into_iter()
            .map(|(name, variable)| {
                let count = variable.elem_count();
                Parameter { name, variable, mean: vec![0.0; count], square: vec![0.0; count] }
            })
            .collect();
        Self { parameters, weight_decay: weight_decay as f32, step: 0 }
    }

    /// Moves each variable that has a gradient.
    ///
    /// # Errors
    /// If a gradient cannot be read or a variable not be written.
    pub fn step(&mut self, gradients: &GradStore, learning_rate: f64) -> Result<()> {
        self.step += 1;
        let gradients: Vec<Option<Vec<f32>>> = self
            .parameters
            .iter()
            .map(|p| gradients.get(&p.variable).map(|g| g.flatten_all()?.to_vec1()).transpose())
            .collect::<candle_core::Result<_>>()?;
        let squares = gradients.iter().flatten().flatten().map(|&g| f64::from(g) * f64::from(g));
        let norm = squares.sum::<f64>().sqrt() as f32;
        let rate = Rate {
            clip: (LARGEST_NORM / norm.max(1e-12)).min(1.0),
            learning_rate: learning_rate as f32,
            mean_correction: 1.0 - BETA1.powi(self.step),
            square_correction: 1.0 - BETA2.powi(self.step),
        };
        for (parameter, gradient) in self.parameters.iter_mut().zip(gradients) {
            if let Some(gradient) = gradient {
                parameter.step(&gradient, rate, self.weight_decay)?;
            }
        }
        Ok(())
    }

    /// Adds the optimizer's state to a checkpoint.
    pub fn export(&self, out: &mut Tensors) {
        let tensor = |data: &Vec<f32>| HostTensor { shape: vec![data.len()], data: data.clone() };
        for parameter in &self.parameters {
            out.insert(format!("adam.mean.{}", parameter.name), tensor(&parameter.mean));
            out.insert(format!("adam.square.{}", parameter.name), tensor(&parameter.square));
        }
        out.insert("adam.step".into(), HostTensor { shape: vec![], data: vec![self.step as f32] });
    }

    /// Takes the optimizer's state from a checkpoint that [`AdamW::export`] wrote. What is missing stays.
    pub fn import(&mut self, tensors: &Tensors) {
        let take = |name: String, into: &mut Vec<f32>| {
            if let Some(tensor) = tensors.get(&name).filter(|t| t.data.len() == into.len()) {
                into.clone_from(&tensor.data);
            }
        };
        for parameter in &mut self.parameters {
            take(format!("adam.mean.{}", parameter.name), &mut parameter.mean);
            take(format!("adam.square.{}", parameter.name), &mut parameter.square);
        }
        if let Some(step) = tensors.get("adam.step") {
            self.step = step.data[0] as i32;
        }
    }
}

#[derive(Clone, Copy)]
struct Rate {
    clip: f32,
    learning_rate: f32,
    mean_correction: f32,
    square_correction: f32,
}

impl Parameter {
    fn step(&mut self, gradient: &[f32], rate: Rate, weight_decay: f32) -> Result<()> {
        let decay = if self.variable.rank() >= 2 { weight_decay } else { 0.0 };
        let mut values = self.variable.flatten_all()?.to_vec1::<f32>()?;
        values
            .par_chunks_mut(CHUNK)
            .zip(self.mean.par_chunks_mut(CHUNK))
            .zip(self.square.par_chunks_mut(CHUNK))
            .zip(gradient.par_chunks(CHUNK))
            .for_each(|(((values, mean), square), gradient)| {
                for (((x, m), s), g) in values.iter_mut().zip(mean).zip(square).zip(gradient) {
                    let g = g * rate.clip;
                    *m = BETA1 * *m + (1.0 - BETA1) * g;
                    *s = BETA2 * *s + (1.0 - BETA2) * g * g;
                    let scale = (*s / rate.square_correction).sqrt() + EPSILON;
                    let step = *m / rate.mean_correction / scale + decay * *x;
                    *x -= rate.learning_rate * step;
                }
            });
        let shape = self.variable.shape().clone();
        Ok(self.variable.set(&Tensor::from_vec(values, shape, self.variable.device())?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// One step of AdamW as the paper writes it, on a single value.
    fn reference(x: f32, g: f32, m: &mut f32, s: &mut f32, t: i32, decay: f32) -> f32 {
        *m = 0.9 * *m + 0.1 * g;
        *s = 0.98 * *s + 0.02 * g * g;
        let (mean, square) = (*m / (1.0 - 0.9f32.powi(t)), *s / (1.0 - 0.98f32.powi(t)));
        x - 0.01 * (mean / (square.sqrt() + 1e-8) + decay * x)
    }

    #[test]
    fn follows_the_formula_and_resumes_where_it_stopped() {
        let start = Tensor::new(&[[0.3f32, -0.2]], &Device::Cpu).unwrap();
        let variable = Var::from_tensor(&start).unwrap();
        let new = || AdamW::new(BTreeMap::from([("w".to_owned(), variable.clone())]), 0.1);
        let mut optimizer = new();
        let (mut expected, mut m, mut s) = (0.3, 0.0, 0.0);
        for t in 1..6 {
            let gradients = (variable.sqr().unwrap().sum_all().unwrap()).backward().unwrap();
            let gradient = 2.0 * expected;
            optimizer.step(&gradients, 0.01).unwrap();
            expected = reference(expected, gradient, &mut m, &mut s, t, 0.1);
            let found = variable.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
            assert!(
                (found - expected).abs() < 1e-6,
                "step {t}: expected {expected}, found {found}"
            );
            let mut state = Tensors::new();
            optimizer.export(&mut state);
            optimizer = new();
            optimizer.import(&state);
        }
    }
}
