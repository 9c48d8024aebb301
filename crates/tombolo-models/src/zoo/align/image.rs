//! ALIGN's picture half: the mean of an EfficientNet's cells.

use candle_core::{Device, Tensor};

use super::blocks::{STEM, VisionConfig};
use super::efficientnet::EfficientNet;
use super::{ALIGN, Top};
use crate::error::{ModelError, Result};
use crate::zoo::projection::unit;
use crate::zoo::{Files, Grid, ImageHalf};

struct AlignImage {
    network: EfficientNet,
    /// Side of a picture in pixels, and of its feature map in cells.
    size: usize,
    side: usize,
    /// Whether a picture's vector is the largest value of each channel instead of the mean.
    largest: bool,
}

/// Loads the picture half; it always runs on the CPU.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, or the settings make no network.
pub(super) fn image(files: &Files, _device: &Device) -> Result<Box<dyn ImageHalf>> {
    let settings = &files.settings;
    let config: VisionConfig = settings.section("vision_config")?;
    let refused = |reason| settings.refused(format!("vision_config.{reason}"));
    let blocks = config.blocks().map_err(refused)?;
    let size = (ALIGN.preprocess)(settings)?.size;
    let side = blocks
        .iter()
        .try_fold(STEM.output(size), |side, block| side.map(|side| block.depthwise.output(side)));
    let side = side.flatten().filter(|side| *side > 0);
    let side = side.ok_or_else(|| {
        settings.refused(format!("expected larger pictures, found {size} pixels a side"))
    })?;
    if side > config.hidden_dim {
        return Err(refused(format!(
            "hidden_dim: expected at least {side}, found {}",
            config.hidden_dim
        )));
    }
    let network = EfficientNet::read(&files.tensors, &config, &blocks)?;
    let (expected, found) = (settings.section::<Top>("")?.projection_dim, network.width());
    if expected != found {
        let name = "vision_model.encoder".to_owned();
        let (expected, found) = (vec![expected], vec![found]);
        return Err(ModelError::Shape { name, expected, found });
    }
    files.expect_no_others(&["vision_model."])?;
    Ok(Box::new(AlignImage { network, size, side, largest: config.pooling_type == "max" }))
}

impl AlignImage {
    fn maps(&self, pictures: &[&[f32]]) -> Vec<f32> {
        self.network.forward(pictures, self.size, self.side * self.side)
    }

    fn pool(&self, map: &[f32]) -> Vec<f32> {
        let cells = self.side * self.side;
        let channel = |c: usize| map.iter().skip(c).step_by(self.width()).copied();
        let pool = |c| match self.largest {
            true => channel(c).fold(f32::NEG_INFINITY, f32::max),
            false => channel(c).sum::<f32>() / cells as f32,
        };
        (0..self.width()).map(pool).collect()
    }
}

impl ImageHalf for AlignImage {
    fn dim(&self) -> usize {
        self.network.width()
    }

    fn width(&self) -> usize {
        self.network.width()
    }

    fn size(&self) -> Option<usize> {
        None
    }

    fn grid(&self) -> Grid {
        Grid { class: 0, side: self.side }
    }

    fn embed(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let maps = self.maps(pictures);
        let maps = maps.chunks_exact(self.grid().rows() * self.width());
        unit(maps.flat_map(|map| self.pool(map)).collect(), self.dim())
    }

    fn cells(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let shape = (pictures.len(), self.grid().rows(), self.width());
        Ok(Tensor::from_vec(self.maps(pictures), shape, &Device::Cpu)?)
    }

    fn located(&self, pictures: &[&[f32]]) -> Result<Tensor> {
        let shape = (pictures.len(), self.grid().rows(), self.dim());
        Ok(unit(self.maps(pictures), self.dim())?.reshape(shape)?)
    }
}
