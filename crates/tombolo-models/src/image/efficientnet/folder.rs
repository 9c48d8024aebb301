//! Weights from a checkpoint, batch norms folded into the convolutions before them.

use tombolo_kernels::{Expansion, InvertedResidual, PackedLinear};

use super::STEM;
use super::variant::BlockShape;
use crate::checkpoint::{HostTensor, Tensors};
use crate::error::{ModelError, Result};
use crate::tower::{TAIL, TailBlock};

/// ε of the batch norms in the TensorFlow originals.
const BATCH_NORM_EPS: f32 = 1e-3;

/// The tensors of a checkpoint, with convolutions and batch norms folded together when asked for.
pub(super) struct Folder {
    pub tensors: Tensors,
}

impl Folder {
    fn tensor(&self, name: &str) -> Result<&HostTensor> {
        self.tensors.get(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })
    }

    fn expect(&self, name: &str, found: usize, expected: usize) -> Result<()> {
        if found == expected {
            return Ok(());
        }
        let (expected, found) = (vec![expected], vec![found]);
        Err(ModelError::Shape { name: name.to_owned(), expected, found })
    }

    /// The inverted residual at `index`; the first one has the stem in the place of its expansion.
    pub fn block(&self, index: usize, shape: &BlockShape) -> Result<InvertedResidual> {
        let name = |part: &str| format!("_blocks.{index}.{part}");
        let (conv, norm) = expansion(index);
        let expansion = self.linear(&conv, &norm)?;
        let expansion = match index {
            0 => Expansion::Convolution(expansion, STEM.0, STEM.1),
            _ => Expansion::Pointwise(expansion),
        };
        let (weight, bias) = self.folded(&name("_depthwise_conv"), &name("_bn1"))?;
        let taps = shape.kernel * shape.kernel;
        self.expect(&name("_depthwise_conv.weight"), weight.len(), taps * bias.len())?;
        let weight = channels_last(&weight, taps);
        let project = self.linear(&name("_project_conv"), &name("_bn2"))?;
        self.expect(&name("_project_conv.weight"), project.outputs(), shape.channels)?;
        let kernel = (shape.kernel, shape.stride);
        Ok(InvertedResidual::new(expansion, kernel, &weight, &bias, project, shape.residual))
    }

    /// Adds the weights of the block at `index` to `tensors`, as block `place` of a tail.
    pub fn tail_block(
        &self,
        index: usize,
        shape: &BlockShape,
        place: usize,
        tensors: &mut Tensors,
    ) -> Result<TailBlock> {
        let name = |part: &str| format!("_blocks.{index}.{part}");
        let part = |part: &str| format!("{place}.{part}");
        let (conv, norm) = expansion(index);
        self.linear_layer(&conv, &norm, &part("expand"), tensors)?;
        self.linear_layer(&name("_project_conv"), &name("_bn2"), &part("project"), tensors)?;
        let (weight, bias) = self.folded(&name("_depthwise_conv"), &name("_bn1"))?;
        let (kernel, expanded) = (shape.kernel, bias.len());
        self.expect(&name("_depthwise_conv.weight"), weight.len(), kernel * kernel * expanded)?;
        let data = channels_last(&weight, kernel * kernel);
        let weight = HostTensor { shape: vec![kernel * kernel, expanded], data };
        tensors.insert(tail_name(&part("depthwise.weight")), weight);
        let bias = HostTensor { shape: vec![expanded], data: bias };
        tensors.insert(tail_name(&part("depthwise.bias")), bias);
        let BlockShape { stride, residual, channels, .. } = *shape;
        Ok(TailBlock { kernel, stride, expanded, channels, residual })
    }

    /// Adds a convolution to `tensors`, as the linear layer `part` of a tail over the pixels under its kernel. Returns its
    /// outputs.
    pub fn linear_layer(
        &self,
        conv: &str,
        norm: &str,
        part: &str,
        tensors: &mut Tensors,
    ) -> Result<usize> {
        let (weight, bias) = self.folded(conv, norm)?;
        let outputs = bias.len();
        let shape = vec![outputs, weight.len() / outputs];
        tensors.insert(tail_name(&format!("{part}.weight")), HostTensor { shape, data: weight });
        let bias = HostTensor { shape: vec![outputs], data: bias };
        tensors.insert(tail_name(&format!("{part}.bias")), bias);
        Ok(outputs)
    }

    /// Weight, `[channels out, kernel, kernel, channels in]`, and bias, such that the convolution with them
    /// equals the convolution followed by the batch norm.
    fn folded(&self, conv: &str, norm: &str) -> Result<(Vec<f32>, Vec<f32>)> {
        let weight = self.tensor(&format!("{conv}.weight"))?;
        let statistic = |name: &str| self.tensor(&format!("{norm}.{name}"));
        let (scale, shift) = (statistic("weight")?, statistic("bias")?);
        let (mean, variance) = (statistic("running_mean")?, statistic("running_var")?);
        let channels = scale.data.len();
        let [out, input, height, width] = weight.shape[..] else {
            let (name, found) = (format!("{conv}.weight"), weight.shape.clone());
            return Err(ModelError::Shape { name, expected: vec![channels, 0, 0, 0], found });
        };
        if out != channels || [shift, mean, variance].iter().any(|t| t.data.len() != channels) {
            let (name, found) = (format!("{norm}.weight"), vec![channels]);
            return Err(ModelError::Shape { name, expected: vec![out], found });
        }
        let factor: Vec<f32> =
            (0..out).map(|c| scale.data[c] / (variance.data[c] + BATCH_NORM_EPS).sqrt()).collect();
        let bias = (0..out).map(|c| shift.data[c] - mean.data[c] * factor[c]).collect();
        let taps = height * width;
        let mut folded = vec![0.0; weight.data.len()];
        for (index, value) in weight.data.iter().enumerate() {
            let (c, rest) = (index / (input * taps), index % (input * taps));
            let (i, tap) = (rest / taps, rest % taps);
            folded[(c * taps + tap) * input + i] = value * factor[c];
        }
        Ok((folded, bias))
    }

    pub fn linear(&self, conv: &str, norm: &str) -> Result<PackedLinear> {
        let (weight, bias) = self.folded(conv, norm)?;
        Ok(PackedLinear::new(&[&weight], &bias))
    }
}

/// Convolution and batch norm that expand the input of the block at `index`: the first block's are the stem's.
fn expansion(index: usize) -> (String, String) {
    match index {
        0 => ("_conv_stem".into(), "_bn0".into()),
        _ => (format!("_blocks.{index}._expand_conv"), format!("_blocks.{index}._bn0")),
    }
}

/// The name of a tail's tensor among those of its tower.
fn tail_name(name: &str) -> String {
    format!("{TAIL}.{name}")
}

/// `[channels, taps]` as `[taps, channels]`.
pub(super) fn channels_last(weight: &[f32], taps: usize) -> Vec<f32> {
    (0..taps).flat_map(|tap| weight.iter().skip(tap).step_by(taps).copied()).collect()
}
