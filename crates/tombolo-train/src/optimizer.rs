//! AdamW, one pass over each parameter on all cores.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use tombolo_kernels::{AdamWStep, HostValues, adamw, squared_norm, with_values_mut};
use tombolo_models::checkpoint::{HostTensor, Tensors};

use crate::error::Result;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.98;
const EPSILON: f32 = 1e-8;
/// Gradients are scaled down to this Euclidean norm if theirs is larger.
const LARGEST_NORM: f32 = 2.0;

/// AdamW (Loshchilov and Hutter 2019) with the gradient's norm clipped; only matrices decay.
pub struct AdamW {
    parameters: Vec<Parameter>,
    weight_decay: f32,
    step: i32,
}

struct Parameter {
    name: String,
    variable: Var,
    /// Its share of the learning rate.
    rate: f32,
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
                let (mean, square) = (vec![0.0; count], vec![0.0; count]);
                Parameter { name, variable, rate: 1.0, mean, square }
            })
            .collect();
        Self { parameters, weight_decay: weight_decay as f32, step: 0 }
    }

    /// With the share of the learning rate that each variable moves with, by its name.
    pub fn with_rates(mut self, rate: impl Fn(&str) -> f32) -> Self {
        self.parameters.iter_mut().for_each(|parameter| parameter.rate = rate(&parameter.name));
        self
    }

    /// Moves each variable that has a gradient.
    ///
    /// # Errors
    /// If a gradient cannot be read or a variable not be written.
    pub fn step(&mut self, gradients: &GradStore, learning_rate: f64) -> Result<()> {
        let on_host = |gradient: &Tensor| gradient.to_device(&Device::Cpu)?.contiguous();
        let tensors: BTreeMap<String, Tensor> = self
            .parameters
            .iter()
            .filter_map(|p| Some((p.name.clone(), gradients.get(&p.variable)?)))
            .map(|(name, gradient)| Ok((name, on_host(gradient)?)))
            .collect::<candle_core::Result<_>>()?;
        let values: BTreeMap<&str, HostValues<'_>> = tensors
            .iter()
            .map(|(name, gradient)| Ok((name.as_str(), HostValues::of(gradient)?)))
            .collect::<candle_core::Result<_>>()?;
        self.step_with(learning_rate, |name| values.get(name).map(|values| &**values))
    }

    /// Moves each variable of which `gradient` knows a gradient, in place on the CPU.
    ///
    /// # Errors
    /// If a variable cannot be written.
    pub fn step_with<'g>(
        &mut self,
        learning_rate: f64,
        gradient: impl Fn(&str) -> Option<&'g [f32]>,
    ) -> Result<()> {
        self.step += 1;
        let squares = self.parameters.iter().filter_map(|p| gradient(&p.name)).map(squared_norm);
        let norm = squares.sum::<f64>().sqrt() as f32;
        let step = AdamWStep {
            learning_rate: learning_rate as f32,
            decay: self.weight_decay,
            clip: (LARGEST_NORM / norm.max(1e-12)).min(1.0),
            betas: (BETA1, BETA2),
            epsilon: EPSILON,
            corrections: (1.0 - BETA1.powi(self.step), 1.0 - BETA2.powi(self.step)),
        };
        for parameter in &mut self.parameters {
            if let Some(gradient) = gradient(&parameter.name) {
                let learning_rate = step.learning_rate * parameter.rate;
                parameter.step(gradient, AdamWStep { learning_rate, ..step })?;
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

impl Parameter {
    fn step(&mut self, gradient: &[f32], step: AdamWStep) -> Result<()> {
        let decay = if self.variable.rank() >= 2 { step.decay } else { 0.0 };
        let step = AdamWStep { decay, ..step };
        let (mean, square) = (&mut self.mean, &mut self.square);
        change(&self.variable, |values| adamw(values, gradient, mean, square, step))
    }
}

/// Changes a variable's values: in place on the CPU, by a copy elsewhere.
pub(crate) fn change(variable: &Var, mut change: impl FnMut(&mut [f32])) -> Result<()> {
    if variable.device().is_cpu() {
        return Ok(with_values_mut(variable, change)?);
    }
    let mut values = variable.flatten_all()?.to_vec1::<f32>()?;
    change(&mut values);
    Ok(variable.set(&Tensor::from_vec(values, variable.shape(), variable.device())?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

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
