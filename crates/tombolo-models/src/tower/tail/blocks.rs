//! The last blocks of an EfficientNet-Lite, trained with the tower that reads them.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tombolo_kernels::{Activation, Conv2d, depthwise};

use super::Sequences;
use crate::error::{ModelError, Result};
use crate::layers::Linear;
use crate::weights::{Init, Scope};

/// Sizes of the blocks, and of what they read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlocksConfig {
    /// Side of the square feature map that the frozen blocks leave, in cells.
    pub side: usize,
    /// Width of the vectors that come out.
    pub output: usize,
    /// The inverted residuals, in their order; the network's last pointwise convolution follows them.
    pub blocks: Vec<TailBlock>,
}

/// One inverted residual (Sandler et al. 2018), batch norms folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailBlock {
    /// Side of the depthwise kernel.
    pub kernel: usize,
    /// Step of the depthwise convolution.
    pub stride: usize,
    /// Channels between expansion and projection.
    pub expanded: usize,
    /// Channels of the output.
    pub channels: usize,
    /// Whether the input is added to the output.
    pub residual: bool,
}

impl BlocksConfig {
    /// Cells of one feature map that it reads.
    pub fn cells(&self) -> usize {
        self.side * self.side
    }
}

/// The blocks with their weights.
pub(in crate::tower) struct Blocks {
    config: BlocksConfig,
    blocks: Vec<Block>,
    head: Linear,
}

struct Block {
    shape: TailBlock,
    expand: Linear,
    weight: Tensor,
    bias: Tensor,
    project: Linear,
}

impl Blocks {
    /// Reads or creates the blocks at `scope`; `input`: channels of the feature map.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or holds one of another shape.
    pub(super) fn new(config: &BlocksConfig, input: usize, scope: &Scope<'_>) -> Result<Self> {
        let mut channels = input;
        let mut blocks = Vec::with_capacity(config.blocks.len());
        for (index, shape) in config.blocks.iter().enumerate() {
            blocks.push(Block::new(*shape, channels, &scope.at(index))?);
            channels = shape.channels;
        }
        let head = Linear::new(channels, config.output, &scope.at("head"))?;
        Ok(Self { config: config.clone(), blocks, head })
    }

    /// The last feature maps of sequences of one or more feature maps each.
    ///
    /// # Shapes
    /// `sequences`: rows of `[maps · side · side, channels]`. Returns rows `output` wide.
    /// # Errors
    /// [`ModelError::Shape`] if a sequence is not of whole maps.
    pub(super) fn forward(&self, sequences: &Sequences) -> Result<Sequences> {
        let cells = self.config.cells();
        if let Some(&odd) = sequences.lengths.iter().find(|length| *length % cells != 0) {
            let (expected, found) = (vec![cells], vec![odd]);
            return Err(ModelError::Shape { name: "tail".into(), expected, found });
        }
        let mut x = sequences.values.clone();
        let mut side = self.config.side;
        for block in &self.blocks {
            (x, side) = block.forward(&x, side)?;
        }
        let values = self.head.forward_activated(&x, Activation::Relu6)?;
        let lengths = sequences.lengths.iter().map(|length| length / cells * side * side);
        Ok(Sequences { values, lengths: lengths.collect() })
    }
}

impl Block {
    fn new(shape: TailBlock, input: usize, scope: &Scope<'_>) -> Result<Self> {
        let TailBlock { kernel, expanded, channels, .. } = shape;
        let depthwise = scope.at("depthwise");
        Ok(Self {
            shape,
            expand: Linear::new(input, expanded, &scope.at("expand"))?,
            weight: depthwise.get("weight", &[kernel * kernel, expanded], Init::Glorot)?,
            bias: depthwise.get("bias", &[expanded], Init::Constant(0.0))?,
            project: Linear::new(expanded, channels, &scope.at("project"))?,
        })
    }

    /// Returns the output and the side of its maps.
    fn forward(&self, x: &Tensor, side: usize) -> Result<(Tensor, usize)> {
        let conv = Conv2d::same(self.shape.kernel, self.shape.stride, (side, side));
        let inner = self.expand.forward_activated(x, Activation::Relu6)?;
        let inner = depthwise(&inner, &self.weight, &self.bias, conv)?;
        let out = self.project.forward(&inner)?;
        let out = if self.shape.residual { (x + out)? } else { out };
        Ok((out, conv.output.0))
    }
}
