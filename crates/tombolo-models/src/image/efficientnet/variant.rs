//! The members of the family, and the blocks that each is made of.

/// Repeats, kernel, stride and output channels of each stage, before scaling (Tan and Le, table 1;
/// `efficientnet_lite_builder.py`).
const STAGES: [Stage; 7] = [
    Stage { repeats: 1, kernel: 3, stride: 1, channels: 16 },
    Stage { repeats: 2, kernel: 3, stride: 2, channels: 24 },
    Stage { repeats: 2, kernel: 5, stride: 2, channels: 40 },
    Stage { repeats: 3, kernel: 3, stride: 2, channels: 80 },
    Stage { repeats: 3, kernel: 5, stride: 1, channels: 112 },
    Stage { repeats: 4, kernel: 5, stride: 2, channels: 192 },
    Stage { repeats: 1, kernel: 3, stride: 1, channels: 320 },
];

/// The stages whose outputs are read beside the last feature map, where they are: the last on grids four times
/// and twice as fine.
const MIDDLE_STAGES: [usize; 2] = [2, 4];

struct Stage {
    repeats: usize,
    kernel: usize,
    stride: usize,
    channels: usize,
}

/// Which of the family: how much wider and deeper than Lite0, and the side of its pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variant {
    /// Factor on the channels.
    pub width: f64,
    /// Factor on the repeats of each stage.
    pub depth: f64,
    /// Side of the input in pixels.
    pub size: usize,
}

impl Variant {
    /// EfficientNet-Lite0.
    pub const LITE0: Self = Self { width: 1.0, depth: 1.0, size: 224 };
    /// EfficientNet-Lite1.
    pub const LITE1: Self = Self { width: 1.0, depth: 1.1, size: 240 };
    /// EfficientNet-Lite2.
    pub const LITE2: Self = Self { width: 1.1, depth: 1.2, size: 260 };

    /// Channels scaled and rounded to a multiple of eight, never more than a tenth down.
    fn channels(&self, channels: usize) -> usize {
        let scaled = channels as f64 * self.width;
        let rounded = ((scaled + 4.0) as usize / 8 * 8).max(8);
        if (rounded as f64) < 0.9 * scaled { rounded + 8 } else { rounded }
    }

    /// The first and the last stage keep the depth that they have in Lite0.
    fn repeats(&self, stage: usize) -> usize {
        match stage {
            0 | 6 => STAGES[stage].repeats,
            _ => (STAGES[stage].repeats as f64 * self.depth).ceil() as usize,
        }
    }

    /// The last blocks of the stages that are read in the middle.
    pub(super) fn middle(&self) -> Vec<usize> {
        let last = |stage| (0..=stage).map(|stage| self.repeats(stage)).sum::<usize>() - 1;
        MIDDLE_STAGES.map(last).to_vec()
    }

    pub(super) fn blocks(&self) -> Vec<BlockShape> {
        let stages = STAGES.iter().enumerate();
        let repeats = stages.flat_map(|(i, stage)| (0..self.repeats(i)).map(move |r| (stage, r)));
        repeats
            .map(|(stage, repeat)| BlockShape {
                kernel: stage.kernel,
                stride: if repeat == 0 { stage.stride } else { 1 },
                residual: repeat > 0,
                channels: self.channels(stage.channels),
            })
            .collect()
    }
}

/// One inverted residual: its depthwise kernel and stride, whether its input is added, and its output.
pub(super) struct BlockShape {
    pub kernel: usize,
    pub stride: usize,
    pub residual: bool,
    pub channels: usize,
}
