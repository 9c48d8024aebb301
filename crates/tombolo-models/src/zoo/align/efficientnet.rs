//! EfficientNet (Tan and Le 2019) with squeeze-and-excitation and swish, its batch norms folded.

use std::cell::RefCell;

use rayon::prelude::*;
use tombolo_kernels::{Excitation, ExcitedResidual, PackedLinear, Room, Stem};

use super::blocks::{Block, STEM, VisionConfig};
use crate::checkpoint::{CheckpointError, MappedTensors};
use crate::zoo::batch_norm::BatchNorm;

/// A frozen EfficientNet up to its last feature map.
pub(super) struct EfficientNet {
    stem: Stem,
    blocks: Vec<ExcitedResidual>,
}

thread_local! {
    /// Each thread's room, kept for the next picture.
    static ROOM: RefCell<Room> = RefCell::default();
}

impl EfficientNet {
    /// The network below `vision_model.` of a checkpoint.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape.
    pub fn read(
        tensors: &MappedTensors,
        config: &VisionConfig,
        blocks: &[Block],
    ) -> Result<Self, CheckpointError> {
        let reader = Reader { tensors, eps: config.batch_norm_eps };
        let name = "vision_model.embeddings";
        let (convolution, norm) = (format!("{name}.convolution"), format!("{name}.batchnorm"));
        let (weight, bias) = reader.folded(&convolution, &norm, [config.stem(), 3, STEM.kernel])?;
        let linear = PackedLinear::new(&[&weight], &bias);
        let stem = Stem::new(linear, (STEM.kernel, STEM.stride), STEM.padding);
        let blocks = blocks.iter().enumerate();
        let blocks =
            blocks.map(|(index, block)| reader.block(index, block)).collect::<Result<_, _>>()?;
        Ok(Self { stem, blocks })
    }

    /// Width of a cell's vector.
    pub fn width(&self) -> usize {
        self.blocks.last().map_or(0, ExcitedResidual::outputs)
    }

    /// The feature map of each picture, one picture a core at a time.
    ///
    /// # Shapes
    /// `pictures`: each `[size, size, 3]`. Returns `[pictures, cells, width]`, cells row by row.
    ///
    /// # Panics
    /// If a picture is not of that length, or there are not so many cells.
    pub fn forward(&self, pictures: &[&[f32]], size: usize, cells: usize) -> Vec<f32> {
        let length = cells * self.width();
        let mut maps = vec![0.0; pictures.len() * length];
        maps.par_chunks_mut(length).zip(pictures).for_each(|(map, picture)| {
            ROOM.with_borrow_mut(|room| {
                room.picture.clear();
                room.picture.extend_from_slice(picture);
                let size = self.stem.forward(room, (size, size));
                self.blocks.iter().fold(size, |size, block| block.forward(room, size));
                map.copy_from_slice(&room.picture[..]);
            });
        });
        maps
    }
}

struct Reader<'a> {
    tensors: &'a MappedTensors,
    eps: f32,
}

impl Reader<'_> {
    fn block(&self, index: usize, block: &Block) -> Result<ExcitedResidual, CheckpointError> {
        let name = |part: &str| format!("vision_model.encoder.blocks.{index}.{part}");
        let pointwise = |convolution: &str, norm: &str, inputs, outputs| {
            let (weight, bias) =
                self.folded(&name(convolution), &name(norm), [outputs, inputs, 1])?;
            Ok::<_, CheckpointError>(PackedLinear::new(&[&weight], &bias))
        };
        let (inputs, inner, outputs) = (block.inputs, block.inner, block.outputs);
        let expansion = match block.expands {
            true => Some(pointwise("expansion.expand_conv", "expansion.expand_bn", inputs, inner)?),
            false => None,
        };
        let (kernel, stride) = (block.depthwise.kernel, block.depthwise.stride);
        let (weight, bias) = self.folded(
            &name("depthwise_conv.depthwise_conv"),
            &name("depthwise_conv.depthwise_norm"),
            [inner, 1, kernel],
        )?;
        let weight = transposed(&weight, inner, kernel * kernel);
        let excitation = Excitation {
            reduce: self.biased(&name("squeeze_excite.reduce"), inner, block.squeezed)?,
            expand: self.biased(&name("squeeze_excite.expand"), block.squeezed, inner)?,
        };
        let project =
            pointwise("projection.project_conv", "projection.project_bn", inner, outputs)?;
        Ok(ExcitedResidual::new(
            expansion,
            ((kernel, stride), block.depthwise.padding),
            (&weight, &bias),
            excitation,
            project,
            block.residual,
        ))
    }

    /// Weight, `[outputs, kernel², inputs]`, and bias of a convolution `[outputs, inputs, kernel, kernel]` with the norm
    /// after it.
    fn folded(
        &self,
        convolution: &str,
        norm: &str,
        [outputs, inputs, kernel]: [usize; 3],
    ) -> Result<(Vec<f32>, Vec<f32>), CheckpointError> {
        let shape = [outputs, inputs, kernel, kernel];
        let weight = self.tensors.get(&format!("{convolution}.weight"), &shape)?;
        let taps = kernel * kernel;
        let norm = BatchNorm::read(self.tensors, norm, outputs, self.eps)?;
        let (weight, bias) = norm.folded(&weight, None);
        let rows = weight.chunks_exact(inputs * taps);
        Ok((rows.flat_map(|row| transposed(row, inputs, taps)).collect(), bias))
    }

    fn biased(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<PackedLinear, CheckpointError> {
        let weight = self.tensors.get(&format!("{name}.weight"), &[outputs, inputs, 1, 1])?;
        let bias = self.tensors.get(&format!("{name}.bias"), &[outputs])?;
        Ok(PackedLinear::new(&[&weight], &bias))
    }
}

/// `[rows, columns]` as `[columns, rows]`.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    debug_assert_eq!(values.len(), rows * columns);
    (0..columns).flat_map(|c| values.iter().skip(c).step_by(columns).copied()).collect()
}
