//! The encoder from tensors on a device, for devices other than the CPU.

use candle_core::{Device, Tensor};
use tombolo_kernels::{Activation, attention, bias_activation, layer_norm};

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
) -> Result<Tensor> {
    let before = shape.norms == NormPlace::Before;
    for layer in layers {
        let norm = |index: usize, x: &Tensor, here: bool| {
            let (weight, bias, eps) = &layer.norms[index];
            if here { layer_norm(x, weight, bias, *eps) } else { Ok(x.clone()) }
        };
        let qkv = layer.qkv.forward(&norm(0, &x, before)?, Activation::Identity)?;
        let attended = attention(&qkv, shape.heads, lengths)?;
        x = (&x + layer.output.forward(&attended, Activation::Identity)?)?;
        x = norm(0, &x, !before)?;
        let inner = layer.expand.forward(&norm(1, &x, before)?, Activation::Gelu)?;
        x = (&x + layer.contract.forward(&inner, Activation::Identity)?)?;
        x = norm(1, &x, !before)?;
    }
    Ok(x)
}
