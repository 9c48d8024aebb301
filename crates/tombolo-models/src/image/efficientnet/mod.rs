//! EfficientNet-Lite (Tan and Le 2019, without squeeze-and-excitation and with ReLU6), batch norm folded.

mod classifier;
mod folder;
mod middle;
mod variant;

use std::cell::RefCell;
use std::path::Path;

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use tombolo_kernels::{Activation, Conv2d, InvertedResidual, PackedLinear, Room, patches};

pub use self::classifier::{Classifier, class_names};
use self::folder::Folder;
use self::middle::{coarsened, side_by_side};
use self::variant::BlockShape;
pub use self::variant::Variant;
use crate::checkpoint::{Tensors, pth};
use crate::error::{ModelError, Result};
use crate::tower::BlocksConfig;

/// Kernel and step of the network's first convolution.
const STEM: (usize, usize) = (3, 2);

/// A frozen EfficientNet-Lite up to its last feature map, or up to the blocks that are trained.
pub struct EfficientNet {
    size: usize,
    /// None if all are trained: a cell is then what the first convolution sees at one place.
    blocks: Vec<InvertedResidual>,
    /// None if the last blocks, of which it is one, are trained.
    head: Option<PackedLinear>,
    /// The blocks whose outputs are read beside the last feature map, first to last.
    middle: Vec<usize>,
}

/// The first of the last `trained` blocks. The very first has the stem, the first convolution, as its expansion.
fn first_trained(blocks: usize, trained: usize) -> Result<usize> {
    blocks.checked_sub(trained).ok_or_else(|| {
        let (name, reason) = ("EfficientNet-Lite".into(), format!("it has {blocks}"));
        ModelError::Untrainable { name, found: trained, reason }
    })
}

/// The geometry of the stem on pictures of this side.
fn stem(size: usize) -> Conv2d {
    Conv2d::same(STEM.0, STEM.1, (size, size))
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
            .fold(stem(size).output.0, |side, shape| side.div_ceil(shape.stride));
        let mut tensors = Tensors::new();
        let mut blocks = Vec::with_capacity(trained);
        for (place, index) in (first..shapes.len()).enumerate() {
            blocks.push(folder.tail_block(index, &shapes[index], place, &mut tensors)?);
        }
        let output = folder.linear_layer("_conv_head", "_bn1", "head", &mut tensors)?;
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
            (None, Some(last)) => last.outputs(),
            (None, None) => STEM.0 * STEM.0 * 3,
        }
    }

    /// Side of the input in pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Cells of the last feature map.
    pub fn cells(&self) -> usize {
        if self.blocks.is_empty() {
            return stem(self.size).pixels();
        }
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
        if self.blocks.is_empty() {
            let stem = stem(self.size);
            return patches(&stem, picture, 3, 0..stem.output.0, map);
        }
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

thread_local! {
    /// Each thread's room, a few megabytes, kept for the next picture.
    static ROOM: RefCell<Room> = RefCell::default();
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::folder::channels_last;
    use super::*;
    use crate::checkpoint::safetensors;
    use crate::tower::{
        EncoderKind, Pooling, Readout, Sequences, TailConfig, Tower, TowerConfig, TowerInput,
    };
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
        assert!(EfficientNet::tail_of(tiny_tensors(), 33, &tiny(), 6).is_err());
        // Some of the blocks, and all of them with the stem.
        for trained in [3, 5] {
            goes_on(trained);
        }
    }

    fn goes_on(trained: usize) {
        let whole = EfficientNet::new(tiny_tensors(), 33, &tiny(), true).unwrap();
        let below = EfficientNet::new(tiny_tensors(), 33, &tiny()[..5 - trained], false).unwrap();
        let (tail, weights) = EfficientNet::tail_of(tiny_tensors(), 33, &tiny(), trained).unwrap();
        assert_eq!((tail.cells(), tail.blocks.len()), (below.cells(), trained));

        let pictures = [0.3f32, 0.7]
            .map(|step| (0..33 * 33 * 3).map(|i| (step * i as f32).sin()).collect::<Vec<f32>>());
        let pictures = pictures.each_ref().map(Vec::as_slice);
        let vectors = |network: &EfficientNet, tail, weights| {
            let config = TowerConfig {
                input: TowerInput::Vectors(network.dim()),
                encoder: EncoderKind::Transformer,
                width: 0,
                layers: 0,
                heads: 0,
                positions: 0,
                output: 0,
                segments: Vec::new(),
                tail,
                pooling: Pooling::Largest,
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
