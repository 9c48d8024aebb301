//! EfficientNet-Lite (Tan and Le 2019, without squeeze-and-excitation and with ReLU6), batch norm folded.

use std::cell::RefCell;
use std::path::Path;

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use tombolo_kernels::{Activation, Expansion, InvertedResidual, PackedLinear, Room};

use crate::checkpoint::{HostTensor, Tensors, pth};
use crate::error::{ModelError, Result};
use crate::tower::{BlocksConfig, TAIL, TailBlock};

/// ε of the batch norms in the TensorFlow originals.
const BATCH_NORM_EPS: f32 = 1e-3;

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

/// Step of the network's first convolution.
const STEM_STRIDE: usize = 2;

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
    fn middle(&self) -> Vec<usize> {
        let last = |stage| (0..=stage).map(|stage| self.repeats(stage)).sum::<usize>() - 1;
        MIDDLE_STAGES.map(last).to_vec()
    }

    fn blocks(&self) -> Vec<BlockShape> {
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
struct BlockShape {
    kernel: usize,
    stride: usize,
    residual: bool,
    channels: usize,
}

/// A frozen EfficientNet-Lite up to its last feature map, or up to the blocks that are trained.
pub struct EfficientNet {
    size: usize,
    blocks: Vec<InvertedResidual>,
    /// None if the last blocks, of which it is one, are trained.
    head: Option<PackedLinear>,
    /// The blocks whose outputs are read beside the last feature map, first to last.
    middle: Vec<usize>,
}

/// The first of the last `trained` blocks. The very first block, with the stem, stays frozen.
fn first_trained(blocks: usize, trained: usize) -> Result<usize> {
    if trained < blocks {
        return Ok(blocks - trained);
    }
    let reason = format!("it has {} beside the first", blocks - 1);
    Err(ModelError::Untrainable { name: "EfficientNet-Lite".into(), found: trained, reason })
}

impl EfficientNet {
    /// Loads a `.pth` file of the PyTorch port and folds its batch norms into the convolutions.
    ///
    /// # Errors
    /// If the file cannot be read, or is not of this variant.
    pub fn load(path: &Path, variant: Variant) -> Result<Self> {
        Self::load_below(path, variant, 0)
    }

    /// As [`EfficientNet::load`]; beside each cell of the last feature map lie the means of what two maps in the
    /// middle of the network hold under it.
    ///
    /// # Errors
    /// As [`EfficientNet::load`].
    pub fn load_with_middle(path: &Path, variant: Variant) -> Result<Self> {
        Ok(Self { middle: variant.middle(), ..Self::load(path, variant)? })
    }

    /// As [`EfficientNet::load`], without the last blocks, so many of them, and what follows.
    ///
    /// # Errors
    /// As [`EfficientNet::load`], and if there are no more blocks than that.
    pub fn load_below(path: &Path, variant: Variant, trained: usize) -> Result<Self> {
        let mut shapes = variant.blocks();
        shapes.truncate(first_trained(shapes.len(), trained)?);
        Self::new(pth::read(path)?, variant.size, &shapes, trained == 0)
    }

    /// The sizes and the weights, by their names in a tower, of what [`EfficientNet::load_below`] leaves out.
    ///
    /// # Errors
    /// As [`EfficientNet::load_below`].
    pub fn tail(path: &Path, variant: Variant, trained: usize) -> Result<(BlocksConfig, Tensors)> {
        Self::tail_of(pth::read(path)?, variant.size, &variant.blocks(), trained)
    }

    fn tail_of(
        tensors: Tensors,
        size: usize,
        shapes: &[BlockShape],
        trained: usize,
    ) -> Result<(BlocksConfig, Tensors)> {
        let first = first_trained(shapes.len(), trained)?;
        let folder = Folder { tensors };
        let side = shapes[..first]
            .iter()
            .fold(size.div_ceil(STEM_STRIDE), |side, shape| side.div_ceil(shape.stride));
        let mut tensors = Tensors::new();
        let mut blocks = Vec::with_capacity(trained);
        for (place, index) in (first..shapes.len()).enumerate() {
            blocks.push(folder.tail_block(index, &shapes[index], place, &mut tensors)?);
        }
        let output = folder.pointwise("_conv_head", "_bn1", "head", &mut tensors)?;
        Ok((BlocksConfig { side, output, blocks }, tensors))
    }

    fn new(tensors: Tensors, size: usize, shapes: &[BlockShape], head: bool) -> Result<Self> {
        let folder = Folder { tensors };
        let blocks = shapes
            .iter()
            .enumerate()
            .map(|(index, shape)| folder.block(index, shape))
            .collect::<Result<_>>()?;
        let head = if head { Some(folder.linear("_conv_head", "_bn1")?) } else { None };
        Ok(Self { size, blocks, head, middle: Vec::new() })
    }

    /// Width of a vector: of the last feature map, with what lies beside it, or of the one that the trained blocks
    /// read.
    pub fn dim(&self) -> usize {
        self.last() + self.middle.iter().map(|&block| self.blocks[block].outputs()).sum::<usize>()
    }

    /// Width of the last feature map.
    fn last(&self) -> usize {
        match (&self.head, self.blocks.last()) {
            (Some(head), _) => head.outputs(),
            (None, last) => last.map_or(0, InvertedResidual::outputs),
        }
    }

    /// Side of the input in pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Cells of the last feature map.
    pub fn cells(&self) -> usize {
        let square = (self.size, self.size);
        let (height, width) =
            self.blocks.iter().fold(square, |size, block| block.output_size(size));
        height * width
    }

    /// The feature map of each picture; one picture a core at a time.
    ///
    /// # Shapes
    /// `pictures`: each `[size, size, 3]`, normalised. Returns `[batch, cells, dim]`, cells row by row.
    /// # Errors
    /// If the result cannot be moved to `device`.
    ///
    /// # Panics
    /// If a picture is not of that length.
    pub fn forward(&self, pictures: &[&[f32]], device: &Device) -> Result<Tensor> {
        let (cells, dim) = (self.cells(), self.dim());
        let mut maps = vec![0.0; pictures.len() * cells * dim];
        maps.par_chunks_mut(cells * dim).zip(pictures).for_each(|(map, picture)| {
            ROOM.with_borrow_mut(|room| self.forward_one(picture, room, map));
        });
        Ok(Tensor::from_vec(maps, (pictures.len(), cells, dim), device)?)
    }

    fn forward_one(&self, picture: &[f32], room: &mut Room, map: &mut [f32]) {
        room.picture.clear();
        room.picture.extend_from_slice(picture);
        let mut size = (self.size, self.size);
        let mut middle = Vec::with_capacity(self.middle.len());
        for (index, block) in self.blocks.iter().enumerate() {
            size = block.forward(room, size);
            if self.middle.contains(&index) {
                middle.push((room.picture.clone(), size));
            }
        }
        let Some(head) = &self.head else { return map.copy_from_slice(&room.picture) };
        if middle.is_empty() {
            return head.forward(&room.picture, Activation::Relu6, false, map);
        }
        let mut last = vec![0.0; size.0 * size.1 * head.outputs()];
        head.forward(&room.picture, Activation::Relu6, false, &mut last);
        let middle = middle.into_iter().map(|(map, fine)| coarsened(map, fine, size));
        side_by_side(&std::iter::once(last).chain(middle).collect::<Vec<_>>(), size, map);
    }
}

/// A map halved until it is of this height and width.
fn coarsened(mut map: Vec<f32>, mut fine: (usize, usize), size: (usize, usize)) -> Vec<f32> {
    while fine != size && fine != (1, 1) {
        map = halved(&map, fine);
        fine = (fine.0.div_ceil(2), fine.1.div_ceil(2));
    }
    map
}

/// The means of squares of two by two cells, at the edges of what there is of them.
///
/// `map`: `[height, width, channels]` of this height and width; both are halved and rounded up.
fn halved(map: &[f32], (height, width): (usize, usize)) -> Vec<f32> {
    let channels = map.len() / (height * width);
    let mut out = vec![0.0; height.div_ceil(2) * width.div_ceil(2) * channels];
    for (place, mean) in out.chunks_exact_mut(channels).enumerate() {
        let (row, column) = (place / width.div_ceil(2) * 2, place % width.div_ceil(2) * 2);
        let rows = row..height.min(row + 2);
        let under = rows.flat_map(|y| (column..width.min(column + 2)).map(move |x| y * width + x));
        let under: Vec<usize> = under.collect();
        for cell in &under {
            let cell = &map[cell * channels..(cell + 1) * channels];
            mean.iter_mut().zip(cell).for_each(|(m, x)| *m += x / under.len() as f32);
        }
    }
    out
}

/// Maps of this height and width, the vectors of each cell one after the other.
fn side_by_side(maps: &[Vec<f32>], (height, width): (usize, usize), out: &mut [f32]) {
    let cells = height * width;
    for (cell, mut out) in out.chunks_exact_mut(out.len() / cells).enumerate() {
        for map in maps {
            let channels = map.len() / cells;
            let (first, rest) = out.split_at_mut(channels);
            first.copy_from_slice(&map[cell * channels..(cell + 1) * channels]);
            out = rest;
        }
    }
}

thread_local! {
    /// Each thread's room, a few megabytes, kept for the next picture.
    static ROOM: RefCell<Room> = RefCell::default();
}

/// The tensors of a checkpoint, with convolutions and batch norms folded together when asked for.
struct Folder {
    tensors: Tensors,
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
    fn block(&self, index: usize, shape: &BlockShape) -> Result<InvertedResidual> {
        let name = |part: &str| format!("_blocks.{index}.{part}");
        let expansion = match index {
            0 => Expansion::Convolution(self.linear("_conv_stem", "_bn0")?, 3, STEM_STRIDE),
            _ => Expansion::Pointwise(self.linear(&name("_expand_conv"), &name("_bn0"))?),
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
    fn tail_block(
        &self,
        index: usize,
        shape: &BlockShape,
        place: usize,
        tensors: &mut Tensors,
    ) -> Result<TailBlock> {
        let name = |part: &str| format!("_blocks.{index}.{part}");
        let part = |part: &str| format!("{place}.{part}");
        self.pointwise(&name("_expand_conv"), &name("_bn0"), &part("expand"), tensors)?;
        self.pointwise(&name("_project_conv"), &name("_bn2"), &part("project"), tensors)?;
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

    /// Adds a pointwise convolution to `tensors`, as the linear layer `part` of a tail. Returns its outputs.
    fn pointwise(
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

    fn linear(&self, conv: &str, norm: &str) -> Result<PackedLinear> {
        let (weight, bias) = self.folded(conv, norm)?;
        Ok(PackedLinear::new(&[&weight], &bias))
    }
}

/// The name of a tail's tensor among those of its tower.
fn tail_name(name: &str) -> String {
    format!("{TAIL}.{name}")
}

/// `[channels, taps]` as `[taps, channels]`.
fn channels_last(weight: &[f32], taps: usize) -> Vec<f32> {
    (0..taps).flat_map(|tap| weight.iter().skip(tap).step_by(taps).copied()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::checkpoint::safetensors;
    use crate::tower::{Readout, Sequences, TailConfig, Tower, TowerConfig, TowerInput};
    use crate::weights::Weights;

    fn golden(name: &str) -> PathBuf {
        let parity = "../../parity/efficientnet";
        Path::new(env!("CARGO_MANIFEST_DIR")).join(parity).join(name)
    }

    fn assert_near(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>();
        let difference = norm(&mut found.iter().zip(expected).map(|(f, e)| f - e));
        let relative = (difference / norm(&mut expected.iter().copied())).sqrt();
        assert!(relative < 1e-4, "relative error {relative}");
    }

    fn block(kernel: usize, stride: usize, residual: bool, channels: usize) -> BlockShape {
        BlockShape { kernel, stride, residual, channels }
    }

    #[test]
    fn trained_blocks_go_on_where_the_frozen_ones_end() {
        let whole = EfficientNet::new(tiny_tensors(), 33, &tiny(), true).unwrap();
        let below = EfficientNet::new(tiny_tensors(), 33, &tiny()[..2], false).unwrap();
        let (tail, weights) = EfficientNet::tail_of(tiny_tensors(), 33, &tiny(), 3).unwrap();
        assert_eq!((tail.cells(), tail.blocks.len()), (below.cells(), 3));
        assert!(EfficientNet::tail_of(tiny_tensors(), 33, &tiny(), 5).is_err());

        let pictures = [0.3f32, 0.7]
            .map(|step| (0..33 * 33 * 3).map(|i| (step * i as f32).sin()).collect::<Vec<f32>>());
        let pictures = pictures.each_ref().map(Vec::as_slice);
        let vectors = |network: &EfficientNet, tail, weights| {
            let config = TowerConfig {
                input: TowerInput::Vectors(network.dim()),
                width: 0,
                layers: 0,
                heads: 0,
                positions: 0,
                output: 0,
                segments: Vec::new(),
                tail,
                readout: Readout::Pooled(2),
            };
            let weights = Weights::fixed(weights, &Device::Cpu).unwrap();
            let tower = Tower::new(config, &weights.root()).unwrap();
            let values = network.forward(&pictures, &Device::Cpu).unwrap().flatten(0, 1).unwrap();
            let sequences = Sequences { values, lengths: vec![network.cells(); 2] };
            let vectors = tower.forward(&sequences).unwrap();
            vectors.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let expected = vectors(&whole, None, Tensors::new());
        assert_near(&vectors(&below, Some(TailConfig::Blocks(tail)), weights), &expected);
    }

    /// The blocks of the network that `parity/efficientnet` made.
    fn tiny() -> [BlockShape; 5] {
        [
            block(3, 1, false, 16),
            block(5, 2, false, 8),
            block(5, 1, true, 8),
            block(3, 2, false, 16),
            block(3, 1, true, 16),
        ]
    }

    fn tiny_tensors() -> Tensors {
        let tensors = safetensors::read(&golden("tiny.safetensors")).unwrap().into_iter();
        let model = |(name, t): (String, _)| Some((name.strip_prefix("model.")?.to_owned(), t));
        tensors.filter_map(model).collect()
    }

    #[test]
    fn a_small_network_matches_the_reference() {
        let mut tensors = safetensors::read(&golden("tiny.safetensors")).unwrap();
        let (input, features) = (tensors.remove("input"), tensors.remove("features"));
        let (input, features) = (input.unwrap(), features.unwrap());
        let network = EfficientNet::new(tiny_tensors(), 33, &tiny(), true).unwrap();
        let pictures: Vec<Vec<f32>> =
            input.data.chunks(3 * 33 * 33).map(|p| channels_last(p, 33 * 33)).collect();
        let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
        let found = network.forward(&pictures, &Device::Cpu);
        let found = found.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let [_, channels, height, width] = features.shape[..] else { panic!("four dimensions") };
        let expected: Vec<f32> = features
            .data
            .chunks(channels * height * width)
            .flat_map(|map| channels_last(map, height * width))
            .collect();
        assert_near(&found, &expected);
    }

    #[test]
    fn what_the_middle_holds_under_a_cell_lies_beside_it() {
        let network = |blocks, head| EfficientNet::new(tiny_tensors(), 33, &tiny()[..blocks], head);
        let (whole, below, early) = (network(5, true), network(3, false), network(1, false));
        let both = EfficientNet { middle: vec![0, 2], ..network(5, true).unwrap() };
        let picture: Vec<f32> = (0..33 * 33 * 3).map(|i| (0.3 * i as f32).sin()).collect();
        let cells = |network: EfficientNet| {
            let cells = network.forward(&[&picture], &Device::Cpu).unwrap();
            cells.squeeze(0).unwrap().to_vec2::<f32>().unwrap()
        };
        let (whole, below, early) =
            (cells(whole.unwrap()), cells(below.unwrap()), cells(early.unwrap()));
        let both = cells(both);
        // Grids of 17 × 17 and 9 × 9 under one of 5 × 5: the first cell has sixteen and four below it, the last one.
        let under: Vec<usize> = (0..4).flat_map(|y| (0..4).map(move |x| 17 * y + x)).collect();
        let mean = |map: &[Vec<f32>], under: &[usize]| -> Vec<f32> {
            let sum = |c: usize| under.iter().map(|&cell| map[cell][c]).sum::<f32>();
            (0..map[0].len()).map(|c| sum(c) / under.len() as f32).collect()
        };
        let (early_mean, mean) = (mean(&early, &under), mean(&below, &[0, 1, 9, 10]));
        assert_near(&both[0], &[whole[0].clone(), early_mean, mean].concat());
        let last = [whole[24].clone(), early[288].clone(), below[80].clone()];
        assert_near(&both[24], &last.concat());
    }

    #[test]
    fn a_checkpoint_of_another_variant_is_refused() {
        assert!(EfficientNet::new(tiny_tensors(), 33, &[block(3, 1, false, 24)], true).is_err());
    }

    /// The real weights, where they are installed (`tombolo pull efficientnet-lite0`): CI has them.
    #[test]
    fn installed_variants_match_the_reference() {
        let Ok(store) = crate::pull::Store::from_env() else { return };
        let variants = [("0", Variant::LITE0), ("1", Variant::LITE1), ("2", Variant::LITE2)];
        for (number, variant) in variants {
            let Some(installed) = store.find(&format!("efficientnet-lite{number}")) else {
                continue;
            };
            let network = EfficientNet::load(&installed.weights().unwrap(), variant).unwrap();
            let size = variant.size;
            let value = |i: usize| (0.01 * (i / 3) as f64 + (i % 3) as f64).sin() as f32;
            let picture: Vec<f32> = (0..size * size * 3).map(value).collect();
            let found = network.forward(&[&picture], &Device::Cpu);
            let found = found.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let expected =
                safetensors::read(&golden(&format!("lite{number}.safetensors"))).unwrap();
            let cells = network.cells() as f32;
            let dim = network.dim();
            let mut mean = vec![0.0; dim];
            for cell in found.chunks(dim) {
                mean.iter_mut().zip(cell).for_each(|(m, x)| *m += x / cells);
            }
            assert_near(&mean, &expected["mean"].data);
            assert_near(&found[..3 * dim], &expected["cells"].data);
        }
    }
}
