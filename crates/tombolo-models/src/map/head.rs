//! One side of the map.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use tombolo_kernels::Activation;

use crate::checkpoint::HostTensor;
use crate::error::Result;
use crate::layers::{Linear, unit_norm};
use crate::map::host;
use crate::weights::{Init, Scope};

/// Sizes of a [`Head`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadConfig {
    /// Width of the tower's vectors.
    pub input: usize,
    /// Width of the linear layer's output; none: the standardised vector is compared as it is.
    pub linear: Option<usize>,
    /// Width inside the MLP beside the linear layer; none: the head is linear.
    pub hidden: Option<usize>,
}

impl HeadConfig {
    /// Width of the mapped vectors.
    pub fn output(&self) -> usize {
        self.linear.unwrap_or(self.input)
    }
}

/// Mean and scale of each component over the training vectors.
#[derive(Clone, Debug)]
pub struct Standardise {
    /// Mean of each component.
    pub mean: Vec<f32>,
    /// 1 / standard deviation of each component.
    pub scale: Vec<f32>,
}

impl Standardise {
    /// Fits rows of width `dim`. A component that never varies gets scale 0.
    pub fn fit(rows: &[f32], dim: usize) -> Self {
        let count = (rows.len() / dim).max(1) as f64;
        let (mut sum, mut squares) = (vec![0.0; dim], vec![0.0; dim]);
        for row in rows.chunks_exact(dim) {
            for ((s, q), &x) in sum.iter_mut().zip(&mut squares).zip(row) {
                *s += f64::from(x);
                *q += f64::from(x) * f64::from(x);
            }
        }
        let moments = sum.iter().zip(&squares).map(|(s, q)| (s / count, q / count));
        let (mean, scale) = moments
            .map(|(mean, square)| {
                let deviation = (square - mean * mean).max(0.0).sqrt();
                (mean as f32, if deviation > 1e-8 { (1.0 / deviation) as f32 } else { 0.0 })
            })
            .unzip();
        Self { mean, scale }
    }

    /// A value of this component, standardised.
    pub(crate) fn apply(&self, value: f32, component: usize) -> f64 {
        f64::from((value - self.mean[component]) * self.scale[component])
    }
}

/// x ↦ unit(W·z + V·gelu(U·z)), z = (x − mean) · scale: a linear layer and a residual MLP beside it, each
/// of which may be absent.
#[derive(Clone)]
pub struct Head {
    config: HeadConfig,
    mean: Tensor,
    scale: Tensor,
    linear: Option<Linear>,
    mlp: Option<(Linear, Linear)>,
}

impl Head {
    /// Reads or creates a head at `scope`. The MLP starts at zero, so that a new head is linear.
    ///
    /// # Errors
    /// If the weights lack a tensor or hold one of another shape.
    pub fn new(config: &HeadConfig, scope: &Scope<'_>) -> Result<Self> {
        let (input, output) = (config.input, config.output());
        let linear = match config.linear {
            Some(output) => Some(Linear::new(input, output, &scope.at("linear"))?),
            None => None,
        };
        let mlp = match config.hidden {
            Some(hidden) => Some((
                Linear::new(input, hidden, &scope.at("expand"))?,
                Linear::zero(hidden, output, &scope.at("contract"))?,
            )),
            None => None,
        };
        Ok(Self {
            config: config.clone(),
            mean: scope.get("mean", &[input], Init::Constant(0.0))?,
            scale: scope.get("scale", &[input], Init::Constant(1.0))?,
            linear,
            mlp,
        })
    }

    /// A head that standardises and then multiplies by `weight` `[input, output]`, if there is one.
    ///
    /// # Errors
    /// If a tensor cannot be made.
    pub fn closed(
        standardise: &Standardise,
        weight: Option<(Vec<f32>, usize)>,
        device: &Device,
    ) -> Result<Self> {
        let input = standardise.mean.len();
        let linear = match &weight {
            Some((values, output)) => Some(Linear::from_columns(values, input, *output, device)?),
            None => None,
        };
        let config = HeadConfig { input, linear: weight.map(|(_, output)| output), hidden: None };
        Ok(Self {
            config,
            mean: Tensor::from_slice(&standardise.mean, input, device)?,
            scale: Tensor::from_slice(&standardise.scale, input, device)?,
            linear,
            mlp: None,
        })
    }

    /// The head's sizes.
    pub fn config(&self) -> &HeadConfig {
        &self.config
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        self.mean.device()
    }

    /// Mapped vectors of unit norm.
    ///
    /// # Shapes
    /// `vectors`: `[batch, input]`. Returns `[batch, output]`.
    /// # Errors
    /// If the width is not `input`.
    pub fn forward(&self, vectors: &Tensor) -> Result<Tensor> {
        self.forward_with(&self.standardise(vectors)?, &mut Ok)
    }

    /// (x − mean) · scale.
    ///
    /// # Errors
    /// If the width is not `input`.
    pub fn standardise(&self, vectors: &Tensor) -> Result<Tensor> {
        Ok(vectors.broadcast_sub(&self.mean)?.broadcast_mul(&self.scale)?)
    }

    /// As [`Head::forward`] for vectors that are standardised already, with `drop` applied inside the MLP.
    ///
    /// # Errors
    /// If the width is not `input`, or `drop` fails.
    pub fn forward_with(
        &self,
        standardised: &Tensor,
        drop: &mut dyn FnMut(Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let mut out = match &self.linear {
            Some(linear) => linear.forward(standardised)?,
            None => standardised.clone(),
        };
        if let Some((expand, contract)) = &self.mlp {
            let inner = drop(expand.forward_activated(standardised, Activation::Gelu)?)?;
            out = (out + contract.forward(&inner)?)?;
        }
        Ok(unit_norm(&out)?)
    }

    /// Adds the tensors to `out` under `prefix`, with the names that [`Head::new`] reads.
    ///
    /// # Errors
    /// If a tensor cannot be copied to the host.
    pub fn export(&self, prefix: &str, out: &mut BTreeMap<String, HostTensor>) -> Result<()> {
        out.insert(format!("{prefix}.mean"), host(&self.mean)?);
        out.insert(format!("{prefix}.scale"), host(&self.scale)?);
        let mlp = self.mlp.as_ref();
        let layers = [
            ("linear", self.linear.as_ref()),
            ("expand", mlp.map(|(expand, _)| expand)),
            ("contract", mlp.map(|(_, contract)| contract)),
        ];
        for (name, layer) in layers {
            if let Some(layer) = layer {
                out.insert(format!("{prefix}.{name}.weight"), host(layer.weight())?);
                out.insert(format!("{prefix}.{name}.bias"), host(layer.bias())?);
            }
        }
        Ok(())
    }
}
