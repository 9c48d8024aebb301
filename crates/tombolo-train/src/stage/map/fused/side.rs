//! One head of the map, forward and backward: see [`tombolo_models::map::Head`] for what it computes.

use std::collections::BTreeMap;

use candle_core::Var;
use tombolo_kernels::{
    HostValues, Matrix, Standardised, bias_gelu_dropout, bias_gelu_dropout_gradient,
    bias_unit_norm, blend, product, unit_norm_gradient,
};
use tombolo_models::map::Standardise;

use super::Gradients;
use crate::error::Result;
use crate::settings::{MapKind, MapSettings};
use crate::stage::map::draw::SideDraw;

/// Buffers of one head, `[rows, …]` each, sized by the first batch.
pub(super) struct Side<'a> {
    name: &'static str,
    vectors: &'a [f32],
    standard: Standardise,
    dim: usize,
    /// Width inside the MLP, if there is one.
    hidden: Option<usize>,
    /// The standardised input after dropout.
    input: Vec<f32>,
    /// The MLP before and after its activation.
    before: Vec<f32>,
    inner: Vec<f32>,
    /// The gradient of `before`.
    inner_gradient: Vec<f32>,
    /// The mapped vectors, 1 / their norms before, and their gradient.
    unit: Vec<f32>,
    inverse: Vec<f32>,
    gradient: Vec<f32>,
}

impl<'a> Side<'a> {
    pub(super) fn new(
        name: &'static str,
        vectors: &'a [f32],
        standard: Standardise,
        settings: &MapSettings,
    ) -> Self {
        let hidden = (settings.kind == MapKind::Mlp).then_some(settings.hidden);
        let buffer = Vec::new;
        Self {
            name,
            vectors,
            standard,
            dim: settings.dim,
            hidden,
            input: buffer(),
            before: buffer(),
            inner: buffer(),
            inner_gradient: buffer(),
            unit: buffer(),
            inverse: buffer(),
            gradient: buffer(),
        }
    }

    /// The mapped vectors and where their gradient belongs, `[rows, dim]` each.
    pub(super) fn units(&mut self) -> (&[f32], &mut [f32]) {
        (&self.unit, &mut self.gradient)
    }

    fn resize(&mut self, rows: usize) {
        let (dim, hidden) = (self.dim, self.hidden.unwrap_or(0));
        self.input.resize(rows * self.standard.mean.len(), 0.0);
        for buffer in [&mut self.unit, &mut self.gradient] {
            buffer.resize(rows * dim, 0.0);
        }
        for buffer in [&mut self.before, &mut self.inner, &mut self.inner_gradient] {
            buffer.resize(rows * hidden, 0.0);
        }
        self.inverse.resize(rows, 0.0);
    }

    /// Computes the mapped vectors of a drawn batch.
    pub(super) fn forward(
        &mut self,
        draw: &SideDraw,
        rows: usize,
        variables: &BTreeMap<String, Var>,
    ) -> Result<()> {
        self.resize(rows);
        let Standardise { mean, scale } = &self.standard;
        let source = Standardised { values: self.vectors, mean, scale };
        blend(source, &draw.terms, draw.input, &mut self.input);
        let width = mean.len();
        let read = |name: &str| HostValues::of(&variables[&format!("{}.{name}", self.name)]);
        let input = Matrix::new(&self.input, width);
        let weight = read("linear.weight")?;
        product(input, Matrix::new(&weight, width).transposed(), 1.0, 0.0, &mut self.unit);
        let mut bias = read("linear.bias")?.to_vec();
        if let Some(hidden) = self.hidden {
            let (expand, contract) = (read("expand.weight")?, read("contract.weight")?);
            let expand = Matrix::new(&expand, width).transposed();
            product(input, expand, 1.0, 0.0, &mut self.before);
            let inner_bias = read("expand.bias")?;
            bias_gelu_dropout(&mut self.before, &inner_bias, draw.inner, &mut self.inner);
            let contract = Matrix::new(&contract, hidden).transposed();
            product(Matrix::new(&self.inner, hidden), contract, 1.0, 1.0, &mut self.unit);
            bias.iter_mut().zip(read("contract.bias")?.iter()).for_each(|(b, c)| *b += c);
        }
        bias_unit_norm(&mut self.unit, &bias, &mut self.inverse);
        Ok(())
    }

    /// Computes the gradients of the weights from that of the mapped vectors.
    pub(super) fn backward(
        &mut self,
        draw: &SideDraw,
        variables: &BTreeMap<String, Var>,
        gradients: &mut Gradients,
    ) -> Result<()> {
        let name = |part: &str| format!("{}.{part}", self.name);
        let bias = unit_norm_gradient(&mut self.gradient, &self.unit, &self.inverse);
        let gradient = Matrix::new(&self.gradient, self.dim);
        let input = Matrix::new(&self.input, self.standard.mean.len());
        let mut into = |part: &str, lhs: Matrix<'_>, rhs: Matrix<'_>| {
            if let Some(out) = gradients.get_mut(&name(part)) {
                product(lhs.transposed(), rhs, 1.0, 0.0, out);
            }
        };
        into("linear.weight", gradient, input);
        if let Some(hidden) = self.hidden {
            into("contract.weight", gradient, Matrix::new(&self.inner, hidden));
            let contract = HostValues::of(&variables[&name("contract.weight")])?;
            let contract = Matrix::new(&contract, hidden);
            product(gradient, contract, 1.0, 0.0, &mut self.inner_gradient);
            let (grad, before) = (&mut self.inner_gradient, &self.before);
            let inner_bias = bias_gelu_dropout_gradient(grad, before, draw.inner, hidden);
            into("expand.weight", Matrix::new(&self.inner_gradient, hidden), input);
            gradients.insert(name("expand.bias"), inner_bias);
            gradients.insert(name("contract.bias"), bias.clone());
        }
        gradients.insert(name("linear.bias"), bias);
        Ok(())
    }
}
