//! The encoder from tensors on a device, for devices other than the CPU.

use candle_core::{Device, Tensor};
use tombolo_kernels::{
    Activation, attention_masked, bias_activation, layer_norm, residual_layer_norm,
};

use super::{FrozenLinear, Layer, Norm, NormPlace, Shape};
use crate::error::Result;

/// One layer's weights on the device.
pub(super) struct DeviceLayer {
    qkv: Linear,
    output: Linear,
    norms: [(Tensor, Tensor, f32); 2],
    expand: Linear,
    contract: Linear,
}

impl DeviceLayer {
    /// What branch `index` reads.
    fn enter(&self, shape: Shape, index: usize, x: &Tensor) -> Result<Tensor> {
        let (weight, bias, eps) = &self.norms[index];
        match shape.norms {
            NormPlace::Before => Ok(layer_norm(x, weight, bias, *eps)?),
            NormPlace::After => Ok(x.clone()),
        }
    }

    /// `x` with what branch `index` found.
    fn leave(&self, shape: Shape, index: usize, x: &Tensor, branch: &Tensor) -> Result<Tensor> {
        let (weight, bias, eps) = &self.norms[index];
        match shape.norms {
            NormPlace::Before => Ok((x + branch)?),
            NormPlace::After => Ok(residual_layer_norm(x, branch, weight, bias, *eps)?),
        }
    }
}

struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn copy(linear: &FrozenLinear, device: &Device) -> Result<Self> {
        let shape = (linear.outputs(), linear.inputs());
        let weight = Tensor::from_vec(linear.weight(), shape, device)?;
        let bias = Tensor::from_slice(linear.bias(), linear.outputs(), device)?;
        Ok(Self { weight, bias })
    }

    fn forward(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        Ok(bias_activation(&x.matmul(&self.weight.t()?)?, &self.bias, activation)?)
    }
}

/// Copies layers to the device.
pub(super) fn copy(layers: &[Layer], device: &Device) -> Result<Vec<DeviceLayer>> {
    let norm = |norm: &Norm| {
        let copy = |values: &[f32]| Tensor::from_slice(values, values.len(), device);
        Ok::<_, candle_core::Error>((copy(&norm.weight)?, copy(&norm.bias)?, norm.eps))
    };
    let layer = |layer: &Layer| {
        Ok(DeviceLayer {
            qkv: Linear::copy(&layer.qkv, device)?,
            output: Linear::copy(&layer.output, device)?,
            norms: [norm(&layer.norms[0])?, norm(&layer.norms[1])?],
            expand: Linear::copy(&layer.expand, device)?,
            contract: Linear::copy(&layer.contract, device)?,
        })
    };
    layers.iter().map(layer).collect()
}

/// See [`super::Encoder::forward`].
pub(super) fn forward(
    shape: Shape,
    layers: &[DeviceLayer],
    mut x: Tensor,
    lengths: &[usize],
    read: &[usize],
) -> Result<Tensor> {
    let mut states = vec![x.clone()];
    for layer in layers {
        let qkv = layer.qkv.forward(&layer.enter(shape, 0, &x)?, Activation::Identity)?;
        let attended = attention_masked(&qkv, shape.heads, shape.mask, lengths)?;
        let attended = layer.output.forward(&attended, Activation::Identity)?;
        x = layer.leave(shape, 0, &x, &attended)?;
        let inner = layer.expand.forward(&layer.enter(shape, 1, &x)?, shape.activation)?;
        let inner = layer.contract.forward(&inner, Activation::Identity)?;
        x = layer.leave(shape, 1, &x, &inner)?;
        states.push(x.clone());
    }
    let read: Vec<&Tensor> = read.iter().map(|&layer| &states[layer]).collect();
    Ok(Tensor::cat(&read, 1)?)
}
