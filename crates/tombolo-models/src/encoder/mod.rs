//! The transformer encoder of frozen networks: BERT's, with the norm after each sum, and ViT's and CLIP's, with
//! the norm before each branch.

mod cross;
mod device;
mod host;

use candle_core::{Device, Tensor};
use tombolo_kernels::{Activation, Mask, normalise};

pub(crate) use cross::{CrossEncoder, CrossNames, Memory};
pub(crate) use host::FrozenLinear;

use crate::checkpoint::{CheckpointError, MappedTensors, Values};
use crate::error::Result;
use device::DeviceLayer;

/// Where the norms of a layer stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NormPlace {
    /// x ← norm(x + branch(x)).
    After,
    /// x ← x + branch(norm(x)).
    Before,
}

/// Sizes of an encoder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub hidden: usize,
    pub mlp: usize,
    pub heads: usize,
    pub eps: f32,
    pub norms: NormPlace,
    /// Inside the MLP.
    pub activation: Activation,
    pub mask: Mask,
}

impl Shape {
    /// What is wrong with it, if no layer has it.
    pub(crate) fn fault(&self) -> Option<String> {
        let Self { hidden, heads, .. } = *self;
        (hidden == 0 || heads == 0 || !hidden.is_multiple_of(heads))
            .then(|| format!("num_attention_heads: expected a divisor of {hidden}, found {heads}"))
    }
}

/// What the parts of a layer are called in a checkpoint, below the layer.
pub(crate) struct Names {
    /// Of query, key and value, or of the three stacked.
    pub attention: &'static [&'static str],
    pub output: &'static str,
    /// Of the norm before or after attention, and of that of the MLP.
    pub norms: [&'static str; 2],
    pub expand: &'static str,
    pub contract: &'static str,
    /// Factors on the two branches (Touvron et al. 2021), if there are any.
    pub scales: Option<[&'static str; 2]>,
}

/// Weight and bias of a layer norm.
pub(crate) struct Norm {
    weight: Values,
    bias: Values,
    eps: f32,
}

impl Norm {
    pub(crate) fn read(
        tensors: &MappedTensors,
        name: &str,
        hidden: usize,
        eps: f32,
    ) -> Result<Self, CheckpointError> {
        let get = |part: &str| tensors.get(&format!("{name}.{part}"), &[hidden]);
        Ok(Self { weight: get("weight")?, bias: get("bias")?, eps })
    }

    /// Normalises rows in place.
    pub(crate) fn apply(&self, rows: &mut [f32]) {
        normalise(rows, &self.weight, &self.bias, self.eps);
    }
}

/// One layer's weights, as they lie in the checkpoint.
pub(crate) struct Layer {
    qkv: FrozenLinear,
    output: FrozenLinear,
    norms: [Norm; 2],
    expand: FrozenLinear,
    contract: FrozenLinear,
}

impl Layer {
    /// The layer called `name`.
    pub(crate) fn read(
        tensors: &MappedTensors,
        name: &str,
        names: &Names,
        shape: Shape,
    ) -> Result<Self, CheckpointError> {
        let Shape { hidden, mlp, eps, .. } = shape;
        let linear = |parts: &[&str], inputs, outputs| {
            let parts: Vec<String> = parts.iter().map(|part| format!("{name}.{part}")).collect();
            FrozenLinear::read(tensors, &parts, inputs, outputs)
        };
        let norm = |part: &str| Norm::read(tensors, &format!("{name}.{part}"), hidden, eps);
        let mut layer = Self {
            qkv: linear(names.attention, hidden, 3 * hidden / names.attention.len())?,
            output: linear(&[names.output], hidden, hidden)?,
            norms: [norm(names.norms[0])?, norm(names.norms[1])?],
            expand: linear(&[names.expand], hidden, mlp)?,
            contract: linear(&[names.contract], mlp, hidden)?,
        };
        if let Some(scales) = names.scales {
            let scale = |part: &str| tensors.get(&format!("{name}.{part}.lambda1"), &[hidden]);
            layer.output.scale_outputs(&scale(scales[0])?);
            layer.contract.scale_outputs(&scale(scales[1])?);
        }
        Ok(layer)
    }
}

/// A frozen encoder: on the CPU from the mapped weights, elsewhere from their copies on the device.
pub(crate) struct Encoder {
    shape: Shape,
    layers: Vec<Layer>,
    device: Device,
    copies: Vec<DeviceLayer>,
}

impl Encoder {
    pub(crate) fn new(shape: Shape, layers: Vec<Layer>, device: &Device) -> Result<Self> {
        let copies = match device.is_cpu() {
            true => Vec::new(),
            false => device::copy(&layers, device)?,
        };
        Ok(Self { shape, layers, device: device.clone(), copies })
    }

    /// The same without the layers above the first `layers`.
    pub(crate) fn below(mut self, layers: usize) -> Self {
        self.layers.truncate(layers);
        self.copies.truncate(layers);
        self
    }

    /// The number of layers.
    pub(crate) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Encodes sequences that lie one after the other. `read`: the layers whose outputs are wanted, none twice;
    /// 0 is what the first one reads.
    ///
    /// # Shapes
    /// `x`: `[rows, hidden]`, `lengths`: the rows of each sequence. Returns `[rows, read.len() · hidden]`, the layers
    /// side by side.
    pub(crate) fn forward(
        &self,
        mut x: Vec<f32>,
        lengths: &[usize],
        read: &[usize],
    ) -> Result<Tensor> {
        let Shape { hidden, .. } = self.shape;
        let rows = x.len() / hidden;
        if self.device.is_cpu() {
            let last = read == [self.layers.len()];
            let read = if last { &[] } else { read };
            let out = host::forward(self.shape, &self.layers, &mut x, lengths, read);
            let out = if last { x } else { out };
            return Ok(Tensor::from_vec(out, (rows, ()), &self.device)?);
        }
        let x = Tensor::from_vec(x, (rows, hidden), &self.device)?;
        device::forward(self.shape, &self.copies, x, lengths, read)
    }

    /// As [`Encoder::forward`] of the last layer, in which no row looks at another: each says what it would say if
    /// it were all there is (after MaskCLIP, Zhou et al. 2022).
    ///
    /// # Shapes
    /// `x`: `[rows, hidden]`, `lengths`: the rows of each sequence. Returns `[rows, hidden]`.
    pub(crate) fn forward_apart(&self, mut x: Vec<f32>, lengths: &[usize]) -> Result<Tensor> {
        let Shape { hidden, .. } = self.shape;
        let (rows, below) = (x.len() / hidden, self.layers.len().saturating_sub(1));
        let apart = vec![1; rows];
        if self.device.is_cpu() {
            host::forward(self.shape, &self.layers[..below], &mut x, lengths, &[]);
            host::forward(self.shape, &self.layers[below..], &mut x, &apart, &[]);
            return Ok(Tensor::from_vec(x, (rows, hidden), &self.device)?);
        }
        let x = Tensor::from_vec(x, (rows, hidden), &self.device)?;
        let x = device::forward(self.shape, &self.copies[..below], x, lengths, &[below])?;
        let last = self.copies.len() - below;
        device::forward(self.shape, &self.copies[below..], x, &apart, &[last])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::safetensors;
    use crate::weights::{Init, Weights};

    const NAMES: Names = Names {
        attention: &["q", "k", "v"],
        output: "o",
        norms: ["n", "m"],
        expand: "e",
        contract: "c",
        scales: Some(["s", "t"]),
    };

    /// A seeded layer in a file.
    fn checkpoint(folder: &std::path::Path, hidden: usize, mlp: usize) -> MappedTensors {
        let weights = Weights::trainable(3, &Device::Cpu);
        let scope = weights.root().at("0");
        let sizes = [
            ("q", hidden, hidden),
            ("k", hidden, hidden),
            ("v", hidden, hidden),
            ("o", hidden, hidden),
            ("e", hidden, mlp),
            ("c", mlp, hidden),
        ];
        for (name, input, output) in sizes {
            scope.at(name).get("weight", &[output, input], Init::Normal(0.3)).unwrap();
            scope.at(name).get("bias", &[output], Init::Normal(0.3)).unwrap();
        }
        for name in ["n", "m"] {
            scope.at(name).get("weight", &[hidden], Init::Normal(1.0)).unwrap();
            scope.at(name).get("bias", &[hidden], Init::Normal(0.3)).unwrap();
        }
        for name in ["s", "t"] {
            scope.at(name).get("lambda1", &[hidden], Init::Normal(1.0)).unwrap();
        }
        let variables: Vec<_> = weights
            .variables()
            .into_iter()
            .map(|(name, variable)| {
                let values: Vec<f32> = variable.flatten_all().unwrap().to_vec1().unwrap();
                (name, variable.dims().to_vec(), values)
            })
            .collect();
        let entries: Vec<_> =
            variables.iter().map(|(n, s, v)| (n.as_str(), s.as_slice(), v.as_slice())).collect();
        let path = folder.join("layer.safetensors");
        safetensors::write(&path, &entries, &Default::default()).unwrap();
        MappedTensors::open(&path).unwrap()
    }

    #[test]
    fn the_host_and_the_device_give_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (hidden, mlp) = (24, 40);
        let tensors = checkpoint(folder.path(), hidden, mlp);
        let lengths: Vec<usize> = (0..60).map(|i| 1 + i % 7).collect();
        let rows: usize = lengths.iter().sum();
        let x: Vec<f32> = (0..rows * hidden).map(|i| (0.37 * i as f32).sin()).collect();
        for norms in [NormPlace::After, NormPlace::Before] {
            let (activation, mask) = (Activation::QuickGelu, Mask::Causal);
            let shape = Shape { hidden, mlp, heads: 3, eps: 1e-5, norms, activation, mask };
            let layers = || vec![Layer::read(&tensors, "0", &NAMES, shape).unwrap()];
            let copies = device::copy(&layers(), &Device::Cpu).unwrap();
            let on_device = Tensor::from_vec(x.clone(), (rows, hidden), &Device::Cpu).unwrap();
            let expected = device::forward(shape, &copies, on_device, &lengths, &[1, 0]).unwrap();
            let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
            let encoder = Encoder::new(shape, layers(), &Device::Cpu).unwrap();
            // All at once, with packed weights, and the first texts alone, with weights as they lie.
            let found = encoder.forward(x.clone(), &lengths, &[1, 0]).unwrap();
            let few: usize = lengths[..3].iter().sum();
            let fresh = Encoder::new(shape, layers(), &Device::Cpu).unwrap();
            let alone = fresh.forward(x[..few * hidden].to_vec(), &lengths[..3], &[1, 0]).unwrap();
            for found in [found, alone] {
                let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
                for (f, e) in found.iter().zip(&expected) {
                    assert!((f - e).abs() < 1e-4 * (1.0 + e.abs()), "expected {e}, found {f}");
                }
            }
        }
    }
}
