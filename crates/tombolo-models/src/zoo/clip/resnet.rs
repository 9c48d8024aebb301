//! CLIP's picture half with a ResNet: convolutions without stride behind means over 2 × 2 pixels, and a pooling that
//! attends (Radford et al. 2021, §2.4), by the names of OpenAI's and open_clip's checkpoints.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::Deserialize;
use tombolo_kernels::Activation;

use super::pooling::AttentionPool;
use super::projection_dim;
use crate::checkpoint::{CheckpointError, MappedTensors};
use crate::encoder::FrozenLinear;
use crate::error::Result;
use crate::zoo::projection::unit;
use crate::zoo::{Files, Grid, ImageHalf};

/// ε of the batch norms.
const EPS: f32 = 1e-5;

/// How much wider a block's output is than its inside.
const EXPANSION: usize = 4;

/// Pixels of a picture's side to a cell's.
const STRIDE: usize = 32;

/// A ResNet, as open_clip's settings describe it.
#[derive(Deserialize)]
struct ResNetConfig {
    resnet: Sizes,
    image_size: usize,
}

#[derive(Deserialize)]
struct Sizes {
    layers: Vec<usize>,
    width: usize,
    head_width: usize,
}

/// The picture half.
struct ResNet {
    stem: [Conv; 3],
    blocks: Vec<Block>,
    pool: AttentionPool,
    width: usize,
    size: usize,
}

/// Loads the picture half.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, or the settings make no network.
pub(super) fn image(files: &Files) -> Result<Box<dyn ImageHalf>> {
    let config: ResNetConfig = files.settings.section("vision_config")?;
    let Sizes { layers, width, head_width } = &config.resnet;
    let (width, cells) = (*width, config.image_size / STRIDE);
    let channels = STRIDE * width;
    let heads = channels / (*head_width).max(1);
    if layers.len() != 4
        || cells == 0
        || !width.is_multiple_of(2)
        || heads == 0
        || !channels.is_multiple_of(heads)
    {
        let reason = "model_cfg.vision_cfg: expected four numbers of layers, an even width that heads divide, and a \
                      picture of 32 pixels or more";
        return Err(files.settings.refused(reason.into()));
    }
    let tensors = &files.tensors;
    let stem = |index: usize, inputs, outputs| {
        let names = [format!("visual.conv{index}"), format!("visual.bn{index}")];
        Conv::read(tensors, names, 3, inputs, outputs)
    };
    let half = ResNet {
        stem: [stem(1, 3, width / 2)?, stem(2, width / 2, width / 2)?, stem(3, width / 2, width)?],
        blocks: blocks(tensors, layers, width)?,
        pool: AttentionPool::read(
            tensors,
            cells,
            channels,
            heads,
            projection_dim(&files.settings)?,
        )?,
        width: channels,
        size: config.image_size,
    };
    files.expect_no_others(&["visual.", "vision_model.", "visual_projection"])?;
    Ok(Box::new(half))
}

fn blocks(tensors: &MappedTensors, layers: &[usize], width: usize) -> Result<Vec<Block>> {
    let (mut blocks, mut inputs) = (Vec::new(), width);
    for (stage, &count) in layers.iter().enumerate() {
        let inner = width << stage;
        for index in 0..count {
            let name = format!("visual.layer{}.{index}", stage + 1);
            let halves = stage > 0 && index == 0;
            blocks.push(Block::read(tensors, &name, inputs, inner, halves)?);
            inputs = EXPANSION * inner;
        }
    }
    Ok(blocks)
}

impl ResNet {
    /// The last map of a picture: `[side², width]`.
    fn map(&self, picture: &[f32]) -> Vec<f32> {
        let mut map = Map { values: picture.to_vec(), side: self.size, channels: 3 };
        for (index, conv) in self.stem.iter().enumerate() {
            map = conv.forward(&map, if index == 0 { 2 } else { 1 }, Activation::Relu);
        }
        map = map.halved();
        for block in &self.blocks {
            map = block.forward(map);
        }
        map.values
    }
}

impl ImageHalf for ResNet {
    fn dim(&self) -> usize {
        self.pool.dim()
    }

    fn width(&self) -> usize {
        self.width
    }

    fn size(&self) -> Option<usize> {
        Some(self.size)
    }

    fn grid(&self) -> Grid {
        Grid { class: 0, side: self.size / STRIDE }
    }

    fn embed(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let pooled = pictures.par_iter().flat_map_iter(|p| self.pool.pooled(&self.map(p)));
        unit(pooled.collect(), self.dim())
    }

    fn cells(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let maps: Vec<f32> = pictures.par_iter().flat_map_iter(|p| self.map(p)).collect();
        let shape = (pictures.len(), self.grid().rows(), self.width);
        Ok(Tensor::from_vec(maps, shape, &Device::Cpu)?)
    }

    fn located(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let located = pictures.par_iter().flat_map_iter(|p| self.pool.located(&self.map(p)));
        let located = unit(located.collect(), self.dim())?;
        Ok(located.reshape((pictures.len(), self.grid().rows(), self.dim()))?)
    }
}

/// A square of pixels, `[side, side, channels]`.
struct Map {
    values: Vec<f32>,
    side: usize,
    channels: usize,
}

impl Map {
    /// Means over 2 × 2 pixels.
    fn halved(&self) -> Self {
        let (side, channels) = (self.side / 2, self.channels);
        let mut values = vec![0.0; side * side * channels];
        for (place, out) in values.chunks_exact_mut(channels).enumerate() {
            let (y, x) = (2 * (place / side), 2 * (place % side));
            for (y, x) in [(y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)] {
                let pixel = &self.values[(y * self.side + x) * channels..][..channels];
                out.iter_mut().zip(pixel).for_each(|(out, value)| *out += 0.25 * value);
            }
        }
        Self { values, side, channels }
    }

    /// The 3 × 3 pixels around each, at every `stride`-th place, zero beyond the edge: `[places, 9 · channels]`.
    fn around(&self, stride: usize) -> (Vec<f32>, usize) {
        let (channels, side) = (self.channels, (self.side - 1) / stride + 1);
        let mut out = vec![0.0; side * side * 9 * channels];
        for (place, row) in out.chunks_exact_mut(9 * channels).enumerate() {
            let (y, x) = (place / side * stride, place % side * stride);
            for (tap, out) in row.chunks_exact_mut(channels).enumerate() {
                let (y, x) = ((y + tap / 3).wrapping_sub(1), (x + tap % 3).wrapping_sub(1));
                if y < self.side && x < self.side {
                    out.copy_from_slice(&self.values[(y * self.side + x) * channels..][..channels]);
                }
            }
        }
        (out, side)
    }
}

/// A convolution of 1 × 1 or 3 × 3 pixels with the batch norm behind it.
struct Conv {
    linear: FrozenLinear,
    kernel: usize,
}

impl Conv {
    /// `names`: of the convolution and of the batch norm.
    fn read(
        tensors: &MappedTensors,
        [conv, norm]: [String; 2],
        kernel: usize,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, CheckpointError> {
        let taps = kernel * kernel;
        let weight = tensors.get(&format!("{conv}.weight"), &[outputs, inputs, kernel, kernel])?;
        let part = |part: &str| tensors.get(&format!("{norm}.{part}"), &[outputs]);
        let (scale, shift) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let factor: Vec<f32> =
            scale.iter().zip(&variance[..]).map(|(s, v)| s / (v + EPS).sqrt()).collect();
        let mut flat = vec![0.0; weight.len()];
        for (index, value) in weight.iter().enumerate() {
            let (output, rest) = (index / (inputs * taps), index % (inputs * taps));
            let (input, tap) = (rest / taps, rest % taps);
            flat[(output * taps + tap) * inputs + input] = factor[output] * value;
        }
        let bias = (0..outputs).map(|o| shift[o] - mean[o] * factor[o]).collect();
        Ok(Self { linear: FrozenLinear::new(vec![flat.into()], bias, taps * inputs), kernel })
    }

    fn forward(&self, map: &Map, stride: usize, activation: Activation) -> Map {
        let channels = self.linear.outputs();
        let (around, side) = match self.kernel {
            1 => (None, map.side),
            _ => {
                let (rows, side) = map.around(stride);
                (Some(rows), side)
            }
        };
        let mut values = vec![0.0; side * side * channels];
        self.linear.forward(
            around.as_deref().unwrap_or(&map.values),
            activation,
            false,
            &mut values,
        );
        Map { values, side, channels }
    }
}

/// x ← relu(x + conv(halved(relu(conv(relu(conv(x))))))), the first x through a convolution of its own where sizes change.
struct Block {
    convs: [Conv; 3],
    shortcut: Option<Conv>,
    halves: bool,
}

impl Block {
    fn read(
        tensors: &MappedTensors,
        name: &str,
        inputs: usize,
        inner: usize,
        halves: bool,
    ) -> Result<Self, CheckpointError> {
        let outputs = EXPANSION * inner;
        let conv = |index: usize, kernel, inputs, outputs| {
            let names = [format!("{name}.conv{index}"), format!("{name}.bn{index}")];
            Conv::read(tensors, names, kernel, inputs, outputs)
        };
        let names = [format!("{name}.downsample.0"), format!("{name}.downsample.1")];
        let shortcut = match halves || inputs != outputs {
            true => Some(Conv::read(tensors, names, 1, inputs, outputs)?),
            false => None,
        };
        let convs =
            [conv(1, 1, inputs, inner)?, conv(2, 3, inner, inner)?, conv(3, 1, inner, outputs)?];
        Ok(Self { convs, shortcut, halves })
    }

    fn forward(&self, map: Map) -> Map {
        let [first, second, third] = &self.convs;
        let mut inner =
            second.forward(&first.forward(&map, 1, Activation::Relu), 1, Activation::Relu);
        if self.halves {
            inner = inner.halved();
        }
        let mut out = match &self.shortcut {
            Some(conv) if self.halves => conv.forward(&map.halved(), 1, Activation::Identity),
            Some(conv) => conv.forward(&map, 1, Activation::Identity),
            None => map,
        };
        third.linear.forward(&inner.values, Activation::Identity, true, &mut out.values);
        out.values.iter_mut().for_each(|x| *x = x.max(0.0));
        out
    }
}
