//! Image backbones: what a photo is to a tower.

mod efficientnet;
mod positions;
mod preprocessing;
mod vit;
mod windows;

use std::path::Path;

use candle_core::{Device, Tensor};
use tombolo_data::image::{Filter, Fit, Preprocess};

pub use efficientnet::{EfficientNet, Variant};
pub use preprocessing::Preprocessing;
pub use vit::{Vit, VitConfig};
pub(crate) use vit::{patch_projection, patch_rows};

use self::preprocessing::View;
use crate::error::{ModelError, Result};
use crate::settings;

/// Statistics of ImageNet's training set, on the scale from 0 to 1.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Frozen networks, or none, that turn a photo into vectors: each looks at it in one view or in several.
pub struct ImageBackbone {
    networks: Vec<Network>,
    preprocessing: Preprocessing,
    dim: usize,
    /// Last blocks that are left to the tower.
    trained: usize,
    device: Device,
}

enum Network {
    Patches { patch: usize },
    EfficientNet(EfficientNet),
    Vit(Box<Vit>),
}

impl Network {
    /// Vectors of a picture of this size.
    fn cells(&self, size: usize) -> usize {
        match self {
            Self::Patches { patch } => (size / patch).pow(2),
            Self::EfficientNet(network) => network.cells(),
            Self::Vit(network) => 1 + (size / network.config().patch_size).pow(2),
        }
    }

    /// `pictures`: each `[size, size, 3]`. Returns `[batch, cells, dim]`.
    fn forward(&self, pictures: &[&[f32]], size: usize, device: &Device) -> Result<Tensor> {
        let square = (size, size);
        match self {
            Self::EfficientNet(network) => network.forward(pictures, device),
            Self::Vit(network) => network.forward(pictures, square),
            Self::Patches { patch } => {
                let rows: Vec<f32> =
                    pictures.iter().flat_map(|p| vit::patch_rows(p, square, *patch)).collect();
                let shape = (pictures.len(), self.cells(size), 3 * patch * patch);
                Ok(Tensor::from_vec(rows, shape, device)?)
            }
        }
    }
}

impl ImageBackbone {
    fn alone(network: Network, preprocess: Preprocess, dim: usize, device: &Device) -> Self {
        let views = vec![View { network: 0, preprocess, mirrored: false }];
        let preprocessing = Preprocessing { views };
        Self { networks: vec![network], preprocessing, dim, trained: 0, device: device.clone() }
    }

    /// No network: the pixels of each patch, as §3.2 of the paper embeds them.
    pub fn patches(size: usize, patch: usize, device: &Device) -> Self {
        let half = [0.5; 3];
        let fit = Fit::Squash;
        let preprocess = Preprocess { size, fit, filter: Filter::Bicubic, mean: half, std: half };
        Self::alone(Network::Patches { patch }, preprocess, 3 * patch * patch, device)
    }

    /// EfficientNet-Lite from a `.pth` file of the PyTorch port, without its last `trained` blocks and what follows
    /// them.
    ///
    /// # Errors
    /// If the file cannot be read or is of another variant, or there are no more blocks than that.
    pub fn efficientnet(
        file: &Path,
        variant: Variant,
        trained: usize,
        device: &Device,
    ) -> Result<Self> {
        let network = EfficientNet::load_below(file, variant, trained)?;
        // The weights are TensorFlow's, trained on (byte − 127) ÷ 128.
        let (mean, std) = ([127.0 / 255.0; 3], [128.0 / 255.0; 3]);
        let (size, fit, dim) = (network.size(), Fit::Squash, network.dim());
        let preprocess = Preprocess { size, fit, filter: Filter::Bicubic, mean, std };
        let alone = Self::alone(Network::EfficientNet(network), preprocess, dim, device);
        Ok(Self { trained, ..alone })
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
        let dim = network.config().hidden_size;
        Ok(Self::alone(Network::Vit(Box::new(network)), preprocess, dim, device))
    }

    /// This backbone with another beside it: a photo's vectors are those of both.
    ///
    /// # Errors
    /// [`ModelError::Shape`] if their vectors are not of the same width.
    pub fn beside(mut self, other: Self) -> Result<Self> {
        if other.dim != self.dim {
            let (expected, found) = (vec![self.dim], vec![other.dim]);
            return Err(ModelError::Shape { name: "image.backbone".into(), expected, found });
        }
        let first = self.networks.len();
        let views = other.preprocessing.views.into_iter();
        let views = views.map(|view| View { network: first + view.network, ..view });
        self.preprocessing.views.extend(views);
        self.networks.extend(other.networks);
        Ok(self)
    }

    /// This backbone, looking at the mirror image of each photo as well.
    pub fn mirrored(mut self) -> Self {
        let views = std::mem::take(&mut self.preprocessing.views).into_iter();
        let views = views.flat_map(|view| [view.clone(), View { mirrored: true, ..view }]);
        self.preprocessing.views = views.collect();
        self
    }

    /// What a photo must be brought to.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Differs when the vectors of a photo may, for the same networks.
    pub fn reading(&self) -> String {
        let preprocessing = self.preprocessing.fingerprint();
        match self.trained {
            0 => preprocessing,
            blocks => format!("{preprocessing} below {blocks} blocks"),
        }
    }

    /// Width of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Vectors of a photo.
    pub fn cells(&self) -> usize {
        self.segments().iter().sum()
    }

    /// How many of a photo's vectors come from each network, in their order.
    pub fn segments(&self) -> Vec<usize> {
        let mut segments = vec![0; self.networks.len()];
        for view in &self.preprocessing.views {
            segments[view.network] += self.networks[view.network].cells(view.preprocess.size);
        }
        segments
    }

    /// The vectors of each photo.
    ///
    /// # Shapes
    /// `photos`: each as [`Preprocessing::apply`] makes it. Returns `[batch, cells, dim]`, view by view,
    /// cells row by row; a ViT's class vector comes first.
    /// # Errors
    /// If a tensor operation fails.
    pub fn forward(&self, photos: &[Vec<f32>]) -> Result<Tensor> {
        let mut start = 0;
        let mut maps = Vec::with_capacity(self.preprocessing.views.len());
        for view in &self.preprocessing.views {
            let pictures: Vec<&[f32]> =
                photos.iter().map(|photo| &photo[start..start + view.len()]).collect();
            let network = &self.networks[view.network];
            maps.push(network.forward(&pictures, view.preprocess.size, &self.device)?);
            start += view.len();
        }
        match maps.len() {
            1 => Ok(maps.remove(0)),
            _ => Ok(Tensor::cat(&maps, 1)?),
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
