//! The shape of an EfficientNet: what its settings say of each block.

use serde::Deserialize;

/// Kernel, step and padding of the first convolution.
pub(super) const STEM: Convolution = Convolution { kernel: 3, stride: 2, padding: (0, 1) };

/// Channels of the first convolution before scaling.
const STEM_CHANNELS: usize = 32;

/// `vision_config`, as far as the network needs it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct VisionConfig {
    pub num_channels: usize,
    pub width_coefficient: f64,
    pub depth_coefficient: f64,
    pub depth_divisor: usize,
    pub kernel_sizes: Vec<usize>,
    pub in_channels: Vec<usize>,
    pub out_channels: Vec<usize>,
    pub depthwise_padding: Vec<usize>,
    pub strides: Vec<usize>,
    pub num_block_repeats: Vec<usize>,
    pub expand_ratios: Vec<usize>,
    pub squeeze_expansion_ratio: f64,
    pub hidden_act: String,
    pub hidden_dim: usize,
    pub pooling_type: String,
    pub batch_norm_eps: f32,
}

/// A convolution's kernel, step, and zeros before and after each side of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Convolution {
    pub kernel: usize,
    pub stride: usize,
    pub padding: (usize, usize),
}

impl Convolution {
    /// Pixels of a side of the output; none if the kernel does not fit.
    pub fn output(&self, side: usize) -> Option<usize> {
        let padded = self.padding.0 + side + self.padding.1;
        Some(padded.checked_sub(self.kernel)? / self.stride + 1)
    }
}

/// An inverted residual: its depthwise convolution and its channels.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub depthwise: Convolution,
    pub inputs: usize,
    /// Channels inside; those of the input if nothing is expanded.
    pub inner: usize,
    pub expands: bool,
    /// Channels that the excitation squeezes all channels to.
    pub squeezed: usize,
    pub outputs: usize,
    pub residual: bool,
}

impl VisionConfig {
    /// Channels of the first convolution.
    pub fn stem(&self) -> usize {
        self.scaled(STEM_CHANNELS)
    }

    /// Channels scaled and rounded to a multiple of the divisor, never more than a tenth down.
    fn scaled(&self, channels: usize) -> usize {
        let (scaled, divisor) = (channels as f64 * self.width_coefficient, self.depth_divisor);
        let nearest = (scaled + divisor as f64 / 2.0) as usize / divisor * divisor;
        let rounded = nearest.max(divisor);
        if (rounded as f64) < 0.9 * scaled { rounded + divisor } else { rounded }
    }

    /// All blocks, in their order.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn blocks(&self) -> Result<Vec<Block>, String> {
        self.check()?;
        let mut blocks = Vec::new();
        for (stage, repeats) in self.num_block_repeats.iter().enumerate() {
            let repeats = (self.depth_coefficient * *repeats as f64).ceil() as usize;
            for repeat in 0..repeats {
                let block = self.block(stage, repeat, blocks.len());
                blocks.push(block);
            }
        }
        let mut channels = self.stem();
        for (index, block) in blocks.iter().enumerate() {
            if block.inputs != channels {
                let (expected, found) = (channels, block.inputs);
                return Err(format!(
                    "in_channels: block {index}: expected {expected}, found {found}"
                ));
            }
            channels = block.outputs;
        }
        Ok(blocks)
    }

    fn block(&self, stage: usize, repeat: usize, index: usize) -> Block {
        let outputs = self.scaled(self.out_channels[stage]);
        let inputs = if repeat == 0 { self.scaled(self.in_channels[stage]) } else { outputs };
        let stride = if repeat == 0 { self.strides[stage] } else { 1 };
        let kernel = self.kernel_sizes[stage];
        // With a step of two TensorFlow pads an even side less above and left; the settings name the blocks whose
        // sides are odd.
        let less = stride == 2 && !self.depthwise_padding.contains(&index);
        let before = kernel / 2 - usize::from(less);
        let ratio = self.expand_ratios[stage];
        let squeezed = (inputs as f64 * self.squeeze_expansion_ratio) as usize;
        Block {
            depthwise: Convolution { kernel, stride, padding: (before, kernel / 2) },
            inputs,
            inner: inputs * ratio,
            expands: ratio != 1,
            squeezed: squeezed.max(1),
            outputs,
            residual: repeat > 0,
        }
    }

    fn check(&self) -> Result<(), String> {
        let stages = self.num_block_repeats.len();
        let lists = [
            ("kernel_sizes", &self.kernel_sizes),
            ("in_channels", &self.in_channels),
            ("out_channels", &self.out_channels),
            ("strides", &self.strides),
            ("expand_ratios", &self.expand_ratios),
        ];
        for (name, list) in lists {
            if list.len() != stages || list.contains(&0) {
                return Err(format!("{name}: expected {stages} sizes, none 0, found {list:?}"));
            }
        }
        if let Some(kernel) =
            self.kernel_sizes.iter().find(|&kernel| kernel % 2 == 0 || *kernel < 3)
        {
            return Err(format!("kernel_sizes: expected odd sizes from 3 on, found {kernel}"));
        }
        if let Some(stride) = self.strides.iter().find(|&&stride| stride > 2) {
            return Err(format!("strides: expected 1 or 2, found {stride}"));
        }
        let one = |name: &str, expected: &str, found: &dyn std::fmt::Display| {
            Err(format!("{name}: expected {expected}, found {found}"))
        };
        match self {
            Self { depth_divisor: 0, .. } => one("depth_divisor", "at least 1", &0),
            Self { num_channels, .. } if *num_channels != 3 => {
                one("num_channels", "3", num_channels)
            }
            Self { hidden_act, .. } if !["swish", "silu"].contains(&&hidden_act[..]) => {
                one("hidden_act", "swish", hidden_act)
            }
            Self { pooling_type, .. } if !["mean", "max"].contains(&&pooling_type[..]) => {
                one("pooling_type", "mean or max", pooling_type)
            }
            _ if stages == 0 => one("num_block_repeats", "at least one stage", &"none"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn b7() -> VisionConfig {
        let (_, defaults) = crate::zoo::align::ALIGN.sections[2];
        serde_json::from_str(defaults).unwrap()
    }

    /// Tan and Le's B7 has 55 blocks, and 640 channels at the end.
    #[test]
    fn the_defaults_are_b7() {
        let blocks = b7().blocks().unwrap();
        assert_eq!((b7().stem(), blocks.len(), blocks[54].outputs), (64, 55, 640));
        let side = |blocks: &[Block]| {
            blocks.iter().fold(STEM.output(600), |side, block| block.depthwise.output(side?))
        };
        assert_eq!(side(&blocks), Some(18));
        // The sides of block 18's input are odd, which its padding may make up for.
        let named = VisionConfig { depthwise_padding: vec![18], ..b7() }.blocks().unwrap();
        assert_eq!(side(&named), Some(19));
        assert_eq!(blocks.iter().filter(|b| b.depthwise.stride == 2).count(), 4);
        assert!(blocks[..4].iter().all(|block| !block.expands && block.outputs == 32));
    }

    #[test]
    fn a_block_named_in_the_settings_is_padded_alike_on_both_sides() {
        let plain = b7().blocks().unwrap();
        let named = VisionConfig { depthwise_padding: vec![4], ..b7() }.blocks().unwrap();
        assert_eq!((plain[4].depthwise.padding, named[4].depthwise.padding), ((0, 1), (1, 1)));
        assert_eq!((plain[5].depthwise.padding, named[5].depthwise.padding), ((1, 1), (1, 1)));
    }

    #[test]
    fn settings_that_make_no_network_are_refused_by_name() {
        let wrong = [
            (VisionConfig { strides: vec![1], ..b7() }, "strides: expected 7 sizes"),
            (VisionConfig { kernel_sizes: vec![4; 7], ..b7() }, "kernel_sizes: expected odd"),
            (
                VisionConfig { hidden_act: "relu".into(), ..b7() },
                "hidden_act: expected swish, found relu",
            ),
            (VisionConfig { in_channels: vec![32; 7], ..b7() }, "in_channels: block 4"),
            (VisionConfig { depth_divisor: 0, ..b7() }, "depth_divisor"),
        ];
        for (config, reason) in wrong {
            let found = config.blocks().unwrap_err();
            assert!(found.contains(reason), "{found}");
        }
    }
}
